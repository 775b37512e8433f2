"""A copy of the first bundle, to change in tests: `$REPRO_BUNDLE` makes it the one at hand."""

import shutil
from pathlib import Path

from repro import paths


def copy_bundle(folder: Path) -> Path:
    """What the bundle says, without its evidence."""
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(paths.ROOT / paths.PAPER, folder)
    for name in ("catalog", "manifests"):
        shutil.copytree(paths.ROOT / name, folder / name)
    return folder
