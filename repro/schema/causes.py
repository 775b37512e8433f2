"""Why a finding is what it is, as data: a code with its values, and the sentence of each code.

`verify` names codes and never words; every page, table and line of text says a cause through `say`.
A new code is a line here; a test holds that every code is used and every value said.
"""

from collections.abc import Iterable, Mapping

from pydantic import Field

from repro.schema.base import Frozen

Value = str | int | float


class Cause(Frozen):
    """One reason of a finding, or one step of its working."""

    code: str
    """Key of `SENTENCES`."""
    values: Mapping[str, Value] = Field(default_factory=dict)
    """What the sentence names."""

    def __hash__(self) -> int:
        """A mapping has none; two causes that are equal say the same sentence."""
        return hash((self.code, *sorted(self.values)))


class Estimate(Frozen):
    """One number behind a finding."""

    label: str
    value: float
    low: float | None = None
    """End of the 95 % interval; None where there is none."""
    high: float | None = None
    unit: str = ""


SENTENCES: dict[str, str] = {
    "text": "{text}",
    # What a finding is worth, whatever its rule said. Each of the first five has a list of its own.
    "contradicted-if": "contradicted if {condition}",
    "fails-by-one-reading": "read as {failing} it fails, read as {others} it does not",
    "not-reproduced-here": "not reproduced under our settings",
    "at-the-floor": "at the floor: it may be what nothing looks like",
    "held": "held by all {count:,} that were sampled; samples can refute a theorem, not prove it",
    "not-quoted": "it fails, but the claim quotes no printed sentence that would",
    "step": "a step that a printed sentence needs, and no sentence of the paper: it {result}",
    "beside": "our own check, and no verdict on the paper: it {result}",
    # What keeps a measurement from deciding, and where it points.
    "holm": "over {tests} numbers p = {p:.2g} (Holm)",
    "few-settings": "{draws} of the {needed} settings needed ({repeated} more repeat one of them)",
    "divided-by-zero": "the improvement that is divided by may be 0: {ends}",
    "emulated-cap": "the cap is emulated on a card of {gib:.1f} GiB",
    "other-hardware": "decided on {hardware} alone, measured on {others}",
    "tier-and-stand-in": "tier {tier}, {checkpoint} stands in",
    "tier": "tier {tier}",
    "substituted": "{name} was substituted",
    "other-files": "{checkpoint} has other files than the catalog pins",
    "smaller-batch": "{checkpoint} was asked {took} at a time and the setting asks for {asked}",
    "drift": "drift: {package} {installed}, pinned {pinned}",
    "engine-differs": "the engine {engine} gives {apart} of {asked} answers to its sample "
    "otherwise than lm-eval, which gives {own} otherwise under another batch size",
    "points-to": "points to {outcome}",
    "pinned-on-first-use": "pinned on first use: {names}",
    # What a check would have noticed.
    "no-control": "no control",
    "controls-caught": "{count} of its controls caught",
    # What was not run.
    "no-job": "no job for it: {needs}",
    "no-run-here": "no run of it in these results: repro run manifests/{manifest}.json",
    # Of a sentence that can be read in several ways.
    "open-words": "cannot be checked as printed: {missing}",
    "no-reading": "no reading of it can be measured",
    "every-reading": "{outcome} under every reading tried",
    "reading-waits": "a reading of it was not run: {names}",
    "depends-on-reading": "it depends on the reading",
}
"""Code to sentence; what stands in braces is a value, with its format."""

LISTS: dict[str, str] = {
    "contradicted-if": "Contradicted under a condition",
    "fails-by-one-reading": "Fails by one reading of several",
    "not-reproduced-here": "Not reproduced under our settings",
    "at-the-floor": "At the floor",
    "held": "Held by every sample, which proves nothing",
}
"""Codes that make a list of their own among what is inconclusive, with its heading."""


STAND_INS: dict[str, str] = {"tier-and-stand-in": "checkpoint", "substituted": "name"}
"""Codes that say that something stood in for what the paper has, and the value that names it."""

NOTICES = frozenset(("power", "other-values-accepted", "controls-caught", "no-control"))
"""Codes that say which difference a check would have noticed."""


def cause(code: str, **values: Value) -> Cause:
    """A cause.

    Raises:
        KeyError: if there is no such code, or a value that its sentence names is not given.
    """
    made = Cause(code=code, values=values)
    say(made)
    return made


def say(one: Cause) -> str:
    """The sentence of a cause."""
    return SENTENCES[one.code].format(**one.values)


def say_all(causes: Iterable[Cause]) -> str:
    """Several causes as one sentence."""
    return "; ".join(map(say, causes))
