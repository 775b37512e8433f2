"""A record of proofs: each theorem says what the manifest pins and rests on allowed axioms alone.

Not covered: Coq itself, which is not run here; `proofs/check` runs it again.
"""

import hashlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from repro.schema.jobs import ProofJob
from repro.schema.kinds.proof import AXIOMS
from repro.store.record import Record
from verify.errors import InvalidError
from verify.records.consistency import Datasets, Difference, KindOfRecord

if TYPE_CHECKING:
    from repro.store.store import Arrays

_SHORT = frozenset(".".join(name.split(".")[-2:]) for name in AXIOMS)
"""The allowed axioms as `Print Assumptions` names them: module and name."""
_SUMMARY = (
    "* Theory: Set is predicative",
    "* Axioms:",
    "* Constants/Inductives relying on type-in-type: <none>",
    "* Constants/Inductives relying on unsafe (co)fixpoints: <none>",
    "* Inductives whose positivity is assumed: <none>",
)
"""What coqchk says of sound files, beside the axioms by their full names."""


def statement_digest(statement: str) -> str:
    """Digest of a statement as Coq prints it, with single blanks."""
    return hashlib.sha256(statement.encode()).hexdigest()


def axioms_of(record: Record, theorem: str) -> list[str]:
    """What a theorem rests on, as Coq names it."""
    return [name for name in str(record.values[f"{theorem}/axioms"]).split(", ") if name]


def _check(record: Record, job: ProofJob, arrays: "Arrays", datasets: Datasets) -> None:
    del arrays, datasets
    for wrong in _wrong(record, job):
        message = f"record {record.key[:12]}: {wrong}"
        raise InvalidError(message)


def _wrong(record: Record, job: ProofJob) -> Iterator[str]:
    read = {f"proofs/{name}": sha for name, sha in job.sources.items()}
    if {name: record.inputs.get(name) for name in read} != read:
        yield "it read other sources than its job pins"
    for name, digest in job.theorems.items():
        statement, axioms = record.values.get(name), record.values.get(f"{name}/axioms")
        if not isinstance(statement, str) or not isinstance(axioms, str):
            yield f"it has no {name}, which its job names"
        elif statement_digest(statement) != digest:
            yield f"its {name} is not the statement that its job pins"
        elif others := [each for each in axioms_of(record, name) if each not in _SHORT]:
            yield f"its {name} rests on {', '.join(others)}, which no proof may"
    yield from _refused(str(record.values.get("coqchk", "")))
    if record.path.get("coq") != record.environment.packages.get("coq"):
        yield "its path names another Coq than its environment"


def _refused(summary: str) -> Iterator[str]:
    """What the second kernel did not accept, or said otherwise than of sound files."""
    lines = summary.replace("* Axioms: <none>", "* Axioms:").splitlines()[2:]  # below its heading
    said = [line.strip() for line in lines if line.strip()]
    if others := [line for line in said if line not in (*_SUMMARY, *AXIOMS)]:
        yield f"coqchk found what no proof may rest on: {'; '.join(others)}"
    elif not set(_SUMMARY) <= set(said):
        yield "coqchk does not say of these files all that it says of sound ones"


def _differences(one: Record, other: Record) -> Iterator[Difference]:
    yield "jobs", one.job.specification(), other.job.specification()


KIND = KindOfRecord(numbers="*", differences=_differences, check=_check)
