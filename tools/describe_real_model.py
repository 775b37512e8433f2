"""Tables and numbers of what a real model's answers change, from what `benchmarks.real_model` kept.

    python -m tools.describe_real_model            writes docs/calibration.md and the catalog
    python -m tools.describe_real_model DIR…       prints the tables of other files

The first folder of `SOURCES` that is there is described; others are held to it, question by
question. The catalog's `changes` of MMLU, by which plans and the calibration of the decision rule
know what a dtype changes, are of the first too, of what it tells, if it was asked every question.

Words: a prediction is the first letter with the largest log-likelihood, as lm-eval takes it; a flip
is another prediction; an answer changes if it is right in one and wrong in the other. c is the
answers that a dtype changes against FP32 under the same setting (`REFERENCE` where FP32 cannot run
under it), the most under any setting.
"""

import json
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file

from benchmarks.real_model import DTYPES, unpacked
from repro import json_text, paths
from repro.schema import catalog
from tools import command
from tools.pages import with_part

SOURCES = tuple(paths.ROOT / "evidence" / name for name in ("h200-pinned", "cpu-real-model"))
PAGE = paths.ROOT / "docs" / "calibration.md"
CATALOG = paths.ROOT / "catalog" / "datasets.json"
BEGIN, END = "<!-- real model: python -m tools.describe_real_model -->", "<!-- /real model -->"

Bools = NDArray[np.bool_]
Pair = tuple["Answers", "Answers"]
SETTING = ("batch_size", "order", "attention")


@dataclass(frozen=True)
class Answers:
    """One evaluation at one number of shots."""

    name: str
    said: Mapping[str, Any]
    shots: int
    best: NDArray[np.uint8]
    """(q,), a bit for each letter with the largest log-likelihood."""
    places: NDArray[np.int64]
    """(q,), which question of the file each is."""
    gold: NDArray[np.uint8]
    """(q,)"""

    @cached_property
    def predicted(self) -> NDArray[np.int64]:
        """The lowest bit."""
        return (self.best[:, None] >> np.arange(4) & 1).argmax(axis=1)

    @property
    def right(self) -> Bools:
        """Whether each prediction is the gold answer."""
        return np.asarray(self.predicted == self.gold)

    @property
    def ties(self) -> int:
        """Questions whose largest log-likelihood several letters have."""
        return int((self.best & (self.best - 1) != 0).sum())

    @property
    def kernel(self) -> str:
        """The attention that really ran; what was asked for where no run came to its end."""
        return str((self.said["path"] or self.said)["attention"])

    @property
    def setting(self) -> tuple[object, ...]:
        """Batch size, order and attention."""
        return tuple(self.said[each] for each in SETTING)

    def at(self, places: NDArray[np.int64]) -> "Answers":
        """Of some of its questions."""
        here = np.isin(self.places, places)
        one = (self.best[here], self.places[here], self.gold[here])
        return Answers(self.name, self.said, self.shots, *one)


class Kept:
    """The two files of one folder."""

    def __init__(self, folder: Path) -> None:
        self.said: dict[str, Any] = json_text.load(folder / "real-model.json")
        self._arrays = load_file(folder / "real-model.safetensors")
        sizes = self.said["subjects"]
        self._subject = np.repeat(list(sizes), list(sizes.values()))

    def of(self, shots: int, **wanted: object) -> list[Answers]:
        """Evaluations at a number of shots, of some properties."""
        return [
            self._answers(name, said, shots)
            for name, said in self.said["evaluations"].items()
            if str(shots) in said["shots"]
            and all(said[field] == value for field, value in wanted.items())
        ]

    def _answers(self, name: str, said: Mapping[str, Any], shots: int) -> Answers:
        asked = said["subjects"]
        whole = np.arange(len(self._subject))
        places = whole if asked == "all" else np.flatnonzero(np.isin(self._subject, asked))
        best = unpacked(self._arrays[f"{name}/shots{shots}/best"], len(places))
        return Answers(name, said, shots, best, places, self._arrays["gold"][places])

    def question_numbers(self, other: "Kept") -> NDArray[np.int64]:
        """Which of its questions another file has too, in both files' order."""
        return np.flatnonzero(np.isin(self._subject, list(other.said["subjects"])))

    @property
    def shots(self) -> list[int]:
        """Every number of shots that any evaluation answered."""
        every = self.said["evaluations"].values()
        return sorted({int(shots) for each in every for shots in each["shots"]})

    def ours(self, shots: int, dtype: str, arm: str = "weight-cast") -> list[Answers]:
        """By our engine."""
        return self.of(shots, dtype=dtype, arm=arm, engine="prefix")

    def reference(self, of: Answers) -> Answers | None:
        """FP32 under the same setting, or `REFERENCE`; None where neither was asked."""
        singles = self.ours(of.shots, "float32")
        same = [each for each in singles if each.setting == of.setting]
        usual = [each for each in singles if each.name == self.said["reference"]]
        return next(iter(same or usual), None)

    @property
    def where(self) -> str:
        """The machine and the stack, in words."""
        here = self.said["environment"]
        gpu = here["gpus"][0]["name"] if here["gpus"] else f"a CPU, {here['cpu']['model']}"
        torch = here["packages"]["torch"]
        drift = f"{len(here['drift'])} packages drifted" if here["drift"] else "no drift"
        image = here["flags"].get("REPRO_IMAGE")
        return f"{gpu}, torch {torch}, {drift}" + (f", image {image}" if image else "")


