"""What drift did. Oracles: `repro verify` over the committed evidence, and what was kept of it."""

import json

import pytest

from repro import paths
from repro.cli.main import main
from tools import describe_drift
from tools.describe_drift import PINNED, Side


@pytest.fixture(scope="module")
def pinned() -> tuple[Side, ...]:
    return tuple(describe_drift.sides(PINNED))


def test_the_page_is_what_the_kept_findings_and_the_evidence_make(
    pinned: tuple[Side, ...],
) -> None:
    written = describe_drift.PAGE.read_text(encoding="utf-8")
    assert written == describe_drift.describe(describe_drift.load(), pinned)


def test_the_sides_are_the_findings_of_verify(
    pinned: tuple[Side, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    main(["verify", str(PINNED), "--json"])
    found = {
        f"{verdict['manifest']}:{finding['claim']}": finding
        for verdict in json.loads(capsys.readouterr().out)
        for finding in verdict["findings"]
        if finding["records"]
    }
    assert {each.claim for each in pinned} == found.keys()
    for each in pinned:
        assert each.points == found[each.claim]["points"]
        assert "H200" in each.stack
        assert "torch 2.2.1" in each.stack


def test_drifted_records_that_are_still_here_give_the_findings_that_were_kept() -> None:
    kept = {each.claim: each for each in describe_drift.load()}
    here = list(describe_drift.sides(paths.ROOT / "evidence" / "h100"))
    assert here
    assert all(kept[each.claim] == each for each in here)


def test_claims_that_point_another_way_are_named(pinned: tuple[Side, ...]) -> None:
    moved = [each.model_copy(update={"word": "inconclusive", "points": "x"}) for each in pinned]
    text = describe_drift.describe(moved[:2], pinned)
    assert f"2 claims; 2 point another way: `{moved[0].claim}`, `{moved[1].claim}`." in text
    assert "2 claims; 0 point another way." in describe_drift.describe(pinned[:2], pinned)
