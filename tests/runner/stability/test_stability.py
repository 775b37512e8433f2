"""Stability jobs end to end: names, shapes, trained layers, low precision, controls."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from repro import paths
from repro.schema.jobs import StabilityJob
from runner.measurement import Inputs, Measurement
from runner.stability import rollout, stability
from runner.stability.bounds import RATIO_SLACK
from runner.stability.perturbation import MODES, SWEPT
from runner.stability.precision import LowDtype, low_precision
from runner.stability.random_layers import Design, Family, draw_layers
from runner.stability.trained_layers import layer_inputs, load_mamba_weights, trained_layers

STEPS = 96
JOB = StabilityJob(
    kind="stability",
    family="mamba-euler",
    checkpoint=None,
    layers=6,
    channels=4,
    state_size=3,
    steps=STEPS,
    epsilon=1e-3,
    sweep=(1e-1, 1e-3, 1e-5),
    sweep_layers=2,
    precisions=("float32", "bfloat16"),
    seed=0,
)


def silent(done: int, total: int, note: str = "") -> None:
    assert 0 < done <= total, note


def run(job: StabilityJob = JOB, inputs: Inputs | None = None) -> Measurement:
    return stability.run(job, inputs or Inputs(), silent)


@pytest.fixture(scope="module")
def measurement() -> Measurement:
    return run()


@pytest.fixture(scope="module")
def twin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny random Mamba as transformers saves it."""
    transformers = pytest.importorskip("transformers")
    folder = tmp_path_factory.mktemp("twin")
    torch.manual_seed(0)
    config = transformers.MambaConfig(
        vocab_size=50, hidden_size=8, state_size=4, num_hidden_layers=2, intermediate_size=16
    )
    transformers.MambaForCausalLM(config).save_pretrained(folder, safe_serialization=True)
    return folder


def test_arrays_have_a_row_a_layer_and_a_column_a_time(measurement: Measurement) -> None:
    arrays = measurement.arrays
    points = len(arrays["times"])
    assert arrays["perturbed_at"].tolist() == [STEPS // 16]
    for mode in MODES:
        for what in ("latent", "output"):
            name = f"{mode.name}/{what}"
            kept = 6 if f"{name}_envelope" in stability.FITTED else 2
            assert arrays[f"{name}_envelope"].shape == (kept, points)
            assert arrays[f"{name}_violations"].dtype == np.int32
            assert (f"sweep/1e-05/{name}_violations" in arrays) == (mode in SWEPT)
    assert arrays["sweep/1e-05/latent-once/latent_ratio"].shape == (2,)
    swept = [{name for name in arrays if name.startswith(f"sweep/{e}/")} for e in ("0.001", "0.1")]
    assert len(swept[0]) == len(swept[1]) > 0
    assert arrays["lambda_max"].shape == (6,)
    assert arrays["precision/bfloat16/latent_envelope"].shape == (2, points)


@pytest.mark.parametrize("name", ["stability", "v3"])
def test_what_claims_fit_is_kept_of_every_layer(name: str) -> None:
    claims = json.loads((paths.MANIFESTS / f"{name}.json").read_text())["claims"]
    fitted = [each for each in claims if each["kind"] == "trend"]
    assert fitted
    for claim in fitted:
        assert {*claim["arrays"], *claim["floors"]} <= set(stability.FITTED)


def test_no_bound_is_broken_and_the_numbers_for_people_say_so(measurement: Measurement) -> None:
    broken = [name for name in measurement.arrays if name.endswith("violations")]
    assert len(broken) > 40
    for name in broken:
        expected_broken = name.startswith(("control/positive-decay", "control/tanh-rnn"))
        assert bool(measurement.arrays[name].any()) == expected_broken or expected_broken, name
    assert measurement.values["latent-once/latent_violations"] == 0
    assert measurement.values["latent_entries_checked"] == 6 * STEPS * 4 * 3


def test_the_controls_that_must_break_the_bounds_do(measurement: Measurement) -> None:
    arrays = measurement.arrays
    assert (arrays["control/positive-decay/latent-once/latent_violations"] > 0).all()
    assert (arrays["control/positive-decay/lambda_max"] > 0).all()
    assert (arrays["control/tanh-rnn/latent-once/latent_violations"] > 0).all()


def test_a_second_run_gives_the_same_arrays(measurement: Measurement) -> None:
    again = run()
    for name, value in measurement.arrays.items():
        np.testing.assert_array_equal(again.arrays[name], value, err_msg=name)


def test_numbers_do_not_depend_on_chunks_and_threads(
    measurement: Measurement, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rollout, "CPU_ENTRIES", 48)  # two layers
    monkeypatch.setattr(stability.torch, "get_num_threads", lambda: 3)
    again = run()
    for name, value in measurement.arrays.items():
        np.testing.assert_array_equal(again.arrays[name], value, err_msg=name)


def test_trained_layers_read_the_inputs_that_reach_them(twin: Path) -> None:
    from transformers import MambaForCausalLM  # oracle: the model itself

    model = load_mamba_weights(twin)
    tokens = torch.randint(50, (2, 12))
    found = layer_inputs(model, tokens)
    seen: list[torch.Tensor] = []
    oracle = MambaForCausalLM.from_pretrained(twin).double().eval()
    for block in oracle.backbone.layers:
        block.mixer.x_proj.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    with torch.no_grad():
        oracle(tokens)
    for ours, theirs in zip(found, seen, strict=True):
        # transformers normalises, and takes exp(A_log), in float32 whatever the weights are
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6)


def test_trained_layers_run_like_random_ones(twin: Path) -> None:
    job = JOB.model_copy(
        update={"checkpoint": "twin", "layers": 3, "channels": 16, "state_size": 4}
    )
    found = run(job, Inputs(checkpoint=twin))
    assert found.values["layers"] == 6  # two trained layers, three sequences each
    assert found.values["joint-once-selective/latent_violations"] == 0
    assert not any(name.startswith("control/") for name in found.arrays)


def test_trained_layers_refuse_what_they_do_not_have(twin: Path) -> None:
    wide = Design(family="mamba-euler", channels=17, state_size=4, steps=4, seed=0)
    with pytest.raises(ValueError, match="channels: found 16 in twin0, asked for 17"):
        trained_layers(twin, 1, wide)
    with pytest.raises(ValueError, match="state_size: found 4 in twin0, asked for 3"):
        run(JOB.model_copy(update={"checkpoint": "twin"}), Inputs(checkpoint=twin))
    with pytest.raises(ValueError, match="checkpoint: found none"):
        run(JOB.model_copy(update={"checkpoint": "twin"}))


def test_a_folder_of_another_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "gpt_neox"}')
    with pytest.raises(ValueError, match="found gpt_neox, expected mamba"):
        load_mamba_weights(tmp_path)


@pytest.mark.parametrize("family", ["mamba-zoh", "mamba2"])
def test_low_precision_stays_within_its_bound_and_is_ordered(family: Family) -> None:
    design = Design(family=family, channels=4, state_size=6, steps=80, seed=1)
    layers, times = draw_layers(design, 0, 4), np.arange(80)
    dtypes: tuple[LowDtype, ...] = ("float32", "float16", "bfloat16")
    found = low_precision(layers, dtypes, times)
    for name in dtypes:
        assert not found[f"{name}/latent_violations"].any()
        assert (found[f"{name}/latent_ratio"] <= 1 + RATIO_SLACK).all()
    errors = [found[f"{name}/latent_relative"].mean() for name in dtypes]
    assert 0 < errors[0] < errors[1] < errors[2]
