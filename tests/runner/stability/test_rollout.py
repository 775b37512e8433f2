"""The fast roll-out against its slow twin, against closed forms, and against how it is cut."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from runner.stability.bounds import RATIO_SLACK, radii
from runner.stability.layers import Layers, discretise, parameters
from runner.stability.perturbation import MODES
from runner.stability.random_layers import (
    DYADIC,
    Design,
    Family,
    draw_layers,
    inverse_softplus,
    positive_decay,
    tanh_rnn,
    vanishing_step,
    zero_decay,
)
from runner.stability.rollout import BLOCK, plain_bound, plain_trajectory, roll_out
from runner.stability.summary import Trace, exponents, join, recorded_times, summarise

STEPS, AT, EPSILON = 150, 9, 1e-3  # two whole blocks and a part
FAMILIES: tuple[Family, ...] = ("mamba-euler", "mamba-zoh", "mamba2")


def design(family: Family, *, channels: int = 8, steps: int = STEPS) -> Design:
    return Design(family=family, channels=channels, state_size=6, steps=steps, seed=3)


def drawn(family: Family, start: int = 0, stop: int = 5, steps: int = STEPS) -> Layers:
    return draw_layers(design(family, steps=steps), start, stop)


def traced(layers: Layers, epsilon: float = EPSILON, at: int = AT) -> Trace:
    """Consecutive blocks as one trace; each is copied before the next overwrites it."""
    parts: dict[str, list[torch.Tensor]] = {}
    for block in roll_out(layers, epsilon, at):
        for name, value in vars(block).items():
            if isinstance(value, torch.Tensor):
                parts.setdefault(name, []).append(value.clone())
    return replace(block, **{name: torch.cat(pieces) for name, pieces in parts.items()})


def constant(decay: float, step: float, steps: int, drive: float = 0.0) -> Layers:
    """One layer, channel and entry with the same Δ, B = C = 1 at every step."""
    one = torch.ones(1, 1, 1, dtype=torch.float64)
    bias = torch.from_numpy(inverse_softplus(np.array([[step]])))
    return Layers(
        decay=decay * one,
        step_weight=torch.zeros(1, 1, 2, dtype=torch.float64),
        step_bias=bias,
        input_weight=torch.tensor([[[0.0, 1.0]]], dtype=torch.float64),
        output_weight=torch.tensor([[[0.0, 1.0]]], dtype=torch.float64),
        inputs=torch.tensor([drive, 1.0], dtype=torch.float64).expand(1, steps, 2).clone(),
        hold="euler",
    )


@pytest.mark.parametrize("family", FAMILIES)
def test_fast_equals_slow_in_every_mode(family: Family) -> None:
    layers = drawn(family)
    fast, base = traced(layers), plain_trajectory(layers)
    for row, mode in enumerate(MODES):
        slow = plain_trajectory(layers, mode, EPSILON, AT)
        deviation = (slow.states - base.states).abs()
        bound = plain_bound(layers, base, mode, EPSILON, AT)
        outputs = (slow.outputs - base.outputs).abs()
        torch.testing.assert_close(fast.latent[:, row], deviation.amax(-1), rtol=0, atol=1e-13)
        torch.testing.assert_close(fast.output[:, row], outputs, rtol=0, atol=1e-13)
        # Where an entry has decayed to rounding, its ratio to the bound is noise.
        real = bound.amin(-1) > 1e-8
        ratio = (deviation / bound).amax(-1)
        torch.testing.assert_close(fast.latent_ratio[:, row][real], ratio[real], rtol=1e-5, atol=0)
    torch.testing.assert_close(fast.state[:, 0], base.states.abs().amax(-1), rtol=1e-12, atol=0)


@pytest.mark.parametrize("family", FAMILIES)
def test_numbers_do_not_depend_on_the_chunk(family: Family) -> None:
    times = recorded_times(STEPS, AT, 12)
    whole = drawn(family)
    together = summarise(roll_out(whole, EPSILON, AT), whole.decay, times)
    parts = []
    for start, stop in ((0, 1), (1, 3), (3, 5)):
        part = drawn(family, start, stop)
        parts.append(summarise(roll_out(part, EPSILON, AT), part.decay, times))
    apart = join(parts)
    for name, value in together.items():
        np.testing.assert_array_equal(apart[name], value, err_msg=name)


@pytest.mark.parametrize("family", FAMILIES)
def test_bounds_hold_on_random_layers_and_are_nearly_reached(family: Family) -> None:
    trace = traced(drawn(family, stop=24))
    assert float(trace.latent_ratio.max()) <= 1 + RATIO_SLACK
    assert float(trace.output_ratio.max()) <= 1 + RATIO_SLACK
    tightest = dict(zip(trace.modes, trace.latent_ratio.amax(dim=(0, 2, 3)).tolist(), strict=True))
    for mode in ("latent-once", "latent-every", "input-once-fixed", "input-every-fixed"):
        assert tightest[mode] > 0.999
    for mode in ("joint-once-selective", "input-every-selective"):
        assert tightest[mode] > 0.1


@pytest.mark.parametrize("family", FAMILIES)
def test_every_bound_is_broken_by_a_positive_decay(family: Family) -> None:
    layers = positive_decay(design(family, channels=16, steps=800), 3)
    trace = traced(layers)
    assert torch.isfinite(trace.latent).all()
    assert (trace.latent_ratio.amax(dim=(0, 3)) > 1).all()  # every mode, every layer
    assert (trace.output_ratio.amax(dim=(0, 3)) > 1).all()


def test_constant_parameters_decay_as_a_power() -> None:
    decay, step = -1.5, 0.2
    trace = traced(constant(decay, step, STEPS, drive=0.3))
    after = torch.arange(STEPS - AT, dtype=torch.float64) + 1
    once = trace.latent[AT:, 0, 0, 0]
    expected = EPSILON * torch.exp(after * decay * step)
    torch.testing.assert_close(once, expected, rtol=0, atol=1e-15)
    assert (trace.latent[:AT, 0] == 0).all()


def test_noise_at_every_step_is_a_geometric_series() -> None:
    decay, step = -1.5, 0.2
    trace = traced(constant(decay, step, STEPS))
    kept = math.exp(decay * step)
    count = torch.arange(1, STEPS + 1, dtype=torch.float64)
    expected = EPSILON * kept * (1 - kept**count) / (1 - kept)
    torch.testing.assert_close(trace.latent[:, 1, 0, 0], expected, rtol=0, atol=1e-14)
    assert 0.999 < float(trace.latent_ratio[:, 1].max()) <= 1 + RATIO_SLACK


def test_euler_and_hold_agree_for_small_steps_and_hold_saturates() -> None:
    decay = torch.full((1, 1, 1), -4.0, dtype=torch.float64)
    small, large = (torch.full((1, 1, 1), s, dtype=torch.float64) for s in (1e-8, 50.0))
    gains = [discretise(small, decay, hold)[1].item() for hold in ("euler", "zoh")]
    assert gains[0] == pytest.approx(gains[1], rel=1e-7)
    assert discretise(large, decay, "zoh")[1].item() == pytest.approx(1 / 4)
    assert discretise(large, decay, "euler")[1].item() == 50.0


def test_lambda_is_the_slowest_dimension_times_the_mean_step() -> None:
    layers = drawn("mamba-euler")
    step = parameters(layers, layers.inputs).step[..., 0]
    found = exponents(step, layers.decay)
    every = layers.decay * step.mean(0)[..., None]  # (L, D, N)
    torch.testing.assert_close(found["lambda_max"], every.amax(dim=(1, 2)), rtol=1e-12, atol=0)
    assert (found["lambda_max"] <= found["lambda_bound"]).all()
    assert (found["lambda_bound"] < 0).all()


def test_tanh_network_breaks_the_bound_and_separates() -> None:
    trace, exponent = tanh_rnn(4, steps=1024, epsilon=1e-6, at=AT, seed=0)
    assert (exponent > 0).all()
    assert (trace.latent_ratio.amax(dim=(0, 1, 3)) > 1e4).all()


def test_zero_decay_keeps_a_deviation_exactly_for_ever() -> None:
    trace = traced(zero_decay(STEPS), DYADIC)
    assert (trace.latent[AT:, 0] == DYADIC).all()
    growing = DYADIC * torch.arange(1, STEPS + 1, dtype=torch.float64)
    assert torch.equal(trace.latent[:, 1, 0, 0], growing)  # every step: linear, unbounded
    assert float(trace.latent_ratio.max()) <= 1 + RATIO_SLACK


def test_vanishing_step_neither_grows_nor_forgets_although_every_factor_is_below_one() -> None:
    steps = 2000
    trace = traced(vanishing_step(steps), DYADIC)
    t = torch.arange(1, steps + 1, dtype=torch.float64)
    product = (t + 2) / (2 * (t + 1))  # of 1 - 1/(k+1)², k = 1..t
    expected = DYADIC * product / product[AT - 1]
    torch.testing.assert_close(trace.latent[AT:, 0, 0, 0], expected[AT:], rtol=1e-11, atol=0)
    assert float(trace.latent[-1, 0, 0, 0]) > 0.5 * DYADIC


def test_a_perturbed_input_moves_parameters_within_the_radii() -> None:
    layers = drawn("mamba-euler")
    radius = radii(layers, EPSILON)
    noise = EPSILON * torch.sign(torch.randn(layers.inputs.shape, dtype=torch.float64))
    given, moved = (parameters(layers, layers.inputs + shift) for shift in (0.0, noise))
    assert ((moved.step - given.step).abs() <= radius.step).all()
    assert ((moved.inward - given.inward).abs() <= radius.inward).all()
    change = (moved.outward - given.outward).abs().sum(-1, keepdim=True)
    assert (change <= radius.outward).all()


def test_layers_do_not_depend_on_how_many_are_drawn() -> None:
    few, many = drawn("mamba2", 2, 3), drawn("mamba2", 0, 5)
    assert torch.equal(few.decay[0], many.decay[2])
    assert torch.equal(few.inputs[0], many.inputs[2])


def test_hold_refuses_a_decay_of_zero() -> None:
    with pytest.raises(ValueError, match="zero-order hold divides by A"):
        replace(zero_decay(4), hold="zoh")


def test_recorded_times_start_at_zero_and_end_at_the_last_step() -> None:
    times = recorded_times(1024, 64, 48)
    assert (np.diff(times) > 0).all()
    assert times[0] == 0
    assert times[-1] == 1023
    assert 64 in times
    assert BLOCK < STEPS
