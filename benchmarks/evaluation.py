"""Evaluation by stock lm-eval and by `runner.evaluation.prefix_model`, side by side.

`python -m benchmarks.evaluation --tokenizer DIR [--shapes S…] [--dtypes D…] [--out FILE]`. Three
ways to the same answers, on one model in one process:

    stock   lm-eval 0.4.2: `HFLM` and its tasks as they are, at the batch size of those given that
            is fastest on 100 questions of the first subject at 5 shots
    ours    `PrefixLM`, which takes 16 prompts' worth of positions at once; tasks that render once
    floor   each distinct token of a case once, at the best rate of large batches without a head
    peer    with `--peer PYTHON`, of MMLU: the newest lm-eval in that interpreter's environment, by
            transformers and, where it is installed, by vLLM (`evaluation_peer`); made by
            `python -m venv peer && peer/bin/pip install lm-eval==0.4.13 transformers accelerate`

A run is all numbers of shots of a task, from new tasks to metrics (`evaluation_run`); before the
first, both arms answer 20 questions of every subject at 0 and 5 shots, which compiles kernels. The
arms take turns, and which goes first takes turns too; a ratio is of two runs next to each other.
Phases are of one more run of ours with clocks inside it. Shapes have weights at random, from one
seed: speed does not depend on them, but near-ties are more frequent than in trained models. Each
case prints a row and is appended to `--out` as a line of JSON. No task begins after `--minutes`,
and no repeat that would end after them; what is left out is named.
"""

import argparse
import contextlib
import functools
import gc
import json
import statistics
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from benchmarks import evaluation_peer, evaluation_run
from benchmarks.evaluation_run import GPU, PHASES
from repro import paths
from repro.schema import catalog
from repro.schema.jobs import EvaluateJob
from runner.evaluation import tasks
from runner.evaluation.offline import import_lm_eval, quiet
from runner.evaluation.prefix_model import PrefixLM
from runner.models import kernels, registry, shapes

import_lm_eval()

from lm_eval.models.huggingface import HFLM  # noqa: E402

SHAPES = ["mamba-130m", "pythia-160m", "mamba2-130m", "mamba-790m", "pythia-1b"]
SUBJECTS = ["anatomy", "high_school_microeconomics", "high_school_statistics"]
SUBJECTS += ["professional_accounting", "professional_medicine", "virology"]
"""Whole subjects of MMLU, 1,309 questions, that stand for all 57: over the four numbers of shots
they have 1,446 tokens a question (all: 1,497), 3.4 times what remains once prefixes are shared
(all: 3.3). None is longer than the models read; of all, 2.7 % are at 5 shots."""
SHOTS = {"mmlu": (0, 1, 3, 5)}
"""Other tasks are asked at 0 and 5."""
TWINS = {"mamba-twin": "mamba", "mamba2-twin": "mamba2", "gpt-neox-twin": "gpt-neox"}
OURS = 16
"""Batch size of our setting."""


def model_of(shape: str, dtype: str) -> tuple[Any, str]:
    """A model where it will run, and its family."""
    if shape in TWINS:
        family, folder = TWINS[shape], paths.ROOT / "twins" / shape
        load = registry.MODELS[family].load
        return load(folder, getattr(torch, dtype), "eager", remote_code=False), family
    known = shapes.shape_of(shape)
    torch.manual_seed(0)
    with torch.device(kernels.device()):
        model = shapes.build(known)
    return model.to(getattr(torch, dtype)).eval(), known.family


def tokenizer_of(shape: str, folder: Path | None) -> Any:  # noqa: ANN401 - a tokenizer
    """A twin's own, or that of a folder."""
    if shape in TWINS:
        return AutoTokenizer.from_pretrained(paths.ROOT / "twins" / shape)
    if folder is None:
        message = f"{shape} needs --tokenizer, a folder with the tokenizer.json of Pythia and Mamba"
        raise SystemExit(message)
    end = "<|endoftext|>"
    return PreTrainedTokenizerFast(tokenizer_file=str(folder / "tokenizer.json"), eos_token=end)


def arms_of(model: Any, family: str, tokenizer: Any) -> dict[str, HFLM]:  # noqa: ANN401
    """Both arms around one model."""
    setting = {"id": "benchmark", "batch_size": OURS, "order": "length-descending"}
    setting |= {"attention_float32": "eager", "attention_half": "eager", "mamba_path": "kernels"}
    job = EvaluateJob.model_validate(
        {"kind": "evaluate", "checkpoint": "random", "dtype": "float32", "arm": "weight-cast"}
        | {"task": "mmlu", "subjects": ("anatomy",), "shots": (0,), "setting": setting}
    )
    ours = PrefixLM(job, model, tokenizer, bos=False, family=family)  # sets kernels for both
    stock = HFLM(pretrained=model, tokenizer=tokenizer, batch_size=OURS)
    stock.loglikelihood = functools.partial(stock.loglikelihood, disable_tqdm=True)
    return {"stock": stock, "ours": ours}