# -----------------------------------------------------------------------------
# What is counted


def flips(pair: Pair) -> int:
    """Questions of another prediction."""
    return int((pair[0].predicted != pair[1].predicted).sum())


def changed(pair: Pair) -> int:
    """Answers that are right in one and wrong in the other."""
    return int((pair[0].right != pair[1].right).sum())


def between(kept: Kept, shots: int, dtype: str, *, kernels: bool) -> list[Pair]:
    """Pairs of settings of one kernel; or of two, with batch and order the same."""
    pairs = combinations(kept.ours(shots, dtype), 2)
    if kernels:
        return [
            p for p in pairs if p[0].kernel != p[1].kernel and p[0].setting[:2] == p[1].setting[:2]
        ]
    return [pair for pair in pairs if pair[0].kernel == pair[1].kernel]


def against_float32(kept: Kept, shots: int, dtype: str) -> list[Pair]:
    """Each setting that has a reference, and it."""
    every = kept.ours(shots, dtype)
    return [(each, single) for each in every if (single := kept.reference(each))]


def changes(kept: Kept) -> dict[str, dict[str, int]]:
    """Of c, by dtype and shots, as the catalog has it."""
    return {
        dtype: {
            str(shots): max(map(changed, pairs))
            for shots in kept.shots
            if (pairs := against_float32(kept, shots, dtype))
        }
        for dtype in DTYPES[1:]
    }


def span(values: Sequence[float], form: str = ",.0f") -> str:
    """Smallest to largest."""
    if not values:
        return ""
    low, high = format(min(values), form), format(max(values), form)
    return low if low == high else f"{low} to {high}"


# -----------------------------------------------------------------------------
# Tables


def table(head: str, rows: Iterator[Sequence[str]]) -> str:
    """In Markdown; empty if it has no row."""
    columns = head.split(", ")
    lines = [f"| {' | '.join(row)} |" for row in (columns, ["---"] * len(columns), *rows)]
    return "\n".join(lines) if len(lines) > 2 else ""  # noqa: PLR2004 - head and rule


def by_dtype(kept: Kept) -> Iterator[Sequence[str]]:
    """One row a dtype and number of shots; ranges are over settings, or pairs of them."""
    for dtype in DTYPES:
        for shots in kept.shots:
            every = kept.ours(shots, dtype)
            if not every:
                continue
            against = [pair for pair in against_float32(kept, shots, dtype) if dtype != DTYPES[0]]
            c = max(map(changed, against), default=0)
            cells = [span([100 * each.right.mean() for each in every], ".2f")]
            cells += [span([each.ties for each in every]), span([*map(flips, against)])]
            cells.append(f"{c:,}" if against else "")
            for kernels in (False, True):
                pairs = between(kept, shots, dtype, kernels=kernels)
                shares = [changed(pair) / c for pair in pairs] if c else []
                cells += [span([*map(flips, pairs)]), span(shares, ".2f")]
            yield (dtype, str(shots), str(len(every)), *cells)


def by_head(kept: Kept) -> Iterator[Sequence[str]]:
    """What the output layer's dtype does: accuracy with its own minus with one in FP32."""
    for dtype in DTYPES[1:]:
        for shots in kept.shots:
            for wide in kept.ours(shots, dtype, "float32-head"):
                own = [each for each in kept.ours(shots, dtype) if each.setting == wide.setting]
                for each in own:
                    gained = each.right.astype(int) - wide.right
                    net, count = int(gained.sum()), len(gained)
                    reach = 1.96 * float(np.sqrt((gained != 0).sum() - net**2 / count))
                    ends = [100 * (net + sign * reach) / count for sign in (-1, 1)]
                    said = f"{100 * net / count:+.2f} ({ends[0]:+.2f} to {ends[1]:+.2f})"
                    single = kept.reference(each)
                    numbers = [flips((each, wide)), each.ties, wide.ties]
                    numbers += [changed((one, single)) for one in (each, wide) if single]
                    cells = [f"{n:,}" for n in numbers] + [""] * (5 - len(numbers))
                    yield (dtype, str(shots), each.kernel, said, *cells)


