"""OLMo in either of its layouts.

    hf_olmo    the checkpoint that Appendix D names. Its own code, a stub in the folder around the
               package ai2-olmo, loads it; it takes SDPA whatever is asked for, and returns logits
               as computed. transformers 4.40.0 refuses FlashAttention 2 to a class like it.
    olmo       transformers' own, for checkpoints converted to it: all three attention kernels,
               logits widened to float32. No code of the folder runs.

Both have LayerNorm without weights, in float32. `repro.schema.families` has the names of either.

Not covered: hf_olmo was read, not run: no pin holds ai2-olmo.
"""

from runner.models.transformers_model import AttentionModel

OLMO = AttentionModel("olmo", widens=("olmo",))