def best_batch_size(stock: HFLM, arguments: argparse.Namespace) -> int:
    """Of stock lm-eval; the only one if there is no choice."""
    sizes: list[int] = arguments.batch_sizes
    if len(sizes) == 1:
        return sizes[0]
    seconds = {}
    for size in sizes:
        stock.batch_size_per_gpu = size
        tasks = evaluation_run.tasks_of("mmlu", arguments.data, arguments.subjects[:1])
        with contextlib.suppress(torch.cuda.OutOfMemoryError):
            found = evaluation_run.run("stock", stock, tasks, 5, 100, by_phase=False)
            seconds[size] = found["seconds"]
    return min(seconds, key=seconds.__getitem__)


def measured(
    arms: dict[str, HFLM], task: str, arguments: argparse.Namespace, last: float
) -> Iterator[dict[str, Any]]:
    """All numbers of shots of a task, as often as asked or as there is time.

    As in a job, tasks are built, rows read and token ids looked up once for all numbers of shots.
    """
    counts, limit = SHOTS.get(task, (0, 5)), None if task == "mmlu" else arguments.questions
    data = arguments.lambada if task == "lambada_openai" else arguments.data
    runs: dict[int, dict[str, list[dict[str, Any]]]] = {each: defaultdict(list) for each in counts}
    facts: dict[int, dict[str, int]] = {}

    def run(arm: str, *, by_phase: bool) -> Iterator[tuple[int, dict[str, Any]]]:
        tasks = evaluation_run.tasks_of(task, data, arguments.subjects)
        evaluation_run.forget_token_ids(arms[arm])
        for shots in counts:
            before = dict(arms["ours"].counts)
            yield (
                shots,
                evaluation_run.run(arm, arms[arm], tasks, shots, limit, by_phase=by_phase),
            )
            if arm == "ours" and shots not in facts:
                done = {name: count - before[name] for name, count in arms["ours"].counts.items()}
                distinct = evaluation_run.distinct_tokens(arms["ours"], tasks)
                facts[shots] = done | {"tokens_distinct": distinct}

    for number in range(arguments.repeats):
        began = time.monotonic()
        for arm in sorted(arms, reverse=not number % 2):
            for shots, found in run(arm, by_phase=False):
                runs[shots][arm].append(found)
        if 2 * time.monotonic() - began > last:
            break
    for shots, found in run("ours", by_phase=True):
        both = runs[shots]
        same = evaluation_run.compared(both["stock"][0], both["ours"][0])
        first = {"runs": {arm: each[0] for arm, each in both.items()}}
        case = {"task": task, "shots": shots, **facts[shots], **same}
        yield {**case, **summary(both, found["phases"]), **first}


def summary(runs: dict[str, list[dict[str, Any]]], phases: dict[str, float]) -> dict[str, Any]:
    """Of both arms over the repeats: seconds, speed, memory; ratios; ours by phase."""
    questions = len(runs["ours"][0]["answers"])
    pairs = zip(runs["stock"], runs["ours"], strict=True)
    found: dict[str, Any] = {
        "questions": questions,
        "ratios": [stock["seconds"] / ours["seconds"] for stock, ours in pairs],
        "phases": {phase: phases.get(phase, 0.0) for phase in PHASES},
    }
    for arm, each in runs.items():
        seconds = [one["seconds"] for one in each]
        found[arm] = {
            "seconds": seconds,
            "questions_per_second": questions / statistics.median(seconds),
            "peak_bytes": max(one["peak"] for one in each),
        }
    return found


# -----------------------------------------------------------------------------
# All cases


def cases_of(
    shape: str, dtype: str, arguments: argparse.Namespace, last: float
) -> Iterator[dict[str, Any]]:
    """Everything of one model."""
    model, family = model_of(shape, dtype)
    arms = arms_of(model, family, tokenizer_of(shape, arguments.tokenizer))
    for shots in (0, 5):  # compiles kernels for every shape of batch that will come
        for arm, lm in arms.items():
            tasks = evaluation_run.tasks_of("mmlu", arguments.data, arguments.subjects)
            evaluation_run.run(arm, lm, tasks, shots, 20)
    size = arms["stock"].batch_size_per_gpu = best_batch_size(arms["stock"], arguments)
    rate = evaluation_run.peak_rate(arms["ours"])
    shared = {"shape": shape, "dtype": dtype, "stock_batch_size": size, "tokens_per_second": rate}
    asked = []
    for task in arguments.tasks:
        if time.monotonic() > last:
            print(f"not run, out of time: {shape} {dtype} {task}")
            continue
        for case in measured(arms, task, arguments, last):
            runs = case.pop("runs")
            yield {**shared, "floor_seconds": case["tokens_distinct"] / rate, **case}
            asked += [{**case, "runs": runs}] * (task == "mmlu")
    if arguments.peer and asked and time.monotonic() < last:
        yield from (
            {**shared, **each} for each in evaluation_peer.cases(arms, asked, dtype, arguments)
        )


