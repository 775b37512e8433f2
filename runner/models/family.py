"""What every model family offers: loading, logits, and what a prefix leaves behind.

State is whatever a model carries from one token to the next: keys and values of every earlier
token (attention), or a recurrent state with the last inputs of the convolution (Mamba). It is a
value: `continued` only reads it, so that one prefix serves any number of continuations
(`states.branch`).
What follows a prefix gets the hidden states that it has in the whole sequence, up to rounding.

Models are in evaluation mode, and no gradient is kept. Adapters of PEFT in a model's modules take
part wherever they do in its own forward.

Reference: transformers 4.40.0 and mamba-ssm 2.2.2, as the paper's stack has them.
Not covered: writing a model, generating text.
"""

from pathlib import Path
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor
from transformers import PreTrainedModel

from repro.schema.jobs import Attention
from repro.weights import foreign_json

State = TypeVar("State")


class ModelFamily(Protocol[State]):
    """One family; `registry.MODELS` holds them all."""

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

    def logits(self, model: PreTrainedModel, tokens: Tensor) -> Tensor:
        """Logits (batch, length, vocabulary) of tokens (batch, length), of `Family.logits`."""

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


# -----------------------------------------------------------------------------
# config.json of a checkpoint folder.

CONFIG = "config.json"


def read_config(folder: Path) -> dict[str, Any]:
    """What it holds.

    Raises:
        BadInputError: there is none, or it is no JSON object.
    """
    return foreign_json.read(folder / CONFIG)
