"""Mamba-2 language models in plain PyTorch, on any device.

Parameter names and shapes are those of the official checkpoints (`state-spaces/mamba2-*`), the
configuration is theirs; `mamba2_mixer` says what is computed in which dtype. The model is a
`PreTrainedModel`, so that lm-eval's `HFLM`, PEFT and the Trainer take it as it is.

Not covered: a cache of states, so that generating costs a pass over the whole prefix a token.

Reference: mamba-ssm 2.2.2, `models/mixer_seq_simple.py`, `modules/block.py`.
"""

from torch import Tensor, nn
from torch.nn import functional
from transformers.modeling_outputs import CausalLMOutput

from runner.models.causal_model import CausalModel
from runner.models.mamba2_config import Mamba2Config
from runner.models.mamba2_mixer import Mamba2Mixer, RMSNorm
from runner.models.mamba2_scan import at_least_float32


def add_and_norm(
    hidden: Tensor, residual: Tensor | None, norm: RMSNorm, config: Mamba2Config
) -> tuple[Tensor, Tensor]:
    """Add a block's output to the residual stream, and normalise the sum for the next block.

    The sum is float32. fused_add_norm normalises it as it is; without, it is rounded to the
    dtype of the norm's weight first.

    Args:
        hidden: (batch, length, d_model), the embedding or a block's output.
        residual: The stream so far, the same shape; None before the first block.
        norm: Of the next block, or the last one.
        config: With residual_in_fp32 and fused_add_norm.

    Returns:
        What enters the next block, in the dtype of `hidden`, and the stream.
    """
    total = (
        at_least_float32(hidden)
        if residual is None
        else at_least_float32(hidden) + at_least_float32(residual)
    )
    rounded = total if config.fused_add_norm else total.to(norm.weight.dtype)
    kept = total if config.residual_in_fp32 else total.to(hidden.dtype)
    return norm(rounded).to(hidden.dtype), kept


class Mamba2Block(nn.Module):
    """Add, norm, mix."""

    def __init__(self, config: Mamba2Config) -> None:
        super().__init__()
        self.config = config
        self.norm = RMSNorm(config.d_model)
        self.mixer = Mamba2Mixer(config)

    def forward(self, hidden: Tensor, residual: Tensor | None) -> tuple[Tensor, Tensor]:
        """The mixer's output and the residual stream that it has yet to be added to."""
        normed, residual = add_and_norm(hidden, residual, self.norm, self.config)
        return self.mixer(normed), residual


class Mamba2Backbone(nn.Module):
    """Embedding, blocks, last norm."""

    def __init__(self, config: Mamba2Config) -> None:
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(config.rows, config.d_model)
        nn.init.normal_(self.embedding.weight, std=0.02)  # the release's
        self.layers = nn.ModuleList(Mamba2Block(config) for _ in range(config.n_layer))
        self.norm_f = RMSNorm(config.d_model)

    def forward(self, input_ids: Tensor) -> Tensor:
        """Hidden states (batch, length, d_model) after the last norm."""
        hidden, residual = self.embedding(input_ids), None
        for layer in self.layers:
            hidden, residual = layer(hidden, residual)
        normed, _ = add_and_norm(hidden, residual, self.norm_f, self.config)
        return normed


class Mamba2ForCausalLM(CausalModel):
    """A Mamba-2 language model; `mamba2_checkpoint` loads and saves it."""

    config_class = Mamba2Config
    base_model_prefix = "backbone"
    _no_split_modules = ["Mamba2Block"]  # noqa: RUF012 - as transformers declares it

    def __init__(self, config: Mamba2Config) -> None:
        super().__init__(config)
        self.backbone = Mamba2Backbone(config)
        self.lm_head = nn.Linear(config.d_model, config.rows, bias=False)
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        """Nothing to do for transformers: each module sets its own weights."""

    def get_input_embeddings(self) -> nn.Module:
        """The embedding, whose weight the output layer shares where they are tied."""
        return self.backbone.embedding

    def set_input_embeddings(self, value: nn.Embedding) -> None:
        """Replace the embedding."""
        self.backbone.embedding = value

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        labels: Tensor | None = None,
        **others: object,
    ) -> CausalLMOutput:
        """Logits, and the loss where there are labels.

        Args:
            input_ids: (batch, length).
            attention_mask: Not read, as in the release, which has none: nothing flows from right
                to left, so padding on the right changes no earlier logits. Do not pad on the left.
            labels: (batch, length), -100 where there is none; label t is held against logits
                t - 1. The loss is the mean in nats, taken in float32.
            others: What callers of transformers pass along; may say nothing that matters here.

        Returns:
            logits (batch, length, rows of the embedding) in the dtype of the weights, not
            widened; loss or None.

        Raises:
            TypeError: if `others` asks for what there is not (a cache, hidden states).
        """
        del attention_mask
        self.refuse_options(others)
        logits = self.lm_head(self.backbone(input_ids))
        loss = None
        if labels is not None:
            predictions = at_least_float32(logits[:, :-1]).flatten(0, 1)
            loss = functional.cross_entropy(predictions, labels[:, 1:].flatten())
        return CausalLMOutput(loss=loss, logits=logits)
