"""The same evaluations on one GPU and on all GPUs of the machine, by the engine of `--on ray`.

`python -m benchmarks.several_gpus [--shapes S…] [--jobs N] [--questions Q] [--repeats R]
[--minutes M] [--out FILE]`. Jobs ask made-up sentences of models of the true shapes with weights at
random (speed does not depend on them), with a twin's tokenizer: nothing is fetched. Without a GPU
it takes one core and all cores. Mamba is left out where its kernels are not installed on a GPU.
Each arm starts with no record, by turns first; no repeat begins that would end after `--minutes`,
and what runs then is broken off.

    wall      seconds from the start of the engine to its end, Ray's own start and end included
    first     seconds until a first job said something: Ray's start, a process's, its imports
    jobs      seconds that the jobs themselves took, from their records, over the slots; the first
              of a process imports its libraries, a later one does not
    cost      wall less jobs, over the number of jobs: start, imports, scheduling, uneven ends
    rate      jobs a minute once every process has done its first, to the end of the last
    between   seconds that a slot takes for a job at that rate, less the job's own: scheduling alone
    ratio     one slot's wall over all slots'; at most the number of slots
    ratio_after_start  all slots' rate over one's: what the ratio tends to as the set of jobs grows

Each arm prints a line of JSON (and appends it to `--out`), the last line sums up.
"""

import argparse
import contextlib
import importlib.util
import json
import os
import shutil
import signal
import statistics
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import ray
import torch

from repro import fileio, paths
from repro.environment import machine as environment
from repro.environment.machine import Environment
from repro.inputs import checkpoints
from repro.inputs.located import Located
from repro.planning import cost
from repro.planning.plan import PlannedJob
from repro.schema.groups import Slot
from repro.schema.jobs import BenchmarkJob, Setting
from repro.store import keys
from repro.store.store import Store
from runner.local import Work
from runner.models import shapes
from runner.ray.engine import RayOnThisMachine

TOKENIZER = paths.ROOT / "twins" / "gpt-neox-twin"
WORDS = ("layer", "state", "token", "weight", "model", "paper", "answer", "number")
LENGTH = 120
"""Words of a sentence."""


class Watch:
    """Notes when a first job said something, and when jobs ended."""

    def __init__(self) -> None:
        self.at = 0.0
        self.ends: list[float] = []

    def advance(self, job: PlannedJob, done: int, total: int, note: str) -> None:
        """A job got on."""
        del job, done, total, note
        self.at = self.at or time.perf_counter()

    def finish(self, job: PlannedJob) -> None:
        """A job ended."""
        del job
        self.ends.append(time.perf_counter())
        self.at = self.at or self.ends[-1]


def checkpoint(shape: str, folder: Path) -> Located:
    """A checkpoint of a shape with weights at random, and a tokenizer."""
    torch.manual_seed(0)
    model = shapes.build(shapes.shape_of(shape))
    model.save_pretrained(folder / shape)
    for file in TOKENIZER.glob("*token*"):
        shutil.copy(file, folder / shape)
    path = folder / shape
    return Located(shape, path, checkpoints.checkpoint_digests(path, shape), True, False)  # noqa: FBT003


def sentences(folder: Path, count: int) -> Located:
    """A file in LAMBADA's form."""
    path = folder / "sentences.jsonl"
    lines = []
    for number in range(count):
        said = [WORDS[(number * 7 + place * place) % len(WORDS)] for place in range(LENGTH)]
        lines.append(json.dumps({"text": " ".join([str(number), *said])}))
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    files = {f"lambada_openai/{path.name}": fileio.digest_of_file(path)}
    return Located("lambada_openai", path, files, True, False)  # noqa: FBT003


def planned(
    shapes: list[Located], data: Located, count: int, questions: int, machine: Environment
) -> dict[str, PlannedJob]:
    """Jobs by key, told apart by their seed."""
    setting = Setting(
        id="b",
        batch_size=32,
        order="length-descending",
        attention_float32="eager",
        attention_half="eager",
        mamba_path="kernels",
    )
    found = {}
    for number in range(count):
        located = shapes[number % len(shapes)]
        job = BenchmarkJob(
            kind="benchmark",
            checkpoint=located.name,
            tuned=None,
            dtype="float32",
            arm="weight-cast",
            task="lambada_openai",
            questions=questions,
            shots=(0,),
            seed=number,
            setting=setting,
        )
        inputs = {"checkpoint": located, "data": data}
        key = keys.job_key(
            job,
            {name: sha for each in inputs.values() for name, sha in each.files.items()},
            keys.code_of(job.kind),
            keys.libraries_of(job.kind, machine.packages),
            machine.key_parts(),
        )
        slot = Slot(f"{located.name}.{number}", job, "", located.name, "float32", "b")
        estimate = cost.Cost(1.0, 1.0, 1 << 30)
        found[key] = PlannedJob(slot, "ready", key, inputs, (), "", estimate)
    return found


@contextlib.contextmanager
def on(slots: int, machine: Environment) -> Iterator[Environment]:
    """The machine with so many of its GPUs, or of its cores."""
    cores = os.sched_getaffinity(0)
    if not machine.gpus:
        os.sched_setaffinity(0, set(sorted(cores)[:slots]))
    try:
        yield machine.model_copy(update={"gpus": machine.gpus[:slots]})
    finally:
        os.sched_setaffinity(0, cores)


