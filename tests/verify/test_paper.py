"""Findings that need no run, and what they may be called. Oracle: written by hand."""

from typing import Any

import made_up_records as records
import printed_pages
import pytest
from pinned_sources import claimed, state_size
from pydantic import TypeAdapter

from repro.schema.causes import Estimate, cause
from repro.schema.claim_base import Place, Standing
from repro.schema.claims import Claim
from repro.schema.finding import Basis, Finding, Outcome
from repro.schema.manifest import Manifest
from verify.outcome import RuleDecision
from verify.paper import finding_of, paper_against_itself, unmeasured_finding, without_run

PLACE = {"section": "5", "table": "Table 9"}
COMMON = {"statement": "a sentence", "place": PLACE, "depends_on": [], "reading": None}
CLAIMS: TypeAdapter[Any] = TypeAdapter(Claim)
WHY = (cause("repeated", count=1),)


def claim(**fields: Any) -> Any:
    return CLAIMS.validate_python({**COMMON, **fields}, strict=False)


SENTENCE = claim(id="it", kind="ambiguous", missing="which mean", readings=["one", "other"])
PLANNED = claim(id="plan", kind="planned", published="mean", needs="throughput", check="it halves")


def manifest_of(*claims: Any) -> Manifest:
    """The made-up manifest with these claims alone, or with its own."""
    if not claims:
        return records.manifest()
    return records.manifest(claims=[each.model_dump(mode="json") for each in claims])


def expected(name: str, kind: str, **fields: Any) -> Finding:
    common = {"claim": name, "kind": kind, "statement": "a sentence", "place": Place(**PLACE)}
    return Finding(**{**common, **fields})


def codes(found: Finding) -> list[str]:
    return [each.code for each in found.causes]


def test_a_finding_repeats_its_claim_and_names_each_record_once() -> None:
    read = claim(**{**PLANNED.model_dump(), "reading": "the largest batch"})
    numbers = (Estimate(label="tokens a second", value=2, low=1, high=3),)
    decided = RuleDecision("invalid", "1", "2", "± 3", WHY, WHY * 2, numbers)
    up = cause("points-to", outcome="reproduced")
    manifest = manifest_of(read)
    assert finding_of(manifest, read, decided, "measured", up, ["b", "a", "b"]) == expected(
        "plan",
        "planned",
        quote="0.65",
        basis="measured",
        outcome="invalid",
        published="1",
        measured="2",
        margin="± 3",
        causes=WHY,
        reading="the largest batch",
        working=WHY * 2,
        estimates=numbers,
        direction=up,
        records=("b", "a"),
    )
    bare = finding_of(manifest, PLANNED, decided, "page")
    assert (bare.reading, bare.direction, bare.records) == ("", None, ())


# -----------------------------------------------------------------------------
# What a finding may be called


def called(outcome: Outcome, basis: Basis = "measured", **fields: Any) -> Finding:
    """A claim decided so, with what is given of standing, quote and conditions."""
    one = claim(**{**PLANNED.model_dump(), "published": None, **fields})
    decided = RuleDecision(outcome, "1", "2", "exact", WHY)
    return finding_of(manifest_of(one), one, decided, basis)


@pytest.mark.parametrize(
    ("basis", "outcome"),
    [
        ("measured", "reproduced"),
        ("page", "consistent"),
        ("code", "consistent"),
        ("proof", "proved"),
    ],
)
def test_reproduced_is_said_of_what_was_measured(basis: Basis, outcome: Outcome) -> None:
    found = called("reproduced", basis)
    assert (found.outcome, found.causes, found.counts) == (outcome, WHY, True)


def test_contradicted_is_said_of_a_quoted_sentence_without_a_condition() -> None:
    quoted = {"quote": "it halves"}
    found = called("contradicted", **quoted)
    assert (found.outcome, found.causes) == ("contradicted", WHY)
    found = called("contradicted")
    assert (found.outcome, codes(found)) == ("inconclusive", ["not-quoted", "repeated"])
    conditions = ["mamba-ssm is installed", "causal-conv1d is installed"]
    found = called("contradicted", conditions=conditions, **quoted)
    assert (found.outcome, found.listed_under) == ("inconclusive", "contradicted-if")
    assert found.causes[0].values == {"condition": " and ".join(conditions)}
    assert found.conditions == tuple(conditions)
    found = called("contradicted", conditions=conditions)  # nothing printed would be
    assert (found.listed_under, codes(found)[0]) == (None, "not-quoted")


@pytest.mark.parametrize("standing", ["step", "beside"])
@pytest.mark.parametrize("conditions", [[], ["it is installed"]])
def test_what_is_not_printed_has_a_result_and_is_never_contradicted(
    standing: Standing, conditions: list[str]
) -> None:
    given = {"standing": standing, "quote": "it halves", "conditions": conditions}
    for outcome, result in (
        ("contradicted", "fails"),
        ("inconclusive", "open"),
        ("reproduced", "holds"),
    ):
        found = called(outcome, **given)  # type: ignore[arg-type]
        kept = "reproduced" if (standing, outcome) == ("step", "reproduced") else "inconclusive"
        assert (found.outcome, found.result, found.counts) == (kept, result, False)
        assert codes(found)[0] == standing
        assert found.listed_under is None
    for outcome in ("not-run", "invalid"):
        found = called(outcome, **given)  # type: ignore[arg-type]
        assert (found.outcome, found.result) == (outcome, None)


