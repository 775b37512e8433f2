"""Loading in this process, and watched: a checkpoint loads, or ends in a message.

Not covered: what compiled code opens (tests/runner/evaluation/test_loading.py looks at that, from
outside).
"""

import logging
import tempfile
import traceback
import warnings
from pathlib import Path

import torch
from transformers.utils import logging as transformers_logging

from fuzz import guard
from fuzz.guard import Failure
from repro.errors import ReproError
from repro.weights import loadable
from runner.models import registry, tokenizer

logging.disable(logging.WARNING)
transformers_logging.set_verbosity_error()
torch.set_num_threads(1)


def hold(folder: Path, scratch: Path) -> None:
    """Load model and tokenizer of a folder, as a job does.

    Args:
        folder: The checkpoint.
        scratch: The one folder that may be written to.

    Raises:
        Failure: it ended in anything but a model or a message, or wrote elsewhere.
    """
    tempfile.tempdir = str(scratch)
    try:
        with warnings.catch_warnings(), guard.watched(scratch) as seen:
            warnings.simplefilter("ignore")
            family = registry.family_of(folder)
            with loadable.private_copy(folder) as own:
                model = registry.MODELS[family].load(own, torch.float32, "eager", remote_code=False)
                tokenizer.check(tokenizer.load(own, own_code=False), model, own)
    except ReproError as error:
        if str(folder) not in str(error):
            raise Failure("message", "it does not name the folder", str(error)) from error
    except BaseException as error:
        text = traceback.format_exc()
        kind = "loading" if isinstance(error, Exception) else type(error).__name__
        raise Failure(kind, f"{type(error).__name__}: {error}"[:160], text) from error
    finally:
        tempfile.tempdir = None
    if seen:
        raise Failure("side effect", seen[0].partition(" ")[0], "\n".join(seen))
