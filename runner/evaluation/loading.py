"""The model that a job asks for, put into memory; and questions asked as many at a time as fit it.

Which class answers is decided here, by the job's engine: `language_model`'s or `prefix_model`'s.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import torch
from safetensors import SafetensorError  # type: ignore[attr-defined]  # missing in its stub

from repro.errors import BadInputError, first_line
from repro.schema.families import FAMILIES
from repro.schema.jobs import ModelJob
from repro.weights import loadable
from runner.evaluation.language_model import MeasuredLM, scan_of_job
from runner.evaluation.offline import import_lm_eval
from runner.models import kernels, precision, registry
from runner.models import tokenizer as tokenizer_of
from runner.models import tuned_weights as tuned_model
from runner.models.checkpoint_checks import is_out_of_memory, memory_to_spare, refused
from runner.models.transformers_model import own_code_of

import_lm_eval()  # the import below fails offline without it

from lm_eval.models.utils import clear_torch_cache  # noqa: E402

_T = TypeVar("_T")


def load(
    job: ModelJob, checkpoint: Path, *, tuned: Path | None = None, remote_code: bool = False
) -> MeasuredLM:
    """The model that a job asks for, ready to be evaluated.

    `checkpoint` is a folder of any family in `registry.MODELS`, with its tokenizer; `tuned`, what
    fine-tuning made of it; `remote_code`, whether Python code in the folder may be executed.

    Raises:
        BadInputError: the folder is no checkpoint in safetensors, or lacks weights, or is of no
            known family, or would run code that it may not; the tuned weights are not there.
        CannotRunError: there is too little memory on the GPU, or its code lacks a package.
    """
    if not loadable.weights(checkpoint):
        # transformers would open a pickle here, `use_safetensors=True` or not
        one_of = f"one of {loadable.WEIGHTS}, {loadable.INDEX}; pickles are never opened"
        raise refused(checkpoint, "no safetensors", one_of)
    if (tuned is None) != (job.tuned is None):  # it would be measured under a false name
        message = f"the fine-tuned weights of {job.checkpoint} and the job do not belong together"
        raise BadInputError(message)
    if job.arm == "ieee" and kernels.device().type == "cuda":  # a CPU has no other float32
        precision.ieee_float32()
    family = registry.family_of(checkpoint)
    code = own_code_of(checkpoint, family, allowed=remote_code)
    with loadable.private_copy(checkpoint, code=code) as own:
        return _loaded(job, own, family, tuned=tuned, own_code=bool(code))


def _loaded(
    job: ModelJob, checkpoint: Path, family: str, *, tuned: Path | None, own_code: bool
) -> MeasuredLM:
    """The same, of a private folder."""
    dtype = getattr(torch, precision.weights_dtype(job))
    attention = kernels.asked_attention(job)
    try:
        with memory_to_spare(f"the weights of {job.checkpoint} in {job.dtype}"):
            model = registry.MODELS[family].load(checkpoint, dtype, attention, remote_code=own_code)
            tokenizer = tokenizer_of.load(checkpoint, own_code=own_code)
            if not own_code:
                tokenizer_of.check(tokenizer, model, checkpoint)
            if job.tuned and tuned:
                model = tuned_model.attach(model, tuned, mamba_path=scan_of_job(job))
            bos = FAMILIES[family].begins
            if job.engine == "prefix":
                from runner.evaluation.prefix_model import PrefixLM

                return PrefixLM(job, model, tokenizer, bos=bos, family=family)
            return MeasuredLM(job, model, tokenizer, bos=bos)
    except (OSError, ValueError, SafetensorError) as error:  # transformers raises any of them
        expected = "config.json, safetensors and tokenizer of one causal language model"
        raise refused(checkpoint, first_line(error), expected) from error


def answer_in_batches(
    model: MeasuredLM, what: str, answer: Callable[[], _T]
) -> tuple[_T, list[str]]:
    """Ask a model, in batches half as large as before whenever the memory runs out.

    `answer` asks it all, from the beginning. The batch size stays what was needed: longer questions
    will not fit it either.

    Returns:
        What `answer` gave, and what a reader has to know about its batches.

    Raises:
        CannotRunError: the memory does not suffice for one at a time.
    """
    asked = model.batch_size
    while True:
        try:
            found = answer()
        except (MemoryError, RuntimeError) as error:
            with memory_to_spare(f"{what}, one at a time"):
                if model.batch_size == 1 or not is_out_of_memory(error):
                    raise
        else:
            note = f"too little memory for {what}, {asked} at a time: {model.batch_size} at a time"
            return found, [note] if model.batch_size < asked else []
        # Only here, where no traceback holds the tensors any more.
        model.batch_size_per_gpu //= 2
        clear_torch_cache()
