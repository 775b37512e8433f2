"""Claims about layers, and arrays of layers that decide them."""

from typing import Any

import numpy as np
from single_cells import SINGLE

from repro import fileio

BOUND = {"kind": "bound", "arrays": ["ratio"], "relation": "at-most", "limit": "1"}


TIMES = np.arange(8.0)


GOOD = {
    "ratio": np.array([0.2, 1.0, 0.9, 0.5]),
    "bad_ratio": np.array([3.0, 1.5]),
    "curves": np.exp(-np.array([[0.5], [0.1]]) * TIMES),
    "floor": np.full((2, 8), 1e-12),
    "rising": np.exp(np.array([[0.3], [0.2]]) * TIMES),
    "times": TIMES.astype(np.int64),
    "tied/change": np.array([[2, 4], [3, 6]], dtype=np.int32),  # of changes a record has digests
    "tied/up": np.array([[2], [3]], dtype=np.int32),
    "tied/down": np.array([[1, 2]], dtype=np.int32),
    "untied/change": np.array([[2, 4], [3, 5]], dtype=np.int32),
    "untied/up": np.array([[2], [3]], dtype=np.int32),
    "untied/down": np.array([[1, 2]], dtype=np.int32),
}


IDENTITY = {"kind": "identity", "case": "tied"}


JOB = SINGLE


TREND = {
    "kind": "trend",
    "arrays": ["curves"],
    "times": "times",
    "floors": ["floor"],
    "direction": "decreasing",
}


def as_recorded(arrays: dict[str, Any]) -> dict[str, Any]:
    """Arrays with the digests of changes in their place."""
    return {
        f"{name}_sha256" if name.endswith("/change") else name: (
            fileio.digests_of_rows(array) if name.endswith("/change") else np.array(array)
        )
        for name, array in arrays.items()
    }
