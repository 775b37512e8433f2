"""Tiny trained language models that stand in for the paper's at tier smoke.

`python -m twins.train --help` says how they were made and makes them again.
They are not small versions of the paper's models: nothing measured on them is
evidence for or against the paper. They exist so that the whole evaluation
(tokeniser, prompts, weight casts, scoring) runs on real weights on a CPU.
"""
