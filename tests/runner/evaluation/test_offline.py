"""Importing lm-eval without the network.

Oracle: a fresh interpreter whose sockets refuse. The values of the metric are worked out
by hand from what the hub's metric card says of each option.
"""

import json
import logging
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from repro import paths
from runner.evaluation.offline import ExactMatch, import_lm_eval, quiet

FRESH = """
import json, logging, socket, sys

attempts = []

def refuse(*address, **_):
    attempts.append(str(address[:2]))
    raise OSError("no network")

socket.getaddrinfo = socket.socket.connect = refuse
before = logging.getLogger().handlers[:], logging.getLogger().level

import evaluate
load = evaluate.load
from runner.evaluation.offline import import_lm_eval
import_lm_eval()
from lm_eval.api import metrics

print(json.dumps({
    "attempts": attempts,
    "score": metrics.exact_match_fn(predictions=["a", "b"], references=["a", "c"]),
    "load_restored": evaluate.load is load,
    "root_logger_restored": before == (logging.getLogger().handlers, logging.getLogger().level),
}))
"""


def test_a_fresh_interpreter_imports_it_with_a_dead_network(tmp_path: Path) -> None:
    """HF_HUB_OFFLINE is unset: nothing is asked, nothing is retried, nothing is left behind."""
    folder, home = tmp_path / "here", tmp_path / "home"
    folder.mkdir()
    search = [str(paths.ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("HF_")
    } | {"HF_HOME": str(home), "PYTHONPATH": os.pathsep.join(search)}

    done = subprocess.run(
        [sys.executable, "-c", FRESH],
        cwd=folder, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        "attempts": [],
        "score": {"exact_match": 0.5},
        "load_restored": True,
        "root_logger_restored": True,
    }
    assert list(folder.iterdir()) == []
    assert [path for path in home.rglob("*") if "exact_match" in str(path)] == []


@pytest.mark.usefixtures("no_network")
def test_other_metrics_still_go_to_the_hub() -> None:
    import evaluate

    import_lm_eval()
    started = time.monotonic()
    with pytest.raises((OSError, AttributeError)):  # the latter with a newer datasets
        evaluate.load("a_metric_that_does_not_exist")
    assert time.monotonic() - started < 5


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, 0.25),
        ({"ignore_case": True}, 0.5),
        ({"ignore_case": True, "ignore_punctuation": True}, 0.75),
        ({"ignore_case": True, "ignore_punctuation": True, "ignore_numbers": True}, 1.0),
        ({"regexes_to_ignore": ["the ", r"\d"]}, 0.5),
    ],
)
def test_exact_match_as_documented(options: dict[str, object], expected: float) -> None:
    measured = ExactMatch().compute(
        predictions=["the cat", "Dog", "yes!", "no 1"],
        references=["the cat", "dog", "yes", "no 2"],
        **options,  # type: ignore[arg-type]
    )
    assert measured == {"exact_match": expected}


def test_exact_match_refuses_lists_of_different_length() -> None:
    with pytest.raises(ValueError, match="zip"):
        ExactMatch().compute(predictions=["a"], references=["a", "b"])


def test_quiet_restores_what_it_changed() -> None:
    import lm_eval.api.task
    from transformers.utils import logging as hub_logging

    harness = logging.getLogger("lm-eval")
    before = harness.level, hub_logging.get_verbosity(), lm_eval.api.task.tqdm
    with quiet():
        assert list(lm_eval.api.task.tqdm([1, 2], total=2)) == [1, 2]
        assert harness.level == hub_logging.get_verbosity() == logging.ERROR
    assert (harness.level, hub_logging.get_verbosity(), lm_eval.api.task.tqdm) == before
