"""TRL's SFTTrainer, as a recipe sets it, that keeps the course of a run and can be taken up again.

Steps are transformers' own, bit for bit: AdamW, the cosine, clipping, mixed precision on float32
weights, the order of rows. Rows come as tokens and labels, so that TRL masks, cuts and packs none.
Added are what each step did, a look at whether every tensor learns, progress, and states on the
disk (`runner.tuning.checkpoint`). Taken out is every wait for the GPU (`runner.tuning.no_waits`).

Reference: paper v2, section 5.1 and Appendix D; TRL 0.8.1, transformers 4.40.0, accelerate 0.28.0.
Differs: nothing is logged, so a loss that is no number is kept as it is; floating-point operations
are not counted, which costs time every step.
Not covered: several GPUs or processes, gradient accumulation, gradient checkpointing.
"""

import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Subset
from transformers import PreTrainedTokenizerBase, TrainingArguments
from trl import SFTTrainer

from repro.schema.jobs import Recipe
from runner.measurement import Progress
from runner.tuning import checkpoint as tuning_checkpoint
from runner.tuning import no_waits
from runner.tuning.adapters import AdapterWatch, TensorLearning
from runner.tuning.examples import Collator, Example
from runner.tuning.record import TrainingLog

WATCHED = 20
"""Steps after which every tensor must have learned: float16's scale, from 2^16, may skip the first
sixteen. No state is written before."""

LOOK = 1.0
"""Seconds between two reports of progress: each waits for the GPU."""


class Tuner(SFTTrainer):  # type: ignore[misc]
    """One run of a recipe."""

    def __init__(
        self,
        model: nn.Module,
        tokenizer: PreTrainedTokenizerBase,
        examples: Sequence[Example],
        collator: Collator,
        *,
        recipe: Recipe,
        work: Path,
        progress: Progress,
    ) -> None:
        super().__init__(
            model=model,
            args=training_arguments(recipe, work),
            train_dataset=Subset(examples, range(len(examples))),  # type: ignore[arg-type]
            data_collator=collator,
            tokenizer=tokenizer,
            max_seq_length=recipe.max_length,
            dataset_text_field="text",  # asked for, and not read of rows that are tokens
        )
        self.training_log = TrainingLog()
        self._work, self._progress = work, progress
        self._states = tuning_checkpoint.StateWriter(work)
        self._watch: AdapterWatch | None = None
        self._earlier: Any = None
        self._pending: list[tuple[Tensor, Tensor]] = []
        self._looked = time.monotonic()

    def fit(self) -> TrainingLog:
        """Train to the end, from the state that an earlier try left if there is one.

        Raises:
            CannotSaveError: a new one cannot be written.
        """
        folder = tuning_checkpoint.latest(self._work, lambda what: self._progress(0, 1, what))
        if folder:
            self._earlier = tuning_checkpoint.read(folder)
            training_log = self._earlier["training_log"]
            learning = [TensorLearning(**each) for each in training_log["learning"]]
            self.training_log = TrainingLog(**{**training_log, "learning": learning})
        else:
            self._watch = AdapterWatch(self.model)
        self._started = time.perf_counter() - self.training_log.seconds
        with self._states:
            self.train(resume_from_checkpoint=str(folder) if folder else None)
            self._states.finish()
        self._settle()
        self._end_watch()
        return self.training_log

    def path(self) -> dict[str, str]:
        """What really ran: mixed precision, optimizer, and the dtypes that weights are in."""
        dtypes = {str(each.dtype).removeprefix("torch.") for each in self.model.parameters()}
        optimizer = type(self.optimizer.optimizer)
        return {
            "mixed_precision": str(self.accelerator.mixed_precision),
            "optimizer": f"{optimizer.__module__}.{optimizer.__qualname__}",
            "weights_dtype": ", ".join(sorted(dtypes)),
        }

    # -------------------------------------------------------------------------
    # A step

    def training_step(self, model: nn.Module, inputs: dict[str, Tensor]) -> Tensor:
        """As in Trainer; notes the learning rate and the loss, without waiting for them."""
        self.training_log.learning_rate.append(float(self.optimizer.param_groups[0]["lr"]))
        with no_waits.no_waits(inputs.get("attention_mask")):
            loss: Tensor = super().training_step(model, inputs)
        self._loss = loss
        return loss

    def get_train_dataloader(self) -> DataLoader[Example]:
        """As in Trainer; batches stay in the host's memory, pinned, until their step."""
        found: DataLoader[Example] = super().get_train_dataloader()
        found.device = None  # accelerate's own copy waits for the GPU
        return found

    def _prepare_inputs(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        """The batch on its way to the GPU, behind what that still has to do."""
        return {name: each.to(self.args.device, non_blocking=True) for name, each in inputs.items()}

    def _maybe_log_save_evaluate(self, _: Tensor, norm: Tensor, *__: object) -> None:
        """In Trainer's place for logging and saving: note the step, tell of it, write a state."""
        step, total = self.state.global_step, self.state.max_steps
        if step == len(self.training_log.loss) + len(self._pending):
            return  # the end of an epoch, not of a step
        self._pending.append((self._loss, norm))
        self.training_log.skipped += int(self.accelerator.optimizer_step_was_skipped)
        if step >= WATCHED:
            self._end_watch()
        if time.monotonic() - self._looked >= LOOK or step == total:
            self._settle()
            self._progress(step, total, f"loss {self.training_log.loss[-1]:.2f}")
            self._looked = time.monotonic()
        if WATCHED <= step < total and self._states.is_due():
            self._write()

    def _settle(self) -> None:
        """Bring losses and norms over from the GPU."""
        self.training_log.seconds = time.perf_counter() - self._started
        if self._pending:
            losses, norms = (
                torch.stack(each).tolist() for each in zip(*self._pending, strict=True)
            )
            self.training_log.loss += losses
            self.training_log.gradient_norm += norms
            self._pending.clear()

    def _end_watch(self) -> None:
        if self._watch:
            self.training_log.learning = self._watch.result()
            self._watch = None

    def floating_point_ops(self, inputs: dict[str, Tensor]) -> int:
        """Not counted."""
        del inputs
        return 0

    def log(self, logs: dict[str, float]) -> None:
        """Nothing is printed or reported."""

    # -------------------------------------------------------------------------
    # States on the disk

    def _weights(self) -> dict[str, nn.Parameter]:
        return {name: each for name, each in self.model.named_parameters() if each.requires_grad}

    def _write(self) -> None:
        self._settle()
        scaler = self.accelerator.scaler
        state = {
            "weights": self._weights(),
            "optimizer": self.optimizer.state_dict(),
            "scheduler": self.lr_scheduler.state_dict(),
            "scaler": scaler.state_dict() if scaler else None,
            "generators": tuning_checkpoint.generators(),
            "training_log": asdict(self.training_log),
        }
        self._states.write(state, self.state)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: object = None) -> None:
        """Weights, which Trainer asks for first."""
        del resume_from_checkpoint, model
        with torch.no_grad():
            for name, weight in self._weights().items():
                weight.copy_(self._earlier["weights"][name])

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        if checkpoint is None:
            return
        self.optimizer.load_state_dict(self._earlier["optimizer"])
        self.lr_scheduler.load_state_dict(self._earlier["scheduler"])
        if self.accelerator.scaler:
            self.accelerator.scaler.load_state_dict(self._earlier["scaler"])

    def _load_rng_state(self, checkpoint: str | None) -> None:
        """Generators, last of all: Trainer has gone to the place in the data by now."""
        if checkpoint is not None:
            tuning_checkpoint.set_generators(self._earlier["generators"])
            self._earlier = None


