"""Loads checkpoints as jobs do; started under strace by test_runner_loading.

python loads_traced.py ROOT [--let-through]     ROOT holds one folder a family, named for it
"""

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import evaluate_jobs

from repro.inputs import checkpoints, remote_code
from repro.inputs.located import Located
from repro.schema.families import OWN_CODE
from repro.weights import loadable
from runner import job
from runner.evaluation import loading
from runner.models import registry
from runner.stability import trained_layers

JOB = evaluate_jobs.job(
    subjects=("anatomy",), shots=(0,), attention_float32="sdpa", attention_half="sdpa"
)


def digested(folder: Path) -> dict[str, str]:
    """As planning digests a checkpoint that the user allowed to bring code."""
    found = checkpoints.checkpoint_digests(folder, "tiny")
    if registry.family_of(folder) == OWN_CODE:
        found |= {
            f"tiny/{name}": sha for name, sha in remote_code.code_digests(folder, "x").items()
        }
    return found


def load(folder: Path) -> None:
    """Through a job's inputs, and given the folder itself."""
    files = digested(folder)
    code = {name: sha for name, sha in files.items() if name.endswith(".py")}
    located = Located("tiny", folder, files, substituted=True, first_use=False, executes=code)
    with job._inputs({"checkpoint": located}, folder) as inputs:
        assert inputs.checkpoint is not None
        loading.load(JOB, inputs.checkpoint, remote_code=inputs.remote_code)
    loading.load(JOB, folder, remote_code=bool(code))
    if folder.name == "mamba":
        trained_layers.load_mamba_weights(folder)


@contextmanager
def let_through(folder: Path, **_: object) -> Iterator[Path]:
    """In place of `loadable.private_copy`: the folder itself."""
    yield folder


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    for each in sorted(Path(sys.argv[1]).iterdir()):
        if sys.argv[2:]:
            loadable.private_copy = let_through
            loading.load(JOB, each)
        else:
            load(each)
        sys.stdout.write(f"{each.name}\n")
