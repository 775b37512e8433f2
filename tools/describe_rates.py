"""Measured speeds: into `repro/schema/kinds/rates.json`, and beside what was predicted.

    python -m tools.describe_rates --keep FILE… [--throughput FOLDER…]
    python -m tools.describe_rates

The first makes the file that `repro plan` prices from: of lines of `benchmarks.rates`, of lines of
`benchmarks.evaluation` and of records of throughput. Of the same shape, dtype and path the last
line counts, and what no line says stays as the file has it. The second writes the table of
docs/performance.md: what estimates say of jobs that were timed (committed records, and evaluations
by `benchmarks.evaluation`), and of each measured shape that lies between two others, as if it had
not been measured.
"""

import itertools
import json
import statistics
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from repro import paths
from repro.inputs.locate import InputLocator
from repro.planning.cost import estimate_cost
from repro.schema import catalog
from repro.schema.jobs import KINDS, EvaluateJob, ThroughputJob
from repro.schema.kinds import rates
from repro.schema.kinds.cost import characters_per_token
from repro.store.store import Store
from tools import command
from tools.pages import with_part

PAGE = paths.ROOT / "docs" / "performance.md"
BEGIN, END = "<!-- estimates: python -m tools.describe_rates -->", "<!-- end of estimates -->"
WITHIN = 1.5
BATCH = 8
"""Rows of a step of `benchmarks.rates`; the short ones have a quarter of the length."""
EVIDENCE = ("h200-pinned", "h100", "cpu", "coq")


# -----------------------------------------------------------------------------
# Keeping

_EVALUATION = ("shape", "dtype", "arm", "subjects", "shots", "questions", "seconds", "machine")
"""What is kept of a whole evaluation, to be held against its estimate."""


def kept(
    lines: list[dict[str, Any]], records: Iterable[Any], before: Mapping[str, Any]
) -> dict[str, Any]:
    """The content of `rates.json`; `before`, in it for all that lines and records do not say."""
    passes: dict[tuple[object, ...], dict[str, Any]] = {}
    steps: dict[tuple[object, ...], dict[str, Any]] = {}
    for row in _throughput(records):
        steps[row["shape"], row["method"], row["dtype"]] = row
    for each in (one for one in lines if "what" in one):
        same = {name: each[name] for name in ("family", "shape", "parameters") if name in each}
        same |= {"blocks": _blocks(each)}
        same |= {name: each[name] for name in ("dtype", "path") if name in each}
        measured = {name: each[name] for name in ("machine", "torch", "date")}
        if each["what"] == "pass":
            fields = ("call", "behind_call", "stock_call", "from_zero", "behind", "stock")
            speeds = {name: _rounded(each[name]) for name in fields if name in each}
            passes[each["shape"], each["dtype"], each["path"]] = same | speeds | measured
        if each["what"] == "step":
            method = "full" if each["method"] == "full" else "lora"
            found = _step(each["step"], each["short_step"])
            del same["path"]
            steps[each["shape"], method, each["dtype"]] = (
                same | {"method": method} | found | measured
            )
    for each in (one for one in lines if "what" not in one):
        row = _of_evaluation(each)
        passes.setdefault((row["shape"], row["dtype"], row["path"]), row)
    for row in before.get("passes", ()):
        passes.setdefault((row["shape"], row["dtype"], row["path"]), row)
    for row in before.get("steps", ()):
        steps.setdefault((row["shape"], row["method"], row["dtype"]), row)
    whats = {each.get("what") for each in lines}
    return {
        "made_by": "python -m tools.describe_rates --keep, of lines of python -m benchmarks.rates",
        "text": _text(lines) if "text" in whats else before["text"],
        "load": _load(lines) if "load" in whats else before["load"],
        "evaluations": [
            {name: each[name] for name in _EVALUATION}
            for each in lines
            if each.get("what") == "text"
        ]
        or before["evaluations"],
        "passes": list(passes.values()),
        "steps": list(steps.values()),
    }


def _of_evaluation(line: Mapping[str, Any]) -> dict[str, Any]:
    """The rate that `benchmarks.evaluation` measured for its floor; of another card, as it is."""
    known = catalog.checkpoints()[line["shape"]]
    return {
        "family": known.family,
        "shape": line["shape"],
        "parameters": known.parameters,
        "blocks": known.blocks,
        "dtype": line["dtype"],
        "path": "kernels",
        "from_zero": _rounded(line["tokens_per_second"]),
        **{name: line[name] for name in ("machine", "torch") if name in line},
    }


def _rounded(number: float) -> float:
    return float(f"{number:.3g}")


def _blocks(line: Mapping[str, Any]) -> int:
    known = catalog.checkpoints().get(line["shape"])
    return known.blocks if known else line["blocks"]


