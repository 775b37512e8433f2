"""A real pretrained model on MMLU under many settings: what dtypes, kernels and machines flip.

    python -m benchmarks.real_model --out DIR [--workers N] [--minutes M] [--subjects S…]

SmolLM2-135M-Instruct, from its wheel in the cache, answers MMLU at 0, 1, 3 and 5 shots in three
dtypes, under settings of batch size, order and attention, with its own output layer and with one in
FP32; by the engine prefix, and stock lm-eval beside it on the subjects of `QUARTER`. Workers share
the GPUs, which one alone leaves idle. What was answered before a kill or the end of
`--minutes` is kept in DIR/parts and not asked again; what is left out is named.

DIR/real-model.json says of which machine, stack and image the answers are, what was asked and what
really ran; DIR/real-model.safetensors has the answers, Q questions ordered by subject, then row:

    gold                          (Q,) uint8, the letter, 0 to 3
    reference/shots<k>            (Q, 4) float32, nats: log-likelihoods of `REFERENCE`, whole
    <evaluation>/shots<k>/best    (Q/2,) uint8: two questions a byte, the first in the low half; a
                                  bit for each letter whose log-likelihood is the largest
    <evaluation>/shots<k>/kept    (n,) uint16: questions that are answered otherwise than by the
                                  reference, or whose best two letters nearly tie in it (`NEAR`)
    <evaluation>/shots<k>/log_likelihood   (n, 4) float32 of those; of all, the JSON has a digest

An evaluation of fewer subjects counts its own questions. `tools.describe_real_model` makes tables
and the catalog's numbers of these two files alone. Batch sizes are a quarter of the manifests',
since this model reads 8,192 tokens and theirs 2,048. Seconds are of a worker among others.
"""

import argparse
import hashlib
import json
import multiprocessing
import os
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save

from repro import fileio, json_text, paths
from repro.environment import machine
from repro.errors import first_line
from repro.inputs import checkpoints
from repro.schema import catalog
from repro.schema.jobs import EvaluateJob
from repro.store import keys

if TYPE_CHECKING:
    from multiprocessing.queues import SimpleQueue

MODEL = "smollm2-135m-instruct"
SHOTS = (0, 1, 3, 5)
DTYPES = ("float32", "float16", "bfloat16")
QUARTER = ("electrical_engineering", "high_school_macroeconomics", "marketing", "philosophy")
"""Of four whole subjects that have 1,080 questions together, one of each of MMLU's categories,
those with the shortest prompts: what a CPU is asked, and stock lm-eval."""
NEAR = 1e-3
"""Nats."""
LARGEST = 5_000_000
"""Bytes of the answers."""
Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Evaluation:
    """One dtype under one setting."""

    dtype: str
    batch_size: int = 4
    attention: str = "eager"
    order: str = "length-descending"
    arm: str = "weight-cast"
    engine: str = "prefix"

    @property
    def name(self) -> str:
        """E.g. bfloat16.sdpa.4 or bfloat16.eager.4.ascending."""
        said = [self.dtype, self.attention.partition("_")[0], str(self.batch_size)]
        said += ["ascending"] * (self.order == "length-ascending")
        said += [self.arm] * (self.arm != "weight-cast")
        return ".".join(said + ["stock"] * (self.engine == "lm-eval"))

    def job(self, subjects: Sequence[str], shots: Sequence[int]) -> EvaluateJob:
        """As `runner` takes it; stock lm-eval is asked its own subjects."""
        setting = {"id": "benchmark", "batch_size": self.batch_size, "order": self.order}
        setting |= {"attention_float32": self.attention, "attention_half": self.attention}
        mine = [each for each in subjects if self.engine == "prefix" or each in QUARTER]
        return EvaluateJob.model_validate(
            {"kind": "evaluate", "checkpoint": MODEL, "task": "mmlu", "subjects": tuple(mine)}
            | {"dtype": self.dtype, "arm": self.arm, "shots": tuple(shots), "engine": self.engine}
            | {"setting": setting | {"mamba_path": "kernels"}}
        )


REFERENCE = Evaluation("float32")
KERNELS = ("eager", "sdpa", "flash_attention_2")


