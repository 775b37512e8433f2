"""What the docs say of measurements at the pins, made from `evidence/h200-pinned`.

    python -m tools.describe_pinned        writes the tables of docs/performance.md and
                                           docs/fine-tuning.md between their marks

Of `engine.jsonl` (`benchmarks.evaluation`) a row for each shape, dtype and task, all numbers of
shots together, beside the goal that the project had set itself; of Figure 2 and T45r what the
records make of each claim that rests on them.
"""

import json
import statistics
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from repro import paths
from repro.text import in_markdown
from tools import command
from tools.describe_drift import PINNED, Side, sides
from tools.pages import with_part

DOCS = paths.ROOT / "docs"
MARK = "{} (python -m tools.describe_pinned) -->"

GOALS = {"bfloat16": 25, "float32": 15}
LARGE = ("mamba-790m", "pythia-1b")


def goal_of(shape: str, dtype: str, task: str) -> int:
    """Times as fast as stock lm-eval, in every repeat."""
    if task != "mmlu":
        return 4
    return 12 if shape in LARGE else GOALS[dtype]


SHORT = {"bfloat16": "BF16", "float32": "FP32", "float16": "FP16"}


def engine(cases: Iterable[dict[str, Any]]) -> str:
    """A row of seconds, ratios and other answers for each task of a model in a dtype."""
    rows = defaultdict(list)
    for case in cases:
        rows[case["shape"], case["dtype"], case["task"]].append(case)
    head = ("shape", "dtype", "task", "shots", "stock s", "ours s", "ratio (range)", "goal")
    lines = [f"| {' | '.join(head)} | floor s | other answers |", "|---" * 10 + "|"]
    for (shape, dtype, task), found in rows.items():
        stock, ours = (
            [sum(parts) for parts in zip(*(case[arm]["seconds"] for case in found), strict=True)]
            for arm in ("stock", "ours")
        )
        ratios = [one / two for one, two in zip(stock, ours, strict=True)]
        ratio, goal = statistics.median(ratios), goal_of(shape, dtype, task)
        apart = f" ({min(ratios):.1f} to {max(ratios):.1f})" if len(ratios) > 1 else ""
        cells = [
            *(shape, SHORT[dtype], task, ", ".join(str(case["shots"]) for case in found)),
            *(f"{statistics.median(each):.2f}" for each in (stock, ours)),
            *(f"{ratio:.1f}{apart}", f"{goal}" + ", **missed**" * (min(ratios) < goal)),
            f"{sum(case['floor_seconds'] for case in found):.2f}",
            (
                f"{sum(case['predictions_that_differ'] for case in found)} of "
                f"{sum(case['questions'] for case in found):,}"
            ),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def fine_tuning(sides: Iterable[Side]) -> str:
    """A row for each claim on speed and memory of fine-tuning that rests on records."""
    lines = ["| claim | printed | measured | |", "|---|---|---|---|"]
    for each in sides:
        manifest, _, claim = each.claim.partition(":")
        if manifest in ("figure2", "table5"):
            cells = map(in_markdown, (each.published, each.numbers, each.said))
            lines.append(f"| {claim} | {' | '.join(cells)} |")
    return "\n".join(lines)


def pages() -> dict[Path, str]:
    """Each page with its table made again."""
    lines = (PINNED / "engine.jsonl").read_text(encoding="utf-8").splitlines()
    tables = {
        "performance.md": ("engine", engine(json.loads(each) for each in lines)),
        "fine-tuning.md": ("figure 2", fine_tuning(sides(PINNED))),
    }
    found = {}
    for name, (mark, table) in tables.items():
        text = (DOCS / name).read_text(encoding="utf-8")
        begin, end = (MARK.format(f"<!-- {word}{mark}") for word in ("", "end of "))
        found[DOCS / name] = with_part(text, begin, end, table)
    return found


def main() -> None:
    """Write both pages."""
    command.parser(__doc__).parse_args()
    for page, text in pages().items():
        page.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    command.run(main)
