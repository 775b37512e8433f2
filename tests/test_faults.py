"""What befalls runs, a few times each; `make faults` does it a hundred times and prints a table.

Oracle: a run that nothing befell (`faults.whole_runs`).
"""

from pathlib import Path

import pytest
from faults import damage, disks, kills
from faults.whole_runs import Reference, Row, write_cell, write_tying

pytestmark = [pytest.mark.timeout(300), pytest.mark.usefixtures("all_cores")]
SEED = 7


@pytest.fixture(scope="module")
def tying(tmp_path_factory: pytest.TempPathFactory) -> Reference:
    """Jobs of a second, and the claims that they decide."""
    folder = tmp_path_factory.mktemp("tying")
    reference = Reference(folder, [write_tying(folder)])
    assert set(reference.outcomes.values()) == {"holds"}
    return reference


def assert_held(row: Row, count: int) -> None:
    assert row.count == count
    assert not row.failed


def test_damaged_records_are_known(tying: Reference, tmp_path: Path) -> None:
    for row in damage.spoiled_records(tying, tmp_path, 4, SEED):
        assert_held(row, 4)


def test_damaged_weights_are_known(tmp_path: Path) -> None:
    for row in damage.spoiled_weights(tmp_path, 8, SEED):
        assert_held(row, 8)


def test_a_full_disk_loses_nothing(tying: Reference, tmp_path: Path) -> None:
    try:
        assert_held(disks.full_disks(tying, tmp_path, 1, SEED), 1)
        assert_held(disks.read_only(tying), 1)
    except disks.NoMountsError as error:
        pytest.skip(f"no mount namespaces here: {error}")


def test_two_runs_share_a_folder(tying: Reference, tmp_path: Path) -> None:
    assert_held(kills.two_runs(tying, tmp_path, 1, SEED), 1)


def test_killed_runs_go_on_to_the_same_records(data_wheel: Path, tmp_path: Path) -> None:
    del data_wheel  # it is in the cache
    both = Reference(tmp_path, [write_cell(tmp_path), write_tying(tmp_path)])
    assert_held(kills.kills(both, tmp_path, 2, SEED), 2)


def test_killed_quick_runs_go_on_to_the_same_records(tying: Reference, tmp_path: Path) -> None:
    assert_held(kills.kills(tying, tmp_path, 3, SEED), 3)


def test_a_difference_is_seen(tying: Reference, tmp_path: Path) -> None:
    """Or nothing above could fail."""
    assert not tying.differences(tying.out)
    differ = [f"record {key[:12]} differs" for key in tying.records]
    assert tying.differences(tmp_path) == [*differ, "outcomes {}"]
