"""One test for each thing that fuzzing found, named for what was wrong; oracle: `fuzz.guard`.

Each input ended in a traceback, a wait without end, memory without end or a wrong verdict.
"""

import json
import os
from pathlib import Path
from typing import Any

import made_up_records as records
import made_up_tuning as tuned
import numpy as np
import pytest

from fuzz import guard, sealed
from repro import fileio
from repro.audit.compare import Difference
from repro.errors import BadInputError
from repro.inputs import locate
from repro.report import console_audit
from repro.schema.finding import Verdict
from repro.schema.jobs import EvaluateJob, Recipe, StabilityJob, TuningJob
from repro.store import run_file
from repro.store.commitments import commitments_of
from repro.store.record import Record
from repro.store.store import BrokenRecordError
from verify.errors import InvalidError
from verify.evidence import Evidence
from verify.judge import judge
from verify.records import mmlu, tuning
from verify.records.checked_record import CheckedRecord
from verify.rules import layer
from verify.whole_table import adjust_over_table

BOTH = ["T9.mamba-1.float16", "T9.phi-1.float16"]


def said_of(folder: Path, **changes: Any) -> str:
    """What `repro plan` says of the made-up manifest with changes, as text."""
    text = json.dumps(records.manifest_data(**changes))
    return said_of_text(folder, text)


def said_of_text(folder: Path, text: str) -> str:
    path = folder / "table9.json"
    path.write_text(text, encoding="utf-8")
    ended = guard.run(["plan", path, "--offline", "--out", folder / "none"])
    assert ended.code == 2
    return ended.err


# -----------------------------------------------------------------------------
# Manifests


@pytest.mark.parametrize("digits", ["1" + "0" * 5000, "-" + "9" * 4301])
def test_a_number_of_more_digits_than_python_reads_is_a_bad_number(
    tmp_path: Path, digits: str
) -> None:
    text = json.dumps(records.manifest_data()).replace('"schema_version": 1', f'"title": {digits}')
    assert "not a valid manifest" in said_of_text(tmp_path, text)


def test_a_message_with_braces_is_no_template(tmp_path: Path) -> None:
    """pydantic names the expected shape of a tagged union in braces."""
    data = records.manifest_data()
    data["claims"][0]["place"] = {"{section}": "5"}
    data["claims"][1]["measure"]["kind"] = "{kind}"
    assert "{kind}" in said_of(tmp_path, claims=data["claims"])


def test_a_subject_that_the_catalog_lacks_is_named(tmp_path: Path) -> None:
    job = next(iter(evidence(tmp_path).slots.values())).job
    assert isinstance(job, EvaluateJob)
    other = job.model_copy(update={"subjects": ("ariahmetic",)})
    with pytest.raises(BadInputError, match="no subject 'ariahmetic'"):
        other.tokens(records.dataset(), 2.5)


def test_a_checkpoint_and_data_that_the_catalog_lacks_are_named() -> None:
    locator = locate.InputLocator()
    layers: dict[str, Any] = {
        "kind": "stability",
        "family": "mamba2",
        "checkpoint": "nowhere",
        **dict.fromkeys(("layers", "channels", "state_size", "steps"), 1),
        "epsilon": 0.1,
        "sweep": (),
        "sweep_layers": 0,
        "precisions": (),
        "seed": 0,
    }
    with pytest.raises(BadInputError, match="no checkpoint 'nowhere'"):
        locator.for_job(StabilityJob(**layers))
    data = tuned.group(("mamba-1",), ("full.float32",), ("mmlu",))
    recipe = Recipe(
        **{**data["recipe"], "data": "nowhere", "adam_betas": (0.9, 0.999)},
        method="full",
        precision="float32",
        learning_rate=1e-4,
        rank=None,
        seed=0,
    )
    with pytest.raises(BadInputError, match="no data set 'nowhere'"):
        locator.data_of(TuningJob(kind="tuning", checkpoint="mamba-130m", recipe=recipe))


# -----------------------------------------------------------------------------
# What is no file


def named_pipe(path: Path) -> None:
    os.mkfifo(path)


def endless(path: Path) -> None:
    path.symlink_to("/dev/zero")


STRANGE = [Path.mkdir, named_pipe, endless, lambda path: path.symlink_to(path)]


