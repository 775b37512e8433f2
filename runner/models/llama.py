"""Llama (TinyLlama), by transformers 4.40.0's own class.

It has all three attention kernels. Eager scores are rounded to the dtype of the weights, their
softmax is taken in float32; norms too. Logits are widened to float32.
"""

from runner.models.transformers_model import AttentionModel

LLAMA = AttentionModel("llama", widens=("llama",))
