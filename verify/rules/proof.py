"""Claims that theorems decide: what was printed follows from them, or they refute it.

`verify.records.proof` has held each theorem to the statement that the manifest pins and to the
allowed axioms by then. Whether the statement says what the paper says is the manifest's word, in
`differs`: nothing here can check it, and everybody can read it.
"""

from typing import TYPE_CHECKING

from repro.schema.causes import cause
from repro.schema.measured_claims import ProofClaim
from repro.text import plural
from verify.evidence import Evidence
from verify.outcome import JudgedClaim, RuleDecision
from verify.records.proof import axioms_of

if TYPE_CHECKING:
    from repro.schema.finding import Outcome


def decide(claim: ProofClaim, evidence: Evidence) -> JudgedClaim:
    """Proved, contradicted by an exact counterexample, or open where a reading is left open."""
    loaded = [evidence.get(job) for job in claim.jobs]
    record = loaded[0].record
    version = record.path["coq"]
    axioms = sorted({axiom for name in claim.theorems for axiom in axioms_of(record, name)})
    working = [cause("rests-on", axioms=", ".join(axioms) or "no axiom")]
    if claim.relation == "proves":
        outcome: Outcome = "reproduced"
        why = [cause("proved-by", theorems=", ".join(claim.theorems), version=version)]
        measured = plural(len(claim.theorems), "theorem")
        if claim.left_open:
            outcome = "inconclusive"
            why.insert(0, cause("proved-in-part", left_open=claim.left_open))
    else:
        outcome = "contradicted"
        first, *others = claim.theorems
        why = [cause("refuted-by", theorem=first, version=version)]
        measured = "a counterexample"
        if others:
            working.insert(0, cause("beside-it", theorems=", ".join(others)))
        if claim.left_open:
            outcome = "inconclusive"
            read = {"failing": claim.reading or "it is printed", "others": claim.left_open}
            why.insert(0, cause("fails-by-one-reading", **read))
    why.append(cause("against-the-words", differs=claim.differs))
    decided = RuleDecision(outcome, "sentence", measured, "exact", tuple(why), tuple(working))
    return JudgedClaim(decided, None, loaded)
