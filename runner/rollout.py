"""The fast roll-out: unperturbed and perturbed trajectories of a chunk of layers at once.

States are (1 + M, L, D, N) or (1 + M, N, D, L), see `runner.state_layout`: the unperturbed
trajectory first, then the modes in order. A step is a handful of in-place passes over buffers
that stay in the CPU's cache for a chunk of the right size; on a GPU one chunk is as many layers
as memory takes. No number depends on the chunk.

What is shared among modes is only what is the same number for all: two sets of parameters
exist, of the given inputs and of the inputs + ε, and each mode reads one of them at each step.
The states are not: each mode's trajectory is rolled out from x_0 on its own.

Time goes by blocks of `BLOCK` steps: their parameters are made, the steps taken, and the trace
of the block handed on, so that memory does not grow with T.

The slow twin is `runner.rollout_plain`; the bounds are derived in `runner.deviation_bounds`.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from runner.deviation_bounds import BoundTrack, OutputBound
from runner.perturbation import MODES, Mode, Touched, touched
from runner.radii import radii
from runner.random_layers import Design
from runner.ssm_layers import Layers, Parameters, discretise, parameters, room
from runner.state_layout import Layout, Recordings, sum_by_halves
from runner.trace import Trace

BLOCK = 64
"""Steps whose parameters are computed together; a multiple of any vector width."""

CPU_ENTRIES = 2**16
"""State entries of a chunk on a CPU: smaller ones spend more time between operations than in them,
larger ones leave the cache."""
CUDA_ENTRIES = 2**25
"""The same on a GPU: seven trajectories and their bounds take some 6 GiB."""


def chunk_size(design: Design, device: torch.device) -> int:
    """Layers that are best rolled out together; no number depends on it."""
    entries = CPU_ENTRIES if device.type == "cpu" else CUDA_ENTRIES
    # Where the bound has an entry for each n, it takes as much room as the states.
    buffers = 1 if design.family == "mamba2" else 2
    return max(1, entries // (buffers * design.channels * design.state_size))


def roll_out(
    layers: Layers, epsilon: float, at: int, modes: tuple[Mode, ...] = MODES
) -> Iterator[Trace]:
    """Perturb `layers` in each mode by `epsilon` and hold each step against its bound.

    Args:
        layers: the chunk, float64; its device is where this runs.
        epsilon: size of the perturbation.
        at: step of the one-time perturbations.
        modes: what to run, in the order of `MODES`.

    Yields:
        The traces of consecutive blocks of steps.
    """
    run = _Run(layers, epsilon, at, modes)
    for start in range(0, layers.steps, BLOCK):
        block = _Block(run, start, min(start + BLOCK, layers.steps))
        for t in range(start, block.stop):
            run.advance(block, t - start, touched(t, at, modes))
        yield block.trace(run)


class _Run:
    """What goes from step to step: every trajectory, its bound, and |x| unperturbed."""

    def __init__(
        self, layers: Layers, epsilon: float, at: int, modes: tuple[Mode, ...] = MODES
    ) -> None:
        self.layers, self.epsilon, self.at, self.modes = layers, epsilon, at, modes
        self.layout = Layout(entries_last=layers.decay.shape[-1] == 1)
        self.entries_last, self.axis = self.layout.entries_last, self.layout.axis
        self.decay = self.layout.laid(layers.decay)
        self.radius = radii(layers, epsilon)
        new = layers.inputs.new_empty
        shape = self.layout.laid(new(layers.count, layers.channels, layers.state_size)).shape
        self.states = new(1 + len(modes), *shape).fill_(layers.initial)
        self.product = torch.empty_like(self.states)
        self.base, self.perturbed = self.states[:1], self.states[1:]
        self.rows, self.deviation = self.perturbed.unbind(0), self.product[1:]
        self.size = self.states[0].abs()
        self.size_max = self.size.amax(self.axis, keepdim=True)
        radius = self.radius.laid(self.layout.laid)
        self.bounds = BoundTrack(
            self.decay, radius, self.axis, modes=len(modes), initial=abs(layers.initial)
        )
        self.growing = bool((self.decay > 0).any())
        self.rooms = room(layers, BLOCK), room(layers, BLOCK)
        self.seen = Recordings(self.size_max, BLOCK, len(modes))
        splits = {touched(t, at, modes).split for t in (at, at + 1)}
        self.parts = {split: self._split(split) for split in splits}

    def _split(self, split: int) -> tuple[tuple[Tensor, Tensor, slice], ...]:
        """States, and where their products with C go, by the parameters that they read."""
        rows = slice(0, 1 + split), slice(1 + split, None)
        return tuple((self.states[part], self.product[part], part) for part in rows)

    def advance(self, block: "_Block", t: int, touch: Touched) -> None:
        """Step `t` of the block."""
        for i in touch.latent:
            self.rows[i].add_(self.epsilon)
        transition, gain = self._move(block, t, touch.split)
        self.bounds.advance(t, touch, transition, gain, (self._sizes(), self.size_max))
        self._record(t)

    def _sizes(self) -> Tensor:
        """|x| as finely as the bound has entries."""
        return self.size_max if self.entries_last else self.size

    def _move(self, block: "_Block", t: int, split: int) -> tuple[Tensor, Tensor]:
        """x_t and y_t of every trajectory; returns the unperturbed transition and gain."""
        unperturbed: list[Tensor] = []
        for (states, product, rows), used in zip(self.parts[split], block.used, strict=True):
            step, inward, outward = used[t]
            transition, gain = discretise(step, self.decay, self.layers.hold)
            drive = block.drive[t][rows]
            states.mul_(transition)
            if self.entries_last:  # fewer multiplications: g has no n, or else few layers share it
                states.addcmul_(inward, gain * drive)
            else:
                states.addcmul_(inward * gain, drive)
            torch.mul(states, outward, out=product)
            unperturbed += [transition, gain]
        if self.entries_last:
            torch.sum(self.product, dim=-1, keepdim=True, out=self.seen.outputs[t])
        else:
            self.seen.outputs[t].copy_(sum_by_halves(self.product))
        return unperturbed[0], unperturbed[1]

    def _record(self, t: int) -> None:
        """Deviations and ratios of step t, and |x_t| for the next."""
        axis, bound, seen = self.axis, self.bounds.bound, self.seen
        deviation = torch.sub(self.perturbed, self.base, out=self.deviation).abs_()
        torch.amax(deviation, dim=axis, keepdim=True, out=seen.latent[t])
        if bound.shape == deviation.shape:
            torch.amax(deviation.div_(bound), dim=axis, keepdim=True, out=seen.ratio[t])
            torch.amax(bound, dim=axis, keepdim=True, out=seen.reach[t])
        else:
            torch.div(seen.latent[t], bound, out=seen.ratio[t])
            seen.reach[t].copy_(bound)
        torch.abs(self.base[0], out=self.size)
        torch.amax(self.size, dim=axis, keepdim=True, out=self.size_max)
        seen.state[t].copy_(self.size_max)
        limited = self.bounds.limited(self._sizes())
        seen.limited[t].copy_(limited.amax(axis, keepdim=True) if self.growing else self.size_max)
        seen.rounding[t].copy_(self.bounds.rounding)


class _Block:
    """Parameters of the steps `start` to `stop`, and the trace that they leave."""

    def __init__(self, run: _Run, start: int, stop: int) -> None:
        self.start, self.stop = start, stop
        layers, inputs = run.layers, run.layers.inputs[:, start:stop]
        self.plain = parameters(layers, inputs, run.rooms[0])
        given = _laid(run, self.plain)
        shifted = _laid(run, parameters(layers, inputs + run.epsilon, run.rooms[1]))
        self.used = _by_step(given), _by_step(shifted)
        drive = self._drive(run, inputs)
        run.bounds.prepare(given[0], given[1], drive[:, 0])
        self.drive = drive.unbind(0)

    def _drive(self, run: _Run, inputs: Tensor) -> Tensor:
        """u_t as each trajectory sees it, (T, 1 + M, L, D, 1) in layout."""
        given = run.layout.laid(inputs[..., : run.layers.channels].transpose(0, 1)[..., None])
        drive = given[:, None].repeat(1, 1 + len(run.modes), 1, 1, 1)
        perturbed = given + run.epsilon
        for row, mode in enumerate(run.modes, start=1):
            once = slice(run.at - self.start, run.at - self.start + 1)
            when = slice(None) if mode.every else once
            if mode.input and (mode.every or self.start <= run.at < self.stop):
                drive[when, row] = perturbed[when]
        return drive

    def trace(self, run: _Run) -> Trace:
        """Everything recorded, with the outputs held against Theorem 2's bound.

        It looks into the recordings' buffers: use or copy it before the next block.
        """
        count = self.stop - self.start
        seen = {name: run.layout.natural(buffer[:count]) for name, buffer in run.seen.all.items()}
        selective = seen["latent"].new_zeros(count, len(run.modes), 1, 1)
        for t in range(self.start, self.stop):
            selective[t - self.start, touched(t, run.at, run.modes).split :] = 1
        output = (seen["outputs"][:, 1:] - seen["outputs"][:, :1]).abs_()
        norm = self.plain.outward.abs().sum(-1)[:, None]  # ‖C_t‖₁, (T, 1, L, 1)
        theorem2 = OutputBound(norm, run.layers.state_size, run.radius.outward[..., 0])
        states = seen["state"], seen["limited"]
        return Trace(
            modes=tuple(mode.name for mode in run.modes),
            at=run.at,
            latent=seen["latent"],
            latent_ratio=seen["ratio"],
            output=output,
            output_ratio=output / theorem2(seen["reach"], *states, selective),
            latent_rounding=seen["rounding"],
            output_rounding=theorem2(seen["rounding"], *states, selective[:, :1] * 0),
            state=seen["state"],
            step=self.plain.step[..., 0],
        )


def _laid(run: _Run, used: Parameters) -> tuple[Tensor, Tensor, Tensor]:
    return run.layout.laid(used.step), run.layout.laid(used.inward), run.layout.laid(used.outward)


def _by_step(tensors: tuple[Tensor, ...]) -> list[tuple[Tensor, ...]]:
    """Views of each step, made once: indexing in the loop costs as much as a small operation."""
    return list(zip(*(tensor.unbind(0) for tensor in tensors), strict=True))