def test_a_number_that_is_printed_is_its_own_quote() -> None:
    assert called("contradicted", published="mean").quote == "0.65"
    assert called("contradicted", published="mean").outcome == "contradicted"


# -----------------------------------------------------------------------------
# Nothing to measure


def test_what_is_not_measured_shows_the_published_side() -> None:
    manifest = records.manifest()
    cell = manifest.claims[0]
    why = cause("no-record", why="no machine")
    found = unmeasured_finding(manifest, cell, "not-run", why)
    shown = (found.outcome, found.published, found.measured, found.margin, found.causes)
    assert shown == ("not-run", "0.20", "—", "± 0.1", (why,))
    assert found.basis == "measured"
    identity = claim(id="it", kind="identity", jobs=["x"], case="tied", controls=[])
    found = unmeasured_finding(manifest, identity, "invalid", why)
    assert (found.published, found.margin) == ("identity", "—")


@pytest.fixture
def unbuilt() -> Any:
    measure = {"kind": "unbuilt", "needs": "few-shot", "what": "the gain per shot"}
    margin = {"value": "0.1", "origin": ""}
    return claim(id="cell", kind="cell", published="mean", measure=measure, margin=margin)


def test_jobs_that_are_not_built_are_not_run(unbuilt: Any) -> None:
    """Each says which job type is wanting, and what will be measured by it."""
    manifest = records.manifest()
    found = without_run(manifest, PLANNED)
    shown = {"basis": "measured", "outcome": "not-run", "published": "0.65", "measured": "—"}
    shown |= {"quote": "0.65", "published": "0.65"}
    why = (cause("no-job", needs="throughput"), cause("planned-check", check="it halves"))
    assert found == expected("plan", "planned", **shown, margin="—", causes=why)
    found = without_run(manifest, unbuilt)
    why = (cause("no-job", needs="few-shot"), cause("planned-check", check="the gain per shot"))
    assert found == expected("cell", "cell", **shown, margin="± 0.1", causes=why)


def test_what_a_run_decides_is_left_to_it() -> None:
    manifest = records.manifest()
    decided = {each.id: without_run(manifest, each) for each in manifest.claims}
    mean = decided.pop("mean.printed")
    assert mean is not None
    assert (mean.basis, mean.outcome, mean.published) == ("page", "consistent", "0.65")
    assert set(decided.values()) == {None}
    assert without_run(manifest, SENTENCE) is None


def test_what_the_page_decides_keeps_its_direction() -> None:
    source = {"arxiv": "0", "place": "a table", "status": "unverified", "note": ""}
    noise = {"value": "0.5", "origin": ""}
    row = {"kind": "baseline", "row": ["v0"], "baseline": ["3"], "units": "%"}
    manifest = printed_pages.manifest({"v0": "9"}, {**row, "source": source, "noise": noise})
    found = without_run(manifest, manifest.claims[0])
    assert found is not None
    assert (found.claim, found.kind, found.basis) == ("it", "baseline", "page")
    points = cause("points-to", outcome="reproduced")
    assert (found.outcome, found.direction) == ("inconclusive", points)
    assert (found.published, found.measured) == ("another model", "1 of 1 columns apart")


def test_what_the_code_decides_is_consistent() -> None:
    manifest, fact = claimed(state_size())
    found = without_run(manifest, fact)
    assert found is not None
    assert (found.claim, found.kind, found.basis) == ("it", "fact", "code")
    assert (found.outcome, found.published, found.measured) == ("consistent", "16", "16")
    manifest, fact = claimed(*[state_size()] * 2, relation="ratio", published="four")
    found = without_run(manifest, fact)
    assert found is not None
    assert (found.outcome, found.published, found.quote) == ("contradicted", "4", "4")


def test_a_fact_that_hangs_on_a_condition_is_contradicted_under_it() -> None:
    manifest, fact = claimed(state_size("64"), quote="of 64", condition="the default is kept")
    found = without_run(manifest, fact)
    assert found is not None
    assert (found.outcome, found.listed_under) == ("inconclusive", "contradicted-if")
    assert found.conditions == ("the default is kept",)


# -----------------------------------------------------------------------------
# The paper against itself


def ambiguous_over(name: str, *readings: str) -> dict[str, Any]:
    fields = {"id": name, "kind": "ambiguous", "missing": "all", "readings": list(readings)}
    return {**COMMON, **fields}


def test_the_paper_against_itself_is_what_the_page_alone_decides() -> None:
    """In the manifest's order: not the cells, not what is not built, not a sentence of which a
    reading is measured."""
    data = records.manifest_data()
    data["claims"] = [
        ambiguous_over("printed.first", "mean.printed"),
        *data["claims"],
        PLANNED.model_dump(mode="json"),
        ambiguous_over("mixed", "mean.printed", "count.measured"),
        ambiguous_over("empty"),
    ]
    found = paper_against_itself(records.manifest(claims=data["claims"]))
    assert (found.manifest, found.title, found.tier) == ("table9", "Made up", None)
    assert found.notes == ()
    shown = [(each.claim, each.outcome) for each in found.findings]
    assert shown == [
        ("printed.first", "consistent"),
        ("mean.printed", "consistent"),
        ("empty", "inconclusive"),
    ]
