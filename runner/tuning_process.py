"""What a training run does to its process, undone; and what it does to memory, said.

transformers tells accelerate of mixed precision by an environment variable that stays: without
`one_run` the next run in float32 of the same process would be in mixed precision too.

Reference: transformers 4.40.0, `TrainingArguments.__post_init__`; accelerate 0.28.0.
Not covered: the states of random number generators, which every run sets for itself.
"""

import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from transformers.utils import logging as transformers_logging

from repro.errors import CannotRunError
from repro.jobs import Recipe

_AMP = "ACCELERATE_MIXED_PRECISION"


@contextmanager
def one_run() -> Iterator[None]:
    """TF32 off and no chatter; afterwards flags, variables and loggers are as they were."""
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    verbosity = transformers_logging.get_verbosity()
    accelerate = logging.getLogger("accelerate")
    level = accelerate.level
    amp = os.environ.pop(_AMP, None)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*TF32 behavior.*")
        warnings.filterwarnings("ignore", category=FutureWarning)  # of a torch newer than the pin
        flags = matmul.allow_tf32, cudnn.allow_tf32
        try:
            matmul.allow_tf32 = cudnn.allow_tf32 = False
            accelerate.setLevel(logging.ERROR)
            transformers_logging.set_verbosity_error()
            yield
        finally:
            matmul.allow_tf32, cudnn.allow_tf32 = flags
            accelerate.setLevel(level)
            transformers_logging.set_verbosity(verbosity)
            os.environ.pop(_AMP, None)
            if amp is not None:
                os.environ[_AMP] = amp


@contextmanager
def memory_to_spare(recipe: Recipe) -> Iterator[None]:
    """Turn too little memory for a recipe into a message.

    Raises:
        CannotRunError: what is inside ran out of memory, on the GPU or on the CPU.
    """
    try:
        yield
    except RuntimeError as error:  # kernels outside torch raise no class of their own
        words = str(error).partition("\n")[0]
        if not any(each in words for each in ("out of memory", "can't allocate memory")):
            raise
        message = (
            f"not enough memory to train {recipe.method} in {recipe.precision}, "
            f"{recipe.batch_size} rows a batch of up to {recipe.max_length} tokens: {words}\n"
            "take a GPU with more; a smaller batch is another recipe, with other numbers"
        )
        raise CannotRunError(message) from error
