"""A made-up manifest with its records: everything a verifier reads, no model anywhere."""

import datetime as dt
import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from repro import fileio
from repro.environment import machine
from repro.environment.machine import Environment
from repro.schema import jobs
from repro.schema.catalog import BundledSource, Checkpoint, Dataset, HubSource, Subject, Wheel
from repro.schema.finding import Finding
from repro.schema.jobs import Engine, EvaluateJob, Job, ModelJob, Tier
from repro.schema.manifest import Manifest
from repro.schema.slots import slots
from repro.store import keys, run_file
from repro.store.commitments import commitments_of
from repro.store.record import ArrayFile, Record
from repro.store.run_file import RunFile
from repro.store.store import Store

QUESTIONS = {"arithmetic": 40, "geometry": 25}
SHOTS = (0, 5)
ANSWER = {
    "who": "A. Author",
    "when": "2026-12-01",
    "where": "a letter that the editor keeps",
    "said": "it is 0.21",
}
"""Of the paper's authors, to a finding."""
BATCHES = (4, 8, 16, 32, 64, 128, 256)
"""One a setting; the last three take the other kernels, `SECOND`."""
FIRST: dict[str, Any] = {
    "attention_float32": "eager",
    "attention_half": "eager",
    "mamba_path": "slow",
}
SECOND: dict[str, Any] = {
    "attention_float32": "sdpa",
    "attention_half": "sdpa",
    "mamba_path": "kernels",
}


def gold_of(subject: str) -> list[int]:
    """Gold answers of a made-up subject."""
    return [(7 * row + len(subject)) % 4 for row in range(QUESTIONS[subject])]


def dataset() -> Dataset:
    """The catalog entry of the made-up benchmark."""
    return Dataset(
        wheel=Wheel(distribution="x", version="1", filename="x.whl", sha256="0" * 64, size=1),
        hub=HubSource(kind="hub", repository="x/y", revision="main", remote_code=False),
        licence="none",
        subjects={
            name: Subject(
                category="sums",
                questions=count,
                question_characters=100,
                shot_characters=(50, 100, 150, 200, 250),
                gold_sha256=fileio.digest_of_data(gold_of(name)),
                rows_sha256="0" * 64,
            )
            for name, count in QUESTIONS.items()
        },
    )


def checkpoints() -> dict[str, Checkpoint]:
    """Two models of the paper and a twin for one of them."""
    common: dict[str, Any] = {
        "stored_dtype": "float32",
        "tokenizer": "own",
        "parameters": 1000,
        "hidden_size": 8,
        "blocks": 2,
        "heads": None,
        "files": {},
        "note": "",
    }
    hub = HubSource(kind="hub", repository="x/y", revision="main", remote_code=False)
    return {
        "mamba-1": Checkpoint(family="mamba", source=hub, **common),
        "mamba-2": Checkpoint(family="mamba", source=hub, **common),
        "mamba-3": Checkpoint(family="mamba", source=hub, **common),
        "phi-1": Checkpoint(family="phi", source=hub, **common),
        "twin": Checkpoint(
            family="mamba", source=BundledSource(kind="bundled", folder="twins/x"), **common
        ),
    }


