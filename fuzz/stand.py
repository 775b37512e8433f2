"""What the fuzzer stands on: a small bundle and honest results, in one scratch folder.

The catalog is the bundle's own with the made-up models and questions of the tests beside it, so
that made-up records are judged through the command line like any others.

What looks at this machine is looked up once: it is the same for every input, and takes a second.

Not covered: jobs themselves, which need models; the bundle's own manifests against real records.
"""

import functools
import gettext
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import made_up_records as records
import made_up_tuning as tuned

from fuzz import honest
from fuzz.honest import Results
from repro import fileio, paths
from repro.audit import audit
from repro.audit.audit import Audit
from repro.cli import audit as audit_command
from repro.environment import machine, pins
from repro.inputs import checkpoints, locate
from repro.schema import catalog
from repro.store import keys
from repro.weights import checkpoint_files

Put = Callable[[Any, str, Any], None]
"""Takes what `setattr` takes."""


_ROWS = 12
"""Packages of the audit that others are compared with."""


@dataclass
class Stand:
    """The scratch folder and what lies in it."""

    root: Path
    results: list[Results]
    audit: Audit
    """Of this machine."""

    @property
    def out(self) -> Path:
        """Where a command may write."""
        return self.root / "out"


def build(root: Path, put: Put = setattr) -> Stand:
    """Make bundle and results under a folder, and point this process at them.

    Args:
        root: An empty folder.
        put: Sets an attribute of a module; a test gives one that takes everything back.
    """
    _make_catalog(root / "bundle")
    made_up = paths.Bundle(root / "bundle")
    put(paths, "bundle", lambda: made_up)
    found = _look_once(root, put)
    return Stand(root, honest.runs(root), found)


def _look_once(root: Path, put: Put) -> Audit:
    """Keep what is the same for every input: this machine, digests of the twins, code.

    Returns:
        The audit of this machine, of a few packages.
    """
    import urllib3  # noqa: F401  # opens a socket when it is imported, to see if there is IPv6

    put(gettext, "find", functools.cache(gettext.find))  # argparse asks for translations
    captured = machine.capture()
    put(machine, "capture", lambda *_: captured)
    # Records of a machine with the packages that keys depend on, and no others: they are smaller.
    named = {name: captured.packages[name] for name in ("torch", "numpy", "safetensors")}
    small = captured.model_copy(update={"packages": named, "drift": ()})
    put(records, "this_machine", lambda: small)
    for module, name in (
        *((checkpoints, "checkpoint_digests"), (checkpoint_files, "check"), (keys, "code_of")),
        *((pins, "versions"), (catalog, "checkpoints"), (catalog, "question_sets")),
    ):
        put(module, name, functools.cache(getattr(module, name)))
    # Nothing was ever fetched, and no package at all is looked at instead of 5 GB of them.
    put(paths, "cache", lambda: root / "cache")
    put(locate, "_in_hub_cache", lambda _: None)
    whole = audit.audit(search=[])
    found = whole.model_copy(update={"rows": whole.rows[:_ROWS], "environment": small})

    def cheap(against: Path | None, *_: object) -> Audit:
        return audit.audit(against, search=[]) if against else found

    put(audit_command, "audit", cheap)
    return found


def _make_catalog(folder: Path) -> None:
    """The bundle's catalog with made-up models and questions, and made-up manifests."""
    models = {**catalog.checkpoints(), **records.checkpoints()}
    asked = {**catalog.datasets()}
    mmlu = asked["mmlu"]
    subjects = {**mmlu.subjects, **records.dataset().subjects}
    asked["mmlu"] = mmlu.model_copy(update={"subjects": subjects})
    made_up = {"questions": tuned.QUESTIONS, "choices": tuned.CHOICES, "known": {}}
    benchmarks = {
        name: each.model_copy(
            update={**made_up, "gold_sha256": fileio.digest_of_data(tuned.gold_of(name))}
        )
        for name, each in catalog.benchmarks().items()
    }
    data = {
        "datasets": asked,
        "benchmarks": benchmarks,
        "instructions": catalog.instructions(),
    }
    (folder / "catalog").mkdir(parents=True)
    (folder / "manifests").mkdir()
    for name, content in (("checkpoints", {"checkpoints": models}), ("datasets", data)):
        text = json.dumps(content, default=lambda each: each.model_dump(mode="json"))
        (folder / "catalog" / f"{name}.json").write_text(text, encoding="utf-8")
