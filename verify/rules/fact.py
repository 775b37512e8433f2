"""Facts, decided from the text of the pinned packages' files alone.

A claim that misquotes its file is `invalid`, whatever the file says: its digest, its lines
and what it rests on have to be what they were when the claim was written.
"""

import ast
import functools
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal

from repro.decimals import half_unit, printed_interval
from repro.errors import ReproError
from repro.inputs import sources
from repro.inputs.sources import SourceChangedError, SourceMissingError
from repro.schema.causes import Cause, Value, cause, say
from repro.schema.finding import Outcome
from repro.schema.manifest import Manifest
from repro.schema.page_claims import (
    AnyLookup,
    DefaultLookup,
    FactClaim,
    LinearLookup,
    LineLookup,
    PassedLookup,
)
from verify.outcome import RuleDecision


@dataclass(frozen=True)
class _AnsweredLookup:
    """A lookup, with what it found."""

    lookup: AnyLookup
    value: str
    line: Cause
    """The line of the file, and where it was read; where it was not, its digest."""

    @property
    def holds(self) -> bool:
        return self.value == self.lookup.claimed

    @property
    def says(self) -> Cause:
        return _said(self.lookup, self.value)

    @property
    def named(self) -> dict[str, Value]:
        return {"place": _place(self.lookup), "value": self.value}

    def paper_in_words(self) -> Iterator[Cause]:
        """What it says, and what is claimed where that is something else."""
        yield self.says
        if not self.holds:
            yield cause("claimed", claimed=self.lookup.claimed)


def decide(manifest: Manifest, claim: FactClaim) -> RuleDecision:
    """Decide one claim about the code; never `reproduced` when nothing was looked up."""
    looked: list[_AnsweredLookup] = []
    missing, wrong = list[Cause](), list[Cause]()
    for lookup in claim.looked_up():
        try:
            looked.append(_answer_lookup(lookup))
        except SourceMissingError as error:
            missing.append(cause("source-missing", why=str(error)))
        except (SourceChangedError, LookupFailedError) as error:
            wrong.append(cause("misquoted", why=str(error)))
    found, premises = looked[: len(claim.lookups)], looked[len(claim.lookups) :]
    if not wrong and not missing:
        wrong = [
            cause("premise-fails", claimed=each.lookup.claimed, **each.named)
            for each in premises
            if not each.holds
        ]
    if wrong:
        return _undecided(manifest, claim, "invalid", wrong)
    if missing:
        remedy = cause("fetch-the-archive", manifest=manifest.id)
        return _undecided(manifest, claim, "not-run", [*missing, remedy])
    if claim.relation == "ratio":
        return _ratio(manifest, claim, found, premises)
    outcome: Outcome = "reproduced" if all(each.holds for each in found) else "contradicted"
    published = _joined([each.lookup.claimed for each in found])
    measured = _joined([each.value for each in found])
    says = [one for each in found for one in each.paper_in_words()]
    return _decided(outcome, (published, measured, "exact"), says, found, premises)


def _answer_lookup(lookup: AnyLookup) -> _AnsweredLookup:
    """Look one thing up, and hold it to the line that the claim names."""
    try:
        read = sources.read(lookup.source)
    except SourceMissingError:
        if (answer := sources.indexed_answer(lookup)) is None:
            raise
        digests = {"line": answer.line_sha256[:12], "archive": answer.archive[:12]}
        line = cause("line-of-the-index", place=_place(lookup), **digests)
        return _AnsweredLookup(lookup, answer.value, line)
    try:
        found = look_up(lookup, read.text)
    except LookupFailedError as error:
        message = f"{_place(lookup)}: {error}"
        raise LookupFailedError(message) from error
    if found.line != lookup.line:
        message = f"{say(_said(lookup, found.value))} on line {found.line}"
        raise LookupFailedError(message)
    text = read.text.split("\n")[found.line - 1].strip()
    line = cause("line-read", place=_place(lookup), line=text, where=read.where)
    return _AnsweredLookup(lookup, found.value, line)


def _ratio(
    manifest: Manifest,
    claim: FactClaim,
    found: Sequence[_AnsweredLookup],
    premises: Sequence[_AnsweredLookup],
) -> RuleDecision:
    """The first number found over the second, beside the published one."""
    printed = manifest.text_of(claim.published or "")
    possible = printed_interval(printed)
    try:
        over, under = (Decimal(each.value) for each in found)
        ratio = over / under
        within = possible.low <= ratio <= possible.high
    except (ValueError, ArithmeticError):
        shown = " and ".join(each.value for each in found)
        return _undecided(manifest, claim, "invalid", [cause("no-quotient", values=shown)])
    outcome: Outcome = "reproduced" if within else "contradicted"
    quotient = f"{over} / {under} = {float(ratio):.4g}"
    sides = (printed, quotient, f"± {half_unit(printed)}")
    says = [cause("quotient", quotient=quotient, published=printed), *(e.says for e in found)]
    return _decided(outcome, sides, says, found, premises)


