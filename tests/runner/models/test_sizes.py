"""docs/models.md's table of sizes. Oracles: arithmetic on the published sizes, by hand."""

import re

import pytest

from repro import paths
from repro.schema import catalog
from tools import describe_models

pytestmark = pytest.mark.filterwarnings("ignore")  # torch and transformers warn about each other

PAGE = (paths.ROOT / "docs" / "models.md").read_text(encoding="utf-8")
ROWS = {
    cells[0]: tuple(cells)
    for line in PAGE.partition(describe_models.MARK)[2].splitlines()
    if line.startswith("| ") and len(cells := line.strip("| ").split(" | ")) > 1
}
TOKENS = 2048


@pytest.mark.parametrize("name", ["mamba-130m", "mamba2-130m", "pythia-160m", "openelm-270m"])
def test_a_row_is_what_the_command_writes(name: str) -> None:
    assert ROWS[name] == describe_models.row(name)


def test_the_page_has_every_checkpoint_that_the_manifests_name() -> None:
    text = "".join(path.read_text() for path in paths.MANIFESTS.glob("*.json"))
    named = {name for name in catalog.checkpoints() if f'"{name}"' in text}
    assert {name for name in named if not name.endswith("-twin")} <= ROWS.keys()
    assert next(iter(ROWS)) == "checkpoint"
    assert "catalog:" not in "".join(map("".join, ROWS.values()))


@pytest.mark.parametrize(
    ("name", "parameters", "numbers"),
    [
        # Keys and values of 22 blocks: 4 heads of 64.
        ("tinyllama-1.1b", 1_100_048_384, 22 * 2 * 4 * 64 * TOKENS),
        # Of 16 blocks: all heads of OLMo.
        ("olmo-1b", 1_176_764_416, 16 * 2 * 2048 * TOKENS),
        # A key for every 4 of the heads: 5 blocks of 12, 7 of 16, 4 of 20.
        ("openelm-270m", 271_527_168, 2 * (5 * 3 + 7 * 4 + 4 * 5) * 64 * TOKENS),
        # Of 24 blocks: 1,536 channels, each with 16 states and 4 inputs of the convolution.
        ("mamba-130m", 129_135_360, 24 * 1536 * (16 + 3)),
    ],
)
def test_sizes_by_hand(name: str, parameters: int, numbers: int) -> None:
    _, _, counted, _, weights, state, _ = ROWS[name]
    assert counted == f"{parameters:,}"
    for found, count in ((weights, parameters), (state, numbers)):
        shown = re.fullmatch(r"([\d.]+) ([MG]B) / .*", found)
        assert shown is not None
        scale = {"MB": 1e6, "GB": 1e9}[shown[2]]
        assert abs(float(shown[1]) * scale - 4 * count) <= 0.06 * scale
