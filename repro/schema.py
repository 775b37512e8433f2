"""The JSON schema of a manifest, for editors: `python -m repro.schema` writes it anew."""

import ast
import inspect
import itertools
import json
import textwrap
from typing import Any

from repro import bundle
from repro.files import write_text
from repro.frozen import Frozen
from repro.manifest import Manifest

PATH = bundle.CATALOG / "manifest.schema.json"


def text() -> str:
    """The schema, with the docstring under each field as its description."""
    schema = Manifest.model_json_schema()
    models = {model.__name__: model for model in _all_models(Frozen)}
    for name, part in {**schema.get("$defs", {}), "Manifest": schema}.items():
        if name in models:
            _describe(part, models[name])
    return json.dumps(schema, indent=1, ensure_ascii=False) + "\n"


def _all_models(model: type[Frozen]) -> list[type[Frozen]]:
    return [found for each in model.__subclasses__() for found in (each, *_all_models(each))]


def _describe(part: dict[str, Any], model: type[Frozen]) -> None:
    """Copy docstrings under fields; pydantic can do so too, at the cost of every start-up."""
    for owner in reversed(model.__mro__):
        if not issubclass(owner, Frozen):
            continue
        for name, words in _field_docs(inspect.getsource(owner)).items():
            if name in part.get("properties", {}):
                part["properties"][name]["description"] = words


def _field_docs(source: str) -> dict[str, str]:
    body = ast.parse(textwrap.dedent(source)).body[0]
    found = {}
    lines = getattr(body, "body", [])
    for field, after in itertools.pairwise(lines):
        if (
            isinstance(field, ast.AnnAssign)
            and isinstance(field.target, ast.Name)
            and isinstance(after, ast.Expr)
            and isinstance(after.value, ast.Constant)
            and isinstance(after.value.value, str)
        ):
            found[field.target.id] = inspect.cleandoc(after.value.value).replace("\n", " ")
    return found


if __name__ == "__main__":
    write_text(PATH, text())