def _decided(
    outcome: Outcome,
    sides: tuple[str, str, str],
    says: Sequence[Cause],
    found: Sequence[_AnsweredLookup],
    premises: Sequence[_AnsweredLookup],
) -> RuleDecision:
    why = (*says, *(cause("premise", **each.named) for each in premises))
    return RuleDecision(outcome, *sides, why, tuple(each.line for each in (*found, *premises)))


def _undecided(
    manifest: Manifest, claim: FactClaim, outcome: Outcome, why: Sequence[Cause]
) -> RuleDecision:
    claimed = _joined([lookup.claimed for lookup in claim.lookups])
    published = manifest.text_of(claim.published) if claim.published else claimed
    each_once = tuple(one for place, one in enumerate(why) if one not in why[:place])
    return RuleDecision(outcome, published, "—", "exact", each_once)


def _joined(values: Sequence[str]) -> str:
    return "; ".join(dict.fromkeys(values))


def _place(lookup: AnyLookup) -> str:
    source = lookup.source
    return f"{source.package} {source.version}, {source.file}:{lookup.line}"


def _said(lookup: AnyLookup, value: str) -> Cause:
    """What was found, as a sentence about where it was looked for."""
    said: dict[str, Value] = {"place": _place(lookup), "value": value}
    match lookup:
        case DefaultLookup():
            return cause("default-is", function=lookup.function, parameter=lookup.parameter, **said)
        case PassedLookup():
            return cause("passed-as", submodule=lookup.submodule, callee=lookup.callee, **said)
        case LinearLookup():
            return cause("linear-of", submodule=lookup.submodule, **said)
        case LineLookup():
            return cause("line-is", what=lookup.what, **said)
    return cause("returns", function=lookup.function, **said)


# -----------------------------------------------------------------------------
# What stands in a source file, found by parsing it.
#
# Every lookup says what it found and on which line. Variables are followed back through plain
# assignments, whatever branch they stand in: what is found *may* reach the place asked about.

Scope = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


class LookupFailedError(ReproError):
    """The file has no such function, parameter, call or layer."""


@dataclass(frozen=True)
class LookupResult:
    """What a lookup found."""

    line: int
    value: str


def look_up(lookup: AnyLookup, text: str) -> LookupResult:
    """Look something up in the text of its file.

    Raises:
        LookupFailedError: if there is nothing that the question could be about.
    """
    if isinstance(lookup, LineLookup):
        return _line(lookup, text)
    scope = _definition(_parsed(text).body, lookup.function)
    if isinstance(lookup, DefaultLookup):
        found = _field(scope) if isinstance(scope, ast.ClassDef) else _defaults(scope)
        if lookup.parameter not in found:
            message = f"{lookup.function} has no default for {lookup.parameter}"
            raise LookupFailedError(message)
        return found[lookup.parameter]
    if isinstance(lookup, PassedLookup):
        return _passed(scope, lookup)
    if isinstance(lookup, LinearLookup):
        return _linear(scope, lookup)
    return _nearest(list(_returned(scope)), lookup.line, f"{lookup.function} returns nothing")


@functools.lru_cache(maxsize=32)
def _parsed(text: str) -> ast.Module:
    try:
        return ast.parse(text)
    except (SyntaxError, ValueError) as error:
        message = f"it is not Python: {error}"
        raise LookupFailedError(message) from error


def _definition(body: Sequence[ast.stmt], name: str) -> Scope:
    """The function or class of that qualified name."""
    first, _, rest = name.partition(".")
    found = next((each for each in body if isinstance(each, Scope) and each.name == first), None)
    if found is None:
        message = f"there is no {first}"
        raise LookupFailedError(message)
    return _definition(found.body, rest) if rest else found


def _nearest(found: Sequence[LookupResult], line: int, otherwise: str) -> LookupResult:
    """The one on the line that the claim names, or else the first."""
    if not found:
        raise LookupFailedError(otherwise)
    return next((each for each in found if each.line == line), found[0])


def _line(lookup: LineLookup, text: str) -> LookupResult:
    digests = [hashlib.sha256(line.strip().encode()).hexdigest() for line in text.split("\n")]
    if lookup.line > len(digests):
        message = f"the file has {len(digests)} lines"
        raise LookupFailedError(message)
    lines = [number for number, each in enumerate(digests, 1) if each == lookup.line_sha256]
    found = [LookupResult(number, "present") for number in lines]
    return _nearest(found or [LookupResult(lookup.line, "absent")], lookup.line, "")


