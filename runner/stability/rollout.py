"""The fast roll-out: unperturbed and perturbed trajectories of a chunk of layers at once.

States are (1 + M, L, D, N) or (1 + M, N, D, L), see `Layout`: the unperturbed trajectory first,
then the modes in order. A step is a handful of in-place passes over buffers that stay in the CPU's
cache for a chunk of the right size; on a GPU one chunk is as many layers as memory takes. No number
depends on the chunk.

What is shared among modes is only what is the same number for all: two sets of parameters
exist, of the given inputs and of the inputs + ε, and each mode reads one of them at each step.
The states are not: each mode's trajectory is rolled out from x_0 on its own.

Time goes by blocks of `BLOCK` steps: their parameters are made, the steps taken, and the trace
of the block handed on, so that memory does not grow with T.

The slow twin is `plain_trajectory` with `plain_bound`; the bounds are derived in
`runner.stability.bounds`.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from runner.stability.bounds import ROUNDING, TINY, BoundTrack, OutputBound, radii
from runner.stability.layers import Layers, discretise, parameter_memory, parameters
from runner.stability.perturbation import MODES, Mode, PerturbedModes, perturbed_modes
from runner.stability.random_layers import Design
from runner.stability.summary import Trace

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

    Layers are a chunk, float64, whose device is where this runs; `at` is the step of the one-time
    perturbations; modes come in the order of `MODES`.

    Yields:
        The traces of consecutive blocks of steps.
    """
    run = _Run(layers, epsilon, at, modes)
    for start in range(0, layers.steps, BLOCK):
        block = _Block(run, start, min(start + BLOCK, layers.steps))
        for t in range(start, block.stop):
            run.advance(block, t - start, perturbed_modes(t, at, modes))
        yield block.trace(run)


# -----------------------------------------------------------------------------
# How states lie in memory, and what is written down at each step
#
# Natural order is (..., L, D, N): layers, channels, state entries. Where A is one scalar a channel
# (Mamba-2, large N) that is also the order in memory. Where A has an entry for each n (Mamba-1,
# small N) it is (..., N, D, L) instead, so that the inner loops run over channels and layers.


@dataclass(frozen=True)
class Layout:
    """One of the two orders."""

    entries_last: bool
    """(..., L, D, N); else (..., N, D, L)."""

    @property
    def axis(self) -> int:
        """The axis of n."""
        return -1 if self.entries_last else -3

    def laid(self, natural: Tensor) -> Tensor:
        """(..., L, D, N) in this order."""
        return natural if self.entries_last else natural.transpose(-1, -3).contiguous()

    def natural(self, recorded: Tensor) -> Tensor:
        """(T, M, L, D, 1) in this order as (T, M, L, D)."""
        return (recorded if self.entries_last else recorded.transpose(-1, -3))[..., 0]


class Recordings:
    """One block's recordings, reused by the next; views of each step, made once.

    Fresh memory costs more than the arithmetic that fills it.
    """

    def __init__(self, per_channel: Tensor, steps: int, modes: int) -> None:
        def buffer(rows: int) -> Tensor:
            return per_channel.new_zeros(steps, rows, *per_channel.shape)

        self.all = {
            "outputs": buffer(1 + modes),
            "latent": buffer(modes),
            "ratio": buffer(modes),
            "reach": buffer(modes),
            "state": buffer(1),
            "limited": buffer(1),
            "rounding": buffer(1),
        }
        self.outputs = self.all["outputs"].unbind(0)
        self.latent, self.ratio = self.all["latent"].unbind(0), self.all["ratio"].unbind(0)
        self.reach = self.all["reach"].unbind(0)
        self.state = self.all["state"][:, 0].unbind(0)
        self.limited = self.all["limited"][:, 0].unbind(0)
        self.rounding = self.all["rounding"][:, 0].unbind(0)


def sum_by_halves(product: Tensor) -> Tensor:
    """Sum over the third axis from the last, in place, by halves.

    torch.sum over an axis that is not the last adds in an order that depends on the size of the
    others, and no number may depend on how many layers a chunk has.
    """
    left = product.shape[-3]
    while left > 1:
        half = left // 2
        product[:, :half].add_(product[:, left - half : left])
        left -= half
    return product[:, :1]


# -----------------------------------------------------------------------------
# The steps


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
        self.rooms = parameter_memory(layers, BLOCK), parameter_memory(layers, BLOCK)
        self.seen = Recordings(self.size_max, BLOCK, len(modes))
        splits = {perturbed_modes(t, at, modes).split for t in (at, at + 1)}
        self.parts = {split: self._split(split) for split in splits}

    def _split(self, split: int) -> tuple[tuple[Tensor, Tensor, slice], ...]:
        """States, and where their products with C go, by the parameters that they read."""
        rows = slice(0, 1 + split), slice(1 + split, None)
        return tuple((self.states[part], self.product[part], part) for part in rows)

    def advance(self, block: "_Block", t: int, touch: PerturbedModes) -> None:
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
        given = self.plain.laid(run.layout.laid)
        shifted = parameters(layers, inputs + run.epsilon, run.rooms[1]).laid(run.layout.laid)
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
            selective[t - self.start, perturbed_modes(t, run.at, run.modes).split :] = 1
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