def evaluations() -> list[Evaluation]:
    """All of them, those that say most first; FlashAttention 2 is for half precision alone."""
    each = [Evaluation(dtype, attention=kernel) for kernel in KERNELS for dtype in DTYPES]
    heads = [replace(one, arm="float32-head") for one in each if one.dtype != "float32"]
    stock = [Evaluation(dtype, 16, engine="lm-eval") for dtype in DTYPES]
    descending, ascending = "length-descending", "length-ascending"
    others = [(2, "eager", descending), (4, "eager", ascending), (8, "eager", descending)]
    others += [(1, "eager", descending), (8, "sdpa", descending), (4, "sdpa", ascending)]
    others += [(8, "flash_attention_2", descending)]
    rest = [Evaluation(dtype, *other) for other in others for dtype in DTYPES]
    every = [*each, *heads, *stock, *rest]
    return [one for one in every if one.attention != KERNELS[2] or one.dtype != "float32"]


# -----------------------------------------------------------------------------
# Asking, in a worker


class OutOfTimeError(Exception):
    """What was answered is kept."""


@dataclass(frozen=True)
class Asked:
    """What every worker is told."""

    checkpoint: Path
    data: Path
    subjects: tuple[str, ...]
    shots: tuple[int, ...]
    parts: Path
    until: float
    """Seconds since the epoch."""
    threads: int

    def folder(self, evaluation: Evaluation) -> Path:
        """Where the parts of an evaluation are kept; other code or hardware has another folder."""
        job = evaluation.job(self.subjects, self.shots)
        said = {"job": job.specification(), "code": keys.code_of("evaluate")}
        del said["job"]["shots"]  # each is a part of its own
        content = json.dumps({**said, "machine": machine.capture(()).hardware_class}).encode()
        return self.parts / f"{evaluation.name}-{hashlib.sha256(content).hexdigest()[:12]}"

    def kept(self, evaluation: Evaluation) -> dict[int, tuple[Arrays, dict[str, Any]]]:
        """What was answered, by shots."""
        from runner.evaluation.partial_answers import PartialAnswers

        parts = PartialAnswers(self.folder(evaluation))
        found = {shots: parts._load_part(f"shots{shots}") for shots in self.shots}  # noqa: SLF001
        return {shots: part for shots, part in found.items() if part}


def begin_worker(parent: int, gpus: "SimpleQueue[str]") -> None:
    """A worker takes the next GPU, if there is any, and ends if its parent was killed."""
    if gpu := gpus.get():
        os.environ["CUDA_VISIBLE_DEVICES"] = gpu

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def answer(evaluation: Evaluation, asked: Asked) -> str:
    """Ask what is left of one evaluation.

    Returns:
        Why some of it is left out; empty if nothing is.
    """
    import torch

    from runner.evaluation import evaluate
    from runner.measurement import Inputs

    torch.set_num_threads(asked.threads)
    folder, began, told = asked.folder(evaluation), time.monotonic(), time.monotonic()

    def progress(done: int, total: int, note: str = "") -> None:
        nonlocal told
        if time.time() > asked.until:
            raise OutOfTimeError
        if time.monotonic() > told + 30:
            told = time.monotonic()
            print(f"  {evaluation.name}: {done:,} of {total:,}, {note}", flush=True)

    inputs = Inputs(checkpoint=asked.checkpoint, data=asked.data, work=folder)
    said = _told(folder)
    try:
        measured = evaluate.run(evaluation.job(asked.subjects, asked.shots), inputs, progress)
    except OutOfTimeError:
        why = "out of time"
    except Exception as error:  # noqa: BLE001  # the other evaluations go on
        why = first_line(error) or type(error).__name__
    else:
        why, said["path"], said["warnings"] = "", measured.path, list(measured.warnings)
    said["seconds"] = round(said.get("seconds", 0.0) + time.monotonic() - began, 1)
    if torch.cuda.is_available():
        said["peak_bytes"] = max(said.get("peak_bytes", 0), torch.cuda.max_memory_allocated())
        torch.cuda.reset_peak_memory_stats()
    fileio.write_bytes(folder / "told.json", json.dumps(said).encode())
    return why


def _told(folder: Path) -> dict[str, Any]:
    """What earlier tries of an evaluation said of themselves."""
    with suppress(OSError, ValueError):
        return dict(json_text.load(folder / "told.json"))
    return {}


