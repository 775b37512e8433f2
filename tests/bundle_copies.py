"""Copies of the checkout, to change in tests.

`$REPRO_BUNDLE` makes a copy of the first bundle the one at hand.
"""

import shutil
from collections.abc import Iterable
from pathlib import Path

from repro import paths


def copy_bundle(folder: Path) -> Path:
    """What the bundle says, without its evidence."""
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(paths.ROOT / paths.PAPER, folder)
    copy_checkout(folder, ("catalog", "manifests"))
    return folder


def copy_checkout(folder: Path, folders: Iterable[str], files: Iterable[str] = ()) -> None:
    """Some folders of the checkout, and files beside them by patterns.

    With byte code, which holds for a copy that keeps the times of its sources: a process started in
    it need not compile everything again.
    """
    half_written = shutil.ignore_patterns("*.pyc.*")
    for name in folders:
        shutil.copytree(paths.ROOT / name, folder / name, ignore=half_written)
    for pattern in files:
        for path in paths.ROOT.glob(pattern):
            shutil.copy(path, folder)
