"""What the verifier refuses to believe. Oracle: a record that was written honestly passes."""

from pathlib import Path
from typing import Any

import made_up_records as records
import numpy as np
import pytest

from repro.schema import jobs
from repro.schema.causes import cause
from repro.schema.finding import Verdict
from repro.schema.slots import slots
from repro.store import run_file
from verify.evidence import KINDS, Evidence
from verify.judge import judge

PINS = {"torch": "2.2.1"}


def judged(root: Path, change: records.Change | None = None, **changes: Any) -> Verdict:
    """Run the made-up manifest with `change`, then judge it with `changes` to the manifest."""
    store, written = records.run(root, records.manifest(), change=change)
    claimed = records.manifest(**changes)
    datasets = {"mmlu": records.dataset()}
    evidence = Evidence(claimed, written, store, records.checkpoints(), datasets)
    return judge(claimed, evidence, PINS)


def finding(verdict: Verdict, claim: str) -> Any:
    return next(each for each in verdict.findings if each.claim == claim)


def why(found: Any, code: str) -> str:
    """What is said of the records, where that is all."""
    (one,) = found.causes
    assert one.code == code
    return str(one.values["why"])


def test_honest_records_are_shown_and_not_decided(tmp_path: Path) -> None:
    found = finding(judged(tmp_path), "T9.mamba-1.float16")
    assert found.outcome == "inconclusive"
    assert cause("tier-and-stand-in", tier="smoke", checkpoint="twin") in found.causes
    assert found.working
    assert len(found.records) == 14
    assert found.measured != "—"


def test_a_family_without_a_twin_is_not_run(tmp_path: Path) -> None:
    found = finding(judged(tmp_path), "T9.phi-1.float16")
    assert (found.outcome, found.measured) == ("not-run", "—")
    assert "no twin of the family phi" in why(found, "no-record")


def test_no_measured_claim_is_reproduced_yet(tmp_path: Path) -> None:
    store, written = records.run(tmp_path, records.manifest(), tier="full")
    datasets = {"mmlu": records.dataset()}
    claimed = records.manifest()
    evidence = Evidence(claimed, written, store, records.checkpoints(), datasets)
    outcomes = {
        each.outcome for each in judge(claimed, evidence, PINS).findings if each.basis == "measured"
    }
    assert outcomes == {"inconclusive"}


def test_edited_accuracy_with_a_correct_new_digest_is_invalid(tmp_path: Path) -> None:
    def edit(_: dict[str, Any], fields: dict[str, Any]) -> None:
        if fields["job"].dtype == "float16":
            fields["values"] = {**fields["values"], "shots5/accuracy": 0.75}

    found = finding(judged(tmp_path, edit), "T9.mamba-1.float16")
    assert found.outcome == "invalid"
    assert "it says accuracy 0.75 at 5 shots, its arrays say" in why(found, "record-refused")


@pytest.mark.parametrize("name", ["ties", "predicted_B"])
def test_edited_ties_and_letters_are_invalid(tmp_path: Path, name: str) -> None:
    def edit(_: dict[str, Any], fields: dict[str, Any]) -> None:
        fields["values"] = {**fields["values"], f"shots0/{name}": 64}

    found = finding(judged(tmp_path, edit), "T9.mamba-1.float16")
    assert found.outcome == "invalid"
    assert f"it says {name} 64 at 0 shots" in why(found, "record-refused")


def test_nan_log_likelihoods_are_invalid(tmp_path: Path) -> None:
    def overflow(arrays: dict[str, Any], fields: dict[str, Any]) -> None:
        if fields["job"].dtype == "float16":
            arrays["shots0/log_likelihood"][3] = np.nan

    found = finding(judged(tmp_path, overflow), "T9.mamba-1.float16")
    assert found.outcome == "invalid"
    assert "1 of 65 questions at 0 shots" in why(found, "record-refused")


def test_edited_predictions_are_invalid(tmp_path: Path) -> None:
    def edit(arrays: dict[str, Any], fields: dict[str, Any]) -> None:
        arrays["shots0/prediction"][0] = (arrays["shots0/prediction"][0] + 1) % 4
        fields["values"] = records.values_of(arrays)

    assert finding(judged(tmp_path, edit), "T9.mamba-1.float16").outcome == "invalid"


def test_other_gold_answers_are_invalid(tmp_path: Path) -> None:
    def edit(arrays: dict[str, Any], fields: dict[str, Any]) -> None:
        for shots in records.SHOTS:
            arrays[f"shots{shots}/gold"][0] = (arrays[f"shots{shots}/gold"][0] + 1) % 4
        fields["values"] = records.values_of(arrays)

    found = finding(judged(tmp_path, edit), "T9.mamba-1.float16")
    assert found.outcome == "invalid"
    assert "gold answers of arithmetic are not the data set's" in why(found, "record-refused")


@pytest.mark.parametrize("dropped", [slice(1, None), slice(None, -1)])
def test_left_out_questions_are_invalid(tmp_path: Path, dropped: slice) -> None:
    def edit(arrays: dict[str, Any], fields: dict[str, Any]) -> None:
        for name in arrays:
            arrays[name] = arrays[name][dropped]
        fields["values"] = records.values_of(arrays)

    found = finding(judged(tmp_path, edit), "T9.mamba-1.float16")
    assert found.outcome == "invalid"
    assert "in order" in why(found, "record-refused")


