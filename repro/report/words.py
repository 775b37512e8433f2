"""The word of each claim, and whose word is another one in other results or of another release.

A word is the outcome of a claim, or the list that an inconclusive one stands in; what is no printed
sentence has a result. Words are taken of results, or read from a file that an older version wrote:
by `repro verify --json`, with --since or without, or snapshots as in docs/verdict-changes.json.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic import ConfigDict, TypeAdapter

from repro import json_text
from repro.errors import BadInputError, Problem, cannot_read
from repro.report import rows
from repro.report.report_data import ReportData
from repro.schema.base import Frozen
from repro.schema.claim_base import Text
from repro.schema.finding import Finding

Words = dict[str, str]
"""`<manifest>:<claim>` to its word."""

NONE = "no claim"
"""Word of a claim that is new, or gone."""


class WordChange(Frozen):
    """One claim with another word."""

    claim: str
    before: str
    after: str


class WordChanges(Frozen):
    """What became of the words of one set of results in another."""

    changed: tuple[WordChange, ...]
    """Claims that both have."""
    only_before: tuple[str, ...]
    only_after: tuple[str, ...]
    words: Words
    """Every word after, for the next comparison."""


def word_of(finding: Finding) -> str:
    """What is said of a claim: its outcome, its list, or the result of what is no sentence."""
    if finding.standing != "printed":
        return f"{finding.standing}: {finding.result or finding.outcome}"
    return finding.listed_under or finding.outcome


def words_of(data: ReportData) -> Words:
    """The word of every claim of every manifest, by the run that says most."""
    every = rows.strongest_findings(rows.rows(data))
    return {f"{row.manifest}:{row.finding.claim}": word_of(row.finding) for row in every}


def differing(before: Mapping[str, str], after: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    """Claims whose word is another one, with both; a claim that is only in one has none there."""
    sides = {name: (before.get(name, NONE), after.get(name, NONE)) for name in {**before, **after}}
    return {name: side for name, side in sides.items() if side[0] != side[1]}


def changes(before: Words, after: Words) -> WordChanges:
    """The same, with what is only on one side apart."""
    both = {name: side for name, side in differing(before, after).items() if NONE not in side}
    return WordChanges(
        changed=tuple(WordChange(claim=one, before=b, after=a) for one, (b, a) in both.items()),
        only_before=tuple(name for name in before if name not in after),
        only_after=tuple(name for name in after if name not in before),
        words=after,
    )


# -----------------------------------------------------------------------------
# Words that were kept.


class _KeptFinding(Finding):
    """A finding of another version, which may have fields that this one does not know."""

    model_config = ConfigDict(extra="ignore")


class _KeptVerdict(Frozen):
    model_config = ConfigDict(extra="ignore")

    manifest: Text
    findings: tuple[_KeptFinding, ...]


def load(path: Path) -> Words:
    """Words that were kept in a file; of snapshots the last.

    Raises:
        BadInputError: if it cannot be read, or says no word of any claim.
    """
    try:
        found = _words_in(path, json_text.load(path))
    except OSError as error:
        raise BadInputError(cannot_read(path, error)) from error
    except ValueError as error:
        said = json_text.explain_error(error)
        raise BadInputError(f"{path} has no words", [Problem(str(path), said, _KEPT)]) from error
    if not found:
        raise BadInputError(f"{path} has no words", [Problem(str(path), "no claim", _KEPT)])
    return found


_KEPT = (
    "what `repro verify --json` printed, with --since or without, or the snapshots of "
    "docs/verdict-changes.json"
)


def _words_in(path: Path, found: Any) -> Words:  # noqa: ANN401  # any JSON
    if isinstance(found, list):
        verdicts = json_text.load_model(path, TypeAdapter(list[_KeptVerdict]).validate_json)
        return _of_verdicts(verdicts)
    if isinstance(found, dict) and isinstance(found.get("snapshots"), dict):
        found = next(reversed(found["snapshots"].values()), {})
    elif isinstance(found, dict) and "words" in found:
        found = found["words"]
    return TypeAdapter(dict[Text, Text]).validate_python(found, strict=True)


def _of_verdicts(verdicts: Iterable[_KeptVerdict]) -> Words:
    best: dict[str, Finding] = {}
    for verdict in verdicts:
        for one in verdict.findings:
            name = f"{verdict.manifest}:{one.claim}"
            best[name] = min(best.get(name, one), one, key=rows.rank)
    return {name: word_of(one) for name, one in best.items()}