@pytest.mark.parametrize("make", STRANGE)
def test_what_is_no_file_is_neither_waited_for_nor_read_without_end(
    tmp_path: Path, make: Any
) -> None:
    for name in ("table9.json", "other.json"):
        make(tmp_path / name)
    (tmp_path / "runs").mkdir()
    make(tmp_path / "runs" / "table9.full.json")
    for command in (
        ["plan", tmp_path / "table9.json", "--offline", "--out", tmp_path / "none"],
        ["audit", "--against", tmp_path / "other.json"],
        ["verify", tmp_path],
    ):
        assert guard.run(command).code == 2


@pytest.mark.parametrize("make", STRANGE)
def test_records_that_are_no_files_are_invalid(tmp_path: Path, make: Any) -> None:
    for name in ("record.json", "arrays.safetensors"):
        found = evidence(tmp_path / name)
        for path in found.store.jobs.glob(f"*/{name}"):
            path.unlink()
            make(path)
        with pytest.raises(InvalidError, match="cannot be read"):
            found.get("mamba-1.float32.batch-4")


@pytest.mark.parametrize(("dtype", "shape"), [("F8_E4M3", "[0]"), ("F32", f"[{2**62},0]")])
def test_arrays_that_numpy_has_no_type_or_shape_for_are_invalid(
    tmp_path: Path, dtype: str, shape: str
) -> None:
    record, _, found = a_record(tmp_path)
    header = f'{{"x":{{"dtype":"{dtype}","shape":{shape},"data_offsets":[0,0]}}}}'.encode()
    content = len(header).to_bytes(8, "little") + header
    folder = found.store.folder(record.key)
    (folder / "arrays.safetensors").write_bytes(content)
    text = sealed.with_arrays((folder / "record.json").read_bytes(), content)
    (folder / "record.json").write_bytes(text)
    with pytest.raises(BrokenRecordError, match="cannot be read"):
        found.store.load(record.key)


@pytest.mark.parametrize("file", ["/dev/zero", "\0", "a" * 5000, "/", "/dev/stdin"])
def test_a_run_file_can_name_anything_as_its_manifest(tmp_path: Path, file: str) -> None:
    run = evidence(tmp_path).run.model_copy(update={"manifest": "no-such", "file": file})
    run_file.path_of(tmp_path, "table9", "full").unlink()
    run_file.save(tmp_path, run)
    assert guard.run(["verify", tmp_path]).code == 2


def test_pins_nested_without_bottom_are_damaged(tmp_path: Path) -> None:
    (tmp_path / "pins.json").write_text("[" * 100_000, encoding="utf-8")
    with pytest.raises(BadInputError, match="is damaged"):
        locate.load_first_use_pins(tmp_path)


# -----------------------------------------------------------------------------
# Records


def evidence(root: Path, **changes: Any) -> Evidence:
    """A run of the made-up manifest at tier full with random answers."""
    claimed = records.manifest(**changes)
    store, run = records.run(root, claimed, "full")
    datasets = {"mmlu": records.dataset()}
    return Evidence(claimed, run, store, records.checkpoints(), datasets)


def a_record(root: Path) -> tuple[Record, Any, Evidence]:
    found = evidence(root)
    record, arrays = found.store.load(next(iter(found.run.jobs.values())))
    return record, arrays, found


@pytest.mark.parametrize("literal", ["NaN", "Infinity", "1e999"])
def test_seconds_that_are_no_number_make_no_record(tmp_path: Path, literal: str) -> None:
    """Such a record has no digest: canonical JSON has none of these."""
    record, _, found = a_record(tmp_path)
    path = found.store.folder(record.key) / "record.json"
    path.write_text(path.read_text().replace('"seconds": 1.0', f'"seconds": {literal}'))
    with pytest.raises(BrokenRecordError, match="is not a record: Input should be a finite number"):
        found.store.load(record.key)


def test_a_count_too_large_for_a_float_makes_no_record(tmp_path: Path) -> None:
    record, _, _ = a_record(tmp_path)
    data = record.model_dump()
    data["values"]["shots0/ties"] = 10**400
    with pytest.raises(ValueError, match="less than 9223372036854775808"):
        Record.model_validate(data, strict=True)


def test_a_record_of_a_subject_that_the_data_lacks_is_invalid(tmp_path: Path) -> None:
    record, arrays, _ = a_record(tmp_path)
    job = record.job
    assert isinstance(job, EvaluateJob)
    other = job.model_copy(update={"subjects": ("arithmetic", "geometri")})
    with pytest.raises(InvalidError, match="no subject geometri"):
        mmlu.check(record, other, arrays, records.dataset())


def test_names_of_tensors_nested_without_bottom_are_none(tmp_path: Path) -> None:
    record, _, _ = a_record(tmp_path)
    for text in ("[" * 100_000, "9" * 5000):
        named = record.model_copy(update={"values": {"trainable_tensors": text}})
        assert tuning.names_of(named) == []


