"""Records whose batches were halved for want of memory. Oracle: the path, changed by hand."""

from pathlib import Path
from typing import Any

import made_up_records as records
import pytest

from repro.schema.causes import cause
from repro.schema.finding import Finding
from verify.evidence import Evidence
from verify.judge import judge


def found(root: Path, took: str | None) -> Finding:
    """The first cell of a run whose records with 64 at a time say that they took another size."""

    def change(_: dict[str, Any], fields: dict[str, Any]) -> None:
        if took and fields["job"].setting.batch_size == 64:
            fields["path"] = {**fields["path"], "batch_size": took}
            if took != "64":
                note = f"too little memory for 0-shot questions, 64 at a time: {took} at a time"
                fields["warnings"] = (note,)

    claimed, known = records.manifest(), records.checkpoints()
    store, run = records.run(root, claimed, "full", change)
    evidence = Evidence(claimed, run, store, known, {"mmlu": records.dataset()})
    findings = judge(claimed, evidence, {"torch": "2.2.1"}).findings
    return next(each for each in findings if each.claim == "T9.mamba-1.float16")


@pytest.mark.parametrize("took", [None, "64"])
def test_the_settings_own_batch_size_counts(tmp_path: Path, took: str | None) -> None:
    assert "smaller-batch" not in [each.code for each in found(tmp_path, took).causes]


def test_another_batch_size_than_the_settings_decides_nothing(tmp_path: Path) -> None:
    one = found(tmp_path, "32")
    assert one.outcome == "inconclusive"
    assert cause("smaller-batch", checkpoint="mamba-1", took="32", asked="64") in one.causes
    assert one.measured == found(tmp_path / "same", None).measured
