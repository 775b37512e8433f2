"""One checkpoint fine-tuned by one recipe, on TRL 0.8.1's SFTTrainer and PEFT 0.10.0.

What is claimed: steps are the stock trainer's (`runner.tuning.trainer`), the order of rows depends
on their number and the seed alone, weights stay in float32, and what did not learn is named. What
is not: that the result is any good. A run whose loss is no number any more goes on to the end, as
the stock one does, and its record says so.

Reference: paper v2, sections 5.1 and 5.2, Appendix D; what they leave open is in the
recipe. Differs: attention is transformers' default for the model (sdpa where it has it), as
FlashAttention takes no float32 weights; training makes no cache of keys and values.
Not covered: a validation split (the paper names none), several GPUs.
"""

import gc
import logging
import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import peft
import torch
from torch import nn
from transformers import PreTrainedModel, set_seed
from transformers.utils import logging as transformers_logging

from repro.errors import BadInputError, CannotRunError
from repro.schema.families import FAMILIES
from repro.schema.jobs import Recipe, TuningJob
from repro.weights import foreign_json
from repro.weights.loadable import CONFIG
from runner.measurement import Inputs, Measurement, Progress
from runner.models import kernels, registry, tokenizer, tuned_weights
from runner.models.checkpoint_checks import memory_to_spare
from runner.models.mamba_paths import lacking, set_path
from runner.models.tuned_weights import adapter_targets
from runner.tuning import record
from runner.tuning.examples import Collator, TuningData, prepare
from runner.tuning.record import TrainingResult
from runner.tuning.trainer import Tuner


def run(job: TuningJob, inputs: Inputs, progress: Progress) -> Measurement:
    """Fine-tune a checkpoint, or take up where a killed try left off.

    `inputs` has the checkpoint, data and the job's own folder; progress counts steps.

    Returns:
        Arrays, with S steps, R rows and P trainable tensors: loss, learning_rate, gradient_norm
        (S,) float64, nats a learned token, the norm before clipping; row_order (R,) int64, the rows
        of the first epoch as they were read; row_tokens and row_learned (R,) int32, of each row all
        its tokens and those that a loss is taken of; gradient_arrived and moved (P,) uint8, over
        the first steps, in the order of the value trainable_tensors. Values: `record.values`.
        Model: adapters or all weights, see `runner.models.tuned_weights`.

    Raises:
        BadInputError: no checkpoint, no data, or nothing in it to learn.
        CannotRunError: a method or precision that there is not here; too little memory.
    """
    checkpoint, data, work = inputs.checkpoint, inputs.data, inputs.work
    if checkpoint is None or data is None or work is None:
        message = f"no checkpoint, data or folder to work in was given for {job.checkpoint}"
        raise BadInputError(message)
    recipe = job.recipe
    if recipe.precision == "float16" and not torch.cuda.is_available():
        message = "float16 needs a CUDA GPU: torch has no float16 mixed precision on a CPU"
        raise CannotRunError(message)
    family = registry.family_of(checkpoint)
    adapter_targets(
        foreign_json.read(checkpoint / CONFIG), recipe.method
    )  # refuses before anything is read
    progress(0, 1, "reading the data")
    learned = prepare(recipe, data, checkpoint, family, remote_code=inputs.remote_code)
    progress(0, 1, "loading the model")
    what = (
        f"training {recipe.method} in {recipe.precision}, {recipe.batch_size} rows a batch of up "
        f"to {recipe.max_length} tokens"
    )
    advice = "\ntake a GPU with more; a smaller batch is another recipe, with other numbers"
    with one_run(), memory_to_spare(what, advice):
        model = _loaded(family, checkpoint, remote_code=inputs.remote_code)
        if not inputs.remote_code:
            tokenizer.check(learned.tokenizer, model, checkpoint)
        trained = _trained(model, family, recipe, learned, work, progress)
    del model
    gc.collect()  # a trainer refers to itself
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    return Measurement(
        values=record.values(recipe, learned, trained),
        arrays=record.arrays(trained.training_log, learned.examples.examples, recipe.seed),
        path=trained.path,
        model=work / "model",
        warnings=tuple(record.warnings(recipe, learned, trained)),
    )


