"""Scripts on a file system that is real and small."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import made_up_records as records

from repro.schema.jobs import EvaluateJob
from repro.schema.slots import slots
from repro.store.store import Store


def job() -> EvaluateJob:
    first = next(iter(slots(records.manifest(), "full", records.checkpoints()))).job
    assert isinstance(first, EvaluateJob)
    return first


def on_a_small_disk(script: str, size: str) -> subprocess.CompletedProcess[str]:
    """Run a script in a mount namespace of its own, with a tmpfs of `size` at /mnt."""
    command = (
        f"mount -t tmpfs -o size={size} tmpfs /mnt && exec {sys.executable} -c "
        f"'{textwrap.dedent(script)}'"
    )
    unshare = ["unshare", "--mount", "--map-root-user"]
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])}
    return subprocess.run(
        [*unshare, "sh", "-c", command],
        capture_output=True,
        text=True,
        check=False,
        env=environ,
    )


def saved(root: Path, **arrays: Any) -> tuple[Store, str]:
    store = Store(root)
    made = {**records.answers(job()), **arrays}
    return store, records.save_record(store, job(), made, records.this_machine())
