"""Job keys: the digest of everything that can change a job's numbers.

Same key, same numbers: reuse. Anything differs (specification, weights, data, tokenizer,
a library, the hardware class, the code that computes it): run again. Never a stale answer.
"""

import ast
import functools
import hashlib
import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from repro import fileio
from repro.errors import BadInputError
from repro.schema.jobs import KINDS, Job
from repro.schema.kinds.imported import ImportedJob

if TYPE_CHECKING:
    from repro.store.record import Record

NO_NUMBERS: Mapping[str, str] = {
    "repro.errors": "words of messages, and exit codes",
    "repro.schema.jobs": "what a job says is in its key, field by field; and the list of kinds",
}
"""Modules that a job's code imports and that can change none of its numbers, each with the reason;
what only they import is not followed."""


def job_key(
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
        code: SHA-256 of each module that computes it, from `code_of`.
        libraries: Installed version of each of the kind's `LIBRARIES`, by name.
        machine: Hardware class and Python version.

    Returns:
        SHA-256, 64 hexadecimal digits.
    """
    return fileio.digest_of_data(
        {
            "job": job.specification(),
            "inputs": dict(inputs),
            "code": dict(code),
            "libraries": dict(libraries),
            "machine": dict(machine),
        }
    )


def key_of(record: "Record") -> str:
    """The key that follows from a record's own content.

    That of an import is of what it says and the files that it comes from, and no job ever has it.
    """
    job = record.job
    if isinstance(job, ImportedJob):
        return fileio.digest_of_data({"imported": job.specification(), "files": record.inputs})
    libraries = libraries_of(job.kind, record.environment.packages)
    machine = record.environment.key_parts()
    return job_key(job, record.inputs, record.code, libraries, machine)


def libraries_of(kind: str, packages: Mapping[str, str]) -> dict[str, str]:
    """Versions of the packages that a kind of job depends on; those not installed are left out."""
    return {name: packages[name] for name in KINDS[kind].LIBRARIES if name in packages}


def code_of(kind: str, root: Path | None = None) -> dict[str, str]:
    """Digest of every module of ours that a kind of job reaches through imports.

    Followed by parsing, not by importing, so that planning needs no ML framework: imports inside
    functions too, relative ones, and the `__init__` of every package on the way.

    Args:
        kind: A key of `KINDS`.
        root: The folder that holds our packages; those that are installed, where it is None.

    Returns:
        SHA-256 by path, e.g. `runner/evaluation/evaluate.py`, sorted.
    """
    waiting, seen = [KINDS[kind].ENTRY], dict[str, str]()
    own = waiting[0].partition(".")[0]  # a plug-in's is another
    folders = {package: _folder(package, root) for package in _PACKAGES}
    folders |= {} if own in folders else {own: _folder(own, None)}
    while waiting:
        name = waiting.pop()
        package, _, inside = name.partition(".")
        if package not in folders or name in NO_NUMBERS:
            continue
        if outer := name.rpartition(".")[0]:
            waiting.append(outer)
        stem = folders[package].joinpath(*inside.split(".")) if inside else folders[package]
        path = stem / "__init__.py" if stem.is_dir() else stem.with_suffix(".py")
        shown = path.relative_to(folders[package].parent).as_posix()
        if shown in seen or not path.is_file():
            continue
        content = path.read_bytes()
        seen[shown] = hashlib.sha256(content).hexdigest()
        waiting += _imports(content, name if stem.is_dir() else outer)
    return dict(sorted(seen.items()))


def changed_modules(code: Mapping[str, str]) -> list[str]:
    """Modules of a record's `code` that are gone here, or others."""
    places = {package: _place(package) for package in {name.partition("/")[0] for name in code}}
    return [
        name
        for name, sha in sorted(code.items())
        if _digest(places[name.partition("/")[0]] / name) != sha
    ]


def _place(package: str) -> Path:
    """The folder that a package lies in; of a plug-in that is not installed nowhere."""
    try:
        return _folder(package, None).parent
    except BadInputError:
        return Path()


@functools.cache
def _digest(path: Path) -> str:
    return fileio.digest_of_file(path) if path.is_file() else ""


_PACKAGES = ("repro", "runner", "verify")


@functools.cache
def _imports(content: bytes, package: str) -> tuple[str, ...]:
    """Every name that a module of a package imports, which may be a module's or not."""
    names: list[str] = []
    for node in ast.walk(ast.parse(content)):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: -node.level + 1 or None] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            names += [base, *(f"{base}.{alias.name}" for alias in node.names)]
    return tuple(names)


def _folder(package: str, root: Path | None) -> Path:
    if root is not None:
        return root / package
    found = importlib.util.find_spec(package)
    if found is None or not found.submodule_search_locations:
        message = f"the package `{package}` is not installed; `make venv` installs it"
        raise BadInputError(message)
    return Path(next(iter(found.submodule_search_locations)))
