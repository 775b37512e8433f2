"""Writes `docs/theorems.md`: each theorem as printed, as proved and as measured.

    python -m tools.describe_theorems > docs/theorems.md
    proofs/check --keep NEW && python -m tools.describe_theorems job NEW
                                     the job that pins what is in proofs/ now

All of it is from the manifests and from `evidence/`; nothing is measured here.
"""

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from repro import fileio, paths
from repro.report import collect, rows
from repro.report.words import word_of
from repro.schema import validate
from repro.schema.finding import Finding
from repro.schema.jobs import ProofJob
from repro.schema.manifest import Manifest
from repro.schema.measured_claims import ProofClaim
from repro.store import run_file
from repro.store.record import Record
from repro.store.store import Store
from repro.text import in_markdown
from runner.proofs import read_values
from tools import command
from verify.records.proof import statement_digest

PROOFS = paths.ROOT / "proofs"
HEADING = """# The theorems

Made by `python -m tools.describe_theorems` from `manifests/proofs*.json` and `evidence/`. What is
printed stands beside what Coq has checked, with the difference said in words. The constants are
those of [proofs/README.md](../proofs/README.md#the-constants), where each hypothesis has its
equation and its line of code. Measured is the worst of the sampled layers, in float64: of Theorems
1 and 2 a deviation over the bound of `DeviationBounds.v`, at most 1 where it holds. What each word
means: [verdicts](verdicts.md).
"""


def describe_job(kept: Path) -> str:
    """The job of what `proofs/check --keep` compiled in a folder."""
    sources = {each.name: fileio.digest_of_file(each) for each in sorted(PROOFS.glob("*.v"))}
    names = sorted(each.stem for each in (kept / "statements").glob("*.out"))
    draft = ProofJob(kind="proof", sources=sources, theorems=dict.fromkeys(names, "0" * 64))
    said = read_values(draft, kept)
    theorems = {name: statement_digest(str(said[name])) for name in names}
    return json.dumps(draft.model_copy(update={"theorems": theorems}).model_dump(), indent=1)


def describe(evidence: Path) -> str:
    """The page."""
    seen = collect.gather(run_file.folders_of([evidence]))
    strongest = rows.strongest_findings(rows.rows(seen))
    found = {(row.manifest, row.finding.claim): row.finding for row in strongest}
    records = [record for record in _records(evidence) if isinstance(record.job, ProofJob)]
    manifests = [each for each in validate.load_manifests([]) if _claims(each)]
    parts = [HEADING]
    for manifest in manifests:
        parts.append(f"## {manifest.title} ({manifest.paper.version})\n")
        for claim in _claims(manifest):
            finding = found[manifest.id, claim.id]
            parts.append("\n".join(_section(claim, finding, _measured(claim, found))))
    if records:
        parts.append("\n".join(_statements(records[0], manifests)))
    return "\n".join(parts)


def _records(evidence: Path) -> Iterator[Record]:
    for folder in run_file.folders_of([evidence]):
        for run in run_file.read(folder)[0].values():
            if run.manifest.startswith("proofs"):
                yield from (Store(folder).load(key)[0] for key in run.jobs.values())


def _claims(manifest: Manifest) -> list[ProofClaim]:
    return [each for each in manifest.claims if isinstance(each, ProofClaim)]


def _measured(claim: ProofClaim, found: Mapping[tuple[str, str], Finding]) -> list[str]:
    """What the samples of the same sentence came to: the claims of the same name."""
    name = claim.id.removesuffix(".proof")
    return [
        f"{in_markdown(finding.measured)} (`{manifest}:{other}`)"
        for (manifest, other), finding in found.items()
        if (other == name or other.startswith(f"{name}."))
        and any(each.code in ("held", "exact-algebra") for each in finding.causes)
    ]


def _section(claim: ProofClaim, finding: Finding, measured: list[str]) -> Iterator[str]:
    yield f"### {claim.id}: {word_of(finding).replace('-', ' ')}\n"
    yield "| | |\n|---|---|"
    yield f"| printed, {in_markdown(claim.place.section)} | {in_markdown(finding.quote or '—')} |"
    if claim.reading:
        yield f"| read | {in_markdown(claim.reading)} |"
    label = "proved" if claim.relation == "proves" else "refuted by"
    yield f"| {label} | {in_markdown(claim.statement)} |"
    yield f"| against the printed words | {in_markdown(claim.differs)} |"
    if claim.left_open:
        yield f"| left open | {in_markdown(claim.left_open)} |"
    if measured:
        yield f"| measured | {'; '.join(measured)} |"
    yield f"| theorems | {', '.join(map(_link, claim.theorems))} |\n"


def _link(theorem: str) -> str:
    """Where a theorem stands: its file and line."""
    file, _, name = theorem.partition(".")
    lines = (PROOFS / f"{file}.v").read_text(encoding="utf-8").splitlines()
    at = next(n for n, line in enumerate(lines, 1) if line.split()[:2] == ["Theorem", name])
    return f"[`{theorem}`](../proofs/{file}.v#L{at})"


def _statements(record: Record, manifests: list[Manifest]) -> Iterator[str]:
    named = sorted({name for each in manifests for one in _claims(each) for name in one.theorems})
    yield "## What Coq has checked\n"
    yield (
        f"Coq {record.path['coq']}, record `{record.key[:12]}`: each statement as Coq prints it, "
        "whose digest the manifest pins.\n"
    )
    for name in named:
        yield f"{_link(name)}\n\n```coq\n{record.values[name]}\n```\n"


def main(arguments: list[str]) -> None:
    """Print the page, or the job."""
    if arguments[:1] == ["job"] and len(arguments) == 2:  # noqa: PLR2004
        print(describe_job(Path(arguments[1])))
    elif arguments:
        command.parser(__doc__).parse_args(arguments)
    else:
        print(describe(paths.ROOT / "evidence"), end="")


if __name__ == "__main__":
    command.run(lambda: main(sys.argv[1:]))