def ask(every: Sequence[Evaluation], asked: Asked, workers: int) -> dict[str, str]:
    """Ask it all; what is left out, and why."""
    left_out, began = {}, time.monotonic()
    waiting = [each for each in every if len(asked.kept(each)) < len(asked.shots)]
    print(f"{len(every)} evaluations, {len(every) - len(waiting)} answered already", flush=True)
    spawn = multiprocessing.get_context("spawn")
    seen, gpus = [each.uuid for each in machine.find_gpus()] or [""], spawn.SimpleQueue()
    for number in range(workers):
        gpus.put(seen[number % len(seen)])
    with ProcessPoolExecutor(workers, spawn, begin_worker, (os.getpid(), gpus)) as pool:
        futures = {pool.submit(answer, each, asked): each for each in waiting}
        for number, future in enumerate(as_completed(futures), 1):
            name = futures[future].name
            if why := future.result():
                left_out[name] = why
            taken = time.monotonic() - began
            print(f"{number} of {len(waiting)}, {taken:.0f} s: {name} {why}", flush=True)
    return left_out


# What is kept of the answers


def best_letters(log_likelihood: NDArray[np.float64]) -> NDArray[np.uint8]:
    """The letters with the largest log-likelihood of each question, (Q,): bit i is letter i.

    lm-eval takes the first. Where one is NaN, it is what numpy's argmax takes.
    """
    most = log_likelihood.max(axis=1, keepdims=True)
    bits = ((log_likelihood == most) << np.arange(4)).sum(axis=1)
    return np.where(bits, bits, 1 << log_likelihood.argmax(axis=1)).astype(np.uint8)