def _step(full: float, short: float) -> dict[str, float]:
    """Seconds a token, and the least that a step takes, of full rows and of rows of a quarter."""
    tokens = BATCH * 512
    token = max(full - short, full / 4) / (0.75 * tokens)
    least = max(short**2 - (token * tokens / 4) ** 2, 0.0) ** 0.5
    return {"token": _rounded(token), "least": _rounded(least)}


def _throughput(records: Iterable[Any]) -> Iterator[dict[str, Any]]:
    """Rows of steps from records of throughput on an H200: the best of a shape and method."""
    best: dict[tuple[str, str, str], tuple[float, Any]] = {}
    for each in records:
        job, speed = each.job, each.values.get("tokens_per_second")
        card = each.environment.gpu.name if each.environment.gpu else ""
        if isinstance(job, ThroughputJob) and speed and rates.is_h200(card):
            method = "full" if job.method == "full" else "lora"
            at = (job.checkpoint, method, job.precision)
            best[at] = max(best.get(at, (0.0, None)), (speed, each), key=lambda found: found[0])
    for (shape, method, dtype), (speed, each) in sorted(best.items()):
        known = catalog.checkpoints()[shape]
        yield {
            "family": known.family,
            "shape": shape,
            "parameters": known.parameters,
            "blocks": known.blocks,
            "dtype": dtype,
            "method": method,
            "token": _rounded(1 / speed),
            "machine": each.environment.gpu.name,
            "torch": each.environment.packages["torch"],
            "date": each.started[:10],
        }


def _text(lines: list[dict[str, Any]]) -> dict[str, Any]:
    """Seconds of a question of ours, and of a token that lm-eval encodes; tokens of a pass."""
    mmlu, found = catalog.datasets()["mmlu"], defaultdict(list)
    for each in (one for one in lines if one.get("what") == "text"):
        asked = _asked(each["subjects"], (each["shots"],), "lm-eval")
        questions = sum(mmlu.subjects[name].questions for name in each["subjects"])
        encoded = asked.reading(mmlu, 4.0).encoded * each["questions"] / questions
        ours = each["arm"] == "ours"
        found[each["arm"]].append(each["text"] / (each["questions"] if ours else encoded))
        if each.get("passes"):
            found["pass"].append(each["tokens"] / each["passes"])
    return {
        "question_seconds": _rounded(statistics.median(found["ours"])),
        "encoded_token_seconds": _rounded(statistics.median(found["stock"])),
        "pass_tokens": _rounded(statistics.median(found["pass"] or [4000])),
    }


def _load(lines: list[dict[str, Any]]) -> dict[str, float]:
    found = [each["seconds"] / each["bytes"] * 1e9 for each in lines if each.get("what") == "load"]
    return {"seconds_per_gb": _rounded(statistics.median(found))}


# -----------------------------------------------------------------------------
# Predicted beside measured


def _asked(
    subjects: Iterable[str], shots: tuple[int, ...], engine: str, size: int = 16, **more: object
) -> EvaluateJob:
    setting = {"id": "s", "batch_size": size, "order": "length-descending", "mamba_path": "kernels"}
    setting |= {"attention_float32": "eager", "attention_half": "eager"}
    fields = {"kind": "evaluate", "task": "mmlu", "checkpoint": "mamba-130m", "dtype": "float32"}
    fields |= {"arm": "weight-cast", "subjects": sorted(subjects), "shots": shots, "engine": engine}
    return EvaluateJob.model_validate(fields | {"setting": setting} | more)


Compared = tuple[str, str, float, float]
"""A group, what was timed, seconds predicted, seconds measured."""


def of_records() -> Iterator[Compared]:
    """Committed records, each on its machine, kernels that it compiled included."""
    locator = InputLocator()
    for folder in EVIDENCE:
        for record in Store(paths.ROOT / "evidence" / folder).records():
            job, machine = record.job, record.environment
            if record.job.kind not in KINDS:
                continue
            foreseen = estimate_cost(job, locator, machine).seconds
            card = _card(machine.gpu.name) if machine.gpu else "CPU"
            yield f"records of {job.kind}, {card}", record.key, foreseen, record.seconds


def evaluations() -> Iterator[dict[str, Any]]:
    """Whole evaluations of MMLU that were timed: those of `rates.json`, those of evidence."""
    yield from rates.measured()["evaluations"]
    for file in sorted((paths.ROOT / "evidence").glob("*/engine*.jsonl")):
        for row in map(json.loads, file.read_text().splitlines()):
            if row.get("task") == "mmlu" and "ours" in row and "stock" in row:
                for arm in ("ours", "stock"):
                    seconds = statistics.median(row[arm]["seconds"])
                    size = {"batch_size": row["stock_batch_size"]} if arm == "stock" else {}
                    subjects = row.get("subjects", _THREE)
                    yield row | size | {"arm": arm, "seconds": seconds, "subjects": subjects}


