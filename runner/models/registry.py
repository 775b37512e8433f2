"""What every model family offers, and which one a checkpoint folder is of.

A family loads its checkpoints, and says what a prefix leaves behind. That is a state:
keys and values of every earlier token (attention), or a recurrent state with the last inputs of the
convolution (Mamba). It is a value: `continued` only reads it, so that one prefix serves any number
of continuations (`runner.evaluation.prefix_model.state_rows`). What follows a prefix gets the
hidden states that it has in the whole sequence, up to rounding.

Models are in evaluation mode, and no gradient is kept. Adapters of PEFT in a model's modules take
part wherever they do in its own forward.

To add a family: its data in `repro.schema.families`, a module here, a line in `MODELS`; or a
plug-in (`repro.plugins`).

Reference: transformers 4.40.0 and mamba-ssm 2.2.2, as the paper's stack has them.
Not covered: writing a model, generating text.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor
from transformers import PreTrainedModel

from repro import plugins
from repro.schema.families import FAMILIES, family_named
from repro.schema.jobs import Attention
from repro.weights import checkpoint_files, foreign_json
from repro.weights.loadable import CONFIG
from runner.models import checkpoint_checks
from runner.models.mamba import MAMBA
from runner.models.mamba2_checkpoint import MAMBA2
from runner.models.openelm import OPENELM
from runner.models.transformers_model import GPT_NEOX, LLAMA, OLMO, OWN, PHI

State = TypeVar("State")


class ModelFamily(Protocol[State]):
    """One family; `MODELS` holds them all."""

    def load(
        self, folder: Path, dtype: torch.dtype, attention: Attention, *, remote_code: bool
    ) -> PreTrainedModel:
        """The model of a checkpoint on the GPU if there is one, else on the CPU.

        Args:
            folder: config.json and safetensors, in the family's layout.
            dtype: What the stored weights are cast to; `Family.kept_wide` are not in half.
            attention: The kernel asked for. Where model, dtype or machine has it not, eager.
            remote_code: Whether Python code in the folder may be executed.

        Raises:
            BadInputError: weights lack, or would be made up; code would run that may not.
            CannotRunError: the folder's own code needs what is not installed.
            OSError, ValueError, SafetensorError: as transformers says what it cannot read.
        """

    def continued(
        self, model: PreTrainedModel, tokens: Tensor, state: State | None
    ) -> tuple[Tensor, State]:
        """What the output layer takes for some tokens, and what they leave behind.

        Args:
            model: As `load` gives it, or with adapters in its modules.
            tokens: (batch, length ≥ 1). Padding may stand on the right: nothing flows to the left.
            state: What the tokens before left, of the same batch; None at the start. Not changed.

        Returns:
            Hidden states (batch, length, hidden size) after the final norm, right at every token
            before the padding; the state after all tokens, of no use where some were padding.
        """

    def head(self, model: PreTrainedModel, hidden: Tensor) -> Tensor:
        """Logits (…, vocabulary) of hidden states (…, hidden size), as the model's own forward.

        Through the output layer's module where there is one, so that adapters and hooks act.
        """


def hidden(
    family: ModelFamily[State], model: PreTrainedModel, tokens: Tensor, state: State | None
) -> Tensor:
    """The first of what `continued` gives, with one block's state in memory at a time.

    As far as the family has a way: a method of this name, with the arguments of `continued`.
    """
    way = getattr(family, "hidden", None)
    found: Tensor = way(model, tokens, state) if way else family.continued(model, tokens, state)[0]
    return found


MODELS: Mapping[str, ModelFamily[Any]] = {
    **plugins.load("repro.model_code"),
    "mamba": MAMBA,
    "mamba2": MAMBA2,
    "gpt-neox": GPT_NEOX,
    "olmo": OLMO,
    "phi": PHI,
    "openelm": OPENELM,
    "llama": LLAMA,
    "own-code": OWN,
}
"""Key of `repro.schema.families.FAMILIES` to the code for it."""


def family_of(folder: Path) -> str:
    """The key in `MODELS` of a checkpoint folder, told by its config.json.

    Raises:
        BadInputError: there is none, or it is of no family that is known here.
    """
    config = foreign_json.read(folder / CONFIG)
    name = family_named(config)
    if name is None:
        fields = [field for field in ("model_type", "ssm_cfg") if field in config]
        found = ", ".join(f"{field} {config[field]!r}" for field in fields) or "no model_type"
        known = [says for family in FAMILIES.values() for says in family.config]
        place = f"{folder / CONFIG}: $"
        expected = checkpoint_files.expected_layouts(folder, config, known)
        raise checkpoint_checks.refused(place, found, expected)
    return name
