"""Planted claims on printed numbers and on pinned code, in which nothing is random.

Behind each stands how its numbers were made: from what, and where the slip is.
"""

import hashlib
import importlib.metadata
from pathlib import Path
from typing import Any

from planted.claims import Paper

CONFIG = "transformers/models/mamba/configuration_mamba.py"


def plant(paper: Paper) -> None:
    """Plant claims of every kind that the page or the code decides."""
    for each in (
        _ratios,
        _repeats,
        _trends,
        _questions,
        _baselines,
        _wins,
        _means,
        _orderings,
        _facts,
        _sentences,
        _standings,
    ):
        each(paper)


def _ratios(paper: Paper) -> None:
    """A speed of 1.300 against 1.000, memory of 50 against 60 GB, and what may be said of them."""

    def ratio(name: str, text: str, of: list[str], truth: Any, outcome: str, **more: Any) -> None:
        unit = "times" if more["form"].startswith("times") else "percent"
        if more["form"] == "plain":
            unit = "GB"
        said = {"relation": "equals", **more}
        paper.claim(f"ratio.{name}", "ratio", truth, outcome, of=of, **said,
                    published=paper.value(text, unit))  # fmt: skip

    fast, slow = paper.values("1.300", "1.000", unit="tokens")
    more = {"form": "percent-more", "of": [fast, slow]}
    ratio("true", "30", truth="true", outcome="consistent", **more)
    ratio("wrong-denominator", "23", truth="false", outcome="contradicted", **more)  # 0.3 / 1.3
    share = {"form": "percent-of", "of": [slow, fast]}
    ratio("share", "76.9", truth="true", outcome="consistent", **share)
    ratio("unit-slip", "0.769", truth="false", outcome="contradicted", **share)  # no percent
    times = {"form": "times", "relation": "at-least"}
    one, two, three, four = paper.values("2.0", "4.2", "3.9", "3.0", unit="tokens")
    ratio("at-least", "2", [two, one], "true", "consistent", **times)
    # 3.9 may be 3.95 and 2.0 may be 1.95: 1.88 to 2.03 times.
    ratio("at-least-open", "2", [three, one], "open", "inconclusive", **times)
    ratio("at-least-false", "2", [four, one], "false", "contradicted", **times)
    at_most = {"form": "plain", "relation": "at-most"}
    memory = paper.value("21.5", "GB")
    ratio("at-most", "22", [memory], "true", "consistent", **at_most)
    ratio("at-most-false", "21", [memory], "false", "contradicted", **at_most)
    cut = {"form": "times-per-reduction", "of": [paper.value("50.0")]}
    ratio("reduction", "2", truth="true", outcome="consistent", **cut)
    ratio("reduction-false", "1.5", truth="false", outcome="contradicted", **cut)  # 1 + 50 %
    nothing = paper.value("0.0", "tokens")
    ratio("by-nothing", "7", [fast, nothing], "open", "inconclusive", form="times")


def _repeats(paper: Paper) -> None:
    """One number that is printed twice: 0.1304 as 0.13 and 0.130, and others."""
    for name, left, right, truth, outcome in (
        ("true", "0.13", "0.130", "true", "consistent"),
        ("false", "0.13", "0.15", "false", "contradicted"),
        ("two-roundings", "0.13", "0.14", "open", "inconclusive"),  # 0.135, halves up or to even
        ("unit-slip", "0.13", "13", "false", "contradicted"),  # a fraction, and percent
    ):
        both = {"left": [paper.value(left)], "right": [paper.value(right)]}
        paper.claim(f"repeat.{name}", "repeat", truth, outcome, **both)


