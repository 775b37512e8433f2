"""Claims that theorems decide, on made-up records that say what a real one says, or otherwise."""

import json
from pathlib import Path
from typing import Any

import pytest
from made_up_proofs import CLAIM, SUMMARY, findings
from made_up_records import codes, said

from repro.schema.jobs import ProofJob
from repro.store.store import BrokenRecordError, Store


def test_what_a_theorem_says_is_proved(tmp_path: Path) -> None:
    found = findings(tmp_path)["it"]
    assert (found.outcome, found.basis, found.counts) == ("proved", "proof", True)
    assert codes(found) == ["proved-by", "against-the-words"]
    assert said(found, "proved-by") == {"theorems": "Square.square", "version": "8.16.1"}
    axioms = "ClassicalDedekindReals.sig_forall_dec, Classical_Prop.classic"
    assert said(found, "rests-on") == {"axioms": axioms}
    assert len(found.records) == 1


def test_a_counterexample_of_the_words_contradicts_and_without_a_quote_does_not(
    tmp_path: Path,
) -> None:
    found = findings(
        tmp_path,
        {"relation": "refutes"},
        {"id": "unquoted", "relation": "refutes", "quote": None},
        {"id": "step", "relation": "refutes", "standing": "step"},
    )
    assert found["it"].outcome == "contradicted"
    assert codes(found["it"])[0] == "refuted-by"
    assert (found["unquoted"].outcome, codes(found["unquoted"])[0]) == (
        "inconclusive",
        "not-quoted",
    )
    assert (found["step"].outcome, found["step"].result) == ("inconclusive", "fails")


@pytest.mark.parametrize(
    ("relation", "listed"), [("proves", "proved-in-part"), ("refutes", "fails-by-one-reading")]
)
def test_a_reading_that_is_left_open_keeps_the_sentence_open(
    relation: str, listed: str, tmp_path: Path
) -> None:
    found = findings(tmp_path, {"relation": relation, "left_open": "of complex numbers"})["it"]
    assert (found.outcome, found.listed_under) == ("inconclusive", listed)
    assert "of complex numbers" in said(found, listed).values()


def test_readings_that_disagree_leave_the_sentence_open(tmp_path: Path) -> None:
    sentence = {
        **{name: CLAIM[name] for name in ("place", "quote", "depends_on")},
        "id": "sentence",
        "kind": "ambiguous",
        "statement": "",
        "missing": "which",
        "readings": ["one", "other"],
    }
    readings = ({"id": "one"}, {"id": "other", "relation": "refutes"})
    made = [{**CLAIM, **each, "quote": None} for each in readings]
    found = findings(tmp_path, *made, sentence)
    assert (found["one"].outcome, found["one"].counts) == ("proved", False)
    assert found["sentence"].listed_under == "fails-by-one-reading"
    assert found["sentence"].basis == "proof"


CLASSIC = "    Coq.Logic.Classical_Prop.classic"
DOCTORED: dict[str, tuple[dict[str, Any], str]] = {
    "a changed statement": (
        {"Square.square": "forall x : R, 0 < x * x"},
        "not the statement that its job pins",
    ),
    "an Admitted": (
        {"Square.square/axioms": "Square.square"},
        "its Square.square rests on Square.square, which no proof may",
    ),
    "an added axiom": ({"Square.zero/axioms": "Square.handy"}, "rests on Square.handy"),
    "an axiom under an allowed name": (
        {"coqchk": SUMMARY.replace(CLASSIC, CLASSIC.replace("Coq.", "Lyapunov."))},
        "coqchk found what no proof may rest on: Lyapunov.Logic.Classical_Prop.classic",
    ),
    "a check that was switched off": (
        {"coqchk": SUMMARY.replace("(co)fixpoints: <none>", "(co)fixpoints:\n  Square.square")},
        "coqchk found what no proof may rest on",
    ),
    "no word of a check": (
        {"coqchk": SUMMARY.replace("* Inductives whose positivity is assumed: <none>", "")},
        "does not say of these files all that it says of sound ones",
    ),
    "no second kernel": ({"coqchk": None}, "does not say of these files all"),
    "a theorem that is gone": ({"Square.zero": None}, "it has no Square.zero"),
    "axioms that are gone": ({"Square.zero/axioms": None}, "it has no Square.zero"),
    "a number for a statement": ({"Square.zero": 1}, "it has no Square.zero"),
    "other sources": ({"inputs": {"proofs/Square.v": "d" * 64}}, "other sources than its job pins"),
    "another Coq": ({"path": "8.18.0"}, "another Coq than its environment"),
}


@pytest.mark.parametrize("what", DOCTORED)
def test_a_doctored_record_proves_nothing(what: str, tmp_path: Path) -> None:
    """Its digest and its key are mended, as a careful forger would."""
    doctored, why = DOCTORED[what]
    found = findings(tmp_path, **doctored)["it"]
    assert (found.outcome, found.basis) == ("invalid", "proof")
    assert why in found.reason


def test_a_record_that_was_edited_by_hand_is_refused(tmp_path: Path) -> None:
    assert findings(tmp_path)["it"].outcome == "proved"
    (path,) = tmp_path.glob("jobs/*/record.json")
    path.write_text(path.read_text().replace("0 <= x * x", "0 <= x"))
    with pytest.raises(BrokenRecordError, match="was edited"):
        Store(tmp_path).load(path.parent.name)


def test_without_axioms_nothing_is_rested_on(tmp_path: Path) -> None:
    summary = "\n".join(
        line.replace("* Axioms:", "* Axioms: <none>")
        for line in SUMMARY.splitlines()
        if not line.startswith("    ")
    )
    doctored = {"Square.square/axioms": "", "coqchk": summary}
    found = findings(tmp_path, **doctored)["it"]
    assert (found.outcome, said(found, "rests-on")) == ("proved", {"axioms": "no axiom"})


def test_a_job_names_files_and_theorems_by_their_names() -> None:
    job = {"kind": "proof", "sources": {}, "theorems": {}}
    for wrong in (
        {"sources": {"../Square.v": "a" * 64}, "theorems": {"Square.square": "a" * 64}},
        {"sources": {"Square.v": "a" * 64}, "theorems": {"square": "a" * 64}},
        {"sources": {"Square.v": "a" * 64}},
    ):
        with pytest.raises(ValueError, match=r"sources|theorems"):
            ProofJob.model_validate_json(json.dumps(job | wrong))
