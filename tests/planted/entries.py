"""Entries of a catalog for models and questions that never were, and what their records read."""

from typing import Any

from repro import fileio
from repro.schema.catalog import Checkpoint, Dataset, HubSource, Subject, Wheel
from repro.schema.jobs import ModelJob

SUBJECT = "everything"
_HUB = HubSource(kind="hub", repository="x/y", revision="0" * 40, remote_code=False)


def checkpoint(name: str) -> Checkpoint:
    """A checkpoint whose weights the catalog pins; its family is in its name."""
    return Checkpoint(
        family="gpt-neox" if name.startswith("pythia") else "mamba",
        source=_HUB,
        stored_dtype="float32",
        tokenizer="own",
        parameters=1000,
        hidden_size=8,
        blocks=2,
        heads=2,
        files={"model.safetensors": fileio.digest_of_data(name)},
        note="",
    )


def inputs(name: str) -> dict[str, str]:
    """Digests of the files of a checkpoint, as the catalog has them."""
    return {f"{name}/{file}": sha for file, sha in checkpoint(name).files.items()}


def path(job: Any) -> dict[str, str]:
    """Kernels that an evaluation took, as it was asked; none of what it has not."""
    taken = {"device": "cpu", "logits_dtype": "float32"}
    if isinstance(job, ModelJob):
        scans = job.checkpoint.startswith("mamba")
        taken["attention"] = "none" if scans else job.setting.attention_half
        taken["mamba_scan"] = job.setting.mamba_path if scans else "none"
    return taken


def mmlu(gold: Any) -> Dataset:
    """One subject that has all questions."""
    subject = Subject(
        category="all",
        questions=len(gold),
        question_characters=100,
        shot_characters=(50, 100, 150, 200, 250),
        gold_sha256=fileio.digest_of_data(gold.tolist()),
        rows_sha256="0" * 64,
    )
    wheel = Wheel(distribution="x", version="1", filename="x.whl", sha256="0" * 64, size=1)
    return Dataset(wheel=wheel, hub=_HUB, licence="none", subjects={SUBJECT: subject})