# -----------------------------------------------------------------------------
# A recipe in the words of transformers' Trainer
#
# What a recipe leaves open is Trainer's default, but for what would print, report or save.


def training_arguments(recipe: Recipe, work: Path) -> TrainingArguments:
    """Arguments for a run that works in a folder, on the first GPU if there is one."""
    first, second = recipe.adam_betas
    on_gpu = torch.cuda.is_available()
    made = TrainingArguments(
        output_dir=str(work),
        num_train_epochs=recipe.epochs,
        per_device_train_batch_size=recipe.batch_size,
        learning_rate=recipe.learning_rate,
        lr_scheduler_type="cosine",
        warmup_steps=0,
        optim="adamw_torch",
        weight_decay=recipe.weight_decay,
        adam_beta1=first,
        adam_beta2=second,
        adam_epsilon=recipe.adam_epsilon,
        max_grad_norm=recipe.max_gradient_norm,
        gradient_accumulation_steps=1,
        seed=recipe.seed,
        fp16=recipe.precision == "float16",
        bf16=recipe.precision == "bfloat16",
        use_cpu=not on_gpu,
        dataloader_pin_memory=on_gpu,
        remove_unused_columns=False,  # rows are no dicts
        logging_nan_inf_filter=False,  # it waits for the GPU at every step
        logging_strategy="no",
        save_strategy="no",
        report_to=[],
        disable_tqdm=True,
        log_level="error",
    )
    made._n_gpu = min(made.n_gpu, 1)  # noqa: SLF001 - more would split the batch
    return made