def manifest_data(**changes: Any) -> dict[str, Any]:
    """A manifest of two cells, a mean, a count and an ordering, as plain data."""
    place = {"section": "5", "table": "Table 9", "row": "FP16", "column": "M"}

    def cell(model: str, text: str) -> tuple[dict[str, Any], dict[str, Any]]:
        name = f"T9.{model}.float16"
        printed = {"id": name, "text": text, "unit": "percentage points", "place": place}
        claim = {
            "id": name,
            "kind": "cell",
            "statement": "a cell",
            "place": place,
            "depends_on": ["torch"],
            "published": name,
            "measure": {
                "kind": "divergence",
                "checkpoint": model,
                "dtype": "float16",
                "reference": "float32",
                "input_rounding": "0.01",
            },
            "margin": {"value": "0.1", "origin": "half the distance to 0"},
        }
        return printed, claim

    first, first_claim = cell("mamba-1", "0.20")
    second, second_claim = cell("phi-1", "1.10")
    both = [first["id"], second["id"]]
    common = {"statement": "a sentence", "place": place, "depends_on": []}
    settings = [
        {
            "id": f"batch-{size}",
            "batch_size": size,
            "order": "length-descending",
            **(SECOND if size in BATCHES[-3:] else FIRST),
        }
        for size in BATCHES
    ]
    tier = {
        "subjects": ["arithmetic", "geometry"],
        "rule": "all",
        "settings": [f"batch-{size}" for size in BATCHES],
        "other_arms": [],
    }
    return {
        "schema_version": 1,
        "id": "table9",
        "title": "Made up",
        "paper": {"arxiv": "0000.00000", "version": "v2"},
        "packages": {"torch": "everything"},
        "published": [
            first,
            second,
            {"id": "mean", "text": "0.65", "unit": "percentage points", "place": place},
            {"id": "count", "text": "1", "unit": "cells", "place": place},
        ],
        "settings": settings,
        "jobs": [
            {
                "kind": "evaluation",
                "id": "mmlu",
                "checkpoints": ["mamba-1", "phi-1"],
                "dtypes": ["float32", "float16"],
                "task": "mmlu",
                "shots": list(SHOTS),
                "tiers": {
                    "smoke": {**tier, "stand_ins": {"mamba": "twin"}, "only_stand_ins": True},
                    "full": {**tier, "stand_ins": {}, "only_stand_ins": False},
                },
            }
        ],
        "claims": [
            first_claim,
            second_claim,
            {
                **common,
                "id": "mean.printed",
                "kind": "mean",
                "basis": "printed",
                "published": "mean",
                "of": both,
            },
            {
                **common,
                "id": "count.measured",
                "kind": "count",
                "basis": "measured",
                "published": "count",
                "of": both,
                "above": "1",
            },
            {
                **common,
                "id": "order.measured",
                "kind": "ordering",
                "basis": "measured",
                "left": both[:1],
                "right": both[1:],
                "relation": "at-most",
            },
        ],
        **changes,
    }


def manifest(**changes: Any) -> Manifest:
    """The made-up manifest."""
    return Manifest.model_validate_json(fileio.canonical(manifest_data(**changes)))


def in_dtype(scores: Any, dtype: str) -> Any:
    """Numbers that a model in that dtype may give; of bfloat16 the bits that it keeps."""
    if dtype == "bfloat16":
        bits = scores.astype(np.float32).view(np.uint32) & np.uint32(0xFFFF0000)
        return bits.view(np.float32).astype(np.float64)
    return scores.astype(dtype).astype(np.float64)


def answers(job: EvaluateJob, seed: int = 0) -> dict[str, Any]:
    """Arrays of an evaluation: random log-likelihoods, a little different in each dtype."""
    total = sum(QUESTIONS[name] for name in job.subjects)
    base = np.random.default_rng(seed).normal(-3, 1, size=(len(job.shots), total, 4))
    noise = np.random.default_rng([seed, job.setting.batch_size, job.dtype == "float16"])
    scores = in_dtype(base + noise.normal(0, 0.3, size=base.shape), job.dtype)
    gold = np.concatenate([gold_of(name) for name in job.subjects]).astype(np.int64)
    arrays: dict[str, Any] = {
        "subject": np.repeat(
            np.arange(len(job.subjects)), [QUESTIONS[name] for name in job.subjects]
        ),
        "question": np.concatenate([np.arange(QUESTIONS[name]) for name in job.subjects]),
    }
    for index, shots in enumerate(job.shots):
        arrays[f"shots{shots}/log_likelihood"] = scores[index]
        arrays[f"shots{shots}/prediction"] = scores[index].argmax(axis=1)
        arrays[f"shots{shots}/gold"] = gold
    sample = np.isin(arrays["subject"], [job.subjects.index(name) for name in job.checked])
    for who in jobs.batch_sizes(job.setting.batch_size) if job.engine == "prefix" else ():
        for shots in job.checked_shots:
            at = f"shots{shots}/log_likelihood"
            arrays[f"{who}/{at}"] = arrays[at][sample].copy()
    return arrays


def values_of(arrays: dict[str, Any]) -> dict[str, float | int | str]:
    """What a record says of some arrays, counted question by question."""
    values: dict[str, float | int | str] = {}
    for shots in (0, 1, 3, 5):
        if f"shots{shots}/gold" in arrays:
            letters = arrays[f"shots{shots}/prediction"].tolist()
            gold = arrays[f"shots{shots}/gold"].tolist()
            scores = arrays[f"shots{shots}/log_likelihood"].tolist()
            right = [letter == answer for letter, answer in zip(letters, gold, strict=True)]
            values[f"shots{shots}/accuracy"] = sum(right) / len(right)
            values[f"shots{shots}/ties"] = sum(row.count(max(row)) > 1 for row in scores)
            for number, name in enumerate("ABCD"):
                values[f"shots{shots}/predicted_{name}"] = letters.count(number)
    return values


