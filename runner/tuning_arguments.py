"""A recipe in the words of transformers' Trainer.

What a recipe leaves open is Trainer's default, but for what would print, report or save.

Reference: paper v2, section 5.1 and Appendix D; transformers 4.40.0, `TrainingArguments`.
Not covered: gradient accumulation, gradient checkpointing, several GPUs.
"""

from pathlib import Path

import torch
from transformers import TrainingArguments

from repro.jobs import Recipe


def arguments(recipe: Recipe, work: Path) -> TrainingArguments:
    """Arguments for a run that works in a folder, on the first GPU if there is one."""
    first, second = recipe.adam_betas
    on_gpu = torch.cuda.is_available()
    made = TrainingArguments(
        output_dir=str(work),
        num_train_epochs=recipe.epochs,
        per_device_train_batch_size=recipe.batch_size,
        learning_rate=recipe.learning_rate,
        lr_scheduler_type="cosine",
        warmup_steps=0,
        optim="adamw_torch",
        weight_decay=recipe.weight_decay,
        adam_beta1=first,
        adam_beta2=second,
        adam_epsilon=recipe.adam_epsilon,
        max_grad_norm=recipe.max_gradient_norm,
        gradient_accumulation_steps=1,
        seed=recipe.seed,
        fp16=recipe.precision == "float16",
        bf16=recipe.precision == "bfloat16",
        use_cpu=not on_gpu,
        dataloader_pin_memory=on_gpu,
        remove_unused_columns=False,  # rows are no dicts
        logging_nan_inf_filter=False,  # it waits for the GPU at every step
        logging_strategy="no",
        save_strategy="no",
        report_to=[],
        disable_tqdm=True,
        log_level="error",
    )
    made._n_gpu = min(made.n_gpu, 1)  # noqa: SLF001 - more would split the batch
    return made