def _defaults(scope: ast.FunctionDef | ast.AsyncFunctionDef) -> dict[str, LookupResult]:
    """Parameters that have a default."""
    of = scope.args
    named = [*of.posonlyargs, *of.args]
    last = named[len(named) - len(of.defaults) :]
    pairs = [*zip(last, of.defaults, strict=True), *zip(of.kwonlyargs, of.kw_defaults, strict=True)]
    return {
        each.arg: LookupResult(each.lineno, ast.unparse(value)) for each, value in pairs if value
    }


def _field(scope: ast.ClassDef) -> dict[str, LookupResult]:
    """Fields that have a value; `field(default=1)` has the value 1."""
    found = {}
    for each in scope.body:
        if isinstance(each, ast.Assign | ast.AnnAssign) and each.value is not None:
            value = each.value
            if isinstance(value, ast.Call) and ast.unparse(value.func) == "field":
                given = [word.value for word in value.keywords if word.arg == "default"]
                value = given[0] if given else value
            targets = each.targets if isinstance(each, ast.Assign) else [each.target]
            for target in targets:
                found[ast.unparse(target)] = LookupResult(each.lineno, ast.unparse(value))
    return found


def _linear(scope: Scope, lookup: LinearLookup) -> LookupResult:
    """Sizes of every linear layer that is assigned to the submodule."""
    found = []
    for each in ast.walk(scope):
        if isinstance(each, ast.Assign) and isinstance(each.value, ast.Call):
            made, names = each.value, [ast.unparse(target) for target in each.targets]
            is_linear = ast.unparse(made.func).rpartition(".")[2] == "Linear"
            if f"self.{lookup.submodule}" in names and is_linear and len(made.args) > 1:
                inputs, outputs = (ast.unparse(size) for size in made.args[:2])
                found.append(LookupResult(each.lineno, f"{inputs} -> {outputs}"))
    return _nearest(
        found, lookup.line, f"{lookup.function} makes no linear layer self.{lookup.submodule}"
    )


def _returned(scope: Scope) -> Iterator[LookupResult]:
    """Everything that a function may return."""
    assigned = _assigned(scope)
    for each in ast.walk(scope):
        if isinstance(each, ast.Return) and each.value is not None:
            name = each.value.id if isinstance(each.value, ast.Name) else ""
            for value in assigned.get(name, [each.value]):
                yield LookupResult(value.lineno, ast.unparse(value))


def _passed(scope: Scope, lookup: PassedLookup) -> LookupResult:
    calls = [
        each
        for each in ast.walk(scope)
        if isinstance(each, ast.Call) and ast.unparse(each.func) == lookup.callee
    ]
    if not calls:
        message = f"{lookup.function} does not call {lookup.callee}"
        raise LookupFailedError(message)
    reached = [value for call in calls for value in _reaching(scope, call)]
    uses = [use for value in reached for use in _uses(value, f"self.{lookup.submodule}")]
    for how in ("module", "weight"):
        lines = [use.line for use in uses if use.value == how]
        if lines:
            return LookupResult(min(lines), how)
    return LookupResult(calls[0].lineno, "absent")


def _reaching(scope: Scope, call: ast.Call) -> list[ast.expr]:
    """The arguments of a call, and what was assigned before it to the variables in them."""
    assigned = _assigned(scope)
    reached = [*call.args, *(word.value for word in call.keywords)]
    seen = set[str]()
    for value in reached:  # grows while it is walked
        names = {each.id for each in ast.walk(value) if isinstance(each, ast.Name)} - seen
        seen |= names
        before = (each for name in sorted(names) for each in assigned.get(name, ()))
        reached.extend(each for each in before if each.lineno < call.lineno)
    return reached


def _assigned(scope: Scope) -> dict[str, list[ast.expr]]:
    """Variables, with everything that is assigned to them."""
    found: dict[str, list[ast.expr]] = {}
    for each in ast.walk(scope):
        if isinstance(each, ast.Assign):
            for target in each.targets:
                several = target.elts if isinstance(target, ast.Tuple | ast.List) else [target]
                for name in several:
                    if isinstance(name, ast.Name):
                        found.setdefault(name.id, []).append(each.value)
    return found


def _uses(node: ast.AST, module: str) -> Iterator[LookupResult]:
    """Every use of a module in an expression; its bias is none."""
    if isinstance(node, ast.Attribute):
        if ast.unparse(node) == module:
            yield LookupResult(node.lineno, "module")
        elif ast.unparse(node.value) == module:
            if node.attr != "bias":
                yield LookupResult(node.lineno, "weight" if node.attr == "weight" else "module")
        else:
            yield from _uses(node.value, module)
        return
    for child in ast.iter_child_nodes(node):
        yield from _uses(child, module)
