"""Tables 1 and 3 by their own manifests on models of the paper's shapes, weights at random.

    python -m benchmarks.random_shapes --tokenizer DIR --out DIR [--models M…] [--dtypes D…]

Writes a checkpoint of each shape from one seed, as `repro run --substitute` takes it, with the
tokenizer.json of Pythia and Mamba from `--tokenizer`; says what the plan expects; runs both
manifests under the first setting as a user does, offline; kills the run and all its processes
(SIGKILL) once a record is whole and the next job has begun; takes it up again; has it judged. In
the end: that nothing was measured twice, that every finding names the stand-in and decides nothing
about the paper, and seconds and peak memory of each record against the plan.

Memory is looked at ten times a second: of a GPU all that is taken (with what torch keeps in
reserve), else of the processes of the run.
"""

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import torch

from repro import json_text
from runner.models import shapes
from runner.models.mamba2_config import Mamba2Config

MODELS = ("mamba-130m", "mamba2-130m", "pythia-160m")
MANIFESTS = ("table1", "table3")
SETTING = "batch-16"
SEED = 27
LIKELY = {"mamba-130m": 70, "mamba2-130m": 120, "pythia-160m": 70}
"""Seconds of all of MMLU in FP32 on an H200, as measured on 517 questions with drift; half
precision takes about four fifths."""


def write_checkpoint(name: str, folder: Path, tokenizer: Path) -> Path:
    """A checkpoint of a shape with random weights, and a tokenizer."""
    torch.manual_seed(SEED)
    model = shapes.build(shapes.shape_of(name))
    model.save_pretrained(folder)  # safetensors
    if isinstance(model.config, Mamba2Config):  # as the release's own code writes it
        said = model.config.to_dict()
        kept = {each: said[each] for each in ("d_model", "n_layer", "vocab_size", "ssm_cfg")}
        kept |= {each: said[each] for each in ("pad_vocab_size_multiple", "tie_embeddings")}
        (folder / "config.json").write_text(json.dumps(kept))
    shutil.copy(tokenizer / "tokenizer.json", folder)
    end = {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "<|endoftext|>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(end))
    return folder


# -----------------------------------------------------------------------------
# Running it


def used_by(group: int) -> int:
    """Bytes that a run takes: of the GPU, or of the processes of its session."""
    if torch.cuda.is_available():
        free, total = torch.cuda.mem_get_info()
        return total - free
    total = 0
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = status.read_text().rpartition(")")[2].split()
        except OSError:  # ended meanwhile
            continue
        if int(fields[3]) == group:  # session
            total += int(fields[21]) * os.sysconf("SC_PAGE_SIZE")
    return total


@dataclass
class Watched:
    """What was seen of the runs from outside."""

    used: list[tuple[float, int]] = field(default_factory=list)
    """Time, seconds since the epoch, and bytes."""

    def run(self, command: list[str], until: Callable[[], bool]) -> int | None:
        """Run a command to its end, or kill it and all that it started.

        Returns:
            Its exit code; None if it was killed.
        """
        process = subprocess.Popen(command, start_new_session=True)  # noqa: S603 - our own
        try:
            while process.poll() is None:
                self.used.append((time.time(), used_by(process.pid)))
                if until():
                    return None
                time.sleep(0.1)
            return process.returncode
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()

    def peak(self, record: Mapping[str, Any]) -> int:
        """Most bytes while a record was made."""
        start = datetime.fromisoformat(record["started"]).timestamp()
        end = start + record["seconds"]
        return max((each for at, each in self.used if start <= at <= end + 1), default=0)


def records(out: Path) -> dict[str, dict[str, Any]]:
    """Whole records by key."""
    found = out.glob("jobs/*/record.json")
    return {path.parent.name: json_text.load(path) for path in found}


def repro(*arguments: str) -> Any:  # noqa: ANN401 - any JSON
    """What a command prints as JSON."""
    command = [sys.executable, "-m", "repro", *arguments, "--json"]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=False)  # noqa: S603 - our own
    return json.loads(done.stdout)


