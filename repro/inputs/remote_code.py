"""Code that loading a checkpoint would execute: which Python files, by which digest.

transformers executes the modules that `auto_map` in config.json or tokenizer_config.json names,
and every module of the folder that those import relatively. Here they are found by parsing;
nothing is imported.

Reference: transformers 4.40.0, dynamic_module_utils.
Not covered: what the code does once it runs, and the packages that it imports.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from repro import fileio
from repro.errors import BadInputError, Problem
from repro.weights import foreign_json

MAPS = ("config.json", "tokenizer_config.json")
"""Files whose `auto_map` names code."""

_ENTRY = re.compile(r"(\w+)\.\w+")


def code_digests(folder: Path, name: str) -> dict[str, str]:
    """SHA-256 of every Python file that loading a checkpoint of this name would execute.

    Returns:
        Digest by file name; empty where nothing names code.

    Raises:
        BadInputError: if code would come from elsewhere, is not there or is no Python.
    """
    found: dict[str, str] = {}
    problems: list[Problem] = []
    waiting = list(_modules_named(folder, problems))
    while waiting:
        where, module = waiting.pop()
        path = folder / f"{module}.py"
        if path.name in found:
            continue
        if not path.is_file():
            expected = f"{path.name} in the folder: only code that lies there is executed"
            problems.append(Problem(where, f"the module {module!r}, without a file", expected))
            continue
        found[path.name] = fileio.digest_of_file(path)
        tree = _parse(path, problems)
        waiting += [(str(path), each) for each in _relative(tree)]
    if problems:
        message = f"checkpoint {name}: its own code cannot be held to this folder"
        raise BadInputError(message, problems)
    return dict(sorted(found.items()))


def _modules_named(folder: Path, problems: list[Problem]) -> Iterator[tuple[str, str]]:
    """Where a module is named, and the module."""
    for file in MAPS:
        path = folder / file
        if not path.is_file():
            continue
        try:
            mapping = foreign_json.read(path).get("auto_map", {})
        except BadInputError as error:
            problems += error.problems
            continue
        where = f"{path}: $.auto_map"
        for entry in _texts(mapping):
            if match := _ENTRY.fullmatch(entry):
                yield where, match[1]
            elif "--" in entry:
                found = f"{entry!r}: code of another repository, at whatever it is today"
                problems.append(Problem(where, found, "module.Class, with module.py in the folder"))
            else:
                problems.append(Problem(where, repr(entry), "module.Class"))


def _texts(value: object) -> Iterator[str]:
    """Every string of an `auto_map`: a class, or two for a tokenizer, or a list of them."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from (text for each in value.values() for text in _texts(each))
    elif isinstance(value, list):
        yield from (text for each in value for text in _texts(each))


def _parse(path: Path, problems: list[Problem]) -> ast.Module:
    try:
        return ast.parse(fileio.read_bytes(path))
    # All but the first are the parser's.
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError) as error:
        problems.append(Problem(str(path), f"no Python ({error})", "a module of the checkpoint"))
        return ast.Module([], [])


def _relative(tree: ast.Module) -> Iterator[str]:
    """Modules of the same folder that a module imports."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.level:
            yield from [node.module] if node.module else [each.name for each in node.names]
