"""Our training loop against TRL's own and against itself before: speed, waits, states.

`python -m benchmarks.finetune_throughput [--repeats R] [--shapes NAME…] [--methods NAME…]`

Three arms train the same model on the same rows in bfloat16, random weights of a true shape on a
GPU, a twin without one: `stock` is SFTTrainer as TRL 0.8.1's README shows it, handed texts; `ours`
is `runner.tuning.trainer`, which `runner.tuning.finetune` runs; `waiting` is ours with the waits
for the GPU that transformers has put back. Every row is cut at `--length` tokens, so none is
padded. The clock of all starts once our look at the first gradients is over, here after four steps;
none writes a state. Waits are what torch warns of in later steps, which are not timed; progress,
for which ours waits once a second, is off.

Arms alternate, and which goes first alternates too. A ratio is of two runs next to each other; the
median and the range over repeats are printed. Weights move no speed, so nothing is downloaded.

The second table is of states on the disk: what a run of full fine-tuning loses to one, `in place`
(the disk is waited for) and `aside`; and how much of it is one step's.
"""

import argparse
import contextlib
import gc
import math
import statistics
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from datasets import Dataset
from peft import LoraConfig
from transformers import AutoTokenizer, TrainerCallback, TrainingArguments
from trl import SFTTrainer

from repro import paths
from repro.schema.families import FAMILIES
from repro.schema.jobs import Method, Recipe
from runner.models import registry, shapes
from runner.models.mamba_paths import set_path
from runner.models.tuned_weights import adapter_targets
from runner.tuning import checkpoint, finetune, no_waits, trainer
from runner.tuning.checkpoint import StateWriter
from runner.tuning.examples import Collator, Example
from runner.tuning.finetune import one_run
from runner.tuning.trainer import Tuner

GPU = torch.cuda.is_available()
SHAPES = ["mamba-130m", "pythia-160m"] if GPU else ["mamba-twin", "mamba2-twin", "gpt-neox-twin"]
RANK = 8
trainer.WATCHED, trainer.LOOK = 4, math.inf
SKIPPED, TIMED, COUNTED = 6, 24, 4
"""Steps before the clock, on it, and those whose waits are counted."""

TOKENIZER = AutoTokenizer.from_pretrained(paths.ROOT / "twins" / "mamba-twin")


class Clock(TrainerCallback):  # type: ignore[misc]
    """When each step starts; the GPU is not waited for.

    Where the loop does not wait either, it soon runs no faster than the GPU can follow.
    """

    def __init__(self) -> None:
        self.starts: list[float] = []

    def on_step_begin(self, *_: object, **__: object) -> None:
        """Note the time; after those that are timed have torch warn of waits."""
        self.starts.append(time.perf_counter())
        if GPU and len(self.starts) == SKIPPED + TIMED + 1:
            torch.cuda.set_sync_debug_mode("warn")
        if GPU and len(self.starts) == SKIPPED + TIMED + 1 + COUNTED:
            torch.cuda.set_sync_debug_mode("default")

    @property
    def seconds(self) -> float:
        """Of one step."""
        return statistics.median(np.diff(self.starts[SKIPPED : SKIPPED + TIMED + 1]))


def texts(rows: int, length: int) -> list[str]:
    """Rows of words drawn at random for every step, each of more than `length` tokens."""
    steps = SKIPPED + TIMED + COUNTED + 1
    words = np.random.default_rng(0).integers(0, 1000, (steps * rows, length))
    return [" ".join(map(str, row)) for row in words]


@contextmanager
def as_before() -> Iterator[None]:
    """The steps of transformers: batches and fills copied to the GPU while the host waits."""
    stock = {
        name: getattr(SFTTrainer, name) for name in ("get_train_dataloader", "_prepare_inputs")
    }
    with (
        mock.patch.multiple(Tuner, **stock),
        mock.patch.object(no_waits, "no_waits", lambda _: contextlib.nullcontext()),  # noqa: PT008
    ):
        yield


