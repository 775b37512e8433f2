"""How fast models are: what benchmarks measured, and what lies between the shapes that were.

`rates.json` beside this file holds the measurements, each with its card, torch and day;
`python -m tools.describe_rates --keep FILE…` makes it of the lines of `benchmarks.rates` and of
records of throughput. All are told for one H200. Between two measured shapes of a family and dtype
a speed is interpolated in logarithms of parameters; above them seconds a token grow with
parameters, below they are those of the smallest. From one shape alone they go with parameters both
ways, down to the smallest shape of any family.

What stands in where nothing was measured, and a price says so (`StandIn`): one half precision for
the other, as fast where both were; else, in the same precision and way of training, GPT-NeoX for
other models with attention, and Mamba for the rest. Of a family that was measured in one precision
alone float32 takes no less than half, and of one measured with adapters alone full training no
less than adapters.

Not covered: batches that do not fill the card, but for what a pass costs at least; several GPUs.
"""

import functools
import json
import math
import re
from bisect import bisect
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

from repro.schema.catalog import Checkpoint
from repro.schema.families import FAMILIES

FILE = Path(__file__).with_name("rates.json")

Speed = Literal["from_zero", "behind", "stock"]
"""Tokens of the engine from zero, or behind a prefix; of lm-eval, with scores of all positions."""
Call = Literal["call", "behind_call", "stock_call"]
"""The least that a pass of each takes: launching its kernels."""

STOCK_LENGTH = 256
"""Tokens of a row of lm-eval's pass; Mamba's plain scan launches kernels for each."""

_ALIKE = {
    "float32": ("float32",),
    "float16": ("float16", "bfloat16"),
    "bfloat16": ("bfloat16", "float16"),
}
"""Dtypes that are as fast, the nearest first."""
_EVALUATION = "evaluation"
_TRAINING = {"full": "full training", "lora": "training of adapters"}

_Rows = Sequence[Mapping[str, Any]]


class StandIn(NamedTuple):
    """A shape that a price is extrapolated from.

    It is of another family, was measured otherwise, or all of the model's family that were measured
    are larger, or all smaller.
    """

    work: str
    """What is priced, e.g. evaluation."""
    family: str
    dtype: str
    shape: str
    """What was measured: its name in the catalog, and how if that is not what is priced."""


@dataclass(frozen=True)
class Rate:
    """How long one thing takes on one H200, and from what that is known."""

    seconds: float
    stand_ins: frozenset[StandIn]
    """None where the shape was measured, or two of its family around it."""


@functools.cache
def measured() -> Mapping[str, Any]:
    """The file: `passes` and `steps`, a row each; `text` and `load`, once."""
    found: Mapping[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))
    return found


def interpolated(points: Sequence[tuple[float, float]], at: float) -> float:
    """Seconds at a number of parameters, from those at others; as the top says.

    Example:
        >>> interpolated([(1e8, 1e-6), (1e9, 1e-5)], 3e9)
        3e-05
    """
    points = sorted(points)
    sizes = [size for size, _ in points]
    place = bisect(sizes, at)
    if place == len(points) or len(points) == 1:
        size, seconds = points[-1]
        return seconds * at / size
    if place == 0:
        return points[0][1]
    (low, first), (high, last) = points[place - 1], points[place]
    share = math.log(at / low) / math.log(high / low)
    return math.exp((1 - share) * math.log(first) + share * math.log(last))


@functools.cache
def _rows(field: str, way: str) -> _Rows:
    """Rows that have a field: of `steps` by a method if it is their token, else of a path."""
    kind, name = ("steps", "method") if field == "token" else ("passes", "path")
    return [each for each in measured()[kind] if field in each and each[name] == way]


@functools.cache
def _of_family(field: str, way: str, family: str, dtype: str) -> _Rows:
    """Those of a family, of each shape in a dtype or in one that is as fast; may be empty."""
    mine = [each for each in _rows(field, way) if each["family"] == family]
    found = dict[str, Mapping[str, Any]]()
    for name in reversed(_ALIKE[dtype]):
        found |= {each["shape"]: each for each in mine if each["dtype"] == name}
    return list(found.values())


def _alike(field: str, way: str, family: str, dtype: str) -> _Rows:
    """The same, or of the family that stands in; of Mamba there is every field in every dtype."""
    recurrent = family in FAMILIES and FAMILIES[family].state == "recurrent"
    names = (family, "mamba") if recurrent else (family, "gpt-neox", "mamba")
    return next(filter(None, (_of_family(field, way, name, dtype) for name in names)))


def _rate(seconds: float, rows: _Rows, checkpoint: Checkpoint, dtype: str, work: str) -> Rate:
    """Seconds that some rows of one family and dtype gave, with those of them that stand in."""
    family, first, sizes = checkpoint.family, rows[0], [each["parameters"] for each in rows]
    unlike = "" if first["dtype"] in _ALIKE[dtype] else f" in {first['dtype']}"
    if _TRAINING.get(first.get("method", ""), work) != work:
        unlike += " with adapters"
    within = min(sizes) <= checkpoint.parameters <= max(sizes)
    if within and first["family"] == family and not unlike:
        return Rate(seconds, frozenset())
    named = (StandIn(work, family, dtype, each["shape"] + unlike) for each in rows)
    return Rate(seconds, frozenset(named))


