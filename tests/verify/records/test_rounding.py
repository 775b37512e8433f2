"""In which dtype log-likelihoods were made. Oracle: torch's own log-softmax in each dtype."""

from pathlib import Path
from typing import Any

import made_up_records as records
import numpy as np
import pytest
import torch

from repro.schema.jobs import EvaluateJob
from verify.errors import InvalidError
from verify.evidence import Evidence, copied_numbers
from verify.records import rounding

SLOT = "mamba-1.{}.batch-8"


def evidence(tmp_path: Path, change: records.Change) -> Evidence:
    claimed = records.manifest()
    store, run = records.run(tmp_path, claimed, "smoke", change)
    return Evidence(claimed, run, store, records.checkpoints(), {"mmlu": records.dataset()})


def measured(dtype: str, *, widened: bool, scale: float = 8.0) -> Any:
    """Log-likelihoods of four of a thousand tokens, as lm-eval takes them."""
    torch.manual_seed(0)
    logits = (scale * torch.randn(65, 1000)).to(getattr(torch, dtype))
    scores = torch.log_softmax(logits.float() if widened else logits, dim=-1)
    return scores[:, 10:14].double().numpy()


def put(dtype: str, scores: Any, logits: str = "float32") -> records.Change:
    """Log-likelihoods of a dtype, with all that follows from them."""

    def change(arrays: dict[str, Any], fields: dict[str, Any]) -> None:
        if fields["job"].dtype == dtype:
            for shots in records.SHOTS:
                arrays[f"shots{shots}/log_likelihood"] = scores.copy()
                arrays[f"shots{shots}/prediction"] = scores.argmax(axis=1)
            fields["values"] = records.values_of(arrays)
            fields["path"] |= {"logits_dtype": logits}

    return change


@pytest.mark.parametrize("scale", [0.01, 0.3, 8.0, 300.0])
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_what_torch_gives_is_never_refused(dtype: str, scale: float) -> None:
    scores = measured(dtype, widened=True, scale=scale)
    assert all(rounding._widened(row, dtype) for row in rounding._questions(scores))
    halves = measured(dtype, widened=False, scale=scale)
    assert np.array_equal(rounding.rounded_to(halves, dtype), halves)


@pytest.mark.parametrize("scale", [0.3, 8.0, 300.0])
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_what_float32_gives_is_told_from_half_precision(dtype: str, scale: float) -> None:
    scores = measured("float32", widened=True, scale=scale)
    found = [rounding._widened(row, dtype) for row in rounding._questions(scores)]
    assert found
    assert not all(found)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_rounding_is_torchs(dtype: str) -> None:
    values = np.r_[np.random.default_rng(0).normal(0, 10, 1000), 0.0, 2.0**-24, 3 * 2.0**-25]
    expected = torch.from_numpy(values).to(getattr(torch, dtype)).double().numpy()
    assert np.array_equal(rounding.rounded_to(values, dtype), expected)


@pytest.mark.parametrize(
    ("dtype", "of", "widened", "logits"),
    [
        ("float16", "float16", True, "float32"),
        ("float16", "float16", False, "float16"),
        ("float32", "float32", True, "float32"),
    ],
)
def test_an_honest_record_is_sound(
    tmp_path: Path, dtype: str, of: str, *, widened: bool, logits: str
) -> None:
    change = put(dtype, measured(of, widened=widened), logits)
    assert evidence(tmp_path, change).get(SLOT.format(dtype)).record.job.dtype == dtype


@pytest.mark.parametrize(
    ("dtype", "of", "widened", "logits", "why"),
    [
        ("float16", "float32", True, "float32", "do not come from logits in float16"),
        ("float16", "float32", True, "float16", "are no numbers of float16"),
        ("float16", "bfloat16", False, "bfloat16", "logits in bfloat16, its job is in float16"),
        ("float32", "float16", True, "float32", "of a model in float16, its job is in float32"),
        ("float32", "bfloat16", True, "float32", "of a model in .*float16, its job is in float32"),
        ("float32", "float16", False, "float32", "of a model in float16, its job is in float32"),
        ("float32", "float16", False, "float16", "logits in float16, its job is in float32"),
    ],
)
def test_numbers_of_another_dtype_are_invalid(
    tmp_path: Path, dtype: str, of: str, *, widened: bool, logits: str, why: str
) -> None:
    change = put(dtype, measured(of, widened=widened), logits)
    with pytest.raises(InvalidError, match=why):
        evidence(tmp_path, change).get(SLOT.format(dtype))


