"""The command line, as a process of its own."""

import os
import subprocess
import sys
from pathlib import Path

from repro import paths


def repro(
    *arguments: str, cwd: Path = paths.ROOT, **environ: str
) -> subprocess.CompletedProcess[str]:
    """Run the command line in a process of its own, off the network."""
    return subprocess.run(
        [sys.executable, "-m", "repro.cli.main", *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "HF_HUB_OFFLINE": "1", "PYTHONPATH": str(paths.ROOT), **environ},
    )
