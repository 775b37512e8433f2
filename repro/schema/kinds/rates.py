"""How fast models are: what benchmarks measured, and what lies between the shapes that were.

`rates.json` beside this file holds the measurements, each with its card, torch and day;
`python -m tools.describe_rates --keep FILE…` makes it of the lines of `benchmarks.rates` and of
records of throughput. All are told for one H200. Between two measured shapes of a family and dtype
a speed is interpolated in logarithms of parameters; beyond them seconds a token grow with
parameters, and never fall below those of the smallest.

What stands in where nothing was measured: bfloat16 for float16, as fast where both were; GPT-NeoX
for other models with attention, Mamba for other recurrent ones (`stands_in`).

Not covered: batches that do not fill the card, but for what a pass costs at least; several GPUs.
"""

import functools
import json
import math
from bisect import bisect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from repro.schema.catalog import Checkpoint
from repro.schema.families import FAMILIES

FILE = Path(__file__).with_name("rates.json")

Speed = Literal["from_zero", "behind", "stock"]
"""Tokens of the engine from zero, or behind a prefix; of lm-eval, with scores of all positions."""
Call = Literal["call", "behind_call", "stock_call"]
"""The least that a pass of each takes: launching its kernels."""

STOCK_LENGTH = 256
"""Tokens of a row of lm-eval's pass; Mamba's plain scan launches kernels for each."""

_Rows = Sequence[Mapping[str, Any]]


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
    if place == 0:
        return points[0][1]
    if place == len(points):
        size, seconds = points[-1]
        return seconds * at / size
    (low, first), (high, last) = points[place - 1], points[place]
    share = math.log(at / low) / math.log(high / low)
    return math.exp((1 - share) * math.log(first) + share * math.log(last))


def _alike(rows: _Rows, family: str, dtype: str, field: str, **same: str) -> _Rows:
    """Rows of a family and dtype that have a field, or of what stands in for them.

    The family's own in the other half precision, then another family's; float32 last.
    """
    rows = [each for each in rows if field in each and same.items() <= each.items()]
    recurrent = family in FAMILIES and FAMILIES[family].state == "recurrent"
    for name in (family, "mamba" if recurrent else "gpt-neox"):
        for other in (dtype, "bfloat16" if dtype == "float16" else dtype):
            if found := [e for e in rows if e["family"] == name and e["dtype"] == other]:
                return found
    return [each for each in rows if each["family"] == family] or rows


def token_seconds(checkpoint: Checkpoint, dtype: str, speed: Speed, path: str) -> float:
    """Seconds a token of large batches on one H200."""
    rows = _alike(measured()["passes"], checkpoint.family, dtype, speed, path=path)
    points = [(each["parameters"], 1 / each[speed]) for each in rows]
    return interpolated(points, checkpoint.parameters)


def call_seconds(checkpoint: Checkpoint, dtype: str, call: Call, path: str) -> float:
    """The least that a pass takes on one H200: so much a block."""
    rows = _alike(measured()["passes"], checkpoint.family, dtype, call, path=path)
    a_block: float = sum(each[call] / each["blocks"] for each in rows) / len(rows)
    return checkpoint.blocks * a_block


def step_seconds(checkpoint: Checkpoint, method: str, precision: str, tokens: float) -> float:
    """Seconds of a training step over some tokens, padding included, on one H200.

    Args:
        checkpoint: Family and parameters.
        method: full, or any LoRA.
        precision: Of products.
        tokens: Of one batch.
    """
    trained = "full" if method == "full" else "lora"
    rows = _alike(measured()["steps"], checkpoint.family, precision, "token", method=trained)
    token = interpolated(
        [(each["parameters"], each["token"]) for each in rows], checkpoint.parameters
    )
    least = [each["least"] / each["blocks"] for each in rows if each.get("least")]
    launched = checkpoint.blocks * sum(least) / len(least) if least else 0.0
    return math.hypot(tokens * token, launched)


def pass_seconds(count: float, tokens: float, token: float, call: float) -> float:
    """Some passes over some tokens in all: launching and computing overlap in part."""
    return math.hypot(tokens * token, count * call)


def stands_in(family: str, dtype: str) -> str:
    """What a price of a family and dtype rests on where they were not measured; may be empty.

    That float16 is as fast as bfloat16 needs no saying.
    """
    rows = _alike(measured()["passes"], family, dtype, "from_zero", path="kernels")
    used = sorted({(each["family"], each["dtype"]) for each in rows})
    if {name for name, _ in used} == {family} and (dtype == "float32") == (used[0][1] == "float32"):
        return ""
    return f"{family} {dtype} by {', '.join(' '.join(each) for each in used)}"


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


H200 = Card(4800, 67, 989)
CARDS: Mapping[str, Card] = {
    "H200": H200,
    "H100 PCIe": Card(2000, 51, 756),
    "H100": Card(3350, 67, 989),
    "A100-SXM4-40GB": Card(1555, 19.5, 312),
    "A100": Card(2039, 19.5, 312),
    "A10G": Card(600, 31.5, 70),
    "L40S": Card(864, 91.6, 362),
    "L4": Card(300, 30.3, 121),
    "V100": Card(900, 15.7, 125),
    "T4": Card(320, 8.1, 65),
}
"""Part of a card's name as the driver gives it, the first that fits. Source: NVIDIA's data sheets
(of the A10G, those of its maker's customers)."""


def slower(card: str, dtype: str) -> float | None:
    """How many times as long as on an H200 a card takes at most, about; None for one unknown."""
    known = next((each for name, each in CARDS.items() if name in card), None)
    if known is None:
        return None
    peak = H200.single / known.single if dtype == "float32" else H200.half / known.half
    return max(H200.bandwidth / known.bandwidth, peak)
