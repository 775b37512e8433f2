"""Speeds between those that were measured, and what is said of the others."""

import math

import pytest

from repro.schema import catalog
from repro.schema.kinds import rates
from tools import describe_rates

KNOWN = catalog.checkpoints()


def test_between_two_shapes_seconds_follow_a_power_of_the_parameters() -> None:
    """Oracle: t = c N^a through both points, solved by hand."""
    points = [(1e9, 8e-6), (1e8, 1e-6)]
    power = math.log10(8)
    for size in (1e8, 2.5e8, 1e9):
        assert rates.interpolated(points, size) == pytest.approx(1e-6 * (size / 1e8) ** power)


def test_above_the_shapes_seconds_go_with_parameters_and_below_they_stay() -> None:
    points = [(1e8, 1e-6), (1e9, 8e-6)]
    assert rates.interpolated(points, 3e9) == pytest.approx(24e-6)
    assert rates.interpolated(points, 1e7) == 1e-6


def test_from_one_shape_seconds_go_with_parameters_both_ways() -> None:
    assert rates.interpolated([(1e9, 8e-6)], 1e8) == pytest.approx(8e-7)
    assert rates.interpolated([(1e9, 8e-6)], 3e9) == pytest.approx(24e-6)


def test_what_was_measured_is_priced_as_it_was() -> None:
    for row in rates.measured()["passes"]:
        if row["shape"] in KNOWN and "behind" in row:
            known = KNOWN[row["shape"]]
            found = rates.token(known, row["dtype"], "behind", row["path"]).seconds
            assert found == pytest.approx(1 / row["behind"])


@pytest.mark.parametrize("name", KNOWN)
@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_every_checkpoint_has_a_price_in_every_dtype(name: str, dtype: str) -> None:
    known = KNOWN[name]
    for speed in ("from_zero", "behind", "stock"):
        assert 0 < rates.token(known, dtype, speed, "kernels").seconds < 1e-2
    for call in ("call", "behind_call", "stock_call"):
        assert 0 < rates.call(known, dtype, call, "kernels").seconds < 1
    for method in ("full", "lora-all"):
        one, two = (rates.step(known, method, dtype, each).seconds for each in (4096, 8192))
        assert 0 < one < two <= 2 * one


def test_another_card_takes_the_larger_of_two_ratios() -> None:
    """By the A10G's memory in float32 (4800 over 600), by its tensor cores in half precision."""
    assert rates.slower("NVIDIA H200", "float32") == 1
    assert rates.slower("NVIDIA A10G", "float32") == 8
    assert rates.slower("NVIDIA A10G", "bfloat16") == pytest.approx(989 / 70)
    assert rates.slower("a card of tomorrow", "float32") is None
    assert rates.slower("NVIDIA A100-SXM4-40GB", "float32") == pytest.approx(67 / 19.5)


def test_measurements_say_where_and_when() -> None:
    for row in (*rates.measured()["passes"], *rates.measured()["steps"]):
        assert row["machine"].startswith("NVIDIA H")


def test_what_is_measured_again_takes_its_row_s_place_and_the_others_stay() -> None:
    before = rates.measured()
    assert describe_rates.kept([], (), before) == before
    row = next(each for each in before["passes"] if "behind" in each)
    again = row | {"what": "pass", "behind": 123.0, "torch": "another"}
    found = describe_rates.kept([again], (), before)
    assert found["passes"][0] == row | {"behind": 123.0, "torch": "another"}
    assert found["passes"][1:] == [each for each in before["passes"] if each != row]
    assert {**found, "passes": 0} == {**before, "passes": 0}


def test_the_table_is_what_the_records_make() -> None:
    text = describe_rates.PAGE.read_text(encoding="utf-8")
    assert describe_rates.page(text) == text