def packed(halves: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Two questions a byte."""
    even = np.append(halves, np.zeros(len(halves) % 2, np.uint8))
    return even[::2] | even[1::2] << 4


def unpacked(found: NDArray[np.uint8], count: int) -> NDArray[np.uint8]:
    """The opposite of `packed`, (count,)."""
    return np.stack([found & 15, found >> 4], axis=1).ravel()[:count]


def compact(
    found: Mapping[Evaluation, Mapping[int, tuple[Arrays, dict[str, Any]]]],
    places: Mapping[Evaluation, NDArray[np.int64]],
) -> tuple[Arrays, dict[str, dict[str, Any]]]:
    """What is kept of all answers.

    `places`: which questions of the reference an evaluation was asked.

    Returns:
        Arrays as the file has them; by evaluation and shots, digest of all log-likelihoods,
        float64, and tokens that were read.
    """
    arrays, facts = Arrays(), dict[str, dict[str, Any]]()
    for one, parts in found.items():
        for shots, (answers, said) in parts.items():
            given, name = answers[f"shots{shots}/log_likelihood"], f"shots{shots}"
            facts.setdefault(one.name, {})[str(shots)] = {
                "sha256": hashlib.sha256(given.astype("<f8").tobytes()).hexdigest(),
                "tokens": said["values"][f"{name}/tokens"],
                "tokens_run": said["counts"].get("tokens_run"),
                "batch_size": said["batch_size"],
            }
            arrays[f"{one.name}/{name}/best"] = packed(best_letters(given))
            reference = found.get(REFERENCE, {}).get(shots)
            if reference is None:
                continue
            if one == REFERENCE:
                arrays["gold"] = answers[f"{name}/gold"].astype(np.uint8)
                arrays[f"reference/{name}"] = given.astype(np.float32)
                continue
            whole = reference[0][f"{name}/log_likelihood"][places[one]]
            gaps = np.diff(np.sort(whole, axis=1)[:, -2:]).ravel()
            other = given.argmax(axis=1) != whole.argmax(axis=1)
            kept = np.flatnonzero(other | (gaps < NEAR))
            arrays[f"{one.name}/{name}/kept"] = kept.astype(np.uint16)
            arrays[f"{one.name}/{name}/log_likelihood"] = given[kept].astype(np.float32)
    return arrays, facts


def write(out: Path, every: Sequence[Evaluation], asked: Asked, left_out: Mapping[str, str]) -> int:
    """Write both files; how many bytes the answers take."""
    from runner.evaluation import data

    sizes = {each: len(data.read_mmlu(asked.data, each, "test")) for each in asked.subjects}
    of = np.repeat(list(sizes), list(sizes.values()))
    found = {one: kept for one in every if (kept := asked.kept(one))}
    jobs = {one: one.job(asked.subjects, asked.shots) for one in found}
    places = {one: np.flatnonzero(np.isin(of, job.subjects)) for one, job in jobs.items()}
    arrays, facts = compact(found, places)
    told = {
        one.name: {
            **asdict(one),
            "subjects": "all" if len(places[one]) == len(of) else list(jobs[one].subjects),
            "path": None,
            "warnings": [],
            **_told(asked.folder(one)),
            "shots": facts[one.name],
        }
        for one in found
    }
    missing = {one.name: sorted({*asked.shots} - {*found.get(one, {})}) for one in every}
    said = {
        "model": MODEL,
        "questions": len(of),
        "subjects": sizes,
        "reference": REFERENCE.name,
        "near": NEAR,
        "environment": machine.capture().model_dump(mode="json"),
        "evaluations": told,
        "left_out": {
            name: f"{', '.join(map(str, shots))} shots: {left_out.get(name, 'not asked')}"
            for name, shots in missing.items()
            if shots
        },
    }
    return save_answers(out, arrays, said)


def save_answers(out: Path, arrays: Arrays, said: Mapping[str, Any]) -> int:
    """Write both files; how many bytes the answers take."""
    content = save({name: np.ascontiguousarray(each) for name, each in sorted(arrays.items())})
    fileio.write_bytes(out / "real-model.safetensors", content)
    text = json.dumps(said, indent=1, ensure_ascii=False) + "\n"
    fileio.write_text(out / "real-model.json", text)
    return len(content)


def arguments_given() -> argparse.Namespace:
    """What was asked for."""
    mmlu = catalog.datasets()["mmlu"]
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, required=True, help="a folder; what is there goes on")
    parser.add_argument("--workers", type=int, default=1, help="processes on all GPUs")
    parser.add_argument("--minutes", type=float, default=1e6, help="nothing is asked after them")
    parser.add_argument("--dtypes", nargs="+", choices=DTYPES, default=DTYPES)
    parser.add_argument("--shots", nargs="+", type=int, choices=SHOTS, default=SHOTS)
    parser.add_argument("--only", nargs="+", help="evaluations by name, e.g. float16.sdpa.4")
    parser.add_argument("--subjects", nargs="+", default=sorted(mmlu.subjects), help="whole ones")
    parser.add_argument("--quarter", action="store_true", help=f"only {', '.join(QUARTER)}")
    parser.add_argument("--checkpoint", type=Path, help="the model; else made from its wheel")
    parser.add_argument("--data", type=Path, default=paths.cache() / mmlu.wheel.filename)
    return parser.parse_args()


def checkpoint() -> Path:
    """The model, made of its wheel in the cache if need be."""
    known = catalog.checkpoints()[MODEL]
    wheel = known.source.wheel
    found = checkpoints.made(MODEL, known)
    if found is None and checkpoints.in_cache(wheel) is None:
        raise SystemExit(f"{wheel.filename} is not in {paths.cache()}; `repro fetch` brings it")
    return found or checkpoints.unpack(MODEL, known, paths.cache() / wheel.filename)


def chosen(arguments: argparse.Namespace) -> Iterator[Evaluation]:
    """The evaluations that are wanted and can be had here; what cannot is named."""
    from transformers.utils import is_flash_attn_2_available

    for one in evaluations():
        if one.dtype not in arguments.dtypes or one.name not in (arguments.only or [one.name]):
            continue
        if one.attention == KERNELS[2] and not is_flash_attn_2_available():
            print(f"left out: {one.name}, FlashAttention 2 cannot be imported, or there is no GPU")
        else:
            yield one


def main() -> None:
    """Ask, and write what is known."""
    arguments = arguments_given()
    asked = Asked(
        checkpoint=arguments.checkpoint or checkpoint(),
        data=arguments.data,
        subjects=QUARTER if arguments.quarter else tuple(sorted(arguments.subjects)),
        shots=tuple(sorted(arguments.shots)),
        parts=arguments.out / "parts",
        until=time.time() + 60 * arguments.minutes,
        threads=max(1, machine.cpu().threads // arguments.workers),
    )
    every = list(chosen(arguments))
    left_out = ask(every, asked, arguments.workers)
    size = write(arguments.out, every, asked, left_out)
    print(f"{size:,} bytes of answers")
    if size > LARGEST:
        raise SystemExit(f"that is more than {LARGEST:,}: ask fewer settings")


if __name__ == "__main__":
    main()
