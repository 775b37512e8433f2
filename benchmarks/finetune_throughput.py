"""Our training loop against TRL's own: `python -m benchmarks.finetune_throughput [--repeats R]`.

On a GPU. Both arms train the same model with random weights on the same rows in bfloat16: `stock`
is SFTTrainer as TRL 0.8.1's README shows it, handed texts; `ours` is `runner.tuning.trainer`, which
`runner.tuning.finetune` runs. Every row is cut at 512 tokens, so none is padded. The clock of both
starts once our look at the first gradients is over, here after four steps, and neither writes a
state; a job writes one a minute at most, in at most one part in twenty of the time.

Arms alternate, and which goes first alternates too. A ratio is of two runs next to each other; the
median and the range over repeats are printed. Weights move no speed, so nothing is downloaded.
"""

import argparse
import gc
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from peft import LoraConfig
from transformers import AutoTokenizer, TrainerCallback, TrainingArguments
from trl import SFTTrainer

from repro import paths
from repro.schema.jobs import Method, Recipe
from runner.models import shapes
from runner.models.mamba_paths import set_path
from runner.models.tuned_weights import adapter_targets
from runner.tuning import finetune, trainer
from runner.tuning.examples import Collator, Example
from runner.tuning.finetune import one_run
from runner.tuning.trainer import Tuner

SHAPES = ("mamba-130m", "pythia-160m")
METHODS: tuple[Method, ...] = ("full", "lora-all")
ROWS, LENGTH, RANK = 8, 512, 8
trainer.WATCHED = 4
SKIPPED, TIMED = 6, 24

TOKENIZER = AutoTokenizer.from_pretrained(paths.ROOT / "twins" / "mamba-twin")


class Clock(TrainerCallback):  # type: ignore[misc]
    """The median time from one step's start to the next's, of those after the first `SKIPPED`.

    The GPU is not waited for; where the loop does not wait either, it soon runs no faster than
    the GPU can follow.
    """

    def __init__(self) -> None:
        self.starts: list[float] = []

    def on_step_begin(self, *_: object, **__: object) -> None:
        """Note the time."""
        self.starts.append(time.perf_counter())

    @property
    def seconds(self) -> float:
        """Of one step."""
        return statistics.median(np.diff(self.starts[SKIPPED:]))


def texts() -> list[str]:
    """Rows of words drawn at random, each of more than `LENGTH` tokens."""
    words = np.random.default_rng(0).integers(0, 1000, ((SKIPPED + TIMED) * ROWS, LENGTH))
    return [" ".join(map(str, row)) for row in words]


def stock(model: Any, _: shapes.Shape, method: Method, rows: list[str]) -> float:  # noqa: ANN401
    """Seconds of a step of TRL's loop."""
    names = adapter_targets(model.config.to_dict(), method)
    arguments = TrainingArguments(
        output_dir=tempfile.mkdtemp(),
        num_train_epochs=1,
        per_device_train_batch_size=ROWS,
        bf16=True,
        save_strategy="no",
        report_to=[],
        disable_tqdm=True,
    )
    clock = Clock()
    SFTTrainer(
        model,
        args=arguments,
        train_dataset=Dataset.from_dict({"text": rows}),
        dataset_text_field="text",
        max_seq_length=LENGTH,
        tokenizer=TOKENIZER,
        peft_config=LoraConfig(r=RANK, target_modules=list(names)) if names else None,
        callbacks=[clock],
    ).train()
    return clock.seconds


def ours(model: Any, shape: shapes.Shape, method: Method, rows: list[str]) -> float:  # noqa: ANN401
    """Seconds of a step of ours."""
    recipe = Recipe(
        data="none",
        rows=None,
        method=method,
        precision="bfloat16",
        learning_rate=5e-5,
        rank=RANK if method != "full" else None,
        lora_scale=1.0 if method != "full" else None,
        lora_dropout=0.0 if method != "full" else None,
        epochs=1,
        batch_size=ROWS,
        max_length=LENGTH,
        append_eos=False,
        loss="all",
        weight_decay=0.0,
        adam_betas=(0.9, 0.999),
        adam_epsilon=1e-8,
        max_gradient_norm=1.0,
        seed=42,
        mamba_path="kernels",
    )
    tokens = TOKENIZER(rows, truncation=True, max_length=LENGTH)["input_ids"]
    examples = [Example(ids, ids, uncut=ids.size + 1) for ids in map(np.array, tokens)]
    model.config.use_cache = False
    trained = finetune.adapted(model, recipe)
    set_path(trained, "kernels")
    collator = Collator(0, attention_mask=shape.family == "gpt-neox")
    work = Path(tempfile.mkdtemp())
    tuner = Tuner(
        trained, TOKENIZER, examples, collator, recipe=recipe, work=work, progress=_silent
    )
    clock = Clock()
    tuner.add_callback(clock)
    tuner.fit()
    return clock.seconds


def _silent(done: int, total: int, note: str = "") -> None:
    """Progress that nobody sees."""


ARMS = {"stock": stock, "ours": ours}


def speed(arm: str, name: str, method: Method, rows: list[str]) -> float:
    """Tokens a second of one run on a fresh model."""
    shape = shapes.shape_of(name)
    torch.manual_seed(0)
    with torch.device("cuda"):
        model = shapes.build(shape)
    with one_run():
        seconds = ARMS[arm](model, shape, method, rows)
    del model
    gc.collect()
    torch.cuda.empty_cache()
    return ROWS * LENGTH / seconds


def main() -> None:
    """Print one line for each shape and method."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--repeats", type=int, default=3)
    repeats = parser.parse_args().repeats
    rows = texts()
    print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}, {ROWS} rows of {LENGTH}")
    print("| shape | method | stock tokens/s | ours tokens/s | ours / stock (range) |")
    print("|---|---|---|---|---|")
    for name in SHAPES:
        speed("stock", name, "full", rows)  # compiles kernels
        for method in METHODS:
            found: dict[str, list[float]] = {arm: [] for arm in ARMS}
            for number in range(repeats):
                for arm in sorted(ARMS, reverse=bool(number % 2)):
                    found[arm].append(speed(arm, name, method, rows))
            ratios = [o / s for o, s in zip(found["ours"], found["stock"], strict=True)]
            middle = {arm: statistics.median(speeds) for arm, speeds in found.items()}
            print(
                f"| {name} | {method} | {middle['stock']:,.0f} | {middle['ours']:,.0f} | "
                f"{statistics.median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f}) |",
                flush=True,
            )


if __name__ == "__main__":
    main()