def row(case: dict[str, Any]) -> str:
    """Of the table that is printed."""
    stock, ours = (case[arm] for arm in ("stock", "ours"))
    phases = " ".join(f"{seconds:.2f}" for seconds in case["phases"].values())
    return (
        f"| {case['shape']} | {case['dtype']} | {case['task']} | {case['shots']} | "
        f"{statistics.median(stock['seconds']):.2f} | {statistics.median(ours['seconds']):.2f} | "
        f"{spread(case['ratios'])} | {case['floor_seconds']:.2f} | "
        f"{ours['questions_per_second']:.0f} | {case['tokens_run'] / case['tokens_stock']:.2f} | "
        f"{case['predictions_that_differ']} | {stock['peak_bytes'] / 2**30:.1f} | "
        f"{ours['peak_bytes'] / 2**30:.1f} | {phases} |"
    )


def spread(ratios: list[float]) -> str:
    """Median and range."""
    return f"{statistics.median(ratios):.1f} ({min(ratios):.1f} to {max(ratios):.1f})"


def together(cases: list[dict[str, Any]]) -> str:
    """All shots of a task, which have as many repeats."""
    stock, ours = (
        np.sum([case[arm]["seconds"] for case in cases], axis=0) for arm in ("stock", "ours")
    )
    first, shots = cases[0], "+".join(str(case["shots"]) for case in cases)
    return (
        f"| {first['shape']} | {first['dtype']} | {first['task']} | {shots} | "
        f"{np.median(stock):.2f} | {np.median(ours):.2f} | {spread((stock / ours).tolist())} | "
        f"{sum(case['floor_seconds'] for case in cases):.2f} | | | | | | |"
    )


def arguments_given() -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    wheel = paths.cache() / catalog.datasets()["mmlu"].wheel.filename
    parser.add_argument("--shapes", nargs="+", default=SHAPES, help="or twins, by name")
    parser.add_argument("--dtypes", nargs="+", default=["float32", "bfloat16"])
    parser.add_argument("--tasks", nargs="+", default=["mmlu", "hellaswag", "arc_easy"])
    parser.add_argument("--subjects", nargs="+", default=SUBJECTS, help="of MMLU, whole")
    parser.add_argument("--questions", type=int, default=500, help="of the other tasks, the first")
    parser.add_argument("--batch-sizes", nargs="+", type=int, default=[16], help="stock's")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--minutes", type=float, default=8)
    parser.add_argument("--tokenizer", type=Path, help="a folder with tokenizer.json")
    parser.add_argument("--data", type=Path, default=wheel, help="the data wheel")
    parser.add_argument("--lambada", type=Path, help="the file of lambada_openai")
    parser.add_argument("--out", type=Path, help="a file of JSON lines, which grows")
    parser.add_argument("--peer", help="an interpreter with another lm-eval")
    parser.add_argument("--peer-backends", nargs="+", default=["hf", "vllm"])
    return parser.parse_args()


def main() -> None:
    """Print one row for each case, and one for all shots of a task."""
    arguments = arguments_given()
    last = time.monotonic() + 60 * arguments.minutes
    machine = torch.cuda.get_device_name() if GPU else f"CPU, {torch.get_num_threads()} threads"
    phases = ", ".join(PHASES)
    print(f"{machine}, torch {torch.__version__}; phases: seconds of {phases}")
    print(
        "| shape | dtype | task | shots | stock s | ours s | stock / ours (range) | floor s | "
        "ours questions/s | tokens run / stock's | other predictions | stock GiB | ours GiB | "
        "ours by phase |\n|" + "---|" * 14
    )
    for shape in arguments.shapes:
        for dtype in arguments.dtypes:
            found: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
            with quiet(), tasks.without_bars():
                for case in cases_of(shape, dtype, arguments, last):
                    if "peer" not in case:
                        found[case["task"]].append(case)
                    print(evaluation_peer.row(case) if "peer" in case else row(case), flush=True)
                    if arguments.out:
                        with arguments.out.open("a") as file:
                            where = {"machine": machine, "torch": torch.__version__}
                            said = where | {"subjects": arguments.subjects}
                            file.write(json.dumps({**said, **case}) + "\n")
            for cases in found.values():
                print(together(cases), flush=True)
            gc.collect()  # lm-eval's model refers to itself
            if GPU:
                torch.cuda.empty_cache()


if __name__ == "__main__":
    main()
