"""The base of every model in the contract: immutable, closed to unknown fields, finite."""

import ast
import datetime as dt
import inspect
import textwrap
from functools import cache
from itertools import pairwise
from typing import Annotated

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    StringConstraints,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

Slug = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=80)]
"""A name that is safe as a file name and in a table."""

Slugs = Annotated[tuple[Slug, ...], Field(min_length=1)]

Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
"""A SHA-256 digest, lower-case hexadecimal."""

HUB_NAME = r"^[A-Za-z0-9_]+([.-][A-Za-z0-9_]+)*(/[A-Za-z0-9_]+([.-][A-Za-z0-9_]+)*)?$"
Repository = Annotated[str, StringConstraints(pattern=HUB_NAME, max_length=96)]
"""A repository on the model hub, which takes no other name."""

Count = Annotated[int, Field(ge=0, lt=2**63)]
"""A number of things; a larger one may be no float, and what computes with it end in an error."""


def _is_a_time(text: str) -> str:
    dt.datetime.fromisoformat(text)
    return text


UtcTime = Annotated[
    str,
    StringConstraints(pattern=r"^2\d{3}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?\+00:00$"),
    AfterValidator(_is_a_time),
]
"""UTC, ISO 8601. Texts sort as times do, and every reader's calendar has what lies days later."""


class Frozen(BaseModel):
    """Immutable data; an unknown field is an error, not a warning, and so are NaN and infinity.

    Canonical JSON has neither, so that what holds them could have no digest.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        defer_build=True,
        allow_inf_nan=False,
    )

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """Describe each field by the string below it, as `use_attribute_docstrings` does.

        That reads the source of every model at every start: a tenth of `repro list`.
        """
        found = handler(core_schema)
        fields = handler.resolve_ref_schema(found).get("properties", {})
        for name in fields:
            owner = next(
                each for each in cls.__mro__ if name in vars(each).get("__annotations__", ())
            )
            said = _strings_below(owner).get(name)
            if said and "$ref" in fields[name]:  # beside which nothing else may stand
                fields[name] = {"allOf": [fields[name]], "description": said}
            elif said:
                fields[name].setdefault("description", said)
        return found


@cache
def _strings_below(model: type[BaseModel]) -> dict[str, str]:
    """The string below each field of a class, by name."""
    try:
        (defined,) = ast.parse(textwrap.dedent(inspect.getsource(model))).body
    except OSError:  # made at run time
        return {}
    return {
        field.target.id: inspect.cleandoc(below.value.value)
        for field, below in pairwise(defined.body if isinstance(defined, ast.ClassDef) else ())
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
        if isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant)
        if isinstance(below.value.value, str)
    }