def planned(asked: list[str]) -> dict[str, tuple[float, int]]:
    """Seconds here and bytes of each job, by key."""
    return {
        job["key"]: (job["estimated_seconds"], job["estimated_memory_bytes"])
        for plan in repro("plan", *asked)
        for job in plan["jobs"]
        if job["key"]
    }


# -----------------------------------------------------------------------------
# What came of it


def problems_of(verdicts: list[dict[str, Any]], names: list[str]) -> list[str]:
    """Findings on what was measured that decide something, or do not say what was measured."""
    found = []
    for verdict in verdicts:
        for each in verdict["findings"]:
            if each["basis"] == "measured" and each["records"]:
                if each["outcome"] not in ("inconclusive", "not-run"):
                    found.append(f"{each['claim']} is {each['outcome']}")
                if not any(name in " ".join(each["stand_ins"]) for name in names):
                    found.append(f"{each['claim']} names no stand-in: {each['reason']}")
    return found


def main() -> None:
    """Make, run, kill, take up, judge."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--tokenizer", type=Path, required=True, help="folder of tokenizer.json")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--models", nargs="+", choices=MODELS, default=MODELS)
    parser.add_argument("--dtypes", nargs="+", default=["float32", "bfloat16"])
    parser.add_argument("--tier", choices=["subset", "full"], default="full")
    arguments = parser.parse_args()
    likely = sum(
        LIKELY[name] * (1.0 if dtype == "float32" else 0.8)
        for name in arguments.models
        for dtype in arguments.dtypes
    )
    print(f"at tier full about {likely:.0f} s on an H200", flush=True)
    given = {
        name: write_checkpoint(name, arguments.out / "weights" / name, arguments.tokenizer)
        for name in arguments.models
    }
    only = [f"model={name}" for name in given] + [f"dtype={each}" for each in arguments.dtypes]
    results = arguments.out / "results"
    asked = [
        *MANIFESTS,
        "--tier",
        arguments.tier,
        "--only",
        ",".join([*only, f"setting={SETTING}"]),
    ]
    asked += ["--offline", "--out", str(results)]
    asked += [
        part for name, folder in given.items() for part in ("--substitute", f"{name}={folder}")
    ]
    plan = planned(asked)
    print(
        f"{len(plan)} jobs; the plan says {sum(each for each, _ in plan.values()):.0f} s",
        flush=True,
    )

    watched, began = Watched(), time.time()
    command = [sys.executable, "-m", "repro", "run", *asked]

    def next_job_runs() -> bool:
        whole = {path.parent.name for path in results.glob("jobs/*/record.json")}
        begun = {path.name for path in results.glob("locks/*")}
        return bool(whole) and bool(begun - whole)

    killed = watched.run(command, next_job_runs) is None
    before = records(results)
    print(f"killed after {time.time() - began:.0f} s with {len(before)} whole records", flush=True)
    code = watched.run(command, lambda: False)
    after = records(results)
    print(f"taken up, exit code {code}, {time.time() - began:.0f} s in all")
    print("| record | seconds | planned | ratio | peak GB | planned |\n|" + "---|" * 6)
    for key, record in sorted(after.items(), key=lambda item: item[1]["started"]):
        job, (seconds, memory) = record["job"], plan.get(key, (0.0, 0))
        numbers = [f"{each:.1f}" for each in (record["seconds"], seconds)]
        numbers.append(f"{seconds / record['seconds']:.2f}")
        numbers += [f"{each / 1e9:.1f}" for each in (watched.peak(record), memory)]
        print(f"| {job['checkpoint']} {job['dtype']} {job['arm']} | {' | '.join(numbers)} |")
    problems = problems_of(repro("verify", str(results)), list(given))
    if not killed:
        problems.append("it ended before it could be killed")
    if any(after.get(key) != record for key, record in before.items()):
        problems.append("a record from before the kill is another one")
    if plan.keys() - after.keys():
        problems.append(f"{len(plan.keys() - after.keys())} jobs have no record")
    if problems:
        raise SystemExit("\n".join(problems))
    print(f"{len(before)} records were kept, and every finding says what stood in for the model")


if __name__ == "__main__":
    main()