def _trends(paper: Paper) -> None:
    """Series that rise, or do not, and series that go together, or do not."""
    for name, texts, truth, outcome in (
        ("true", ["1.1", "2.0", "3.4"], "true", "consistent"),
        ("false", ["1.1", "3.4", "2.0"], "false", "contradicted"),
        ("open", ["1.1", "2.0", "2.0"], "open", "inconclusive"),  # 1.98 and 2.02, or the reverse
    ):
        of = paper.values(*texts)
        paper.claim(f"monotone.{name}", "monotone", truth, outcome, of=of, direction="rising")
    rising, falling = ["0.10", "0.30", "0.50"], ["0.50", "0.30", "0.10"]
    for name, by, right, truth, outcome in (
        ("steps", "steps", ["1.0", "2.0", "3.0"], "true", "consistent"),
        ("steps-false", "steps", falling, "false", "contradicted"),
        ("steps-open", "steps", ["1.0", "1.0", "3.0"], "open", "inconclusive"),
        # The last step falls: 0.5 to 0.2, so the ranks of the outer two are what is left.
        ("ranks-false", "ranks", ["0.30", "0.50", "0.20"], "false", "contradicted"),
        ("spikes", "spikes", ["0.20", "0.30", "0.90"], "true", "consistent"),
        ("spikes-false", "spikes", falling, "false", "contradicted"),
    ):
        sides = {"left": paper.values(*rising), "right": paper.values(*right)}
        above = "0.4" if by == "spikes" else None
        said = {"basis": "printed", "by": by, "above": above, **sides}
        paper.claim(f"concordance.{name}", "concordance", truth, outcome, **said)


def _questions(paper: Paper) -> None:
    """Accuracies of 1,267 questions, and differences of 1,000."""
    for name, text, truth, outcome in (
        ("true", "60.06", "true", "consistent"),  # 761 right answers
        ("false", "60.09", "false", "contradicted"),  # 761 are 60.06, 762 are 60.14
        ("wrong-denominator", "60.10", "false", "contradicted"),  # 601 of the first 1,000
        ("idle", "60.1", "open", "inconclusive"),  # every number of one digit is reachable
    ):
        said = {"of": [paper.value(text)], "questions": 1267}
        paper.claim(f"whole-questions.{name}", "whole-questions", truth, outcome, **said)
    for name, left, right, truth, outcome in (
        ("true", "60.0", "40.0", "true", "consistent"),  # 200 answers: z is 6.3 at least
        ("false", "50.1", "50.0", "false", "contradicted"),  # one answer: z is 1 at most
        ("reversed", "40.0", "60.0", "false", "contradicted"),
        ("open", "50.5", "50.0", "open", "inconclusive"),  # 5 answers: z from 0.2 to 2.2
    ):
        pair = {"left": paper.value(left), "right": paper.value(right), "better": "higher"}
        said = {"comparisons": [{**pair, "questions": 1000}], "z": "2"}
        paper.claim(f"sampling.{name}", "sampling", truth, outcome, **said)


def _baselines(paper: Paper) -> None:
    """A row beside the row of another paper."""
    for name, other, status, truth, outcome in (
        ("true", ["44.0", "31.0"], "verified", "true", "consistent"),  # 5 points off
        ("false", ["49.2", "31.1"], "verified", "false", "contradicted"),  # the same model
        ("open", ["48.0", "31.0"], "verified", "open", "inconclusive"),  # 0.9 to 1.1 points
        ("unverified", ["44.0", "31.0"], "unverified", "open", "inconclusive"),
    ):
        source = {"arxiv": "0000.00001", "place": "Table 1", "status": status, "note": ""}
        said = {
            "row": paper.values("49.0", "31.0"),
            "baseline": other,
            "source": source,
            "noise": {"value": "1", "origin": "two runs of one model"},
            "units": "percent",
        }
        paper.claim(f"baseline.{name}", "baseline", truth, outcome, **said)


def _wins(paper: Paper) -> None:
    """Four comparisons of which the left arm wins three, or a tie."""
    for name, last, count, out_of, truth, outcome in (
        ("true", "38.0", "3", "4", "true", "consistent"),
        ("false", "38.0", "4", "4", "false", "contradicted"),
        ("wrong-denominator", "38.0", "3", "5", "false", "contradicted"),
        ("tie", "40.0", "4", "4", "open", "inconclusive"),
        ("tie-false", "40.0", "2", "4", "false", "contradicted"),  # 3 or 4
    ):
        lefts, rights = paper.values("50.0", "51.0", "52.0", last), paper.values(*["40.0"] * 4)
        pairs = [
            {"left": left, "right": right, "better": "higher"}
            for left, right in zip(lefts, rights, strict=True)
        ]
        numbers = {
            "published": paper.value(count, "comparisons"),
            "out_of": paper.value(out_of, "comparisons"),
        }
        paper.claim(f"wins.{name}", "wins", truth, outcome, comparisons=pairs, **numbers)


