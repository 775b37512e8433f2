"""What every model family offers: loading, logits, and what a prefix leaves behind.

State is whatever a model carries from one token to the next: keys and values of every earlier
token (attention), or a recurrent state with the last inputs of the convolution (Mamba). It is a
value: `after_prefix` changes nothing of it, so that one prefix serves any number of
continuations. Logits after a prefix equal those of the whole sequence, up to rounding.

Models are in evaluation mode, and no gradient is kept. Whole sequences only, without padding.

Reference: transformers 4.40.0 and mamba-ssm 2.2.2, as the paper's stack has them.
Not covered: writing a model, generating text.
"""

from pathlib import Path
from typing import Protocol, TypeVar

import torch
from torch import Tensor
from transformers import PreTrainedModel

from repro.jobs import Attention

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

    def prefix(self, model: PreTrainedModel, tokens: Tensor) -> State:
        """What tokens (batch, length ≥ 1) leave behind."""

    def after_prefix(self, model: PreTrainedModel, tokens: Tensor, state: State) -> Tensor:
        """Logits (batch, length, vocabulary) of tokens (batch, length ≥ 1) after a prefix."""
