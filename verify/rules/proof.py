"""Claims that theorems decide: what was printed follows from them, or they refute it.

`verify.records.proof` has held each theorem to the statement that the manifest pins and to the
allowed axioms by then. Whether the statement says what the paper says is the manifest's word, in
`differs`: nothing here can check it, and everybody can read it.
"""

from typing import TYPE_CHECKING

from repro.schema.causes import Cause, cause
from repro.schema.measured_claims import ProofClaim
from verify.evidence import Evidence
from verify.outcome import JudgedClaim, RuleDecision, first_few_texts
from verify.records.proof import axioms_of

if TYPE_CHECKING:
    from repro.schema.finding import Outcome


def decide(claim: ProofClaim, evidence: Evidence) -> JudgedClaim:
    """Proved, contradicted by an exact counterexample, or open where a reading is left open."""
    loaded = [evidence.get(job) for job in claim.jobs]
    record = loaded[0].record
    names = first_few_texts(claim.theorems)
    axioms = sorted({axiom for name in claim.theorems for axiom in axioms_of(record, name)})
    proves = claim.relation == "proves"
    outcome: Outcome = "reproduced" if proves else "contradicted"
    first: list[Cause] = []
    if claim.left_open and proves:
        outcome, first = "inconclusive", [cause("proved-in-part", left_open=claim.left_open)]
    elif claim.left_open:
        failing = claim.reading or "it is printed"
        why = cause("fails-by-one-reading", failing=failing, others=claim.left_open)
        outcome, first = "inconclusive", [why]
    by = "proved-by" if proves else "refuted-by"
    decided = RuleDecision(
        outcome,
        published="sentence",
        measured=names,
        margin="exact",
        causes=(
            *first,
            cause(by, theorems=names, version=record.path["coq"]),
            cause("against-the-words", differs=claim.differs),
        ),
        working=(cause("rests-on", axioms=", ".join(axioms) or "no axiom"),),
    )
    return JudgedClaim(decided, None, loaded)
