"""Steps of fine-tuning a model with random weights on a GPU, on the clock.

A step is what transformers' Trainer makes of a batch: forward, with automatic mixed precision in
half precision; backward, with scaled gradients in float16; gradients clipped at 1.0; AdamW as
`adamw_torch` (multi-tensor on a GPU). Weights, gradients and moments are float32. Rows are full of
random tokens; the loss is over all of them.

Reference: transformers 4.40.0, `Trainer.training_step`; accelerate 0.28.0; torch 2.2.1.
Differs: no data loader, no look at the loss after each step, no learning-rate schedule.
Not covered: gradient checkpointing, gradient accumulation, several GPUs.
"""

import math
import time
import warnings
from dataclasses import dataclass

import torch
from torch import Tensor

from repro.errors import CannotRunError
from repro.schema.jobs import ThroughputJob
from runner.models import kernels
from runner.models.mamba_paths import MAMBA2, lacking, set_path
from runner.models.shapes import build, shape_of, with_adapters
from runner.tuning import memory_cap
from runner.tuning.memory_cap import BatchSizeTrial

_PRIMING = 24
"""Steps in which float16's scale, from 2^16, has to come down to where gradients are finite."""
_TRIED = 1
"""Steps of a try that are timed, after one that is not."""


@dataclass(frozen=True)
class Timing:
    """Some steps on the clock."""

    tokens_per_second: float
    allocated: int
    """Peak bytes that the allocator gave out."""
    reserved: int
    """Peak bytes that the allocator held."""
    skipped: int
    """Steps that float16's scaling skipped: they update nothing and are faster."""
    finite: bool
    """Whether the last loss was a number."""


class Training:
    """A model in training, and everything that a step needs."""

    def __init__(self, job: ThroughputJob) -> None:
        """Build the model on the GPU, within whatever memory there is.

        Raises:
            CannotRunError: a shape that is not known, a method that the paper does not define for
                it, or scan kernels that are missing.
        """
        shape = shape_of(job.checkpoint)
        self.length, self.vocabulary = job.max_length, shape.vocabulary
        self.dtype = getattr(torch, job.precision)
        torch.manual_seed(job.seed)
        with torch.device("cuda"):
            model = build(shape)
            self.parameters = sum(weight.numel() for weight in model.parameters())
            self.model = with_adapters(model, job.method, job.rank).train()
        taken = set_path(self.model, job.mamba_path)
        if taken in ("slow", MAMBA2["slow"]) and job.mamba_path != "slow":
            message = (
                f"{job.checkpoint} cannot take the path {job.mamba_path}: {lacking(self.model)}; "
                "the loop in Python that is left has a speed that compares with nothing. It needs "
                "pinned-kernels.txt and, for Mamba-2, a C compiler and Python's headers"
            )
            raise CannotRunError(message)
        self.path = {
            "mamba": taken,
            "attention": kernels.attention_classes(self.model),
            "device": torch.cuda.get_device_name(),
            **kernels.torch_flags(),
        }
        self.weights = [each for each in self.model.parameters() if each.requires_grad]
        self.optimizer = torch.optim.AdamW(self.weights, lr=1e-5, weight_decay=0.0)
        self.scaler = self._scaler(2.0**16)

    def _scaler(self, scale: float) -> torch.cuda.amp.GradScaler:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # of a torch newer than the pin
            enabled = self.dtype == torch.float16
            return torch.cuda.amp.GradScaler(init_scale=scale, enabled=enabled)

    def rows(self, count: int) -> Tensor:
        """Full rows of random tokens, (count, length)."""
        return torch.randint(self.vocabulary, (count, self.length), device="cuda")

    def step(self, tokens: Tensor) -> Tensor:
        """One training step; the loss, nats a token."""
        loss = self.forward(tokens)
        self.learn(loss)
        return loss.detach()

    def forward(self, tokens: Tensor) -> Tensor:
        """The loss, nats a token, with what backward needs."""
        with torch.autocast("cuda", self.dtype, enabled=self.dtype != torch.float32):
            loss: Tensor = self.model(input_ids=tokens, labels=tokens).loss
        return loss

    def learn(self, loss: Tensor) -> None:
        """Backward, clip the gradients, move the weights, drop the gradients."""
        self.scaler.scale(loss).backward()
        self.scaler.unscale_(self.optimizer)
        torch.nn.utils.clip_grad_norm_(self.weights, 1.0)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.model.zero_grad()

    def timing(self, tokens: Tensor, steps: int) -> Timing:
        """Time some steps; peaks of memory are those since they were last reset."""
        scale = self.scaler.get_scale()
        torch.cuda.synchronize()
        start = time.perf_counter()
        for _ in range(steps):
            loss = self.step(tokens)
        torch.cuda.synchronize()
        seconds = time.perf_counter() - start
        return Timing(
            tokens.numel() * steps / seconds,
            torch.cuda.max_memory_allocated(),
            torch.cuda.max_memory_reserved(),
            round(math.log2(scale / self.scaler.get_scale())),  # each skip halves it
            bool(torch.isfinite(loss)),
        )

    def warm_up(self) -> tuple[int, int]:
        """Steps of one row until the optimizer has moved, and one more.

        Returns:
            Peak bytes allocated and reserved of the last step; zeros if the card is too small.

        Raises:
            CannotRunError: if every step was skipped.
        """
        tokens = self.rows(1)

        def steps() -> None:
            for _ in range(_PRIMING):
                self.step(tokens)
                if self.optimizer.state:
                    break
            memory_cap.reset_peak_memory()
            self.step(tokens)

        if not memory_cap.runs_within_memory(steps):
            return 0, 0
        if not self.optimizer.state:
            message = f"gradients are infinite in each of {_PRIMING} steps: nothing is trained"
            raise CannotRunError(message)
        return torch.cuda.max_memory_allocated(), torch.cuda.max_memory_reserved()

    def attempt(self, rows: int) -> BatchSizeTrial:
        """A few steps of some rows."""
        speed, forward = 0.0, 0

        def steps() -> None:
            nonlocal speed, forward
            tokens = self.rows(rows)
            loss = self.forward(tokens)
            forward = torch.cuda.max_memory_allocated()
            self.learn(loss)
            speed = self.timing(tokens, _TRIED).tokens_per_second

        fits = memory_cap.runs_within_memory(steps)
        if not fits:
            self.drop_gradients()
        peaks = torch.cuda.max_memory_allocated(), torch.cuda.max_memory_reserved()
        return BatchSizeTrial(rows, fits, speed, *peaks, forward)

    def drop_gradients(self) -> None:
        """Drop what a step that ran out of memory left half-way."""
        self.model.zero_grad()
        self.scaler = self._scaler(self.scaler.get_scale())

    def trainable(self) -> int:
        """Numbers that are trained."""
        return sum(each.numel() for each in self.weights)

    def without_gradient(self) -> int:
        """Trainable numbers that no step touches: Adam has moments only of what has a gradient."""
        moved = self.optimizer.state
        return sum(each.numel() for each in self.weights if each not in moved) if moved else 0
