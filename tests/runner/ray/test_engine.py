"""Jobs over a real Ray cluster of two nodes, and over a Ray of the run's own."""

import importlib.util
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from repro import fileio, paths
from repro.environment import machine
from repro.store.store import MODEL, Store

pytestmark = [pytest.mark.timeout(240), pytest.mark.usefixtures("all_cores")]

SCRIPT = paths.ROOT / "tests" / "ray_cluster.py"


# -----------------------------------------------------------------------------
# What is run


def write(folder: Path, jobs: list[dict[str, Any]]) -> Path:
    """A manifest of some jobs."""
    data = json.loads((paths.MANIFESTS / "theorem3.json").read_text())
    figure1 = json.loads((paths.MANIFESTS / "figure1.json").read_text())
    claims = [each for each in data["claims"] if each["id"] == "CODE1.linear"]
    data |= {"id": "small", "jobs": jobs, "claims": claims, "settings": figure1["settings"]}
    path = folder / "small.json"
    path.write_text(json.dumps(data))
    return path


def tying(count: int, width: int) -> list[dict[str, Any]]:
    """Exact algebra on one small weight; no framework is imported."""
    blocks = {"dt": 48, "B": 16, "C": 16}
    job = {"kind": "weight_tying", "projection": "x", "inputs": width, "blocks": blocks, "rank": 8}
    return [
        {"kind": "single", "id": f"x{seed}", "tiers": ["smoke"], "job": job | {"seed": seed}}
        for seed in range(count)
    ]


def tuning(method: str = "lora-all", data: str = "sums") -> dict[str, Any]:
    """Figure 1 cut to one arm of one twin, asked four questions afterwards."""
    group = json.loads((paths.MANIFESTS / "figure1.json").read_text())["jobs"][0]
    smoke = group["tiers"]["smoke"] | {
        "tasks": ["lambada_openai"],
        "subjects": [],
        "questions": 4,
    }
    smoke |= {"settings": ["batch-16"], "seeds": [42], "precisions": ["float32"]}
    smoke["smaller"] |= {"data": data, "rows": 8, "max_length": 32}
    asked = {"task": "lambada_openai", "shots": [0], "dtypes": ["float32"], "of": "every-arm"}
    found: dict[str, Any] = group | {
        "checkpoints": group["checkpoints"][:1],
        "id": method,
        "arms": [{"method": method, "precision": "float32"}],
        "pretrained": False,
        "questions": [asked],
        "tiers": {"smoke": smoke},
    }
    return found


def start(path: Path, out: Path, on: str, *more: object, **environ: str) -> subprocess.Popen[str]:
    """`repro run` that says what it asks of which node."""
    arguments = ["run", path, "--tier", "smoke", "--on", on, "--out", out, "--offline", "--json"]
    return subprocess.Popen(
        [sys.executable, str(SCRIPT), "run", *map(str, (*arguments, *more))],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(paths.ROOT), **environ},
    )


def finish(running: subprocess.Popen[str]) -> tuple[int, str]:
    _, said = running.communicate(timeout=200)
    return running.returncode, said


def processes(mark: str) -> list[int]:
    """Processes that have a word in their environment."""
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            if mark.encode() in path.read_bytes():
                found.append(int(path.parent.name))
        except OSError:
            continue
    return found


def records(out: Path) -> dict[str, Any]:
    """What a record says but for when it was made and how long that took, by key."""
    store = Store(out)
    found = {}
    for folder in store.jobs.iterdir():
        record, _ = store.load(folder.name)
        said = record.model_dump(mode="json", exclude={"started", "seconds", "digest"})
        for name in said["values"].copy():
            if "seconds" in name:
                del said["values"][name]
        flags = said["environment"]["flags"]
        said["environment"]["flags"] = {k: v for k, v in flags.items() if "VISIBLE" not in k}
        found[folder.name] = said
    return found


