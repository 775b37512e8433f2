"""Phi (Phi-1.5), by transformers 4.40.0's own class.

It has all three attention kernels. Eager attention widens queries and keys, so that scores and
softmax are float32 (FP16 overflowed without); the other two take them as they are. Logits are
widened to float32. A folder may bring code along: transformers' own class is taken all the same.
"""

from runner.models.transformers_model import AttentionModel

PHI = AttentionModel("phi", widens=("phi",))