_THREE = ["abstract_algebra", "anatomy", "marketing"]
"""Subjects of lines that do not say them."""


def of_evaluations() -> Iterator[Compared]:
    """Ours and stock lm-eval's seconds to ask a model that is loaded."""
    mmlu = catalog.datasets()["mmlu"]
    for row in evaluations():
        checkpoint = catalog.checkpoints()[row["shape"]]
        ours = row["arm"] == "ours"
        job = _asked(
            row["subjects"],
            (row["shots"],),
            "prefix" if ours else "lm-eval",
            checkpoint=row["shape"],
            dtype=row["dtype"],
            size=row.get("batch_size", 16),
        )
        read = job.reading(mmlu, characters_per_token(checkpoint))
        share = row["questions"] / sum(mmlu.subjects[each].questions for each in row["subjects"])
        foreseen = share * job.asking(checkpoint, read).seconds
        what = f"{row['shape']} {row['dtype']} {row['shots']}-shot"
        engine = "the engine prefix" if ours else "stock lm-eval"
        yield f"MMLU by {engine}, {_card(row['machine'])}", what, foreseen, row["seconds"]


def _card(machine: str) -> str:
    return rates.known_card(machine) or machine


def held_out() -> Iterator[Compared]:
    """Each measured shape between two others, from the others: a thousand tokens."""
    found = rates.measured()
    for kind, fields in (("passes", ("from_zero", "behind", "stock")), ("steps", ("token",))):
        groups = defaultdict(list)
        for row in found[kind]:
            groups[row["family"], row["dtype"], row.get("path", row.get("method"))].append(row)
        for (family, dtype, way), rows in groups.items():
            ordered = sorted(rows, key=lambda each: each["parameters"])
            for row, field in itertools.product(ordered[1:-1], fields):
                if field not in row:
                    continue
                points = [
                    (each["parameters"], each[field] ** (1 if field == "token" else -1))
                    for each in ordered
                    if each is not row and field in each
                ]
                foreseen = 1000 * rates.interpolated(points, row["parameters"])
                took = 1000 * row[field] ** (1 if field == "token" else -1)
                yield (
                    f"{kind} of {family}, {way}, one shape held out",
                    f"{row['shape']} {dtype} {field}",
                    foreseen,
                    took,
                )


def table() -> str:
    """Markdown: a row a group; factors are predicted over measured."""
    groups = defaultdict(list)
    for group, what, foreseen, took in (*held_out(), *of_evaluations(), *of_records()):
        groups[group].append((foreseen / max(took, 1e-9), what, foreseen, took))
    head = ("what was timed", "how many", "seconds, the median", "factor, the median (range)")
    lines = [f"| {' | '.join(head)} | within {WITHIN} |", "|---|---:|---:|---:|---:|"]
    for group, found in groups.items():
        factors = sorted(each[0] for each in found)
        near = sum(1 / WITHIN <= each <= WITHIN for each in factors)
        took = statistics.median(each[3] for each in found)
        lines.append(
            f"| {group} | {len(found)} | {took:.3g} | {statistics.median(factors):.2f} "
            f"({factors[0]:.2f} to {factors[-1]:.2f}) | {near} |"
        )
    return "\n".join(lines)


def page(text: str) -> str:
    """The page with its table made again."""
    return with_part(text, BEGIN, END, table())


def main() -> None:
    """Keep what was measured, or write the table."""
    parser = command.parser(__doc__)
    parser.add_argument("--keep", nargs="+", type=Path, help="lines of benchmarks.rates")
    parser.add_argument("--throughput", nargs="+", type=Path, default=[], help="records")
    arguments = parser.parse_args()
    if not arguments.keep:
        PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
        return
    lines = [json.loads(each) for file in arguments.keep for each in file.read_text().splitlines()]
    records = (each for folder in arguments.throughput for each in Store(folder).records())
    content = kept(lines, records, rates.measured())
    head = json.dumps({name: content[name] for name in ("made_by", "text", "load")}, indent=1)
    rows = {
        name: ",\n  ".join(json.dumps(each) for each in content[name])
        for name in ("evaluations", "passes", "steps")
    }
    body = ",\n".join(f' "{name}": [\n  {each}\n ]' for name, each in rows.items())
    rates.FILE.write_text(f"{head.rstrip().removesuffix('}').rstrip()},\n{body}\n}}\n")


if __name__ == "__main__":
    command.run(main)
