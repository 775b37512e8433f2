"""Copies of data sets beside the checkout, where there are some."""

import json
import lzma
from pathlib import Path
from typing import Any

import pytest

COPIES = Path(__file__).resolve().parents[2] / "shared" / "data"
"""Copies of the data sets that were not taken from the wheel; no part of the project."""


def copied(task: str, split: str) -> list[dict[str, Any]]:
    """Rows of another copy, or skip the test."""
    file = COPIES / task.replace("winogrande", "winogrande_xl") / f"{split}.jsonl.xz"
    if not file.is_file():
        pytest.skip("no other copy of the data sets beside the checkout")
    return [json.loads(line) for line in lzma.open(file)]
