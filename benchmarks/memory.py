"""Peak memory of evaluations at the paper's true sizes, measured and predicted.

`python -m benchmarks.memory [SHAPE…]` on a GPU. Weights are drawn at random, which changes no
byte; each shape runs three batches of prompts of the longest length through lm-eval's own
scoring. Prediction: `repro.schema.kinds.cost.peak_memory`, what `repro plan` shows.
"""

import gc
import logging
from collections.abc import Callable

import torch
from transformers import (
    AutoTokenizer,
    GPTNeoXConfig,
    GPTNeoXForCausalLM,
    MambaConfig,
    MambaForCausalLM,
    PreTrainedModel,
)

from repro import paths
from repro.schema import catalog
from repro.schema.kinds import cost
from runner.evaluation.offline import import_lm_eval
from runner.models import kernels
from runner.models.mamba2 import Mamba2ForCausalLM
from runner.models.mamba2_config import Mamba2Config
from tools import command

import_lm_eval()

from lm_eval.models.huggingface import HFLM  # noqa: E402

LENGTH = 2048
BATCHES = (4, 16)
DTYPES = ("float32", "bfloat16")


def mamba(hidden: int, layers: int) -> PreTrainedModel:
    """Mamba in transformers, as the -hf checkpoints are configured."""
    config = MambaConfig(vocab_size=50280, hidden_size=hidden, num_hidden_layers=layers)
    return MambaForCausalLM(config)


def mamba2(hidden: int, layers: int) -> PreTrainedModel:
    """Our Mamba-2, as the official checkpoints are configured, by mamba-ssm's kernels."""
    model = Mamba2ForCausalLM(
        Mamba2Config(d_model=hidden, n_layer=layers, vocab_size=50277, pad_vocab_size_multiple=16)
    )
    kernels.set_mamba_scan(model, "kernels")
    return model


def pythia(hidden: int, layers: int, heads: int) -> PreTrainedModel:
    """GPT-NeoX in transformers, as the Pythia checkpoints are configured."""
    config = GPTNeoXConfig(
        vocab_size=50304,
        hidden_size=hidden,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        intermediate_size=4 * hidden,
        max_position_embeddings=LENGTH,
    )
    return GPTNeoXForCausalLM(config)


SHAPES: dict[str, Callable[[], PreTrainedModel]] = {
    "mamba-130m": lambda: mamba(768, 24),
    "mamba-370m": lambda: mamba(1024, 48),
    "mamba-790m": lambda: mamba(1536, 48),
    "mamba2-130m": lambda: mamba2(768, 24),
    "mamba2-780m": lambda: mamba2(1536, 48),
    "pythia-160m": lambda: pythia(768, 12, 12),
    "pythia-410m": lambda: pythia(1024, 24, 16),
    "pythia-1b": lambda: pythia(2048, 16, 8),
}


def measured(name: str, dtype: str, batch: int) -> int:
    """Bytes that the allocator gave out at most, weights included."""
    torch.cuda.empty_cache()
    with torch.device("cuda"):
        model = SHAPES[name]()
    model = model.to(getattr(torch, dtype)).eval()
    tokenizer = AutoTokenizer.from_pretrained(paths.ROOT / "twins" / "mamba-twin")
    harness = HFLM(pretrained=model, tokenizer=tokenizer, batch_size=batch)
    ids = torch.randint(2048, (3 * batch, LENGTH + 1)).tolist()
    requests = [(("", ""), row[:LENGTH], row[LENGTH:]) for row in ids]
    torch.cuda.reset_peak_memory_stats()
    harness._loglikelihood_tokens(requests, disable_tqdm=True)  # noqa: SLF001
    peak: int = torch.cuda.max_memory_allocated()
    del harness, model
    gc.collect()  # lm-eval's model refers to itself
    return peak


def main() -> None:
    """Print one line for each shape, dtype and batch size."""
    parser = command.parser(__doc__)
    parser.add_argument("shapes", nargs="*", metavar="SHAPE", help=", ".join(SHAPES))
    asked = parser.parse_args().shapes
    if unknown := [each for each in asked if each not in SHAPES]:
        parser.error(f"found {', '.join(unknown)}, expected some of {', '.join(SHAPES)}")
    command.need_gpu(kernels=any("mamba" in each for each in asked or SHAPES))
    logging.getLogger("lm-eval").setLevel(logging.ERROR)
    print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}, {LENGTH} tokens a prompt")
    print("| shape | dtype | batch | measured GiB | predicted GiB | predicted / measured |")
    print("|---|---|---|---|---|---|")
    for name in asked or SHAPES:
        known = catalog.checkpoints()[name]
        for dtype in DTYPES:
            for batch in BATCHES:
                peak = measured(name, dtype, batch)
                guess = cost.peak_memory(known, dtype, batch, "eager")
                print(
                    f"| {name} | {dtype} | {batch} | {peak / 2**30:.2f} | {guess / 2**30:.2f} | "
                    f"{guess / peak:.2f} |",
                    flush=True,
                )


if __name__ == "__main__":
    command.run(main)