# -----------------------------------------------------------------------------
# The cluster


class Nodes:
    """A head and three nodes of one CPU."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.process = subprocess.Popen(
            [sys.executable, str(SCRIPT), str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert self.process.stdout
        address, port = self.process.stdout.readline().split()
        self.environ, self.client = {"RAY_ADDRESS": address}, f"ray://127.0.0.1:{port}"

    def kill(self, what: str) -> None:
        assert self.process.stdin
        self.process.stdin.write(f"{what}\n")
        self.process.stdin.flush()

    def working(self) -> list[int]:
        """Processes that a run has on the nodes."""
        found = []
        for number in processes(f"REPRO_CACHE={self.folder}"):
            command = Path(f"/proc/{number}/cmdline").read_bytes()
            found += [number] if command.startswith(b"ray::Worker") else []
        return found


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nodes]:
    made = Nodes(tmp_path_factory.mktemp("nodes"))
    yield made
    made.process.communicate(timeout=60)  # the end of its input ends it


def test_records_that_come_home_are_those_of_the_local_engine(nodes: Nodes, tmp_path: Path) -> None:
    """A tuning, an evaluation that waits for it; a tuning that cannot run; two without inputs.

    From outside the cluster, by Ray's client.
    """
    words, bad = tmp_path / "words.jsonl", tmp_path / "bad.jsonl"
    words.write_text("".join(f'{{"text": "one two three {n} four"}}\n' for n in range(4)))
    bad.write_text('{"no": "answer"}\n')
    path = write(tmp_path, [tuning(), tuning("full", "lima"), *tying(2, 64)])
    given = ("--data", f"lambada_openai={words}", "--data", f"lima={bad}")
    code, said = finish(start(path, tmp_path / "there", nodes.client, *given))
    assert code == 3, said
    assert nodes.working() == []
    code, told = finish(start(path, tmp_path / "here", "local", *given))
    assert code == 3, told
    there, here = records(tmp_path / "there"), records(tmp_path / "here")
    assert len(here) == 4
    assert there == here  # arrays and weights by their digests
    (made,) = (key for key, each in here.items() if each["job"]["kind"] == "tuning")
    for name, sha in here[made]["files"].items():
        assert fileio.digest_of_file(tmp_path / "there" / "jobs" / made / MODEL / name) == sha
    assert not list((tmp_path / "there").glob(".home-*"))
    missing = [
        json.loads((tmp_path / at / "runs" / "small.smoke.json").read_text())["missing"]
        for at in ("there", "here")
    ]
    tuned = "mamba-130m.full.float32.batch-16"
    for each in missing:
        assert list(each) == [tuned, f"{tuned}.lambada_openai.float32"]
        assert "cannot read instruction data" in each[tuned]
        assert bad.name in each[tuned]
    worked = [line for line in said.splitlines() if line.startswith("ASK work")]
    assert len(set(worked)) == len(worked) == 5  # what cannot run is tried once
    sealed = [line.split()[2] for line in said.splitlines() if line.startswith("ASK seal")]
    assert sealed
    for sha, times in Counter(sealed).items():  # what a node has is not sent to it again
        assert times <= len(list(nodes.folder.glob(f"*/shipped/{sha}")))
    assert not list(nodes.folder.glob("*/ran/jobs/*"))


def lose(what: str, nodes: Nodes, path: Path, out: Path) -> tuple[int, str]:
    """Run a manifest, and kill the first node, the run's own or the head once there is a record."""
    running = start(path, out, "ray://auto", **nodes.environ)
    deadline = time.monotonic() + 100
    while not list(out.glob("jobs/[0-9a-f]*")) and time.monotonic() < deadline:
        time.sleep(0.05)
    nodes.kill(what)
    return finish(running)


