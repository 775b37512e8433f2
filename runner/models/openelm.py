"""OpenELM, by the code in the checkpoint's folder; transformers 4.40.0 has no class for it.

That code takes SDPA with a mask of its own whatever is asked for. Prompts begin with BOS, as its
makers' evaluation has them; the tokenizer is Llama 2's.

Not covered: the published code was read, not run.
"""

from runner.models.transformers_model import AttentionModel

OPENELM = AttentionModel("openelm")