def _means(paper: Paper) -> None:
    """Means and counts of printed cells."""
    cells = ["0.35", "0.06", "0.05", "0.07", "0.12"]
    for name, texts, text, truth, outcome in (
        ("true", cells, "0.13", "true", "consistent"),
        ("wrong-denominator", cells, "0.16", "false", "contradicted"),  # 0.65 over 4
        ("unit-slip", cells, "13", "false", "contradicted"),
        ("open", ["0.1", "0.2"], "0.11", "open", "inconclusive"),  # 0.05 and 0.17, perhaps
    ):
        said = {"basis": "printed", "of": paper.values(*texts), "published": paper.value(text)}
        paper.claim(f"mean.{name}", "mean", truth, outcome, **said)
    for name, texts, text, truth, outcome in (
        ("true", ["0.90", "1.10", "1.40"], "2", "true", "consistent"),
        ("false", ["0.90", "1.10", "1.40"], "3", "false", "contradicted"),
        ("open", ["0.90", "1.00", "1.40"], "2", "open", "inconclusive"),  # 1.00 may be 1.003
        ("open-false", ["0.90", "1.00", "1.40"], "3", "false", "contradicted"),
    ):
        said = {
            "basis": "printed",
            "of": paper.values(*texts),
            "above": "1",
            "published": paper.value(text, "cells"),
        }
        paper.claim(f"count.{name}", "count", truth, outcome, **said)


def _orderings(paper: Paper) -> None:
    """Means of two sides in an order, or within what one side spreads over."""
    for name, relation, left, right, truth, outcome in (
        ("true", "at-most", ["0.1", "0.3"], ["0.4", "0.6"], "true", "consistent"),
        ("false", "at-most", ["0.4", "0.6"], ["0.1", "0.3"], "false", "contradicted"),
        ("open", "at-most", ["0.2", "0.3"], ["0.3", "0.2"], "open", "inconclusive"),
        ("spread", "within-spread", ["0.3"], ["0.1", "0.6"], "true", "consistent"),
        ("spread-false", "within-spread", ["2.0"], ["0.1", "0.6"], "false", "contradicted"),
        ("spread-open", "within-spread", ["0.8"], ["0.1", "0.5"], "open", "inconclusive"),
    ):
        sides = {"left": paper.values(*left), "right": paper.values(*right)}
        said = {"basis": "printed", "relation": relation, **sides}
        paper.claim(f"ordering.{name}", "ordering", truth, outcome, **said)


def _facts(paper: Paper) -> None:
    """Defaults of a pinned package, read here with eyes of our own."""
    found = importlib.metadata.distribution("transformers")
    content = Path(str(found.locate_file(CONFIG))).read_bytes()
    lines = [line.strip() for line in content.decode().split("\n")]
    sha = hashlib.sha256(content).hexdigest()
    source = {"package": "transformers", "version": found.version, "file": CONFIG, "sha256": sha}

    def default(parameter: str, claimed: str, value: str, off: int = 0) -> dict[str, Any]:
        line = lines.index(f"{parameter}={value},") + 1 + off
        where = {"function": "MambaConfig.__init__", "parameter": parameter}
        return {"kind": "default", "source": source, "line": line, "claimed": claimed, **where}

    state, expand = default("state_size", "16", "16"), default("expand", "2", "2")
    other = default("state_size", "64", "16")
    for name, truth, outcome, listed, said in (
        ("true", "true", "consistent", None, {"lookups": [state]}),
        ("false", "false", "contradicted", None, {"lookups": [other]}),
        ("one-of-two", "false", "contradicted", None, {"lookups": [expand, other]}),
        (
            *("under-a-condition", "under-a-condition", "inconclusive", "contradicted-if"),
            {"lookups": [other], "condition": "the default is kept"},
        ),
        ("premise", "broken", "invalid", None, {"lookups": [expand], "premises": [other]}),
        ("misquoted", "broken", "invalid", None, {"lookups": [default("expand", "2", "2", 1)]}),
    ):
        asked = {"relation": "as-claimed", **said}
        paper.claim(f"fact.{name}", "fact", truth, outcome, listed=listed, **asked)
    for name, text, truth, outcome in (
        ("ratio", "8", "true", "consistent"),
        ("ratio-false", "4", "false", "contradicted"),  # 16 over 2 twice
    ):
        said = {"relation": "ratio", "lookups": [state, expand]}
        published = paper.value(text, "times")
        paper.claim(f"fact.{name}", "fact", truth, outcome, published=published, **said)