def test_a_record_that_says_no_dtype_of_its_logits_is_invalid(tmp_path: Path) -> None:
    def change(arrays: dict[str, Any], fields: dict[str, Any]) -> None:
        del arrays
        fields["path"] = {"device": "cpu"}

    with pytest.raises(InvalidError, match="logits in none"):
        evidence(tmp_path, change).get(SLOT.format("float32"))


# -----------------------------------------------------------------------------
# Copies


def copied(**other: Any) -> dict[str, str]:
    """Two records with the same log-likelihoods; the second one's job differs as said."""
    machine, found = records.this_machine(), {}
    job = EvaluateJob.model_validate(
        {
            "kind": "evaluate",
            "checkpoint": "twin",
            "dtype": "float32",
            "arm": "weight-cast",
            "task": "mmlu",
            "subjects": ("arithmetic",),
            "shots": (0,),
            "setting": {**records.manifest().settings[0].model_dump(), "batch_size": 4},
        }
    )
    from repro.environment.machine import Environment
    from repro.store.record import ArrayFile, Record

    assert isinstance(machine, Environment)
    weights = other.pop("weights", "1" * 64)
    for key, each, sha in (("a", job, "1" * 64), ("b", job.model_copy(update=other), weights)):
        record = Record(
            schema_version=1,
            key=key * 64,
            job=each,
            inputs={"twin/model.safetensors": sha},
            code={},
            environment=machine,
            path={},
            values={},
            arrays=ArrayFile(name="arrays.safetensors", sha256="3" * 64, size=1),
            files={},
            warnings=(),
            started="2026-01-01T00:00:00+00:00",
            seconds=1.0,
            digest="0" * 64,
        )
        found[record.key] = (record, records.answers(job))
    return copied_numbers(found)


@pytest.mark.parametrize(
    ("other", "what"),
    [
        ({"dtype": "float16"}, "dtypes"),
        ({"weights": "2" * 64}, "checkpoints"),
        ({"subjects": ("geometry",)}, "tasks"),
    ],
)
def test_numbers_that_two_records_cannot_share_are_told_with_both_names(
    other: dict[str, Any], what: str
) -> None:
    found = copied(**other)
    assert set(found) == {"a" * 64, "b" * 64}
    (message,) = set(found.values())
    assert message == (
        "records aaaaaaaaaaaa and bbbbbbbbbbbb have the same shots0/log_likelihood, bit for bit, "
        f"and are of two {what}: at least one is a copy"
    )


def test_settings_arms_and_engines_may_share_numbers() -> None:
    setting = records.manifest().settings[1]
    assert not copied(setting=setting)
    assert not copied(arm="ieee")
    assert not copied(engine="prefix")


def test_a_copy_is_refused_whoever_is_asked_for(tmp_path: Path) -> None:
    kept: dict[int, Any] = {}

    def change(arrays: dict[str, Any], fields: dict[str, Any]) -> None:
        if fields["job"].dtype == "float16":
            fields["path"] |= {"logits_dtype": "float16"}
        same = kept.setdefault(fields["job"].setting.batch_size, arrays["shots0/log_likelihood"])
        few = np.round(same)  # no numbers that tell dtypes apart
        arrays["shots0/log_likelihood"] = few
        arrays["shots0/prediction"] = few.argmax(axis=1)
        fields["values"] = records.values_of(arrays)

    found = evidence(tmp_path, change)
    for dtype in ("float16", "float32"):
        with pytest.raises(InvalidError, match="of two dtypes: at least one is a copy"):
            found.get(SLOT.format(dtype))
