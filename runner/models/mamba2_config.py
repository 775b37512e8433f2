"""The configuration of `MambaLMHeadModel`, for a model whose blocks are Mamba-2.

Names and defaults are those of mamba-ssm 2.2.2 (`models/config_mamba.py`, `modules/mamba2.py`), so
that config.json of an official checkpoint is this class's arguments. What no released Mamba-2
language model without attention uses is not here, and is refused: attention and MLP blocks,
LayerNorm, biases of the projections, D for each row of a head, limits on Δ.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any

from transformers import PretrainedConfig

LAYER = "Mamba2"
"""What ssm_cfg.layer says; its default in the release, Mamba1, is another model."""

FIXED: dict[str, Any] = {
    "d_intermediate": 0,
    "attn_layer_idx": [],
    "attn_cfg": {},
    "rms_norm": True,
}
"""Fields that an official config.json may have, and the only value of each that is covered."""

Fault = tuple[str, str, str]
"""A field of config.json, what was found, what was expected."""


@dataclass(frozen=True)
class Sizes:
    """What ssm_cfg may set of a block."""

    d_state: int = 128
    """N, columns of a head's state."""
    d_conv: int = 4
    """Steps that the convolution sees."""
    expand: int = 2
    """Inner width as a multiple of d_model."""
    headdim: int = 64
    """P, rows of a head's state."""
    ngroups: int = 1
    """Groups of heads that share B and C."""
    chunk_size: int = 256
    """Q, steps that the scan takes at once."""


class Mamba2Config(PretrainedConfig):  # type: ignore[misc]
    """The fields of an official config.json that a Mamba-2 model depends on.

    Raises:
        ValueError: naming every field that is not covered or does not fit.
    """

    model_type = "mamba2"
    attribute_map = {  # noqa: RUF012 - as transformers declares it
        "hidden_size": "d_model",
        "num_hidden_layers": "n_layer",
        "tie_word_embeddings": "tie_embeddings",
    }

    def __init__(
        self,
        d_model: int = 2560,
        n_layer: int = 64,
        vocab_size: int = 50277,
        ssm_cfg: dict[str, Any] | None = None,
        *,
        residual_in_fp32: bool = True,
        fused_add_norm: bool = True,
        pad_vocab_size_multiple: int = 8,
        tie_embeddings: bool = True,
        **others: Any,  # noqa: ANN401 - the fixed fields, and what transformers keeps
    ) -> None:
        self.d_model, self.n_layer, self.vocab_size = d_model, n_layer, vocab_size
        self.ssm_cfg = {"layer": LAYER} if ssm_cfg is None else ssm_cfg
        self.residual_in_fp32 = residual_in_fp32
        self.fused_add_norm = fused_add_norm
        self.pad_vocab_size_multiple = pad_vocab_size_multiple
        fixed = {name: others.pop(name) for name in FIXED if name in others}
        super().__init__(tie_word_embeddings=tie_embeddings, **others)
        if found := list(config_problems(self.official() | fixed)):
            lines = (
                f"{field}: found {found}, expected {expected}" for field, found, expected in found
            )
            message = "; ".join(lines)
            raise ValueError(message)

    def official(self) -> dict[str, Any]:
        """The fields of config.json as the release writes them."""
        names = ("d_model", "n_layer", "vocab_size", "ssm_cfg", *_FLAGS, "pad_vocab_size_multiple")
        return {name: getattr(self, name) for name in names} | FIXED

    @property
    def sizes(self) -> Sizes:
        """Sizes of a block, defaults filled in."""
        return _sizes(self.ssm_cfg)

    @property
    def inner(self) -> int:
        """Width of x and z: heads · P."""
        return self.sizes.expand * int(self.d_model)

    @property
    def heads(self) -> int:
        """Heads of a block."""
        return self.inner // self.sizes.headdim

    @property
    def rows(self) -> int:
        """Rows of the embedding: the vocabulary padded to a multiple."""
        multiple = int(self.pad_vocab_size_multiple)
        return -(-int(self.vocab_size) // multiple) * multiple


_FLAGS = ("residual_in_fp32", "fused_add_norm", "tie_embeddings")


def _sizes(ssm_cfg: Mapping[str, Any]) -> Sizes:
    return Sizes(**{name: size for name, size in ssm_cfg.items() if name != "layer"})


def config_problems(config: Mapping[str, Any]) -> Iterator[Fault]:
    """What of a config.json is not covered or does not fit; fields that lack are the defaults'."""
    for name, only in FIXED.items():
        if config.get(name, only) != only:
            yield name, repr(config[name]), repr(only)
    for name in _FLAGS:
        if not isinstance(config.get(name, True), bool):
            yield name, repr(config[name]), "true or false"
    ssm_cfg = config.get("ssm_cfg")
    layer = ssm_cfg.get("layer") if isinstance(ssm_cfg, dict) else None
    if not isinstance(ssm_cfg, dict) or layer != LAYER:
        yield "ssm_cfg.layer", repr(layer), repr(LAYER)
        return
    known = [field.name for field in fields(Sizes)]
    if unknown := sorted(ssm_cfg.keys() - {"layer", *known}):
        yield f"ssm_cfg.{unknown[0]}", "not covered", f"among layer, {', '.join(known)}"
        return
    yield from _size_problems(config, _sizes(ssm_cfg))


def _size_problems(config: Mapping[str, Any], sizes: Sizes) -> Iterator[Fault]:
    """Sizes that are none, or that cut heads or groups in two."""
    names = ("d_model", "n_layer", "vocab_size", "pad_vocab_size_multiple")
    found = {name: config[name] for name in names if name in config}
    found |= {f"ssm_cfg.{name}": size for name, size in vars(sizes).items()}
    wrong = {name: size for name, size in found.items() if type(size) is not int or size < 1}
    for name, size in wrong.items():
        yield name, repr(size), "a whole number from 1 on"
    if wrong or "d_model" not in config:
        return
    inner = sizes.expand * config["d_model"]
    if inner % sizes.headdim or inner // sizes.headdim % sizes.ngroups:
        width = f"an inner width of {inner}"
        heads = f"whole heads of {sizes.headdim}, as many in each of {sizes.ngroups} groups"
        yield "ssm_cfg", width, heads
