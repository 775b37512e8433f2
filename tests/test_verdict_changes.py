"""Changes of words. Oracle: `repro verify` over the committed evidence, and the last snapshot."""

from collections import Counter
from collections.abc import Mapping

import made_up_report as made
import pytest

from repro import paths
from repro.report.words import NONE, differing, word_of
from repro.schema import validate
from repro.schema.causes import cause
from repro.schema.claim_base import Standing
from repro.schema.finding import Outcome
from tools import describe_verdicts

DATA = describe_verdicts.load()


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, str]:
    """The word of each claim today, on a machine that fetched nothing."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("REPRO_CACHE", str(tmp_path_factory.mktemp("empty")))
        return describe_verdicts.words(paths.ROOT / "evidence")


def test_the_page_is_what_the_data_makes() -> None:
    written = (paths.ROOT / "docs" / "verdict-changes.md").read_text(encoding="utf-8")
    assert written == describe_verdicts.describe(DATA)


def test_every_word_that_changed_since_the_last_snapshot_is_listed(
    words: Mapping[str, str],
) -> None:
    last = list(DATA.snapshots)[-1]
    listed = {
        name: (each.before, each.after)
        for each in DATA.changes
        if each.since == last
        for name in each.claims
    }
    assert listed == differing(DATA.snapshots[last], words)


def test_a_change_starts_from_the_word_of_its_snapshot_and_ends_elsewhere() -> None:
    times = Counter((each.since, name) for each in DATA.changes for name in each.claims)
    assert set(times.values()) == {1}
    for each in DATA.changes:
        assert each.before != each.after
        for name in each.claims:
            assert DATA.snapshots[each.since].get(name, NONE) == each.before
    assert {each.since for each in (*DATA.changes, *DATA.notes)} <= set(DATA.snapshots)


def test_every_claim_has_a_word(words: Mapping[str, str]) -> None:
    every = validate.load_manifests([])
    assert set(words) == {f"{each.id}:{claim.id}" for each in every for claim in each.claims}


@pytest.mark.parametrize(
    ("outcome", "standing", "code", "word"),
    [
        ("reproduced", "printed", "", "reproduced"),
        ("inconclusive", "printed", "", "inconclusive"),
        ("inconclusive", "printed", "contradicted-if", "contradicted-if"),
        ("inconclusive", "beside", "", "beside: fails"),
        ("not-run", "step", "", "step: not-run"),
    ],
)
def test_a_word_is_the_outcome_the_list_or_the_result(
    outcome: Outcome, standing: Standing, code: str, word: str
) -> None:
    finding = made.finding(0, outcome).model_copy(
        update={
            "standing": standing,
            "result": "fails" if standing == "beside" else None,
            "causes": (cause(code, condition="it runs"),) if code else (),
        }
    )
    assert word_of(finding) == word


def test_a_claim_that_is_new_or_gone_differs() -> None:
    before, after = {"a": "reproduced", "b": "held", "c": "held"}, {"b": "held", "c": "x", "d": "y"}
    assert differing(before, after) == {
        "a": ("reproduced", NONE),
        "c": ("held", "x"),
        "d": (NONE, "y"),
    }