@functools.cache
def this_machine() -> Environment:
    """What records say of this machine; it takes a second to find out."""
    return machine.capture(["torch"])


Change = Callable[[dict[str, Any], dict[str, Any]], None]
"""Takes the arrays and the fields of a record before it is written, and may change both."""


def save_record(
    store: Store,
    job: Job,
    arrays: dict[str, Any],
    machine: Environment,
    change: Change | None = None,
    **more: Any,
) -> str:
    """Write a record as a runner would, whatever `change` makes of it; returns its key.

    `more` are fields that are not those of an evaluation of an untuned model. An evaluation asks
    all its questions, but one that is `screened`.
    """
    if isinstance(job, ModelJob) and not more.pop("screened", False):
        job = job.whole()
    inputs = more.pop("inputs", {"twin/model.safetensors": "1" * 64})
    # Of this checkout; which modules is all the same, unless a plan is to find the record.
    code = more.pop("code", None) or keys.code_of("weight_tying")
    libraries = keys.libraries_of(job.kind, machine.packages)
    fields: dict[str, Any] = {
        "schema_version": 1,
        "key": keys.job_key(job, inputs, code, libraries, machine.key_parts()),
        "job": job,
        "inputs": inputs,
        "code": code,
        "environment": machine,
        "path": {"device": "cpu"}
        | ({"logits_dtype": "float32"} if hasattr(job, "arm") else {})
        | more.pop("path", {}),
        "values": more.pop("values", None) or values_of(arrays),
        "files": more.pop("files", {}),
        "warnings": (),
        "started": dt.datetime(2026, 1, 1, tzinfo=dt.UTC).isoformat(),
        "seconds": 1.0,
        "digest": "0" * 64,
    }
    if change:
        change(arrays, fields)

    def make(file: ArrayFile) -> Record:
        draft = Record(arrays=file, **fields)
        return draft.model_copy(update={"digest": draft.digest_of_content()})

    return store.save(arrays, make).key


def run(
    root: Path,
    claimed: Manifest,
    tier: Tier = "smoke",
    change: Change | None = None,
    known: dict[str, Checkpoint] | None = None,
    engine: Engine = "lm-eval",
) -> tuple[Store, RunFile]:
    """Write run file and records of a whole run of the made-up manifest."""
    store, machine = Store(root), this_machine()
    jobs, missing = {}, {}
    for slot in slots(claimed, tier, known or checkpoints(), engine):
        if slot.job is None:
            missing[slot.id] = slot.reason
        elif isinstance(slot.job, EvaluateJob):
            jobs[slot.id] = save_record(store, slot.job, answers(slot.job), machine, change)
    written = RunFile(
        schema_version=2,
        manifest=claimed.id,
        file=f"{claimed.id}.json",
        tier=tier,
        engine=engine,
        started="2026-01-01T00:00:00+00:00",
        substitutions={},
        jobs=jobs,
        missing=missing,
        committed=commitments_of(claimed),
    )
    run_file.save(root, written)
    return store, written


def codes(finding: Finding) -> list[str]:
    """Codes of the causes, in order."""
    return [each.code for each in finding.causes]


def said(finding: Finding, code: str) -> dict[str, Any]:
    """Values of the cause or the step of working that has a code."""
    every = (*finding.causes, *finding.working, *filter(None, [finding.direction]))
    return next(dict(each.values) for each in every if each.code == code)


def numbers(finding: Finding) -> dict[str, float]:
    """Estimates by label."""
    return {each.label: each.value for each in finding.estimates}


def interval(finding: Finding, label: str) -> tuple[float | None, float | None]:
    """Ends of the interval of an estimate."""
    return next((e.low, e.high) for e in finding.estimates if e.label == label)


def pointing(finding: Finding) -> str:
    """Code of where it points, and of which outcome or relation; empty where nowhere."""
    if finding.direction is None:
        return ""
    return " ".join([finding.direction.code, *map(str, finding.direction.values.values())])


def shown(finding: Finding) -> tuple[str, str, str, str, str, str]:
    """Everything that a rule fills in."""
    return (
        finding.outcome,
        finding.published,
        finding.measured,
        finding.margin,
        finding.reason,
        finding.direction,
    )
