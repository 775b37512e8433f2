"""The three twins' shapes, and the one loop that trains any.

All see the same tokens in the same order, in FP32, under the same optimiser.

What is not promised: equal weights on another machine. Seeds fix the start
and the order of the text, but a GPU adds gradients in no fixed order, and
Mamba's fused scan rounds otherwise than its plain loop.
"""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import (
    GPTNeoXConfig,
    GPTNeoXForCausalLM,
    MambaConfig,
    MambaForCausalLM,
    PreTrainedModel,
)

from runner.models.mamba2 import Mamba2ForCausalLM
from runner.models.mamba2_config import Mamba2Config
from twins import tokens as tk

Batch = NDArray[np.int64]
"""Token ids, shape (B, L)."""
Report = Callable[[str], None]


@dataclass(frozen=True)
class Recipe:
    """Everything that decides the weights, besides the machine."""

    seed: int = 20240601
    steps: int = 5000
    tokens_per_step: int = 32_768
    lengths: tuple[int, ...] = (512, 1024, 512, 1024, 512, 1024, 512, 2048)
    """Sequence lengths L, taken in turn; a batch has tokens_per_step / L rows."""
    learning_rate: float = 3e-3
    """At the peak, reached after `warmup` steps, then a cosine to a tenth."""
    warmup: int = 250
    betas: tuple[float, float] = (0.9, 0.95)
    weight_decay: float = 0.1
    """On matrices only; not on gains, biases, A_log or D."""
    clip: float = 1.0


def mamba() -> PreTrainedModel:
    """A Mamba-1 language model; state size, expansion and kernel as in the paper's."""
    return MambaForCausalLM(
        MambaConfig(
            vocab_size=tk.VOCABULARY,
            hidden_size=64,
            num_hidden_layers=2,
            state_size=16,
            expand=2,
            conv_kernel=4,
            bos_token_id=tk.END_ID,
            eos_token_id=tk.END_ID,
            pad_token_id=tk.END_ID,
            tie_word_embeddings=True,
        )
    )


def gpt_neox() -> PreTrainedModel:
    """A GPT-NeoX language model, built as Pythia is, with as many parameters as `mamba`."""
    return GPTNeoXForCausalLM(
        GPTNeoXConfig(
            vocab_size=tk.VOCABULARY,
            hidden_size=64,
            num_hidden_layers=2,
            num_attention_heads=4,
            intermediate_size=128,
            max_position_embeddings=tk.MAX_LENGTH,
            rotary_pct=0.25,
            use_parallel_residual=True,
            bos_token_id=tk.END_ID,
            eos_token_id=tk.END_ID,
            tie_word_embeddings=True,
        )
    )


def mamba2() -> PreTrainedModel:
    """A Mamba-2 language model of the official layout, with as many parameters as `mamba`."""
    return Mamba2ForCausalLM(
        Mamba2Config(
            d_model=64,
            n_layer=2,
            vocab_size=tk.VOCABULARY,
            ssm_cfg={"layer": "Mamba2", "d_state": 56, "headdim": 16},
            pad_vocab_size_multiple=16,
            bos_token_id=tk.END_ID,
            eos_token_id=tk.END_ID,
            pad_token_id=tk.END_ID,
        )
    )


TWINS: dict[str, Callable[[], PreTrainedModel]] = {
    "mamba-twin": mamba,
    "gpt-neox-twin": gpt_neox,
    "mamba2-twin": mamba2,
}


def stream(tokens: tk.Tokens, seed: int) -> Iterator[NDArray[np.uint16]]:
    """The training texts, epoch after epoch, each in a new order."""
    rng = np.random.default_rng(seed)
    texts = np.split(tokens.train, tokens.starts[1:])
    while True:
        yield np.concatenate([texts[index] for index in rng.permutation(len(texts))])


def batches(tokens: tk.Tokens, recipe: Recipe) -> Iterator[Batch]:
    """The recipe's steps: consecutive pieces of the stream, no token skipped."""
    epochs = stream(tokens, recipe.seed)
    rest = next(epochs)
    for step in range(recipe.steps):
        while rest.size < recipe.tokens_per_step:
            rest = np.concatenate([rest, next(epochs)])
        piece, rest = np.split(rest, [recipe.tokens_per_step])
        yield piece.astype(np.int64).reshape(-1, recipe.lengths[step % len(recipe.lengths)])


def _rate(step: int, recipe: Recipe) -> float:
    """Share of the peak learning rate at one step."""
    if step < recipe.warmup:
        return (step + 1) / recipe.warmup
    done = (step - recipe.warmup) / max(1, recipe.steps - recipe.warmup)
    return 0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi * done))


def _optimiser(model: PreTrainedModel, recipe: Recipe) -> torch.optim.AdamW:
    named = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    decayed = [p for name, p in named if p.ndim > 1 and "A_log" not in name]
    plain = [p for name, p in named if p.ndim <= 1 or "A_log" in name]
    groups = [
        {"params": decayed, "weight_decay": recipe.weight_decay},
        {"params": plain, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=recipe.learning_rate, betas=recipe.betas)


def next_token_loss(model: PreTrainedModel, ids: torch.Tensor) -> torch.Tensor:
    """Mean cross-entropy of tokens 2..L given those before, nats per token; `ids` is (B, L)."""
    logits = model(ids, use_cache=False).logits[:, :-1].float()
    return torch.nn.functional.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten())


def without_gradient(model: PreTrainedModel) -> list[str]:
    """Trainable tensors that the last backward pass did not reach."""
    named = model.named_parameters()
    return [name for name, p in named if p.requires_grad and (p.grad is None or not p.grad.any())]


def train(
    name: str, tokens: tk.Tokens, recipe: Recipe, device: torch.device, report: Report
) -> PreTrainedModel:
    """Train one twin from its seed.

    Args:
        name: a key of `TWINS`.
        tokens: the corpus.
        recipe: order, lengths and optimiser.
        device: where to train; the weights come back on the CPU.
        report: gets one line of progress every hundred steps.

    Raises:
        RuntimeError: if after the first step some tensor has no gradient, or a
            loss is not finite: such a model would not count as trained.
    """
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    torch.manual_seed(recipe.seed)
    model = TWINS[name]().to(device).train()
    optimiser = _optimiser(model, recipe)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: _rate(step, recipe))
    began = time.monotonic()
    for step, batch in enumerate(batches(tokens, recipe)):
        loss = next_token_loss(model, torch.from_numpy(batch).to(device))
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        if step == 0 and (dead := without_gradient(model)):
            message = f"{name}: no gradient reached {dead}, expected one everywhere"
            raise RuntimeError(message)
        torch.nn.utils.clip_grad_norm_(model.parameters(), recipe.clip)
        optimiser.step()
        schedule.step()
        if step % 100 == 0 or step == recipe.steps - 1:
            _check(name, step, value := loss.item())
            seconds = time.monotonic() - began
            report(f"{name}: step {step + 1}/{recipe.steps}, loss {value:.3f}, {seconds:.0f} s")
    return model.cpu().eval()


def _check(name: str, step: int, loss: float) -> None:
    if not math.isfinite(loss):
        message = f"{name}: the loss at step {step + 1} is {loss}, expected a finite number"
        raise RuntimeError(message)