def by_engine(kept: Kept) -> Iterator[Sequence[str]]:
    """Stock lm-eval against our engine, on the questions that it was asked."""
    for dtype in DTYPES:
        for shots in kept.shots:
            for stock in kept.of(shots, dtype=dtype, engine="lm-eval"):
                every = [each.at(stock.places) for each in kept.ours(shots, dtype)]
                pairs: list[Pair] = [(each, stock) for each in every if each.kernel == stock.kernel]
                settings = [
                    pair for pair in combinations(every, 2) if pair[0].kernel == pair[1].kernel
                ]
                numbers = (f"{len(stock.places):,}", span([*map(flips, pairs)]))
                yield (dtype, str(shots), *numbers, span([*map(flips, settings)]))


def by_machine(kept: Kept, other: Kept) -> Iterator[Sequence[str]]:
    """The same evaluation on two machines, on the questions that both were asked."""
    mine, theirs = kept.question_numbers(other), other.question_numbers(kept)
    for dtype in DTYPES:
        for shots in kept.shots:
            for there in other.ours(shots, dtype):
                here = [one for one in kept.ours(shots, dtype) if one.name == there.name]
                for each in here:
                    pair = each.at(mine), there.at(theirs)
                    c = [
                        changed((of.at(places), single.at(places))) if single else None
                        for of, single, places in (
                            (each, kept.reference(each), mine),
                            (there, other.reference(there), theirs),
                        )
                    ]
                    most = max((n for n in c if n is not None), default=0)
                    share = f"{changed(pair) / most:.2f}" if most and None not in c else ""
                    numbers = (len(mine), flips(pair), changed(pair), *c)
                    cells = ("" if n is None else f"{n:,}" for n in numbers)
                    yield (dtype, str(shots), *cells, share)


BY_DTYPE = (
    "dtype, shots, settings, accuracy, exact ties, flips against FP32, c, flips on one kernel, "
    "share of c, flips between kernels, share of c"
)
BY_HEAD = (
    "dtype, shots, attention, difference, flips, ties with its own, ties with FP32, "
    "c with its own, c with FP32"
)
TABLES: Mapping[str, tuple[str, Callable[[Kept], Iterator[Sequence[str]]]]] = {
    "Ranges are over settings, or pairs of them; shares are of answers that change, over c.": (
        BY_DTYPE,
        by_dtype,
    ),
    "The output layer: accuracy with its own minus with one in FP32, points (95 % interval).": (
        BY_HEAD,
        by_head,
    ),
    "Stock lm-eval 0.4.2 against our engine, and settings of our engine among themselves.": (
        "dtype, shots, questions, flips against stock, flips between settings",
        by_engine,
    ),
}
BY_MACHINE = "dtype, shots, questions, flips, answers that change, c here, c there, share of c"


def describe(folders: Sequence[Path]) -> str:
    """Every table: of the first file, and of the others against it."""
    kept, *others = map(Kept, folders)
    model, questions, left_out = (kept.said[each] for each in ("model", "questions", "left_out"))
    parts = [f"{model} on {questions:,} questions of MMLU, asked on {kept.where}."]
    if left_out:
        named = (
            f"{', '.join(one for one, why in left_out.items() if why == each)} ({each})"
            for each in dict.fromkeys(left_out.values())
        )
        parts.append("Left out: " + "; ".join(named))
    for words, (head, rows) in TABLES.items():
        if made := table(head, rows(kept)):
            parts += [words, made]
    for other in others:
        if made := table(BY_MACHINE, by_machine(kept, other)):
            parts += [f"Between machines: here, and there on {other.where}.", made]
    return "\n\n".join(parts) + "\n"


def page(text: str, made: str) -> str:
    """The page with its part between the marks made again."""
    return with_part(text, BEGIN, END, made)


def with_changes(text: str, kept: Kept) -> str:
    """The catalog with c of a file; unchanged if that was not asked every question.

    What the file does not tell, of a dtype at a number of shots, stays as it was.
    """
    if kept.said["questions"] != sum(
        s.questions for s in catalog.datasets()["mmlu"].subjects.values()
    ):
        return text
    known = json.loads(text)["datasets"]["mmlu"]["changes"]["dtypes"]
    dtypes = {
        dtype: dict(sorted({**known.get(dtype, {}), **found}.items(), key=lambda one: int(one[0])))
        for dtype, found in changes(kept).items()
    }
    made = json.dumps(dtypes)
    return re.sub(r'("changes": \{[^{}]*"dtypes": )\{.*\}\n', rf"\g<1>{made}\n", text)


def main() -> None:
    """Write, or print."""
    parser = command.parser(__doc__)
    parser.add_argument("folders", nargs="*", metavar="DIR", type=Path)
    if given := parser.parse_args().folders:
        sys.stdout.write(describe(given))
        return
    folders = [each for each in SOURCES if (each / "real-model.json").is_file()]
    text = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(page(text, describe(folders)), encoding="utf-8")
    known = CATALOG.read_text(encoding="utf-8")
    CATALOG.write_text(with_changes(known, Kept(folders[0])), encoding="utf-8")


if __name__ == "__main__":
    command.run(main)