def test_every_job_is_done_although_a_node_dies(nodes: Nodes, tmp_path: Path) -> None:
    out = tmp_path / "out"
    # Jobs of seconds: the node dies amid one, not between two.
    code, said = lose("first", nodes, write(tmp_path, tying(6, 40_000)), out)
    assert code == 0, said
    asked = Counter(line.split()[2] for line in said.splitlines() if line.startswith("ASK work"))
    assert len(asked) == len(records(out)) == 6
    assert max(asked.values()) == 2, asked  # the dead node's job, by another
    assert nodes.working() == []


def test_ctrl_c_leaves_no_process_and_no_half_record(tmp_path: Path) -> None:
    mark = f"on-ray-{uuid.uuid4()}"
    path, out = write(tmp_path, tying(2, 200_000)), tmp_path / "out"
    short = Path(tempfile.mkdtemp(prefix="r-"))
    with start(path, out, "ray", MARK=mark, RAY_TMPDIR=str(short)) as running:
        assert running.stderr
        for line in running.stderr:
            if line.startswith("ASK work"):
                break
        assert len(processes(mark)) > 3
        running.send_signal(signal.SIGINT)
        code, said = finish(running)
    assert code == 130
    assert "finished jobs are kept" in said
    deadline = time.monotonic() + 10
    while processes(mark) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert [Path(f"/proc/{each}/cmdline").read_text() for each in processes(mark)] == []
    assert not list(out.glob("jobs/[0-9a-f]*"))
    assert not list(short.iterdir())
    short.rmdir()


# -----------------------------------------------------------------------------
# Without a cluster


def test_another_engine_is_refused(tmp_path: Path) -> None:
    code, said = finish(start(write(tmp_path, tying(1, 64)), tmp_path / "out", "slurm"))
    assert code == 2
    assert "--on slurm: expected local, ray, ray://HOST:PORT or ray://auto" in said


def test_the_local_engine_imports_no_ray() -> None:
    code = "import sys, repro.cli.run, runner.local; sys.exit('ray' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], check=False, cwd=paths.ROOT)
    assert done.returncode == 0


def test_another_machine_is_named_by_what_differs() -> None:
    from runner.ray.remote import differences

    here = machine.capture(["torch", "numpy"])
    other = here.model_copy(
        update={"python": "3.12.1", "packages": here.packages | {"torch": "2.11.0"}}
    )
    assert differences(here, here) == []
    assert differences(here, other) == [
        f"python 3.12.1 (planned: {here.python})",
        f"torch 2.11.0 (planned: {here.packages['torch']})",
    ]


def test_the_cluster_file_is_what_rays_launcher_reads() -> None:
    """Oracle: the schema in the installed package."""
    schema = json.loads((Path(ray_folder()) / "autoscaler" / "ray-schema.json").read_text())
    file = paths.ROOT / "docs" / "cluster" / "aws-a10g.yaml"
    said = yaml.safe_load(file.read_text())
    jsonschema.validate(said, schema)
    workers = said["available_node_types"]["worker"]
    assert workers["node_config"]["InstanceType"] == "g5.2xlarge"  # one A10G
    assert workers["min_workers"] >= 1  # a run asks the nodes what they are before it plans


def ray_folder() -> str:
    found = importlib.util.find_spec("ray")
    assert found
    assert found.origin
    return str(Path(found.origin).parent)


# -----------------------------------------------------------------------------
# The end of the cluster


@pytest.mark.parametrize("what", ["own", "head"])
def test_a_run_that_loses_its_cluster_keeps_what_is_done(
    what: str, nodes: Nodes, tmp_path: Path
) -> None:
    """Another node is left both times. Last in this file: what is left of the cluster is busy."""
    out = tmp_path / "out"
    jobs = [*tying(1, 8_000), *tying(3, 200_000)[1:]]  # one soon, two never
    code, said = lose(what, nodes, write(tmp_path, jobs), out)
    assert code == 3, said
    assert "this run has lost its cluster" in said
    assert "Traceback" not in said
    assert len(records(out)) == 1