def _sentences(paper: Paper) -> None:
    """Sentences that can be read in several ways, each reading a claim, and some that cannot."""

    def reading(name: str, text: str, truth: Any, outcome: str, **more: Any) -> str:
        said = {"of": paper.values("0.35", "0.05"), "published": paper.value(text)}
        said |= {"basis": "printed", "reading": name, **more}
        return paper.claim(name, "mean", truth, outcome, **said)

    planned = {"published": None, "needs": "authors' runs", "check": "ask them"}
    unbuilt = {"kind": "unbuilt", "needs": "winogrande", "what": "accuracy"}
    cell = {"measure": unbuilt, "margin": {"value": "0", "origin": "nothing"}}
    paper.claim("planned", "planned", "open", "not-run", **planned)
    paper.claim("cell.unbuilt", "cell", "open", "not-run", published=paper.value("1.2"), **cell)
    for name, truth, outcome, listed, readings in (
        (
            *("true", "true", "consistent", None),
            [("both-a", "0.20", "true", "consistent"), ("both-b", "0.2", "true", "consistent")],
        ),
        (
            *("false", "false", "contradicted", None),
            [("no-a", "0.40", "false", "contradicted"), ("no-b", "20", "false", "contradicted")],
        ),
        (  # the mean, or the sum
            *("one-reading", "by-one-reading", "inconclusive", "fails-by-one-reading"),
            [
                ("one-a", "0.20", "true", "consistent"),
                ("one-b", "0.40", "by-one-reading", "inconclusive"),
            ],
        ),
        ("no-reading", "open", "inconclusive", None, []),
    ):
        names = [reading(f"reading.{each[0]}", *each[1:]) for each in readings]
        said = {"missing": "of what", "readings": names}
        paper.claim(f"ambiguous.{name}", "ambiguous", truth, outcome, listed=listed, **said)
    name = paper.claim("reading.waits", "planned", "open", "not-run", **planned)
    done = reading("reading.done", "0.20", "true", "consistent")
    said = {"missing": "of what", "readings": [name, done]}
    paper.claim("ambiguous.waits", "ambiguous", "open", "inconclusive", **said)


def _standings(paper: Paper) -> None:
    """What fails under a condition, without a quote, or is no sentence of the paper."""

    def order(name: str, texts: tuple[str, str], truth: Any, outcome: str, **more: Any) -> None:
        sides = {"left": [paper.value(texts[0])], "right": [paper.value(texts[1])]}
        said = {"basis": "printed", "relation": "at-most", **sides, **more}
        paper.claim(name, "ordering", truth, outcome, **said)

    right, wrong = ("0.1", "0.9"), ("0.9", "0.1")
    given = {"conditions": ["the kernels are installed"]}
    order("condition.true", right, "true", "consistent", **given)
    listed = {"listed": "contradicted-if", **given}
    order("condition.false", wrong, "under-a-condition", "inconclusive", **listed)
    order("quote.none", wrong, "unquoted", "inconclusive", listed="not-quoted", quote=None)
    order("step.true", right, "true", "consistent", standing="step", result="holds")
    order("step.false", wrong, "false", "inconclusive", standing="step", result="fails",
          listed="step")  # fmt: skip
    beside = {"standing": "beside", "listed": "beside"}
    order("beside.true", right, "true", "inconclusive", result="holds", **beside)
    order("beside.false", wrong, "false", "inconclusive", result="fails", **beside)
