"""Records of models whose answers flip as wanted, and claims about them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import made_up_records as records
import numpy as np

from repro.environment import machine
from repro.schema.finding import Finding, Verdict
from repro.schema.jobs import EvaluateJob
from verify.evidence import Evidence
from verify.judge import judge

BOTH = ["T9.mamba-1.float16", "T9.phi-1.float16"]


Flips = Callable[[str, int, int], tuple[int, int]]
"""Model, setting (0 to 6) and shots to the answers that float16 loses and wins."""


QUESTIONS = 65


RIGHT = 40


WOBBLE = (0, 1, -1, 0, 1, -1, 0)
"""Answers more, by setting; none on average, and two apart between settings of two kernels."""


def judged_sentence(tmp_path: Path, lost: dict[str, int], claim: dict[str, Any]) -> Finding:
    data = table({"mamba-1": "20.0", "phi-1": "20.0"}, more=[claim])
    for each in data["published"]:
        each["text"] = {"mean": "20.0", "count": "1"}.get(each["id"], each["text"])
    return named(verdict(tmp_path, wobbling(lost), **data), "it")


def named(verdict: Verdict, name: str) -> Finding:
    return next(each for each in verdict.findings if each.claim == name)


def sentence(kind: str, **fields: Any) -> dict[str, Any]:
    return {
        "id": "it",
        "kind": kind,
        "statement": "a sentence",
        "quote": "a sentence",
        "place": {"section": "5"},
        "depends_on": [],
        "basis": "measured",
        **fields,
    }


def series_world(
    tmp_path: Path,
    lost: tuple[int, ...],
    claim: dict[str, Any],
    wobble: int = 1,
    settings: int = 7,
) -> Finding:
    """Cells of mamba-1 and mamba-2 on the left, of mamba-3 and phi-1 on the right."""
    models = ("mamba-1", "mamba-2", "mamba-3", "phi-1")
    data = records.manifest_data()
    cell, printed = data["claims"][0], data["published"][0]
    names = [f"T9.{model}.float16" for model in models]
    claims = [
        {**cell, "id": name, "published": name, "measure": {**cell["measure"], "checkpoint": model}}
        for name, model in zip(names, models, strict=True)
    ]
    data["jobs"][0]["checkpoints"] = list(models)
    full = data["jobs"][0]["tiers"]["full"]
    full["settings"] = full["settings"][:settings]
    both = {"left": names[:2], "right": names[2:]}
    flips: Flips = lambda model, setting, shots: (  # noqa: E731
        lost[models.index(model)] + wobble * WOBBLE[setting] * (shots > 0),
        0,
    )
    found = verdict(
        tmp_path,
        flips,
        published=[{**printed, "id": name} for name in names],
        jobs=data["jobs"],
        claims=[*claims, sentence("concordance", **both, **claim)],
    )
    return named(found, "it")


def table(
    texts: dict[str, str], margin: str = "12", more: list[dict[str, Any]] | None = None
) -> dict[str, Any]:
    """The made-up manifest with other printed cells, and with claims in place of its own."""
    data = records.manifest_data()
    for each in data["published"][:2]:
        each["text"] = texts[each["id"].split(".")[1]]
    cells = data["claims"][:2]
    for each in cells:
        each["margin"]["value"] = margin
    return {"published": data["published"], "claims": cells + (more or [])}


def verdict(tmp_path: Path, flips: Flips, *, kernels: int = 2, **changes: Any) -> Verdict:
    claimed, evidence = world(tmp_path, flips, kernels=kernels, **changes)
    return judge(claimed, evidence, {"torch": machine.capture(["torch"]).packages["torch"]})


def wobbling(lost: dict[str, int]) -> Flips:
    """So many answers lost at 0 shots; at 5 shots one fewer or more from setting to setting."""
    return lambda model, setting, shots: (lost[model] + WOBBLE[setting] * (shots > 0), 0)


def world(
    tmp_path: Path, flips: Flips, *, kernels: int = 1, **changes: Any
) -> tuple[Any, Evidence]:
    """A whole run at tier full with these flips.

    Records say which kernel they took if there are two: else another machine is known from the
    changes alone.
    """
    claimed = records.manifest(**changes)

    def change(arrays: dict[str, Any], fields: dict[str, Any]) -> None:
        job = fields["job"]
        assert isinstance(job, EvaluateJob)
        setting = records.BATCHES.index(job.setting.batch_size)
        for shots in job.shots:
            gold = arrays[f"shots{shots}/gold"]
            lost, won = (0, 0)
            if job.dtype == "float16":
                lost, won = flips(job.checkpoint, setting, shots)
            right = np.r_[np.arange(lost, RIGHT), np.arange(RIGHT, RIGHT + won)]
            letters = (gold + 1) % 4
            letters[right] = gold[right]
            scores = np.full((QUESTIONS, 4), -5.0 - setting / 1024)
            scores[np.arange(QUESTIONS), letters] = -1.0
            arrays[f"shots{shots}/log_likelihood"] = scores
            arrays[f"shots{shots}/prediction"] = letters
        fields["values"] = records.values_of(arrays)
        if kernels > 1:
            scans = {"mamba_scan": job.setting.mamba_path}
            attends = {"attention": job.setting.attention_half}
            fields["path"] |= attends if job.checkpoint == "phi-1" else scans

    store, run = records.run(tmp_path, claimed, "full", change)
    return claimed, Evidence(
        claimed, run, store, records.checkpoints(), {"mmlu": records.dataset()}
    )
