"""Every tuning of the manifests takes what the paper prints of its recipe, and says what is open.

Oracle: the published values of `manifests/table2.json` (Table 2 and Appendix D), and the sizes that
Table 2 puts in one class, written out here.
"""

from collections.abc import Iterator

import pytest

from repro import paths
from repro.schema import validate
from repro.schema.groups import GroupRecipe, ThroughputGroup, TuningGroup

CLASSES = {
    "130m": ("mamba-130m", "mamba2-130m", "pythia-160m"),
    "370m": ("mamba-370m", "mamba2-370m", "pythia-410m"),
    "790m": ("mamba-790m", "mamba2-780m", "pythia-1b"),
    "1.4b": ("mamba-1.4b", "mamba2-1.3b", "pythia-1.4b"),
    "2.8b": ("mamba-2.8b", "mamba2-2.7b", "pythia-2.8b"),
}
"""Rows of Table 2: size class to its checkpoints."""
CLASS_OF = {name: size for size, names in CLASSES.items() for name in names}
TABLE2 = validate.load_manifest(paths.MANIFESTS / "table2.json")
GIVEN = {
    "alpaca": {"data", "epochs", "max_length", "max_gradient_norm"},
    "openhermes": {"epochs", "max_gradient_norm"},
    "lima": {"max_gradient_norm"},
}
"""Fields of a recipe that the paper settles: section 5.1 names the length for Alpaca alone, which
of two OpenHermes it means is open, and of LIMA v3 has the name."""
DATA_OF = {"figure1": "alpaca", "v3": "alpaca", "lima": "lima"}
"""Manifests that tune on other data than OpenHermes."""
NOT_TABLE2 = {("table5", "r128")}
"""Groups that run another rank on purpose: the one that Appendix D says does not fit."""


def groups() -> Iterator[tuple[str, TuningGroup | ThroughputGroup]]:
    """Every group that trains, with its manifest and id as a label."""
    for path in sorted(paths.MANIFESTS.glob("*.json")):
        found = validate.load_manifest(path)
        for group in found.jobs:
            if isinstance(group, TuningGroup | ThroughputGroup):
                yield f"{found.id}/{group.id}", group


ALL = dict(groups())
TUNINGS = {name: group for name, group in ALL.items() if isinstance(group, TuningGroup)}


def test_there_are_groups_of_every_figure_and_table_that_trains() -> None:
    manifests = {name.split("/")[0] for name in ALL}
    figures = {"figure1", "figure2", "figure3", "figure4"}
    assert manifests == {*figures, "table4", "table5", "v3", "lima"}
    named = {row.checkpoint for group in ALL.values() for row in group.checkpoints}
    assert named >= set(CLASS_OF)


@pytest.mark.parametrize("name", ALL)
def test_learning_rates_and_ranks_are_those_of_table_2(name: str) -> None:
    for row in ALL[name].checkpoints:
        size = CLASS_OF.get(row.checkpoint)
        if size is None:
            continue  # Table 2 has no row for it
        rank = f"T2.{size}.r-mamba2" if row.checkpoint.startswith("mamba2-") else f"T2.{size}.r"
        assert row.learning_rate == float(TABLE2.text_of(f"T2.{size}.lr")), row.checkpoint
        if tuple(name.split("/")) not in NOT_TABLE2:
            assert row.rank == int(TABLE2.text_of(rank)), row.checkpoint


def test_the_rank_that_does_not_fit_is_the_one_of_mamba_and_pythia() -> None:
    """Appendix D: Mamba-2 2.7B took 64 where its class took more."""
    (row,) = ALL["table5/r128"].checkpoints
    assert row.rank == int(TABLE2.text_of("T2.2.8b.r")) != int(TABLE2.text_of("T2.r64"))


@pytest.mark.parametrize("name", TUNINGS)
def test_recipes_are_those_of_the_paper(name: str) -> None:
    recipe = TUNINGS[name].recipe
    assert recipe.data == DATA_OF.get(name.partition("/")[0], "openhermes")
    like = "alpaca" if recipe.data == "lima" else recipe.data  # its left_open says so
    assert recipe.epochs == int(TABLE2.text_of(f"T2.epochs.{like}"))
    assert recipe.max_length == int(TABLE2.text_of("T2.length.section5"))
    assert recipe.max_gradient_norm == float(TABLE2.text_of("T2.clip"))


@pytest.mark.parametrize("name", sorted(set(ALL) - set(TUNINGS)))
def test_throughput_is_measured_at_the_length_of_the_paper(name: str) -> None:
    group = ALL[name]
    assert isinstance(group, ThroughputGroup)
    assert group.max_length == int(TABLE2.text_of("T2.length.figure2"))


@pytest.mark.parametrize("name", TUNINGS)
def test_what_the_paper_leaves_open_stands_there_with_a_reason(name: str) -> None:
    group = TUNINGS[name]
    assert set(group.left_open) == set(GroupRecipe.model_fields) - GIVEN[group.recipe.data]
    assert all(len(why.split()) >= 3 for why in group.left_open.values())


@pytest.mark.parametrize("name", TUNINGS)
def test_only_a_tier_that_decides_nothing_changes_the_recipe(name: str) -> None:
    full = TUNINGS[name].tiers["full"]
    assert full.smaller is None
    assert not full.stand_ins