def _token(checkpoint: Checkpoint, dtype: str, field: str, way: str, work: str) -> Rate:
    """Seconds a token of large batches; rows have it as seconds of a step, else as a speed."""
    at = max(checkpoint.parameters, min(each["parameters"] for each in _rows(field, way)))

    def by(rows: _Rows) -> Rate:
        power = 1 if field == "token" else -1
        points = [(each["parameters"], each[field] ** power) for each in rows]
        return _rate(interpolated(points, at), rows, checkpoint, dtype, work)

    rows, single = _alike(field, way, checkpoint.family, dtype), dtype == "float32"
    other = _of_family(field, way, checkpoint.family, "bfloat16" if single else "float32")
    if other and rows[0]["family"] != checkpoint.family:
        bound = max if single else min
        return bound(by(rows), by(other), key=lambda each: each.seconds)
    return by(rows)


def token(checkpoint: Checkpoint, dtype: str, speed: Speed, path: str) -> Rate:
    """A token of large batches."""
    return _token(checkpoint, dtype, speed, path, _EVALUATION)


def call(checkpoint: Checkpoint, dtype: str, call: Call, path: str) -> Rate:
    """The least that a pass takes: so much a block."""
    rows = _alike(call, path, checkpoint.family, dtype)
    a_block: float = sum(each[call] / each["blocks"] for each in rows) / len(rows)
    return _rate(checkpoint.blocks * a_block, rows, checkpoint, dtype, _EVALUATION)


def step(checkpoint: Checkpoint, method: str, precision: str, tokens: float) -> Rate:
    """A training step over some tokens, padding included.

    Args:
        checkpoint: Family and parameters.
        method: full, or any LoRA.
        precision: Of products.
        tokens: Of one batch.
    """
    family, trained = checkpoint.family, "full" if method == "full" else "lora"
    measured_in = {way for way in _TRAINING for e in _rows("token", way) if e["family"] == family}
    ways = {trained, "lora"} if measured_in == {"lora"} else {trained}
    found = max(
        (_token(checkpoint, precision, "token", way, _TRAINING[trained]) for way in sorted(ways)),
        key=lambda each: each.seconds,
    )
    rows = _alike("token", trained, family, precision)
    least = [each["least"] / each["blocks"] for each in rows if each.get("least")]
    launched = checkpoint.blocks * sum(least) / len(least) if least else 0.0
    return Rate(math.hypot(tokens * found.seconds, launched), found.stand_ins)


def pass_seconds(count: float, tokens: float, token: float, call: float) -> float:
    """Some passes over some tokens in all: launching and computing overlap in part."""
    return math.hypot(tokens * token, count * call)


def in_words(stand_ins: Iterable[StandIn]) -> str:
    """What prices are extrapolated from: work, families, dtypes, shapes."""
    shapes = _grouped(((work, family, dtype), shape) for work, family, dtype, shape in stand_ins)
    dtypes = _grouped(((work, family, by), dtype) for (work, family, dtype), by in shapes.items())
    every = _grouped(((work, named, by), family) for (work, family, by), named in dtypes.items())
    return "; ".join(
        f"{work} of {families} in {named} by {by}" for (work, named, by), families in every.items()
    )


def _grouped(pairs: Iterable[tuple[tuple[str, ...], str]]) -> dict[tuple[str, ...], str]:
    """The second ones of each first one, in a list."""
    found: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for key, value in sorted(pairs):
        found[key].append(value)
    return {key: ", ".join(values) for key, values in found.items()}


# -----------------------------------------------------------------------------
# Other cards: by the larger of two ratios, of memory bandwidth and of peak


@dataclass(frozen=True)
class Card:
    """What the maker says of a card."""

    bandwidth: int
    """GB/s of its memory."""
    single: float
    """TFLOP/s in float32, without tensor cores."""
    half: float
    """TFLOP/s in half precision, dense."""


_H200 = "H200"
CARDS: Mapping[str, Card] = {
    _H200: Card(4800, 67, 989),
    "H200 NVL": Card(4800, 60, 835),
    "H100": Card(3350, 67, 989),
    "H100 NVL": Card(3938, 60, 835),
    "H100 PCIe": Card(2000, 51, 756),
    "A100": Card(2039, 19.5, 312),
    "A100 80GB PCIe": Card(1935, 19.5, 312),
    "A100 40GB": Card(1555, 19.5, 312),
    "A10G": Card(600, 31.5, 70),
    "L40S": Card(864, 91.6, 362),
    "L4": Card(300, 30.3, 121),
    "V100": Card(900, 15.7, 125),
    "T4": Card(320, 8.1, 65),
}
"""By what tells them apart in a name. Source: NVIDIA's data sheets (of the A10G, those of its
maker's customers)."""
_BESIDE = re.compile(r"NVIDIA|Tesla|SXM\d?|PCIe|\d+GB|HBM\d\w?", re.IGNORECASE)
"""Words that a card's name has beside: maker, form and memory."""


def known_card(name: str) -> str | None:
    """The card of `CARDS` that the driver's name is, e.g. "Tesla T4"; None for any other.

    Every word of the name counts: GH200 is no H200, and a slice of an H100 ("MIG 1g.10gb") or a
    share of an A100 ("A100-4C") is not the card.
    """
    words = {word.lower() for word in re.split(r"[\s-]+", name)}
    found = (
        card
        for card in CARDS
        if words >= (mine := set(card.lower().split()))
        and all(map(_BESIDE.fullmatch, words - mine))
    )
    return max(found, key=lambda card: len(card.split()), default=None)


def is_h200(name: str) -> bool:
    """Whether a card is the one that GPU time is told of."""
    return known_card(name) == _H200


def slower(name: str, dtype: str) -> float | None:
    """How many times as long as on an H200 a card takes at most, about; None for one unknown."""
    card = known_card(name)
    if card is None:
        return None
    known, h200 = CARDS[card], CARDS[_H200]
    peak = h200.single / known.single if dtype == "float32" else h200.half / known.half
    return max(h200.bandwidth / known.bandwidth, peak)