def _by_step(tensors: tuple[Tensor, ...]) -> list[tuple[Tensor, ...]]:
    """Views of each step, made once: indexing in the loop costs as much as a small operation."""
    return list(zip(*(tensor.unbind(0) for tensor in tensors), strict=True))


# -----------------------------------------------------------------------------
# The slow roll-out: the equations as they stand, one mode and one step at a time
#
# The oracle of the fast one: it shares no buffers, no parameters and no layout with it. Arrays are
# (L, D, N), the parameters of a step are computed in that step from that step's input, and the
# bound is written as `runner.stability.bounds` derives it. Both must agree to rounding;
# `benchmarks/stability.py` times one against the other over the same layers.


@dataclass(frozen=True)
class Trajectory:
    """Every state and output of a batch of layers."""

    states: Tensor
    """x_t, (T, L, D, N)."""
    outputs: Tensor
    """y_t, (T, L, D)."""


def plain_trajectory(
    layers: Layers, mode: Mode | None = None, epsilon: float = 0.0, at: int = 0
) -> Trajectory:
    """Roll `layers` out; with a `mode`, perturbed by `epsilon`.

    Example:
        >>> from runner.stability.random_layers import Design, draw_layers
        >>> design = Design(family="mamba2", channels=4, state_size=2, steps=5, seed=0)
        >>> layers = draw_layers(design, 0, 3)
        >>> tuple(plain_trajectory(layers).states.shape)
        (5, 3, 4, 2)
    """
    shape = (layers.count, layers.channels, layers.state_size)
    x = layers.inputs.new_full(shape, layers.initial)
    states, outputs = [], []
    for t in range(layers.steps):
        given = layers.inputs[:, t]  # (L, J)
        active = mode is not None and mode.active(t, at)
        perturbed = given + epsilon if active and mode is not None and mode.input else given
        if active and mode is not None and mode.latent:
            x = x + epsilon
        transition, gain, inward, outward = _step(
            layers, perturbed if mode is not None and mode.selective else given
        )
        drive = perturbed[:, : layers.channels, None]
        x = transition * x + gain * inward * drive
        states.append(x)
        outputs.append((outward * x).sum(-1))
    return Trajectory(torch.stack(states), torch.stack(outputs))


def plain_bound(layers: Layers, base: Trajectory, mode: Mode, epsilon: float, at: int) -> Tensor:
    """c_t of one mode, (T, L, D, N), or (T, L, D, 1) where A is one scalar a channel."""
    scalar = layers.decay.shape[-1] == 1

    def reduce(entries: Tensor) -> Tensor:
        return entries.amax(-1, keepdim=True) if scalar else entries

    step_radius = layers.step_weight.abs().sum(-1)[..., None] * epsilon  # (L, D, 1)
    inward_radius = reduce(layers.input_weight.abs().sum(-1)[:, None] * epsilon)
    bound = torch.zeros_like(layers.decay)
    before = torch.full_like(base.states[0], layers.initial)
    bounds = []
    for t in range(layers.steps):
        given = layers.inputs[:, t]
        transition, gain, inward, _ = _step(layers, given)
        drive = given[:, : layers.channels, None].abs()
        active, size, inward = mode.active(t, at), before.abs(), reduce(inward.abs())
        survive = transition.clamp(max=1)
        if active and mode.selective:
            step = torch.logaddexp(_raw_step(layers, given), given.new_zeros(()))
            survive = (layers.decay * (step - step_radius).clamp(min=0)).exp().clamp(max=1)
        bound = survive * (bound + (epsilon if active and mode.latent else 0.0))
        if active and mode.input and not mode.selective:
            bound = bound + gain * inward * epsilon
        elif active and mode.input:
            bound = bound + survive * layers.decay.abs() * step_radius * reduce(size)
            bound = bound + step_radius * inward * drive
            through_input = inward_radius * drive + (inward + inward_radius) * epsilon
            bound = bound + (gain + step_radius) * through_input
        fresh = size.amax(-1, keepdim=True) + gain * inward * drive
        bound = bound + ROUNDING * fresh + TINY
        before = base.states[t]
        bounds.append(bound)
    return torch.stack(bounds)


def _raw_step(layers: Layers, inputs: Tensor) -> Tensor:
    """Pre-activation of Δ, (L, D, 1)."""
    raw = torch.einsum("ldj,lj->ld", layers.step_weight, inputs) + layers.step_bias
    return raw[..., None]


def _step(layers: Layers, inputs: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """exp(ΔA), g, B, C of one step: (L, D, N or 1), the same, (L, 1, N), (L, 1, N)."""
    step = torch.logaddexp(_raw_step(layers, inputs), inputs.new_zeros(()))
    inward = torch.einsum("lnj,lj->ln", layers.input_weight, inputs)[:, None]
    outward = torch.einsum("lnj,lj->ln", layers.output_weight, inputs)[:, None]
    transition = torch.exp(step * layers.decay)
    if layers.hold == "zoh":
        return transition, torch.expm1(step * layers.decay) / layers.decay, inward, outward
    return transition, step, inward, outward
