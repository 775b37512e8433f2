"""Findings that need no run, and sentences with several readings. Oracle: written by hand."""

from typing import Any

import made_up_records as records
import printed_pages
import pytest
from pinned_sources import claimed, state_size
from pydantic import TypeAdapter

from repro.schema.claim_base import Place
from repro.schema.claims import Claim
from repro.schema.finding import Finding, Outcome
from verify.outcome import Decided
from verify.paper import ambiguous, finding_of, paper_against_itself, unmeasured, without_run

PLACE = {"section": "5", "table": "Table 9"}
COMMON = {"statement": "a sentence", "place": PLACE, "depends_on": [], "reading": None}
CLAIMS: TypeAdapter[Any] = TypeAdapter(Claim)


def claim(**fields: Any) -> Any:
    return CLAIMS.validate_python({**COMMON, **fields}, strict=False)


SENTENCE = claim(id="it", kind="ambiguous", missing="which mean", readings=["one", "other"])
PLANNED = claim(id="plan", kind="planned", published="mean", needs="throughput", check="it halves")


def expected(name: str, kind: str, **fields: Any) -> Finding:
    common = {"claim": name, "kind": kind, "statement": "a sentence", "place": Place(**PLACE)}
    return Finding(**common, **fields)


def test_a_finding_repeats_its_claim_and_names_each_record_once() -> None:
    read = claim(**{**PLANNED.model_dump(), "reading": "the largest batch"})
    decided = Decided("invalid", "1", "2", "± 3", "because", ("by", "hand"))
    assert finding_of(read, decided, "measured", "up", ["b", "a", "b"]) == expected(
        "plan",
        "planned",
        basis="measured",
        outcome="invalid",
        published="1",
        measured="2",
        margin="± 3",
        reason="because",
        reading="the largest batch",
        working=("by", "hand"),
        direction="up",
        records=("b", "a"),
    )
    bare = finding_of(PLANNED, decided, "printed")
    assert (bare.reading, bare.direction, bare.records) == ("", "", ())


# -----------------------------------------------------------------------------
# Nothing to measure


def test_what_is_not_measured_shows_the_published_side() -> None:
    manifest = records.manifest()
    cell = manifest.claims[0]
    found = unmeasured(manifest, cell, "not-run", "no machine")
    shown = (found.outcome, found.published, found.measured, found.margin, found.reason)
    assert shown == ("not-run", "0.20", "—", "± 0.1", "no machine")
    assert found.basis == "measured"
    identity = claim(id="it", kind="identity", jobs=["x"], case="tied", controls=[])
    found = unmeasured(manifest, identity, "invalid", "no record")
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
    reason = "no job for it: throughput; it halves"
    assert found == expected("plan", "planned", **shown, margin="—", reason=reason)
    found = without_run(manifest, unbuilt)
    reason = "no job for it: few-shot; the gain per shot"
    assert found == expected("cell", "cell", **shown, margin="± 0.1", reason=reason)


def test_what_a_run_decides_is_left_to_it() -> None:
    manifest = records.manifest()
    decided = {each.id: without_run(manifest, each) for each in manifest.claims}
    mean = decided.pop("mean.printed")
    assert mean is not None
    assert (mean.basis, mean.outcome, mean.published) == ("printed", "reproduced", "0.65")
    assert set(decided.values()) == {None}
    assert without_run(manifest, SENTENCE) is None


def test_what_the_page_decides_keeps_its_direction() -> None:
    source = {"arxiv": "0", "place": "a table", "status": "unverified", "note": ""}
    noise = {"value": "0.5", "origin": ""}
    row = {"kind": "baseline", "row": ["v0"], "baseline": ["3"], "units": "%"}
    manifest = printed_pages.manifest({"v0": "9"}, {**row, "source": source, "noise": noise})
    found = without_run(manifest, manifest.claims[0])
    assert found is not None
    assert (found.claim, found.kind, found.basis) == ("it", "baseline", "printed")
    assert (found.outcome, found.direction) == ("inconclusive", "points to reproduced")
    assert (found.published, found.measured) == ("another model", "1 of 1 columns apart")


def test_what_the_code_decides_is_printed() -> None:
    manifest, fact = claimed(state_size())
    found = without_run(manifest, fact)
    assert found is not None
    assert (found.claim, found.kind, found.basis) == ("it", "fact", "printed")
    assert (found.outcome, found.published, found.measured) == ("reproduced", "16", "16")
    manifest, fact = claimed(*[state_size()] * 2, relation="ratio", published="four")
    found = without_run(manifest, fact)
    assert found is not None
    assert (found.outcome, found.published) == ("contradicted", "4")


# -----------------------------------------------------------------------------
# Readings


def read(name: str, outcome: Outcome, basis: str = "printed") -> Finding:
    sides = {"published": "1", "measured": "2", "margin": "exact", "reason": "because"}
    return expected(name, "count", basis=basis, outcome=outcome, **sides)


@pytest.mark.parametrize(
    ("outcomes", "outcome", "reason"),
    [
        (("reproduced", "reproduced"), "reproduced", "reproduced under every reading tried"),
        (
            ("contradicted", "contradicted"),
            "contradicted",
            "contradicted under every reading tried",
        ),
        (("reproduced", "contradicted"), "inconclusive", "it depends on the reading"),
        (("reproduced", "inconclusive"), "inconclusive", "it depends on the reading"),
        (("reproduced", "not-run"), "inconclusive", "a reading of it was not run: other"),
        (("not-run", "not-run"), "not-run", "not-run under every reading tried"),
    ],
)
def test_a_sentence_is_what_all_its_readings_say(
    outcomes: tuple[Outcome, Outcome], outcome: Outcome, reason: str
) -> None:
    others = {"one": read("one", outcomes[0]), "other": read("other", outcomes[1])}
    assert ambiguous(SENTENCE, others) == expected(
        "it",
        "ambiguous",
        basis="printed",
        outcome=outcome,
        published="sentence",
        measured="2 readings",
        margin="—",
        reason=f"cannot be checked as printed: which mean; {reason}",
        working=(f"one {outcomes[0]}, other {outcomes[1]}",),
    )


def test_one_measured_reading_makes_a_sentence_measured() -> None:
    one, other = read("one", "reproduced"), read("other", "reproduced", "measured")
    assert ambiguous(SENTENCE, {"one": one, "other": other}).basis == "measured"


def test_a_sentence_without_a_reading_is_never_reproduced() -> None:
    none = claim(id="it", kind="ambiguous", missing="everything", readings=[])
    found = ambiguous(none, {})
    assert (found.outcome, found.measured, found.basis) == ("inconclusive", "0 readings", "printed")
    reason = "cannot be checked as printed: everything; no reading of it can be measured"
    assert (found.reason, found.working) == (reason, ())


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
        ("printed.first", "reproduced"),
        ("mean.printed", "reproduced"),
        ("empty", "inconclusive"),
    ]