@pytest.mark.parametrize("shape", [(), (2,), (1, 2, 2)])
def test_a_product_of_what_is_no_matrix_is_invalid(tmp_path: Path, shape: tuple[int, ...]) -> None:
    record, _, found = a_record(tmp_path)
    whole = np.ones((1, 1), dtype=np.int32)
    good = {
        "tied/up": whole,
        "tied/down": whole,
        "tied/change_sha256": fileio.digests_of_rows(whole),
    }
    for odd, array in good.items():
        arrays = {**good, odd: np.ones(shape, dtype=array.dtype)}
        loaded = CheckedRecord(next(iter(found.slots.values())), record, arrays)
        with pytest.raises(InvalidError, match="no product of integer matrices"):
            layer._off_product(loaded, "tied")


# -----------------------------------------------------------------------------
# Verdicts


def outcomes(root: Path, then: list[dict[str, Any]], now: list[dict[str, Any]]) -> Verdict:
    """A run of claims, judged with others."""
    found = evidence(root, claims=then)
    claimed = records.manifest(claims=now)
    again = Evidence(claimed, found.run, found.store, records.checkpoints(), found.datasets)
    return judge(claimed, again, {})


def outcome(verdict: Verdict, claim: str) -> tuple[str, str]:
    finding = next(each for each in verdict.findings if each.claim == claim)
    return finding.outcome, finding.reason


def sentence(readings: list[str]) -> dict[str, Any]:
    common = {"statement": "", "place": {"section": "5"}, "depends_on": []}
    return {**common, "id": "it", "kind": "ambiguous", "missing": "all", "readings": readings}


def test_readings_chosen_after_the_run_are_invalid(tmp_path: Path) -> None:
    """With the other reading left out the rest agree, and the sentence was decided."""
    claims = records.manifest_data()["claims"]
    then, now = [*claims, sentence(BOTH)], [*claims, sentence(BOTH[:1])]
    assert outcome(outcomes(tmp_path, then, then), "it")[0] != "invalid"
    what = "the claim or its margin was changed after the run"
    assert outcome(outcomes(tmp_path, then, now), "it") == ("invalid", what)


def test_a_count_over_a_cell_changed_after_the_run_is_invalid(tmp_path: Path) -> None:
    then, now = records.manifest_data()["claims"], records.manifest_data()["claims"]
    now[0]["measure"]["checkpoint"] = "phi-1"
    verdict = outcomes(tmp_path, then, now)
    what = f"{BOTH[0]}, which it names, was changed after the run"
    assert outcome(verdict, "count.measured") == ("invalid", what)
    assert outcome(verdict, "order.measured") == ("invalid", what)


def test_out_of_how_many_may_not_change_after_the_run(tmp_path: Path) -> None:
    """The total of a count of wins is a printed value that the claim names beside its own."""
    group = tuned.group(("mamba-1",), ("full.float32", "lora-all.float32"), ("piqa",))
    column = {"task": "piqa", "metric": "accuracy"}
    claim = tuned.claim(
        "measured-wins",
        published="wins",
        out_of="all",
        checkpoints=["mamba-1"],
        left="full.float32",
        right="lora-all.float32",
        columns=[column],
    )
    then, now = (tuned.manifest([group], [claim], wins="1", all=text) for text in ("1", "2"))
    run = evidence(tmp_path).run
    run = run.model_copy(update={"committed": commitments_of(then)})
    assert run_file.changes(run, then) == {}
    assert run_file.changes(run, now) == {"it": "its printed value was changed after the run"}


def test_a_claim_taken_away_after_the_run_makes_no_other_easier_to_contradict(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Holm's family counts what was there when the numbers were not known."""
    tests: list[int] = []

    def counted(judged: Any, count: int) -> Any:
        tests.append(count)
        return adjust_over_table(judged, count)

    monkeypatch.setattr("verify.judge.adjust_over_table", counted)
    claims = records.manifest_data()["claims"]
    for now in (claims, claims[:1]):
        outcomes(tmp_path, claims, now)
    assert tests[1] >= tests[0]


def test_a_name_that_looks_like_markup_is_printed_as_it_is(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A package of another audit called "[/]" ended in rich's MarkupError."""
    one = Difference(what="[/] and [bold]", here="[/x]", there=None, touches=None, claims={})
    console_audit.show_differences([one])
    assert "[/] and [bold]" in capsys.readouterr().out
