"""Job keys: the digest of everything that can change a job's numbers.

Same key, same numbers: reuse. Anything differs (specification, weights, data, tokenizer,
a library, the hardware class, the code that computes it): run again. Never a stale answer.
"""

import ast
import functools
import importlib.util
from collections.abc import Mapping
from pathlib import Path

from repro import digests
from repro.errors import BadInputError
from repro.jobs import Job

MODULES: Mapping[str, str] = {
    "evaluate": "evaluate",
    "benchmark": "benchmark",
    "tuning": "finetune",
    "throughput": "throughput",
    "stability": "stability",
    "weight_tying": "weight_tying",
}
"""Kind of job to the module of `runner` that computes it."""

_MODELS = (
    "torch",
    "triton",
    "transformers",
    "tokenizers",
    "peft",
    "datasets",
    "numpy",
    "safetensors",
    "mamba-ssm",
    "causal-conv1d",
    "flash-attn",
)

LIBRARIES: Mapping[str, tuple[str, ...]] = {
    "evaluate": (*_MODELS, "lm-eval"),
    "benchmark": (*_MODELS, "lm-eval"),
    "tuning": (*_MODELS, "accelerate", "trl"),
    "throughput": _MODELS,
    "stability": ("torch", "numpy", "safetensors"),
    "weight_tying": ("numpy",),
}
"""Kind of job to the packages whose versions can change its numbers."""


def of_job(
    job: Job,
    inputs: Mapping[str, str],
    code: Mapping[str, str],
    libraries: Mapping[str, str],
    machine: Mapping[str, str],
) -> str:
    """The key of a job.

    Args:
        job: What is computed. A setting's label is left out: it changes no number.
        inputs: SHA-256 of each file read, by name.
        code: SHA-256 of each module of `runner` that computes it, from `code_of`.
        libraries: Installed version of each package of `LIBRARIES`, by name.
        machine: Hardware class and Python version.

    Returns:
        SHA-256, 64 hexadecimal digits.
    """
    specification = job.model_dump(mode="json")
    if "setting" in specification:
        del specification["setting"]["id"]
    return digests.of_data(
        {
            "job": specification,
            "inputs": dict(inputs),
            "code": dict(code),
            "libraries": dict(libraries),
            "machine": dict(machine),
        }
    )


def libraries_of(kind: str, packages: Mapping[str, str]) -> dict[str, str]:
    """Versions of the packages that a kind of job depends on; those not installed are left out."""
    return {name: packages[name] for name in LIBRARIES[kind] if name in packages}


def code_of(kind: str) -> dict[str, str]:
    """Digest of every module of `runner` that a kind of job reaches through imports.

    Followed by parsing, not by importing, so that planning needs no ML framework.
    """
    folder = _runner_folder()
    waiting, seen = [MODULES[kind]], dict[str, str]()
    while waiting:
        name = waiting.pop().replace(".", "/")
        path = folder / f"{name}.py"
        if f"runner/{name}.py" in seen or not path.is_file():
            continue
        seen[f"runner/{name}.py"] = digests.of_file(path)
        waiting += _runner_imports(path)
    return dict(sorted(seen.items()))


def differing(code: Mapping[str, str]) -> list[str]:
    """Modules of a record's `code` that are gone here, or others."""
    folder = _runner_folder().parent
    return [name for name, sha in sorted(code.items()) if _digest(folder / name) != sha]


@functools.cache
def _digest(path: Path) -> str:
    return digests.of_file(path) if path.is_file() else ""


def _runner_imports(path: Path) -> list[str]:
    names: list[str] = []
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return [name.removeprefix("runner.") for name in names if name.startswith("runner.")]


def _runner_folder() -> Path:
    found = importlib.util.find_spec("runner")
    if found is None or not found.submodule_search_locations:
        message = "the package `runner` is not installed; `make venv` installs it"
        raise BadInputError(message)
    return Path(next(iter(found.submodule_search_locations)))
