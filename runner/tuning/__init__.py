"""Fine-tuning as the paper describes it, and how fast it is.

In: a recipe, a checkpoint, instruction data. Out: a tuned model or its adapters, the loss of every
step, and which tensors never received a gradient. `finetune` is the job, `throughput` the
measurement of speed and memory.
"""
