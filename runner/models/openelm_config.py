"""The configuration of OpenELM: what the release's config.json says, and the sizes that follow.

Names and defaults are the release's. Heads and feed-forward of a block are shares of the model's
width that grow evenly from the first block to the last, rounded to whole heads of every group and
to multiples of `ffn_dim_divisor`.

Reference: arXiv 2404.14619, section 2.1; the release's `configuration_openelm.py`, whose numbers of
parameters are those of its four sizes.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from transformers import PretrainedConfig

_LEAST = 0.9
"""Share of a width that rounding to a multiple has to leave."""

_FIXED: dict[str, tuple[object, ...]] = {
    "activation_fn_name": ("swish", "silu"),
    "normalization_layer_name": ("rms_norm",),
    "ffn_with_glu": (True,),
}
"""Fields of config.json, and what of each is covered."""
_COUNTS = {
    "vocab_size": 32000,
    "num_transformer_layers": 12,
    "model_dim": 2048,
    "head_dim": 128,
    "num_gqa_groups": 1,
    "ffn_dim_divisor": 256,
}
"""Whole numbers, and the release's defaults."""
_FLAGS = ("normalize_qk_projections", "share_input_output_layers")


@dataclass(frozen=True)
class BlockSizes:
    """What differs from block to block."""

    heads: int
    """Of queries."""
    key_heads: int
    """Of keys, and of values."""
    inner: int
    """Width of the feed-forward."""


class OpenELMConfig(PretrainedConfig):  # type: ignore[misc]
    """The fields of the release's config.json that the model depends on.

    `qkv_multipliers` and `ffn_multipliers` are shares of `model_dim`: one for all blocks, or the
    first block's and the last's; the feed-forward's may also be listed, one a block.
    `num_query_heads` and `num_kv_heads` follow from them, and are refused where they say otherwise.

    Raises:
        ValueError: naming every field that is not covered or does not fit.
    """

    model_type = "openelm"
    attribute_map = {  # noqa: RUF012 - as transformers declares it
        "hidden_size": "model_dim",
        "num_hidden_layers": "num_transformer_layers",
        "tie_word_embeddings": "share_input_output_layers",
    }

    def __init__(
        self,
        *,
        qkv_multipliers: float | list[float] = 1.0,
        ffn_multipliers: float | list[float] = 4.0,
        rope_freq_constant: float = 10000,
        **others: Any,  # noqa: ANN401 - the fields above, and what transformers keeps
    ) -> None:
        self.qkv_multipliers, self.ffn_multipliers = qkv_multipliers, ffn_multipliers
        self.rope_freq_constant = rope_freq_constant
        for name, usual in _COUNTS.items():
            setattr(self, name, others.pop(name, usual))
        self.normalize_qk_projections = others.pop("normalize_qk_projections", False)
        tied = others.pop("share_input_output_layers", False)
        said = {name: others.pop(name, only[0]) for name, only in _FIXED.items()}
        heads = {name: others.pop(name, None) for name in ("num_query_heads", "num_kv_heads")}
        others |= {"tie_word_embeddings": tied, "bos_token_id": others.pop("bos_token_id", 1)}
        super().__init__(**others | {"eos_token_id": others.get("eos_token_id", 2)})
        faults = [*self._faults(said)]
        if faults := faults or [*self._other_heads(heads)]:
            lines = (f"{name}: found {found!r}, expected {what}" for name, found, what in faults)
            raise ValueError("; ".join(lines))

    def blocks(self) -> list[BlockSizes]:
        """Sizes of every block, the first one first."""
        layers, size = self.num_transformer_layers, self.model_dim
        unit = self.head_dim * self.num_gqa_groups
        shares, inner = self.qkv_multipliers, self.ffn_multipliers
        return [
            BlockSizes(
                heads=(heads := _whole(share * size, unit) // self.head_dim),
                key_heads=heads // self.num_gqa_groups,
                inner=_whole(wide * size, self.ffn_dim_divisor),
            )
            for share, wide in zip(_for_each(shares, layers), _for_each(inner, layers), strict=True)
        ]

    def _faults(self, said: dict[str, object]) -> Iterator[tuple[str, object, str]]:
        """Fields that are not covered, or are no sizes of a model."""
        for name, only in _FIXED.items():
            if said[name] not in only:
                yield name, said[name], f"one of {', '.join(map(repr, only))}"
        layers = self.num_transformer_layers
        for names, is_right, expected in (
            (tuple(_COUNTS), _is_count, "a whole number from 1 on"),
            (_FLAGS, lambda found: isinstance(found, bool), "true or false"),
            (("rope_freq_constant",), _is_share, "a number above 0"),
            (("qkv_multipliers",), lambda found: _are_shares(found, 2), _ENDS),
            (
                ("ffn_multipliers",),
                lambda found: _are_shares(found, 2) or _are_shares(found, layers),
                f"{_ENDS}, or {layers}: one a block",
            ),
        ):
            for name in names:
                if not is_right(found := getattr(self, name)):
                    yield name, found, expected
        if _is_count(self.head_dim) and self.head_dim % 2:
            yield "head_dim", self.head_dim, "an even number, whose halves are rotated"

    def _other_heads(self, said: dict[str, object]) -> Iterator[tuple[str, object, str]]:
        """Heads that are listed and that the multipliers do not give."""
        for name, field in (("num_query_heads", "heads"), ("num_kv_heads", "key_heads")):
            found = said[name]
            if isinstance(found, list) and len(found) == self.num_transformer_layers:
                expected = [getattr(each, field) for each in self.blocks()]
                if found != expected:
                    yield name, found, f"{expected}, by qkv_multipliers"
            elif found is not None and not (name == "num_query_heads" and type(found) is int):
                yield name, found, "one number a block"  # one for all is the release's default


_ENDS = "a number above 0, or two: the first block's and the last's"


def _is_count(found: object) -> bool:
    return type(found) is int and found >= 1


def _is_share(found: object) -> bool:
    return type(found) in (int, float) and 0 < found < math.inf  # type: ignore[operator]


def _are_shares(found: object, count: int) -> bool:
    """Whether it is one share, or as many as are asked for."""
    listed = found if isinstance(found, list | tuple) else [found] * count
    return len(listed) == count and all(map(_is_share, listed))


def _for_each(shares: float | list[float], layers: int) -> list[float]:
    """One share a block; between two ends in even steps, rounded to two decimals."""
    if not isinstance(shares, list | tuple):
        return [shares] * layers
    if len(shares) != 2:  # noqa: PLR2004 - the two ends
        return list(shares)
    return [round(float(each), 2) for each in np.linspace(shares[0], shares[1], num=layers)]


def _whole(width: float, unit: int) -> int:
    """The multiple of a unit nearest to a width, one at least; the next where it lost too much."""
    nearest = max(unit, int(width + unit / 2) // unit * unit)
    return nearest + unit if nearest < _LEAST * width else nearest
