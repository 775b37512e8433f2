"""Modes: where a trajectory is perturbed, when, and what feels it.

A perturbation adds +ε to every component, as the paper prints it: (x_{t-1} + ε, u_t + ε).
"Once" is at one time `at` (counted from 0, the same for all layers), "every" at each step.
"Fixed" leaves Δ_t, B_t, C_t as the unperturbed input made them; "selective" computes them
from the perturbed input, which is what a Mamba layer does (θ depends on u). A perturbed
latent never reaches them.

`joint-once-selective` is Theorem 1's own perturbation, latent and input at one time, and stands
for a selective one-time perturbation of the input alone, which it contains. With fixed parameters
the recurrence is linear, so the joint deviation is the sum of `latent-once` and
`input-once-fixed`; it is not run.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Mode:
    """One way to perturb a trajectory."""

    name: str
    latent: bool
    """x_{t-1} is perturbed."""
    input: bool
    """u_t is perturbed."""
    every: bool
    """At each step, instead of once."""
    selective: bool
    """Δ_t, B_t, C_t are computed from the perturbed input."""

    def active(self, step: int, at: int) -> bool:
        """Whether the perturbation acts in `step`."""
        return self.every or step == at


MODES = (
    Mode("latent-once", latent=True, input=False, every=False, selective=False),
    Mode("latent-every", latent=True, input=False, every=True, selective=False),
    Mode("input-once-fixed", latent=False, input=True, every=False, selective=False),
    Mode("input-every-fixed", latent=False, input=True, every=True, selective=False),
    Mode("joint-once-selective", latent=True, input=True, every=False, selective=True),
    Mode("input-every-selective", latent=False, input=True, every=True, selective=True),
)
"""In this order: whoever uses perturbed parameters at a step is a tail of the list."""

SWEPT = tuple(
    mode
    for mode in MODES
    if mode.name in {"latent-once", "joint-once-selective", "input-every-selective"}
)
"""What a sweep of ε is run with: the modes in which a deviation is not simply proportional to ε,
and one in which it is, for comparison."""


@dataclass(frozen=True)
class PerturbedModes:
    """Indices into a list of modes of what is perturbed in one step."""

    latent: tuple[int, ...]
    """x_{t-1} + ε."""
    fixed_input: tuple[int, ...]
    """u_t + ε, the parameters as they were."""
    selective_input: tuple[int, ...]
    """u_t + ε and its parameters."""
    split: int
    """From here on modes read perturbed parameters in this step."""


def perturbed_modes(step: int, at: int, modes: tuple[Mode, ...] = MODES) -> PerturbedModes:
    """What is perturbed in `step`, as indices into `modes`.

    Example:
        >>> touched(3, at=7).latent, touched(7, at=7).latent, touched(7, at=7).split
        ((1,), (0, 1, 4), 4)
    """
    active = [(i, mode) for i, mode in enumerate(modes) if mode.active(step, at)]
    selective = tuple(i for i, mode in active if mode.input and mode.selective)
    return PerturbedModes(
        latent=tuple(i for i, mode in active if mode.latent),
        fixed_input=tuple(i for i, mode in active if mode.input and not mode.selective),
        selective_input=selective,
        split=selective[0],
    )