def test_missing_and_misshapen_arrays_are_invalid(tmp_path: Path) -> None:
    def drop(arrays: dict[str, Any], _: dict[str, Any]) -> None:
        del arrays["shots5/gold"]

    def squeeze(arrays: dict[str, Any], _: dict[str, Any]) -> None:
        arrays["shots5/log_likelihood"] = arrays["shots5/log_likelihood"][:, :3]

    for number, change in enumerate((drop, squeeze)):
        verdict = judged(tmp_path / str(number), change)
        assert finding(verdict, "T9.mamba-1.float16").outcome == "invalid"


def test_a_key_that_does_not_follow_is_invalid(tmp_path: Path) -> None:
    def edit(_: dict[str, Any], fields: dict[str, Any]) -> None:
        fields["inputs"] = {"twin/model.safetensors": "3" * 64}

    found = finding(judged(tmp_path, edit), "T9.mamba-1.float16")
    assert found.outcome == "invalid"
    assert "key does not follow" in why(found, "record-refused")


def test_a_record_of_another_job_is_invalid(tmp_path: Path) -> None:
    """A run file that points every slot to one record."""
    claimed = records.manifest()
    store, written = records.run(tmp_path, claimed)
    first = next(iter(written.jobs.values()))
    swapped = written.model_copy(update={"jobs": dict.fromkeys(written.jobs, first)})
    evidence = Evidence(claimed, swapped, store, records.checkpoints(), {"mmlu": records.dataset()})
    found = finding(judge(claimed, evidence, PINS), "T9.mamba-1.float16")
    assert found.outcome == "invalid"
    assert "another job" in why(found, "record-refused")


def test_damaged_files_are_invalid(tmp_path: Path) -> None:
    claimed = records.manifest()
    store, written = records.run(tmp_path, claimed)
    for number, key in enumerate(written.jobs.values()):
        name = ("record.json", "arrays.safetensors")[number % 2]
        path = store.folder(key) / name
        path.write_bytes(
            path.read_bytes().replace(b'"seconds": 1.0', b'"seconds": 9.0')[:-2] + b"}\n"
        )
    evidence = Evidence(claimed, written, store, records.checkpoints(), {"mmlu": records.dataset()})
    assert finding(judge(claimed, evidence, PINS), "T9.mamba-1.float16").outcome == "invalid"


def test_a_margin_edited_after_the_run_is_invalid(tmp_path: Path) -> None:
    claims = records.manifest_data()["claims"]
    claims[0]["margin"]["value"] = "9"
    verdict = judged(tmp_path, claims=claims)
    assert finding(verdict, "T9.mamba-1.float16").outcome == "invalid"
    (why,) = finding(verdict, "T9.mamba-1.float16").causes
    assert why.code == "changed-after-the-run"
    assert finding(verdict, "T9.phi-1.float16").outcome == "not-run"


def test_settings_edited_after_the_run_make_every_measured_claim_invalid(tmp_path: Path) -> None:
    settings = records.manifest_data()["settings"]
    settings[0]["batch_size"] = 5
    verdict = judged(tmp_path, settings=settings)
    for each in verdict.findings:
        assert (each.outcome == "invalid") == (each.basis == "measured")


def test_a_printed_value_edited_after_the_run_is_invalid(tmp_path: Path) -> None:
    published = records.manifest_data()["published"]
    published[0]["text"] = "0.90"
    verdict = judged(tmp_path, published=published)
    assert finding(verdict, "T9.mamba-1.float16").outcome == "invalid"


def test_drift_that_the_claim_depends_on_is_named(tmp_path: Path) -> None:
    claimed = records.manifest()
    store, written = records.run(tmp_path, claimed, tier="full")
    evidence = Evidence(claimed, written, store, records.checkpoints(), {"mmlu": records.dataset()})
    found = finding(judge(claimed, evidence, {"torch": "0.0.1"}), "T9.mamba-1.float16")
    drift = next(each for each in found.causes if each.code == "drift")
    assert (drift.values["package"], drift.values["pinned"]) == ("torch", "0.0.1")


def test_a_run_that_was_cut_short_says_so(tmp_path: Path) -> None:
    claimed = records.manifest()
    store, written = records.run(tmp_path, claimed)
    gone = store.folder(written.jobs["mamba-1.float16.batch-8"])
    for path in gone.iterdir():
        path.unlink()
    gone.rmdir()
    evidence = Evidence(claimed, written, store, records.checkpoints(), {"mmlu": records.dataset()})
    found = finding(judge(claimed, evidence, PINS), "T9.mamba-1.float16")
    assert found.outcome == "not-run"
    assert "cut short" in why(found, "no-record")


def test_run_files_survive_the_disk(tmp_path: Path) -> None:
    claimed = records.manifest()
    _, written = records.run(tmp_path, claimed)
    assert run_file.load(run_file.path_of(tmp_path, "table9", "smoke")) == written
    assert set(written.jobs) | set(written.missing) == {
        slot.id for slot in slots(claimed, "smoke", records.checkpoints())
    }


def test_every_kind_of_job_says_how_its_record_is_checked() -> None:
    assert KINDS.keys() == {*jobs.KINDS, "imported"}
