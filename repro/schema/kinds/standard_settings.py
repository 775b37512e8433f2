"""The settings that a manifest has with `"settings": "standard"`, so that few lines are enough."""

from typing import Annotated

from pydantic import BeforeValidator, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from repro.schema.kinds.base import Setting


def _standard_settings() -> tuple[Setting, ...]:
    """Seven settings over two kernels, of attention and of Mamba's scan: the fewest to decide."""
    first = Setting(
        id="batch-16",
        batch_size=16,
        order="length-descending",
        attention_float32="eager",
        attention_half="eager",
        mamba_path="kernels",
    )
    other: dict[str, str] = {"attention_float32": "sdpa", "attention_half": "sdpa"}
    other |= {"mamba_path": "slow"}
    return (
        first,
        *(first.model_copy(update={"id": f"batch-{n}", "batch_size": n}) for n in (8, 32, 4)),
        first.model_copy(update={"id": "ascending", "order": "length-ascending"}),
        first.model_copy(update={"id": "other-kernel", **other}),
        first.model_copy(update={"id": "other-kernel-8", "batch_size": 8, **other}),
    )


STANDARD = "standard"
STANDARD_SETTINGS = _standard_settings()
"""What a manifest has with `"settings": "standard"`."""


def _named_settings(given: object) -> object:
    if given == STANDARD:
        return STANDARD_SETTINGS
    return tuple(given) if isinstance(given, list) else given  # JSON has no other sequence


class _OrStandard:
    """Names the word in the JSON schema."""

    @staticmethod
    def __get_pydantic_json_schema__(
        core: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return {"anyOf": [{"const": STANDARD}, handler(core)]}


Settings = Annotated[tuple[Setting, ...], BeforeValidator(_named_settings), _OrStandard]
