"""Evaluations with little memory to spare, for a process of their own: it imports them by name."""

import json
import resource
from pathlib import Path

import torch
from safetensors.numpy import save

from repro.errors import CannotRunError
from repro.schema.jobs import EvaluateJob
from runner.evaluation import evaluate
from runner.measurement import Inputs


def capped(spare: int) -> None:
    """Let this process have only so many bytes more than it has."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + spare
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def halved(job: EvaluateJob, smaller: EvaluateJob, inputs: Inputs, said: Path) -> None:
    torch.set_num_threads(1)
    expected = evaluate.run(smaller, inputs, lambda *_, **__: None)  # all code is mapped by now
    capped(120 * 2**20)
    found = evaluate.run(job, inputs, lambda *_, **__: None)
    assert save(found.arrays) == save(expected.arrays)
    said.write_text(json.dumps([found.path["batch_size"], found.warnings]))


def too_little(job: EvaluateJob, inputs: Inputs, said: Path) -> None:
    torch.set_num_threads(1)
    evaluate.run(job, inputs, lambda *_, **__: None)  # all code is mapped by now
    capped(60 * 2**20)
    try:
        evaluate.run(job, inputs, lambda *_, **__: None)
    except CannotRunError as error:
        said.write_text(str(error))
