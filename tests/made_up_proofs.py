"""A job of one made-up theorem, its record, and claims that it decides. No Coq anywhere."""

import hashlib
from pathlib import Path
from typing import Any

import made_up_records as records

from repro.schema.finding import Finding
from repro.schema.jobs import ProofJob
from repro.store.commitments import commitments_of
from repro.store.run_file import RunFile
from repro.store.store import Store
from verify.evidence import Evidence
from verify.judge import judge

STATEMENT = "forall x : R, 0 <= x * x"
OTHER = "exists x : R, x + x = 0"
SUMMARY = """CONTEXT SUMMARY
===============

* Theory: Set is predicative

* Axioms:
    Coq.Logic.Classical_Prop.classic
    Coq.Reals.ClassicalDedekindReals.sig_forall_dec

* Constants/Inductives relying on type-in-type: <none>

* Constants/Inductives relying on unsafe (co)fixpoints: <none>

* Inductives whose positivity is assumed: <none>"""
"""As coqchk 8.16 prints it."""
VALUES = {
    "Square.square": STATEMENT,
    "Square.square/axioms": "ClassicalDedekindReals.sig_forall_dec, Classical_Prop.classic",
    "Square.zero": OTHER,
    "Square.zero/axioms": "",
    "Square.vo": "b" * 64,
    "coqchk": SUMMARY,
}


def sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


JOB = ProofJob(
    kind="proof",
    sources={"Square.v": "a" * 64},
    theorems={"Square.square": sha(STATEMENT), "Square.zero": sha(OTHER)},
)
CLAIM = {
    "id": "it",
    "kind": "proof",
    "statement": "squares are not negative",
    "place": {"section": "3"},
    "quote": "as printed",
    "depends_on": [],
    "jobs": ["proofs"],
    "theorems": ["Square.square"],
    "relation": "proves",
    "differs": "of real numbers",
}


def _claim(said: dict[str, Any]) -> dict[str, Any]:
    """A claim of a theorem but for what is said otherwise, or one of another kind as it is."""
    return said if said.get("kind", "proof") != "proof" else CLAIM | said


def findings(
    root: Path, *claims: dict[str, Any], path: str = "8.16.1", **doctored: Any
) -> dict[str, Finding]:
    """Findings of some claims; `doctored` are values that the record says otherwise, None: not."""
    group = {"kind": "single", "id": "proofs", "tiers": ["full"], "job": JOB.model_dump()}
    claimed = records.manifest(jobs=[group], claims=[_claim(each) for each in claims or ({},)])
    store, machine = Store(root), records.this_machine()
    machine = machine.model_copy(update={"packages": {**machine.packages, "coq": "8.16.1"}})
    inputs = doctored.pop("inputs", {"proofs/Square.v": "a" * 64, "proofs/check": "c" * 64})
    values = {name: each for name, each in (VALUES | doctored).items() if each is not None}

    def change(_: dict[str, Any], fields: dict[str, Any]) -> None:
        fields["path"] = {"coq": path}

    key = records.save_record(store, JOB, {}, machine, change, values=values, inputs=inputs)
    run = RunFile(
        schema_version=2,
        manifest=claimed.id,
        file=f"{claimed.id}.json",
        tier="full",
        started="2026-01-01T00:00:00+00:00",
        committed=commitments_of(claimed),
        substitutions={},
        jobs={"proofs": key},
        missing={},
    )
    verdict = judge(claimed, Evidence(claimed, run, store, {}, {}), {})
    return {each.claim: each for each in verdict.findings}