class Bench:
    """One shape, its rows, and the arms over it."""

    def __init__(self, name: str, rows: int, length: int) -> None:
        self.name, self.rows, self.length = name, rows, length
        self.texts = texts(rows, length)
        tokens = TOKENIZER(self.texts, truncation=True, max_length=length)["input_ids"]
        self.examples = [Example(ids, ids, uncut=ids.size + 1) for ids in map(np.array, tokens)]
        self.family: str = (
            shapes.shape_of(name).family if GPU else registry.family_of(paths.ROOT / "twins" / name)
        )

    def model(self) -> Any:  # noqa: ANN401 - any family's
        """A fresh one."""
        if not GPU:
            load = registry.MODELS[self.family].load
            folder = paths.ROOT / "twins" / self.name
            return load(folder, torch.float32, "eager", remote_code=False)
        torch.manual_seed(0)
        with torch.device("cuda"):
            return shapes.build(shapes.shape_of(self.name))

    def stock(self, method: Method, clock: Clock) -> None:
        """TRL's loop."""
        model = self.model()
        names = adapter_targets(model.config.to_dict(), method)
        arguments = TrainingArguments(
            output_dir=tempfile.mkdtemp(),
            num_train_epochs=1,
            per_device_train_batch_size=self.rows,
            bf16=True,
            use_cpu=not GPU,
            save_strategy="no",
            report_to=[],
            disable_tqdm=True,
        )
        SFTTrainer(
            model,
            args=arguments,
            train_dataset=Dataset.from_dict({"text": self.texts}),
            dataset_text_field="text",
            max_seq_length=self.length,
            tokenizer=TOKENIZER,
            peft_config=LoraConfig(r=RANK, target_modules=list(names)) if names else None,
            callbacks=[clock],
        ).train()

    def waiting(self, method: Method, clock: Clock) -> None:
        """Ours, as transformers left it."""
        with as_before():
            self.ours(method, clock)

    def ours(self, method: Method, clock: Clock, epochs: int = 1) -> None:
        """Ours."""
        lora = method != "full"
        recipe = Recipe(
            data="none",
            rows=None,
            method=method,
            precision="bfloat16",
            learning_rate=5e-5,
            rank=RANK if lora else None,
            lora_scale=1.0 if lora else None,
            lora_dropout=0.0 if lora else None,
            epochs=epochs,
            batch_size=self.rows,
            max_length=self.length,
            append_eos=False,
            loss="all",
            weight_decay=0.0,
            adam_betas=(0.9, 0.999),
            adam_epsilon=1e-8,
            max_gradient_norm=1.0,
            seed=42,
            mamba_path="kernels" if GPU else "slow",
        )
        model = self.model()
        model.config.use_cache = False
        trained = finetune.adapted(model, recipe)
        set_path(trained, recipe.mamba_path)
        collator = Collator(0, FAMILIES[self.family].state == "key-value cache")
        with tempfile.TemporaryDirectory() as work:
            tuner = Tuner(
                trained,
                TOKENIZER,
                self.examples,
                collator,
                recipe=recipe,
                work=Path(work),
                progress=lambda *_: None,
            )
            tuner.add_callback(clock)
            tuner.fit()

    def run(self, arm: str, method: Method) -> tuple[float, int]:
        """Tokens a second of one run on a fresh model, and its waits a step."""
        clock = Clock()
        with one_run(), warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            getattr(self, arm)(method, clock)
        _tidy()
        waits = sum("called a synchronizing" in str(each.message) for each in told)
        return self.rows * self.length / clock.seconds, round(waits / COUNTED)

    def state(self, how: str) -> tuple[float, ...]:
        """Seconds that one state, after `SKIPPED` steps, costs the run; longest step; GB; writing.

        The writing is the disk's part alone, after the copy.
        """
        clock, write, write_held = Clock(), StateWriter.write, checkpoint.write
        seen: list[float] = []

        def timed(work: Path, held: checkpoint.HeldState) -> None:
            start = time.perf_counter()
            write_held(work, held)
            size = sum(each.nbytes for each in held.tensors)
            seen.extend((size / 1e9, time.perf_counter() - start))

        def write_in_place(writer: StateWriter, *given: Any) -> None:  # noqa: ANN401 - a state
            write(writer, *given)
            writer.finish()

        asked = iter([False] * (SKIPPED - trainer.WATCHED) + [True])

        def is_due(_: StateWriter) -> bool:
            return next(asked, False)

        with one_run(), mock.patch.object(checkpoint, "write", timed), ExitStack() as stack:
            stack.enter_context(mock.patch.object(StateWriter, "is_due", is_due))
            if how == "in place":
                stack.enter_context(mock.patch.object(StateWriter, "write", write_in_place))
            self.ours("full", clock, epochs=3)
        clock.starts.append(time.perf_counter())  # what is under way at the end is waited for
        _tidy()
        steps = np.diff(clock.starts)[SKIPPED - 1 :]
        return float((steps - np.median(steps)).sum()), float(steps.max()), *seen


def _tidy() -> None:
    gc.collect()
    if GPU:
        torch.cuda.empty_cache()


def main() -> None:
    """Print one line for each shape and method, then one for each way to write a state."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--shapes", nargs="+", default=SHAPES)
    parser.add_argument("--methods", nargs="+", default=["full", "lora-all"])
    parser.add_argument("--rows", type=int, default=8)
    parser.add_argument("--length", type=int, default=512 if GPU else 32)
    parser.add_argument("--arms", nargs="+", default=["stock", "waiting", "ours"])
    parser.add_argument("--states", action=argparse.BooleanOptionalAction, default=True)
    asked = parser.parse_args()
    where = torch.cuda.get_device_name() if GPU else f"CPU, {torch.get_num_threads()} threads"
    print(f"{where}, torch {torch.__version__}, {asked.rows} rows of {asked.length}")
    print("| shape | method | arm | tokens/s | waits a step | ours / arm (range) |")
    print("|---|---|---|---|---|---|")
    benches = [Bench(name, asked.rows, asked.length) for name in asked.shapes]
    for bench in benches if asked.repeats else ():
        bench.run("ours", "full")  # compiles kernels
        for method in asked.methods:
            found: dict[str, list[float]] = {arm: [] for arm in asked.arms}
            waits: dict[str, int] = {}
            for number in range(asked.repeats):
                for arm in asked.arms[:: -1 if number % 2 else 1]:
                    speed, waits[arm] = bench.run(arm, method)
                    found[arm].append(speed)
            for arm, speeds in found.items():
                ratios = [o / s for o, s in zip(found["ours"], speeds, strict=True)]
                print(
                    f"| {bench.name} | {method} | {arm} | {statistics.median(speeds):,.0f} | "
                    f"{waits[arm] if GPU else 'none on a CPU'} | {statistics.median(ratios):.3f} "
                    f"({min(ratios):.3f} to {max(ratios):.3f}) |",
                    flush=True,
                )
    if asked.states:
        print("| shape, full | one state | seconds lost | longest step | GB | seconds of writing |")
        print("|---|---|---|---|---|---|")
    for bench in benches if asked.states else ():
        for how in ("in place", "aside"):
            found = " | ".join(f"{each:.2f}" for each in bench.state(how))
            print(f"| {bench.name} | {how} | {found} |", flush=True)


if __name__ == "__main__":
    main()
