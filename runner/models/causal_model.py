"""What the language models written here have in common, for transformers, lm-eval and PEFT.

Not covered: a body's own embedding, which transformers asks of it, and how the loss is rounded,
which differs from release to release.
"""

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn
from transformers import PreTrainedModel


class CausalModel(PreTrainedModel):  # type: ignore[misc]
    """A body under the name `base_model_prefix`, and an output layer that may be tied."""

    _tied_weights_keys = ["lm_head.weight"]  # noqa: RUF012 - as transformers declares it
    lm_head: nn.Linear

    def get_output_embeddings(self) -> nn.Module:
        """The output layer, a module of its own even where it is tied."""
        return self.lm_head

    def set_output_embeddings(self, value: nn.Linear) -> None:
        """Replace the output layer."""
        self.lm_head = value

    def refuse_options(self, others: Mapping[str, object]) -> None:
        """Refuse what a caller of transformers asks for and the model has not.

        Raises:
            TypeError: naming all of it.
        """
        asked = [
            name
            for name, value in others.items()
            if name != "return_dict" and value is not None and value is not False
        ]
        if asked:
            message = f"{type(self).__name__}.forward has no {', '.join(asked)}"
            raise TypeError(message)

    def prepare_inputs_for_generation(
        self,
        input_ids: Tensor,
        **_: Any,  # noqa: ANN401 - what transformers passes along
    ) -> dict[str, Tensor]:
        """The whole prefix, every time. PEFT's wrapper for causal models asks for this too."""
        return {"input_ids": input_ids}
