"""Small manifests on the twins, run for real, and what a run has to come to whatever befell it.

Oracle: one run that nothing befell. Records are compared by their values, paths, warnings, inputs
and arrays; only the time that they took is theirs.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from repro import paths
from repro.cli.verify import judge_run
from repro.schema import validate
from repro.store import contents, run_file
from repro.store.store import Store

ROOT = Path(__file__).resolve().parents[2]
TIMES = {"started", "seconds", "digest"}
"""Fields of a record that differ between two runs."""


@dataclass(frozen=True)
class Row:
    """One line of the table: a fault, how often it was made, and what came of it."""

    fault: str
    count: int
    held: str
    failed: tuple[str, ...]
    """What did not hold, each time that it did not."""


def write_tying(folder: Path) -> Path:
    """Theorem 3's three weights, in exact integers: jobs of a second."""
    data = json.loads((paths.MANIFESTS / "theorem3.json").read_text())
    data["jobs"] = [group for group in data["jobs"] if group["job"]["kind"] == "weight_tying"]
    data["claims"] = [claim for claim in data["claims"] if claim["kind"] == "identity"]
    return _write(folder, "tying", data)


def write_cell(
    folder: Path, tier: str = "smoke", shots: Sequence[int] = (0, 1), **changes: Any
) -> Path:
    """One cell of Table 1 on one subject: two evaluations at two numbers of examples."""
    data = json.loads((paths.MANIFESTS / "table1.json").read_text())
    (group,) = data["jobs"]
    group.update(checkpoints=["pythia-160m"], dtypes=["float32", "bfloat16"], shots=list(shots))
    smoke = {**group["tiers"]["smoke"], "settings": ["batch-16"], "other_arms": []}
    group["tiers"] = {tier: smoke | changes}
    data["claims"] = [claim for claim in data["claims"] if claim["id"] == "T1.pythia-160m.bfloat16"]
    return _write(folder, "cell", data)


def _write(folder: Path, name: str, data: dict[str, Any]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    data["id"] = name
    path = folder / f"{name}.json"
    path.write_text(json.dumps(data))
    return path


def environ(**more: str) -> dict[str, str]:
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths), **more}


def command(manifests: list[Path], out: Path, *more: object) -> list[str]:
    """`repro run`, which fetches nothing here."""
    said = ["run", *manifests, "--out", out, "--offline", *more]
    return [sys.executable, "-m", "repro.cli.main", *map(str, said)]


def start(manifests: list[Path], out: Path, *more: object) -> "subprocess.Popen[str]":
    """A run in a process group of its own."""
    return subprocess.Popen(
        command(manifests, out, *more),
        env=environ(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


class Reference:
    """The run that nothing befell."""

    def __init__(self, folder: Path, manifests: list[Path]) -> None:
        self.manifests, self.out = manifests, folder / "reference"
        clock = time.monotonic()
        with start(manifests, self.out) as running:
            _, said = running.communicate()
        self.seconds = time.monotonic() - clock
        assert running.returncode == 0, said
        self.records = records(self.out)
        self.outcomes = outcomes(self.out, manifests)

    def finish(self, out: Path, *more: object) -> list[str]:
        """Run to the end what something befell, and hold it to the reference."""
        with start(self.manifests, out, *more) as running:
            _, said = running.communicate()
        if running.returncode != 0:
            return [f"the run afterwards exits {running.returncode}: {said[-400:]}"]
        return self.differences(out)

    def differences(self, out: Path) -> list[str]:
        """What is otherwise in a finished folder; what killed runs left is no difference."""
        found, store = records(out), Store(out)
        wrong = [
            f"record {key[:12]} differs"
            for key in self.records
            if found.get(key) != self.records[key]
        ]
        wrong += [f"record {key[:12]} is one too many" for key in found.keys() - self.records]
        if outcomes(out, self.manifests) != self.outcomes:
            wrong.append(f"outcomes {outcomes(out, self.manifests)}")
        contents.remove_garbage(store, contents.garbage(store))
        left = [
            path
            for path in out.rglob("*")
            if path.name.startswith(".") or path.parent == store.work
        ]
        return wrong + [f"{path.relative_to(out)} is left" for path in left]

    def untrue(self, out: Path) -> list[str]:
        """Outcomes of an unfinished folder that are neither the reference's nor owned up to."""
        return [
            f"{claim} is {found}, not {self.outcomes[claim]}"
            for claim, found in outcomes(out, self.manifests).items()
            if found not in (self.outcomes[claim], "not-run", "invalid")
        ]


def records(out: Path) -> dict[str, dict[str, Any]]:
    """Every sound record without its times, by key."""
    store, found = Store(out), {}
    for folder in store.jobs.glob("[0-9a-f]*"):
        if store.has(folder.name):
            found[folder.name] = store.load(folder.name)[0].model_dump(mode="json", exclude=TIMES)
    return found


def outcomes(out: Path, manifests: list[Path]) -> dict[str, str]:
    """What each claim comes to, judged by a folder alone; nothing where there is no run file."""
    found = {}
    for path in manifests:
        claimed = validate.load_manifest(path)
        for tier in claimed.tiers():
            if run_file.path_of(out, claimed.id, tier).exists():
                verdict = judge_run(claimed, tier, Store(out))
                words = {each.claim: each.result or each.outcome for each in verdict.findings}
                found |= words
    return found


def keys_of(out: Path) -> dict[str, str]:
    """Key by slot, of all run files."""
    return {
        slot: key
        for path in sorted(out.glob("runs/*.json"))
        for slot, key in run_file.load(path).jobs.items()
    }