def measure(slots: int, jobs: Mapping[str, PlannedJob], machine: Environment) -> dict[str, Any]:
    """One arm, once."""
    with tempfile.TemporaryDirectory() as folder, on(slots, machine) as here:
        store, watch, begin = Store(Path(folder)), Watch(), time.perf_counter()
        failed = RayOnThisMachine().execute(Work(jobs, store, here, watch, lambda _: {}, 1 << 30))
        wall = time.perf_counter() - begin
        if failed:
            raise SystemExit("\n".join(sorted(set(failed.values()))))
        records = [store.load(key)[0] for key in jobs]
    own = sum(each.seconds for each in records)
    by_start = sorted(records, key=lambda each: each.started)
    later = statistics.mean(each.seconds for each in by_start[slots:])  # no process's first
    steady = (watch.ends[-1] - watch.ends[slots - 1]) / (len(jobs) - slots)
    used = {each.environment.gpus[0].uuid for each in records if each.environment.gpus}
    return {
        "slots": slots,
        "wall": round(wall, 2),
        "first": round(watch.at - begin, 2),
        "jobs": round(own / slots, 2),
        "seconds_of_a_job": round(own / len(jobs), 2),
        "seconds_of_a_later_job": round(later, 2),
        "cost": round((wall - own / slots) / len(jobs), 2),
        "rate": round(60 / steady, 2),
        "between": round(slots * steady - later, 2),
        "gpus_used": len(used),
        "paths": sorted({f"{each.path['device']} {each.path['mamba_scan']}" for each in records}),
    }


def main() -> None:
    """Measure, print, sum up."""
    given = _arguments()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    here = [str(paths.ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    os.environ["PYTHONPATH"] = os.pathsep.join(here)  # for the processes that Ray starts
    machine = environment.capture()
    slots = len(machine.gpus) or len(os.sched_getaffinity(0))
    shapes = given.shapes
    if given.jobs <= slots:
        message = f"--jobs {given.jobs}: more than the {slots} slots, please"
        raise SystemExit(message)
    if machine.gpus and importlib.util.find_spec("mamba_ssm") is None:
        shapes = [each for each in shapes if not each.startswith("mamba")] or ["pythia-160m"]
    said = {"machine": machine.hardware_class, "slots": slots, "jobs": given.jobs}
    _say({**said, "shapes": shapes, "ray": ray.__version__, "torch": torch.__version__}, given.out)
    rows: list[dict[str, Any]] = []
    try:
        with tempfile.TemporaryDirectory() as folder, limited(given.minutes):
            located = [checkpoint(each, Path(folder)) for each in shapes]
            data = sentences(Path(folder), given.questions)
            jobs = planned(located, data, given.jobs, given.questions, machine)
            for row in repeats(given, slots, jobs, machine):
                rows.append(row)
                _say(row, given.out)
    except TimeoutError as error:
        _say({"left out": str(error)}, given.out)
    _say(_summed(rows, slots), given.out)


@contextlib.contextmanager
def limited(minutes: float) -> Iterator[None]:
    """Break off what runs after some minutes."""

    def stop(*_: object) -> None:
        message = f"broken off after {minutes} minutes"
        raise TimeoutError(message)

    signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, 60 * minutes)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def repeats(
    given: argparse.Namespace,
    slots: int,
    jobs: Mapping[str, PlannedJob],
    machine: Environment,
) -> Iterator[dict[str, Any]]:
    """Both arms, again and again, while there is time."""
    began, longest = time.monotonic(), 0.0
    for repeat in range(given.repeats):
        start = time.monotonic()
        if start - began + longest > 60 * given.minutes:
            message = f"repeats from {repeat + 1} on, for want of time"
            raise TimeoutError(message)
        for count in (1, slots)[:: 1 if repeat % 2 == 0 else -1]:
            yield {"repeat": repeat + 1, **measure(count, jobs, machine)}
        longest = max(longest, time.monotonic() - start)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shapes", nargs="+", default=["mamba-130m", "pythia-160m"])
    parser.add_argument("--jobs", type=int, default=8)
    parser.add_argument("--questions", type=int, default=2000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--minutes", type=float, default=6.0)
    parser.add_argument("--out", type=Path)
    return parser.parse_args()


def _summed(rows: list[dict[str, Any]], slots: int) -> dict[str, Any]:
    """Ratios of walls of one repeat, and what a job costs beside itself."""
    walls = {(row["repeat"], row["slots"]): row["wall"] for row in rows}
    whole = [each for each, count in walls if count == 1 and (each, slots) in walls]
    ratios = [walls[each, 1] / walls[each, slots] for each in whole]
    rates = {(row["repeat"], row["slots"]): row["rate"] for row in rows}
    after = [rates[each, slots] / rates[each, 1] for each in whole]
    if not ratios:
        return {"repeats": 0, "slots": slots}
    return {
        "ratio": round(statistics.median(ratios), 2),
        "range": [round(min(ratios), 2), round(max(ratios), 2)],
        "ratio_after_start": round(statistics.median(after), 2),
        "range_after_start": [round(min(after), 2), round(max(after), 2)],
        "repeats": len(ratios),
        "slots": slots,
        "cost_of_a_job": {
            str(count): statistics.median(row["cost"] for row in rows if row["slots"] == count)
            for count in sorted({1, slots})
        },
    }


def _say(row: dict[str, Any], out: Path | None) -> None:
    print(json.dumps(row), flush=True)
    if out:
        with out.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(row) + "\n")


if __name__ == "__main__":
    main()
