"""OpenELM in plain PyTorch: the release's names, sizes and points of rounding, none of its code.

Blocks differ in width: heads and the feed-forward grow from the first block to the last. Queries,
keys and values come of one matrix, in this order; so do the feed-forward's gate and value. Every
norm is RMSNorm with ε = 10⁻⁶. Read by transformers' own loading, which learns of the class here.

What is computed in which dtype, where weights are in half precision:

    RMSNorm                  float32, rounded, then times its weight in half
    rotation                 angles, queries and keys in float32, the result rounded
    scores and softmax       as SDPA has them, with a mask that is added; the release has no other
    logits                   half, not widened

Reference: arXiv 2404.14619, section 2.1; what the release's `modeling_openelm.py`, mlx-lm 0.32.2
and llama.cpp agree on. Differs: keys are kept rotated, which the release rotates at every step, to
the same bits. Not covered: a feed-forward without a gate, FlashAttention 2, left padding.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel
from transformers.modeling_outputs import BaseModelOutputWithPast, CausalLMOutputWithPast

from runner.models.causal_model import CausalModel
from runner.models.openelm_config import BlockSizes, OpenELMConfig
from runner.models.transformers_model import AttentionModel, KeysAndValues

_EPSILON = 1e-6


class OpenELMNorm(nn.Module):
    """RMSNorm over the last dimension."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, hidden: Tensor) -> Tensor:
        """Normalised in float32, rounded, then scaled."""
        wide = hidden.float()
        normed = wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + _EPSILON)
        return normed.type_as(hidden) * self.weight


def _angles(config: OpenELMConfig, start: int, length: int, device: torch.device) -> Tensor:
    """Angles of some positions, (length, width of a head), in float32, the halves alike."""
    steps = torch.arange(0, config.head_dim, 2, dtype=torch.float32)
    speeds = 1.0 / config.rope_freq_constant ** (steps / config.head_dim)
    places = torch.arange(start, start + length, dtype=torch.float32, device=device)
    turns = torch.outer(places, speeds.to(device))
    return torch.cat([turns, turns], dim=-1)


def _rotated(heads: Tensor, angles: Tensor) -> Tensor:
    """Heads (batch, heads, length, width) turned by angles (length, width)."""
    wide = heads.float()
    left, right = wide.chunk(2, dim=-1)
    turned = wide * angles.cos() + torch.cat([-right, left], dim=-1) * angles.sin()
    return turned.type_as(heads)


