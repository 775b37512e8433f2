"""Language models, a family a file, and what runs them.

In: a checkpoint folder, a dtype, the kernels asked for. Out: a torch module that gives logits, goes
on from a state, and says what it really ran on. `registry` names the families; ours where the
paper's need kernels that are not everywhere.
"""
