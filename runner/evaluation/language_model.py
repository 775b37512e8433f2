"""lm-eval's `HFLM`, loaded as a job asks and telling what it did.

The numbers come from `HFLM` untouched: tokenising, left truncation to `max_length`,
right padding, no attention mask, one forward pass for the four letters of a question,
log-softmax in the dtype of the logits. `HFLM` is handed the loaded model and its tokenizer,
which `runner.models` load as it would. Added are: the order of the questions, progress, and
what really ran.

Not covered: on a CPU torch 2.2.1 rounds inside its FP16 and BF16 log-softmax, so that a
fifth of the values differ by a bit from FP32 rounded once. That is the stock path of
GPT-NeoX, whose logits stay in half precision, and it is left alone.

Reference: paper v2, Appendix D (lm-eval 0.4.2, `dtype` as a cast of the weights).
"""

from collections import defaultdict
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from repro.schema.jobs import ModelJob, TuningPath
from runner.evaluation.offline import import_lm_eval
from runner.measurement import Progress
from runner.models import kernels, mamba_paths, precision

import_lm_eval()  # the import below fails offline without it

from lm_eval.models.huggingface import HFLM  # noqa: E402

if TYPE_CHECKING:
    from numpy.typing import NDArray

CHOICES = 4
"""Requests of one question: one for each letter."""

ENCODED = 1 << 24
"""Token ids that are kept from one call to the next, 64 MB, and those of one call more."""

Request = tuple[tuple[str, str], list[int], list[int]]
"""As lm-eval encodes it: the two strings, context tokens, continuation tokens."""


