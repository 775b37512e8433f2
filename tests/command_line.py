"""The command line, as a process of its own or in this one."""

import contextlib
import io
import os
import subprocess
import sys
from pathlib import Path
from unittest import mock

from repro import paths
from repro.cli.main import main


def repro(
    *arguments: str | bytes, cwd: Path | bytes = paths.ROOT, **environ: str
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


def repro_here(
    *arguments: str, cwd: Path = paths.ROOT, **environ: str
) -> subprocess.CompletedProcess[str]:
    """The same in this process, where nothing hangs on how a process begins, writes or ends.

    It need not import everything again: a second less each time.
    """
    out, err = io.StringIO(), io.StringIO()
    with (
        mock.patch.dict(os.environ, HF_HUB_OFFLINE="1", **environ),
        contextlib.chdir(cwd),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            code = main(arguments)
        except SystemExit as ended:  # argparse's
            code = int(ended.code or 0)
    return subprocess.CompletedProcess(arguments, code, out.getvalue(), err.getvalue())