class OpenELMAttention(nn.Module):
    """Attention of several queries to each key, over keys and values of all tokens so far."""

    def __init__(self, config: OpenELMConfig, sizes: BlockSizes) -> None:
        super().__init__()
        self.parts = [sizes.heads, sizes.key_heads, sizes.key_heads]
        width = config.head_dim
        self.qkv_proj = nn.Linear(config.model_dim, sum(self.parts) * width, bias=False)
        self.out_proj = nn.Linear(sizes.heads * width, config.model_dim, bias=False)
        normed = config.normalize_qk_projections
        self.q_norm = OpenELMNorm(width) if normed else nn.Identity()
        self.k_norm = OpenELMNorm(width) if normed else nn.Identity()

    def forward(
        self, hidden: Tensor, angles: Tensor, mask: Tensor, past: tuple[Tensor, Tensor] | None
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Mixed tokens, and rotated keys and values of these tokens and those before."""
        heads = self.qkv_proj(hidden).unflatten(-1, (sum(self.parts), -1)).transpose(1, 2)
        queries, keys, values = heads.split(self.parts, dim=1)
        queries = _rotated(self.q_norm(queries), angles)
        keys = _rotated(self.k_norm(keys), angles)
        if past is not None:
            keys, values = (
                torch.cat(both, dim=2) for both in zip(past, (keys, values), strict=True)
            )
        many = self.parts[0] // self.parts[1]
        mixed = functional.scaled_dot_product_attention(
            queries,
            keys.repeat_interleave(many, dim=1),
            values.repeat_interleave(many, dim=1),
            attn_mask=mask,
        )
        return self.out_proj(mixed.transpose(1, 2).flatten(2)), (keys, values)


class OpenELMFeedForward(nn.Module):
    """SwiGLU."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.proj_1 = nn.Linear(width, 2 * inner, bias=False)
        self.proj_2 = nn.Linear(inner, width, bias=False)

    def forward(self, hidden: Tensor) -> Tensor:
        """The gate comes first."""
        gate, value = self.proj_1(hidden).chunk(2, dim=-1)
        out: Tensor = self.proj_2(functional.silu(gate) * value)
        return out


class OpenELMBlock(nn.Module):
    """Norm, attention, add; norm, feed-forward, add."""

    def __init__(self, config: OpenELMConfig, sizes: BlockSizes) -> None:
        super().__init__()
        self.attn_norm, self.ffn_norm = (OpenELMNorm(config.model_dim) for _ in range(2))
        self.attn = OpenELMAttention(config, sizes)
        self.ffn = OpenELMFeedForward(config.model_dim, sizes.inner)

    def forward(
        self, hidden: Tensor, angles: Tensor, mask: Tensor, past: tuple[Tensor, Tensor] | None
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """The residual stream, and the attention's keys and values."""
        mixed, kept = self.attn(self.attn_norm(hidden), angles, mask, past)
        hidden = hidden + mixed
        return hidden + self.ffn(self.ffn_norm(hidden)), kept


class _OpenELM(PreTrainedModel):  # type: ignore[misc]
    """What body and whole have in common, for transformers."""

    config_class = OpenELMConfig
    base_model_prefix = "transformer"
    _no_split_modules = ["OpenELMBlock"]  # noqa: RUF012 - as transformers declares it
    _supports_sdpa = True

    def __init__(self, config: OpenELMConfig) -> None:
        super().__init__(config)
        self.config._attn_implementation = "sdpa"  # noqa: SLF001 - whatever was asked for

    def _init_weights(self, module: nn.Module) -> None:
        """Nothing to do for transformers: each module sets its own weights."""


class OpenELMBody(_OpenELM):
    """Embedding, blocks, last norm."""

    def __init__(self, config: OpenELMConfig) -> None:
        super().__init__(config)
        self.token_embeddings = nn.Embedding(config.vocab_size, config.model_dim)
        self.layers = nn.ModuleList(OpenELMBlock(config, each) for each in config.blocks())
        self.norm = OpenELMNorm(config.model_dim)
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        """The embedding."""
        return self.token_embeddings

    def set_input_embeddings(self, value: nn.Embedding) -> None:
        """Replace the embedding."""
        self.token_embeddings = value

    def forward(
        self,
        input_ids: Tensor,
        past_key_values: KeysAndValues | None = None,
        use_cache: bool | None = None,  # noqa: FBT001 - as transformers passes it
    ) -> BaseModelOutputWithPast:
        """Hidden states after the last norm; keys and values of all tokens, if asked for."""
        hidden = self.token_embeddings(input_ids)
        length, before = (
            input_ids.shape[1],
            past_key_values[0][0].shape[2] if past_key_values else 0,
        )
        later = torch.ones(length, before + length, dtype=torch.bool, device=hidden.device)
        lowest = torch.finfo(hidden.dtype).min
        mask = torch.zeros_like(later, dtype=hidden.dtype)
        mask = mask.masked_fill(later.triu(before + 1), lowest)
        angles = _angles(self.config, before, length, hidden.device)
        kept = []
        for number, layer in enumerate(self.layers):
            past = past_key_values[number] if past_key_values else None
            hidden, after = layer(hidden, angles, mask, past)
            kept.append(after)
        return BaseModelOutputWithPast(
            last_hidden_state=self.norm(hidden),
            past_key_values=tuple(kept) if use_cache else None,
        )


class OpenELMForCausalLM(CausalModel, _OpenELM):
    """An OpenELM language model."""

    def __init__(self, config: OpenELMConfig) -> None:
        super().__init__(config)
        self.transformer = OpenELMBody(config)
        self.lm_head = nn.Linear(config.model_dim, config.vocab_size, bias=False)
        self.post_init()

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        labels: Tensor | None = None,
        past_key_values: KeysAndValues | None = None,
        use_cache: bool | None = None,  # noqa: FBT001 - as transformers passes it
        **others: object,
    ) -> CausalLMOutputWithPast:
        """Logits, and the loss where there are labels.

        Args:
            input_ids: (batch, length ≥ 1).
            attention_mask: Not read: nothing flows from right to left, so that padding on the right
                changes no earlier logits. Do not pad on the left.
            labels: (batch, length), -100 where there is none; label t is held against logits
                t - 1. The loss is the mean in nats, taken in the dtype of the logits.
            past_key_values: What an earlier call gave with `use_cache`.
            use_cache: Whether to give keys and values.
            others: What callers of transformers pass along; may say nothing that matters here.

        Raises:
            TypeError: if `others` asks for what there is not.
        """
        del attention_mask
        self.refuse_options(others)
        found = self.transformer(input_ids, past_key_values, use_cache)
        logits = self.lm_head(found.last_hidden_state)
        loss = None
        if labels is not None:
            loss = functional.cross_entropy(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten())
        return CausalLMOutputWithPast(
            loss=loss, logits=logits, past_key_values=found.past_key_values
        )


AutoConfig.register("openelm", OpenELMConfig)
AutoModelForCausalLM.register(OpenELMConfig, OpenELMForCausalLM)

OPENELM = AttentionModel("openelm")
"""Prompts begin with BOS, as its makers' evaluation has them; the tokenizer is Llama 2's."""
