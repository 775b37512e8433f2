"""GPT-NeoX (Pythia), by transformers 4.40.0's own class.

It has eager attention and FlashAttention 2, no SDPA. Scores and softmax stay in the dtype of the
weights, and so do the logits. LayerNorm in FP16 on a CPU: `runner.models.precision`.
"""

from runner.models.transformers_model import AttentionModel

GPT_NEOX = AttentionModel("gpt-neox")