def adapted(model: PreTrainedModel, recipe: Recipe) -> nn.Module:
    """The model with what a recipe trains: all of it, or LoRA's adapters and nothing else.

    A is drawn from the recipe's seed and B is zero; for embeddings it is the other way round.

    Raises:
        BadInputError: a recipe of LoRA without its numbers.
        CannotRunError: the paper names no layers of the family for this method, or the model has
            none of these names.
    """
    names = adapter_targets(model.config.to_dict(), recipe.method)
    if not names:
        whole: nn.Module = model
        return whole
    if recipe.rank is None or recipe.lora_scale is None or recipe.lora_dropout is None:
        message = f"a recipe of {recipe.method} needs rank, lora_scale and lora_dropout"
        raise BadInputError(message)
    config = peft.LoraConfig(
        task_type="CAUSAL_LM",
        r=recipe.rank,
        lora_alpha=recipe.lora_scale * recipe.rank,
        lora_dropout=recipe.lora_dropout,
        target_modules=_blocks_only(model, names),
        bias="none",
    )
    set_seed(recipe.seed)
    wrapped: nn.Module = peft.get_peft_model(model, config)
    return wrapped


def _blocks_only(model: PreTrainedModel, names: Sequence[str]) -> list[str]:
    """Names for PEFT, which takes every module whose name ends so: the output layer never.

    hf_olmo calls it as it calls a layer of its blocks, where it is not tied.

    Raises:
        CannotRunError: the checkpoint's own code has other layers; PEFT passes a name over.
    """
    head = model.get_output_embeddings()
    found = {name: each for name, each in model.named_modules() if name.rpartition(".")[2] in names}
    lacking = set(names) - {name.rpartition(".")[2] for name in found}
    if lacking:
        kind = type(model).__name__
        message = f"{kind} has no module called {', '.join(sorted(lacking))} to adapt"
        raise CannotRunError(message)
    if all(each is not head for each in found.values()):
        return list(names)
    return [name for name, each in found.items() if each is not head]


def _loaded(family: str, checkpoint: Path, *, remote_code: bool) -> PreTrainedModel:
    """The checkpoint in float32, ready to be trained."""
    model = registry.MODELS[family].load(checkpoint, torch.float32, "sdpa", remote_code=remote_code)
    model.config.use_cache = False
    return model


def _trained(
    model: PreTrainedModel,
    family: str,
    recipe: Recipe,
    data: TuningData,
    work: Path,
    progress: Progress,
) -> TrainingResult:
    """Train a model and save what came of it in `work`."""
    parameters = sum(each.numel() for each in model.parameters())
    trained = adapted(model, recipe)
    taken = set_path(trained, recipe.mamba_path)
    collator = Collator(data.pad.id, FAMILIES[family].state == "key-value cache")
    tuner = Tuner(
        trained,
        data.tokenizer,
        data.examples.examples,
        collator,
        recipe=recipe,
        work=work,
        progress=progress,
    )
    training_log = tuner.fit()
    tuned_weights.save(trained, work / "model")
    weights = [each for each in trained.parameters() if each.requires_grad]
    path = {
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
        "mamba_path": taken,
        "mamba_lacks": lacking(trained),
        "attention": kernels.taken_attention(model),
        "attention_class": kernels.attention_classes(model),
        **tuner.path(),
        **kernels.torch_flags(),
    }
    return TrainingResult(
        training_log=training_log,
        path=path,
        parameters=parameters,
        trainable=sum(each.numel() for each in weights),
        finite=all(bool(each.isfinite().all()) for each in weights),
    )


# -----------------------------------------------------------------------------
# What a training run does to its process, undone
#
# transformers tells accelerate of mixed precision by an environment variable that stays: without
# `one_run` the next run in float32 of the same process would be in mixed precision too. Random
# number generators are not put back: every run sets them for itself.
#
# Reference: transformers 4.40.0, `TrainingArguments.__post_init__`; accelerate 0.28.0.

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
