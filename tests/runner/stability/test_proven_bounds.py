"""The constants of the theorems, evaluated on the layers of the committed runs.

A proof is about real numbers. Here its hypotheses are read off the very layers that were sampled
(`proofs/Constants.v`, `mamba_constants`), and what float64 measured has to lie under the proven
bound, with the proven rounding term. A layer outside the hypotheses (A > 0) has to break it.
"""

from functools import cache
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from repro import paths
from repro.schema.jobs import StabilityJob
from repro.store import run_file
from repro.store.store import Store
from runner.stability.layers import Layers, parameters
from runner.stability.random_layers import Design, draw_layers

EVIDENCE = paths.ROOT / "evidence" / "cpu"
COUNT = 24
"""Layers of each family: half with drawn A, half with Mamba's own."""
UNIT = 2.0**-53
OPERATION = 4 * UNIT
"""One operation of `computed_step`: `exp` and `expm1` of torch err by less than two units each, and
the theorem wants one error an operation."""

Vector = NDArray[np.float64]


@cache
def record(slot: str) -> tuple[StabilityJob, dict[str, Any]]:
    run = run_file.load(EVIDENCE / "runs" / "stability.full.json")
    found, arrays = Store(EVIDENCE).load(run.jobs[slot])
    assert isinstance(found.job, StabilityJob)
    return found.job, dict(arrays)


@cache
def drawn(slot: str) -> Layers:
    job, _ = record(slot)
    assert job.family in ("mamba-euler", "mamba-zoh", "mamba2")
    design = Design(
        family=job.family,
        channels=job.channels,
        state_size=job.state_size,
        steps=job.steps,
        seed=job.seed,
    )
    return draw_layers(design, 0, COUNT)


def softplus(x: Vector) -> Vector:
    return np.asarray(np.logaddexp(x, 0.0))


def rows(weight: Any) -> Vector:
    """The largest 1-norm of a row, layer by layer."""
    return np.asarray(weight.abs().sum(-1).amax(-1).numpy())


def constants(layers: Layers, epsilon: float) -> dict[str, Vector]:
    """`mamba_constants` of each layer, with U its largest input and ε on top, and what follows."""
    reach = layers.inputs.abs().amax((1, 2)).numpy() + epsilon
    step_rows, in_rows = rows(layers.step_weight), rows(layers.input_weight)
    out_rows = layers.output_weight.abs().sum((-1, -2)).numpy()
    size = step_rows * reach + layers.step_bias.abs().amax(-1).numpy()
    slowest = layers.decay.abs().amin((1, 2)).numpy()
    fastest = layers.decay.abs().amax((1, 2)).numpy()
    least, most, most_in = softplus(-size), softplus(size), in_rows * reach
    zeta = -slowest * least
    stays = np.maximum(abs(layers.initial), (1 / slowest + most) * most_in * reach)
    let_in = most * most_in * reach
    kappa = (
        fastest * step_rows * stays
        + step_rows * most_in * reach
        + most * (in_rows * reach + most_in)
    )
    k1 = (1 + kappa) * np.exp(-zeta)
    k2 = out_rows * reach * k1 + out_rows * stays * np.exp(-zeta)
    gamma = np.exp(fastest * most * OPERATION) * (1 + OPERATION) ** 6 - 1
    # Each of two trajectories errs so: `Precision.rounding_seen`, of Δ and B as they are computed,
    # which `errors_at_every_step` moves by what a product of J terms rounds to.
    terms = 2 * (layers.inputs.shape[-1] + 4) * UNIT
    moved = (fastest * terms * size * stays + terms * size * most_in * reach) + (
        most * terms * most_in * reach
    )
    errs = 2 * (gamma * (stays + let_in) + moved)
    return {
        "zeta": zeta,
        "latent": k1,
        "output": k2,
        "latent_rounding": errs,
        "output_rounding": out_rows * reach * errs,
        "stays": stays,
    }


@pytest.mark.parametrize("slot", ["mamba-euler", "mamba-zoh", "mamba2"])
@pytest.mark.parametrize("what", ["latent", "output"])
def test_deviations_lie_under_the_constants_of_theorems_1_and_2(slot: str, what: str) -> None:
    """max |dx_N| ≤ K ε exp(Nζ) and |dy_N| ≤ K_2 ε exp(Nζ), N steps after state and input moved."""
    job, arrays = record(slot)
    found = constants(drawn(slot), job.epsilon)
    after = arrays["times"] - arrays["perturbed_at"] + 1
    measured = arrays[f"joint-once-selective/{what}_envelope"][:COUNT, after > 0]
    steps = after[after > 0]
    bound = found[what][:, None] * job.epsilon * np.exp(steps * found["zeta"][:, None])
    bound += job.steps * found[f"{what}_rounding"][:, None]
    assert (found["zeta"] < 0).all()
    assert (measured > 0).any()
    assert (measured <= bound).all()
    assert (arrays["state_max"][:COUNT] <= found["stays"]).all()


@pytest.mark.parametrize("slot", ["mamba-euler", "mamba-zoh", "mamba2"])
def test_deviations_of_the_state_lie_under_their_own_rate(slot: str) -> None:
    """`theorem1_state_rate`, with δ the least step that the layer took: ε exp(-N a δ), and no K."""
    job, arrays = record(slot)
    layers = drawn(slot)
    step = parameters(layers, layers.inputs).step[..., 0].amin((0, 2)).numpy()
    rate = -layers.decay.abs().amin((1, 2)).numpy() * step
    after = arrays["times"] - arrays["perturbed_at"] + 1
    steps = after[after > 0]
    bound = job.epsilon * np.exp(steps * rate[:, None])
    rounding = job.steps * constants(layers, job.epsilon)["latent_rounding"][:, None]
    measured = arrays["latent-once/latent_envelope"][:COUNT, after > 0].astype(np.float64)
    half = np.spacing(np.float32(job.epsilon)) / 2  # a record keeps envelopes in float32
    assert (measured <= bound + rounding + half).all()
    assert rounding.max() < job.epsilon / 10  # the rounding term decides nothing here
    faster = job.epsilon * np.exp(1.5 * arrays["lambda_max"][:COUNT, None] * steps)
    assert (measured > faster + rounding + half).any()  # of a rate that is too fast it can fail
    broken = arrays["control/positive-decay/latent-once/latent_envelope"][:, after > 0]
    assert (broken[:, -1] > job.epsilon).all()  # outside the hypotheses, A > 0, it does