class AnswerHook:
    """Told of every request answered, through lm-eval's own cache hook; reports them in units."""

    def __init__(
        self, progress: Progress, done: int, total: int, note: str, requests: int = CHOICES
    ) -> None:
        """Units done before this call, units in all, and the requests that make a unit."""
        self._progress, self._done, self._total, self._note = progress, done, total, note
        self._unit, self._requests = requests, 0

    def add_partial(self, attribute: str, request: object, answer: object) -> None:
        """Count one answered request."""
        del attribute, request, answer
        self._requests += 1
        if self._requests % self._unit == 0:
            self._progress(self._done + self._requests // self._unit, self._total, self._note)


class MeasuredLM(HFLM):  # type: ignore[misc]
    """`HFLM` for one job."""

    def __init__(
        self,
        job: ModelJob,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        *,
        bos: bool,
    ) -> None:
        self._order = job.setting.order
        self.input_lengths: list[int] = []
        """Tokens of each request's input before truncation, of the last call."""
        self.logits_dtype = ""
        """Dtype of the logits that the model returned, whose log-softmax was taken."""
        self._asked = kernels.asked_attention(job), scan_of_job(job)
        super().__init__(
            pretrained=model,
            tokenizer=tokenizer,
            batch_size=job.setting.batch_size,
            add_bos_token=bos,
        )
        self._encoded: dict[str, NDArray[np.int32]] = {}
        """Token ids of whole texts."""
        self._scan = kernels.set_mamba_scan(self.model, self._asked[1])
        self._layer_norm = precision.apply_half_layer_norm(self.model, self.device)
        self._arm = job.arm
        self._precision = precision.apply(self.model, job)

    def _model_call(self, inps: torch.Tensor, *args: object, **options: object) -> torch.Tensor:
        """Logits (batch, length, vocabulary); takes note of their dtype."""
        with self._precision:
            logits: torch.Tensor = super()._model_call(inps, *args, **options)
        self.logits_dtype = str(logits.dtype).removeprefix("torch.")
        return logits

    def tok_encode(self, string: str, *args: object, **options: object) -> list[int]:
        """As in `HFLM`; what was encoded at once is looked up."""
        if args or options or string not in self._encoded:
            ids: list[int] = super().tok_encode(string, *args, **options)
            return ids
        found: list[int] = self._encoded[string].tolist()
        return found

    def _encode_at_once(self, pairs: list[tuple[str, str]]) -> None:
        """Each distinct text that `_encode_pair` will ask for, on all cores.

        lm-eval asks one after the other, and for a context once for each choice. What the last
        calls asked is kept, as the sample is asked again under another batch size.
        """
        if not self.tokenizer.is_fast:
            return
        if sum(map(len, self._encoded.values())) > ENCODED:
            self._encoded.clear()
        texts = dict.fromkeys(text for one, two in pairs for text in (one.rstrip(), one + two))
        new = [text for text in texts if text not in self._encoded]
        for start in range(0, len(new), 256):  # lists of Python's integers are large
            some = new[start : start + 256]
            options = {"return_attention_mask": False, "return_token_type_ids": False}
            found = self.tokenizer(some, add_special_tokens=self.add_bos_token, **options)
            for text, ids in zip(some, found["input_ids"], strict=True):
                self._encoded[text] = np.array(ids, np.int32)

    def loglikelihood(self, requests: list[Any], **_: object) -> list[tuple[float, bool]]:
        """As in `HFLM`, without its progress bar."""
        self._encode_at_once([request.args for request in requests])
        answers: list[tuple[float, bool]] = super().loglikelihood(requests, disable_tqdm=True)
        return answers

    def _loglikelihood_tokens(
        self, requests: list[Request], **options: object
    ) -> list[tuple[float, bool]]:
        """As in `HFLM`, which sorts by falling length; or in exactly the reverse order."""
        self.input_lengths = [len(context) + len(letter) - 1 for _, context, letter in requests]
        if self._order == "length-descending":
            answers: list[tuple[float, bool]] = super()._loglikelihood_tokens(requests, **options)
            return answers
        return self._ascending(requests, **options)

    def _ascending(self, requests: list[Request], **options: object) -> list[tuple[float, bool]]:
        """Hand `HFLM` one batch at a time, the shortest questions first.

        lm-eval scores requests with the same input in one row and sorts rows by falling
        length, then by tokens (`Collator`). Reversed, the first batch holds the shortest
        rows, so the batches differ wherever the rows are no multiple of the batch size.
        """
        rows: dict[tuple[int, ...], list[int]] = defaultdict(list)
        for place, (_, context, letter) in enumerate(requests):
            rows[tuple(context + letter[:-1])].append(place)

        def falling(places: list[int]) -> tuple[int, tuple[int, ...]]:
            _, context, letter = requests[places[0]]
            return -len(context + letter), tuple(context + letter)

        ordered = sorted(rows.values(), key=falling, reverse=True)
        answers: list[tuple[float, bool]] = [(float("nan"), False)] * len(requests)
        for start in range(0, len(ordered), self.batch_size):
            batch = [place for row in ordered[start : start + self.batch_size] for place in row]
            scored = super()._loglikelihood_tokens([requests[place] for place in batch], **options)
            for place, answer in zip(batch, scored, strict=True):
                answers[place] = answer
        return answers

    def path(self) -> dict[str, str]:
        """What really runs: device, kernels, dtypes, limits and torch's flags."""
        gpu = self.device.type == "cuda"
        return {
            "device": torch.cuda.get_device_name(self.device) if gpu else "cpu",
            "attention": kernels.taken_attention(self.model),
            "attention_class": kernels.attention_classes(self.model),
            "mamba_scan": self._scan,
            "mamba_lacks": mamba_paths.lacking(self.model),
            "layer_norm": self._layer_norm,
            "triton_float32": "ieee" if precision.is_ieee_float32() else "tf32",
            "arm": self._arm,
            "weights_dtype": str(self.model.dtype).removeprefix("torch."),
            "logits_dtype": self.logits_dtype,
            "max_length": str(self.max_length),
            "order": self._order,
            "batch_size": str(self.batch_size),
            **kernels.torch_flags(),
        }

    def warnings(self) -> tuple[str, ...]:
        """Where what was asked for could not be had."""
        path, (attention, scan) = self.path(), self._asked
        return tuple(
            f"the setting asks for {what} {asked}, this run took {path[key]}{why}"
            for what, key, asked, why in (
                ("attention", "attention", attention, ""),
                ("Mamba scan", "mamba_scan", scan, f": {path['mamba_lacks']}"),
            )
            if path[key] not in (asked, kernels.NONE)
        )


def scan_of_job(job: ModelJob) -> TuningPath:
    """A model that was tuned with live adapters is evaluated with them live."""
    live = job.tuned is not None and job.tuned.mamba_path == "live"
    return "live" if live else job.setting.mamba_path
