"""Importing lm-eval 0.4.2 without the network, and running it without its noise.

`lm_eval/api/metrics.py` runs ``evaluate.load("exact_match")`` when it is imported, which
asks the model hub for a script and fails without it. Here that one call is answered
with a metric of our own. MMLU is scored with lm-eval's `acc` and never uses it.

Not covered: any other metric of the hub (a task that names one still asks for it), and
data sets (see `runner.evaluation.tasks`).
"""

import logging
import re
import string
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import ModuleType
from unittest import mock

import numpy as np


class ExactMatch:
    """Share of predictions that equal their reference, as the hub's `exact_match` documents it.

    Differs: a plain object instead of an `evaluate.Metric`, which would leave cache
    files behind; only `compute`, which is all that lm-eval calls.
    """

    def compute(
        self,
        *,
        predictions: Sequence[str],
        references: Sequence[str],
        regexes_to_ignore: Sequence[str] | None = None,
        ignore_case: bool = False,
        ignore_punctuation: bool = False,
        ignore_numbers: bool = False,
    ) -> dict[str, float]:
        """Compare position by position, after removing what is to be ignored from both sides.

        Args:
            predictions: Texts produced, (Q,).
            references: Texts expected, (Q,).
            regexes_to_ignore: Patterns removed first, in this order.
            ignore_case: Compare in lower case.
            ignore_punctuation: Remove ASCII punctuation.
            ignore_numbers: Remove the digits 0 to 9.

        Returns:
            `{"exact_match": share}`, a fraction in [0, 1].

        Example:
            >>> ExactMatch().compute(predictions=["The cat", "b"], references=["cat", "B"],
            ...                      regexes_to_ignore=["The "], ignore_case=True)
            {'exact_match': 1.0}
        """
        removed = ""
        if ignore_punctuation:
            removed += string.punctuation
        if ignore_numbers:
            removed += string.digits
        table = str.maketrans("", "", removed)

        def reduced(text: str) -> str:
            for pattern in regexes_to_ignore or ():
                text = re.sub(pattern, "", text)
            return (text.lower() if ignore_case else text).translate(table)

        pairs = zip(predictions, references, strict=True)
        hits = [reduced(prediction) == reduced(reference) for prediction, reference in pairs]
        return {"exact_match": float(np.mean(hits))}


def import_lm_eval() -> ModuleType:
    """Import lm_eval with no network, no file written and the root logger as it was.

    Without this the import fails offline, and it installs a handler for INFO messages
    of every library on the root logger (`lm_eval/utils.py`).

    Returns:
        The package `lm_eval`.
    """
    import evaluate  # slow, and only needed here

    load = evaluate.load

    def load_locally(path: str, *args: object, **kwargs: object) -> object:
        return ExactMatch() if path == "exact_match" else load(path, *args, **kwargs)

    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    try:
        with mock.patch.object(evaluate, "load", load_locally):
            import lm_eval  # only inside the patch
            import lm_eval.evaluator
    finally:
        root.handlers[:], root.level = handlers, level
        root.setLevel(level)
    package: ModuleType = lm_eval
    return package


@contextmanager
def quiet() -> Iterator[None]:
    """Keep lm-eval and transformers from writing to the terminal.

    Their bars and messages would run through the bundle's own progress display.
    Numbers do not depend on it. What a reader has to know is checked and reported by
    `runner.evaluation.language_model` and `runner.models.kernels` instead.
    """
    import_lm_eval()
    import lm_eval.api.task  # after the patched import
    from transformers.utils import logging as hub_logging

    harness = logging.getLogger("lm-eval")
    before, hub_before = harness.level, hub_logging.get_verbosity()
    harness.setLevel(logging.ERROR)
    hub_logging.set_verbosity_error()
    try:
        with (
            mock.patch.object(lm_eval.api.task, "tqdm", lambda items, **_: items),
            warnings.catch_warnings(),
            np.errstate(invalid="ignore"),  # lm-eval's softmax of NaN, which we report
        ):
            warnings.filterwarnings("ignore", message=".*resume_download.*")
            warnings.filterwarnings("ignore", message=".*TF32 behavior.*")  # read, not set
            yield
    finally:
        harness.setLevel(before)
        hub_logging.set_verbosity(hub_before)
