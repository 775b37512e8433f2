"""One checkpoint fine-tuned by one recipe, on TRL 0.8.1's SFTTrainer and PEFT 0.10.0.

What is claimed: steps are the stock trainer's (`runner.tuning_trainer`), the order of rows depends
on their number and the seed alone, weights stay in float32, and what did not learn is named. What
is not: that the result is any good. A run whose loss is no number any more goes on to the end, as
the stock one does, and its record says so.

Reference: paper v2, sections 5.1 and 5.2, Appendix D, Table 2; what they leave open is in the
recipe. Differs: attention is transformers' default for the model (sdpa where it has it), as
FlashAttention takes no float32 weights; training makes no cache of keys and values.
Not covered: a validation split (the paper names none), several GPUs.
"""

import gc
from collections.abc import Sequence
from pathlib import Path

import peft
import torch
from torch import nn
from transformers import PreTrainedModel, set_seed

from repro.errors import BadInputError, CannotRunError
from repro.families import FAMILIES
from repro.jobs import Recipe, TuningJob
from runner import kernels, tuned_model, tuning_record
from runner.lora_targets import targets
from runner.measurement import Inputs, Measurement, Progress
from runner.models import config_file, registry, tokenizer
from runner.models.mamba_paths import lacking, set_path
from runner.tuning_data import TuningData, prepare
from runner.tuning_examples import Collator
from runner.tuning_process import memory_to_spare, one_run
from runner.tuning_record import Trained
from runner.tuning_trainer import Tuner


def run(job: TuningJob, inputs: Inputs, progress: Progress) -> Measurement:
    """Fine-tune a checkpoint, or take up where a killed try left off.

    Args:
        job: What to run.
        inputs: Folder of the checkpoint, data, and the job's own folder.
        progress: Told of steps done.

    Returns:
        Arrays, with S steps, R rows and P trainable tensors: loss, learning_rate, gradient_norm
        (S,) float64, nats a learned token, the norm before clipping; row_order (R,) int64, the rows
        of the first epoch as they were read; gradient_arrived and moved (P,) uint8, over the first
        steps, in the order of the value trainable_tensors. Values: `tuning_record.values`. Model:
        adapters or all weights, see `tuned_model`.

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
    targets(config_file.read(checkpoint), recipe.method)  # refuses before anything is read
    progress(0, 1, "reading the data")
    learned = prepare(recipe, data, checkpoint, family, remote_code=inputs.remote_code)
    progress(0, 1, "loading the model")
    with one_run(), memory_to_spare(recipe):
        model = _loaded(family, checkpoint, remote_code=inputs.remote_code)
        if not inputs.remote_code:
            tokenizer.check(learned.tokenizer, model, checkpoint)
        trained = _trained(model, family, recipe, learned, work, progress)
    del model
    gc.collect()  # a trainer refers to itself
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    return Measurement(
        values=tuning_record.values(recipe, learned, trained),
        arrays=tuning_record.arrays(trained.course, len(learned.examples.examples), recipe.seed),
        path=trained.path,
        model=work / "model",
        warnings=tuple(tuning_record.warnings(recipe, learned, trained)),
    )


def adapted(model: PreTrainedModel, recipe: Recipe) -> nn.Module:
    """The model with what a recipe trains: all of it, or LoRA's adapters and nothing else.

    A is drawn from the recipe's seed and B is zero; for embeddings it is the other way round.

    Raises:
        BadInputError: a recipe of LoRA without its numbers.
        CannotRunError: the paper names no layers of the family for this method, or the model has
            none of these names.
    """
    names = targets(model.config.to_dict(), recipe.method)
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
) -> Trained:
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
    course = tuner.fit()
    tuned_model.save(trained, work / "model")
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
    return Trained(
        course=course,
        path=path,
        parameters=parameters,
        trainable=sum(each.numel() for each in weights),
        finite=all(bool(each.isfinite().all()) for each in weights),
    )
