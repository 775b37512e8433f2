"""A model asked: MMLU and the benchmarks, through lm-eval or beside it.

In: a checkpoint, data, a setting. Out: log-likelihoods of every choice of every question, from
which `verify` recomputes whatever is claimed. `evaluate` and `benchmark` are the two jobs;
`prefix_model` answers the same questions and runs what prompts share once.
"""
