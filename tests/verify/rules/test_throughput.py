"""Claims about training speed and memory, judged from made-up timings.

Of speed a finding shows what the timings of one machine point to, and decides nothing.
Oracle: the gains that each test makes up, worked out by hand beside it.
"""

from pathlib import Path
from typing import Any

import made_up_records as records
import numpy as np
import pytest
from job_groups import throughput_group
from made_up_records import codes, interval, numbers, pointing, said

from repro.environment.machine import Environment, Gpu
from repro.report.numbers import line_of
from repro.schema import slots
from repro.schema.causes import cause
from repro.schema.finding import Finding
from repro.schema.jobs import ThroughputJob
from repro.store.commitments import commitments_of
from repro.store.run_file import RunFile
from repro.store.store import Store
from verify.evidence import Evidence
from verify.judge import judge

GIB = 2**30
A10G, H100 = "NVIDIA A10G", "NVIDIA H100 80GB HBM3"
NOISE = np.array([-0.01, 0.01, 0.0, -0.005, 0.005])
"""Of five timings, relative, in another order for each speed; their mean is 0."""
CONTEXT = GIB // 2
GROUP = throughput_group("sizes", ["mamba-1", "mamba-2", "mamba-3"])


class Made:
    """One made-up run: what it measured, and what it says of that."""

    def __init__(
        self,
        speed: float = 1000.0,
        memory: float = 10.0,
        reserved: float = 1.0,
        needs: float = 8.0,
        **changes: Any,
    ) -> None:
        """Memory in GiB at the batch of 4 rows; `reserved` GiB more are held than given out."""
        given, held = round(memory * GIB), round((memory + reserved) * GIB)
        tried = {1: 0.3, 2: 0.6, 4: 1.0, 8: 0.0} if speed else {1: 0.0}
        timed = 5 if speed else 0
        self.arrays: dict[str, Any] = {
            "tokens_per_second": speed * (1 + np.roll(NOISE, int(speed) // 500))[:timed],
            "memory_allocated": np.full(timed, given),
            "memory_reserved": np.full(timed, held),
            "batch_sizes_tried": np.array(list(tried)),
            "fits_tried": np.array([part > 0 for part in tried.values()], np.uint8),
            "tokens_per_second_tried": speed * np.array(list(tried.values())),
            "memory_allocated_tried": np.full(len(tried), given),
            "memory_reserved_tried": np.full(len(tried), held),
            "memory_uncapped": np.array([round(needs * GIB), round((needs + 0.5) * GIB)]),
        }

        self.values: dict[str, Any] = {"fits": int(speed > 0), "context_bytes": CONTEXT}
        if speed:
            self.values |= {"batch_size": 4, "tokens_per_second": speed}
            for name, peak in (("allocated", given), ("reserved", held)):
                said = {"max_memory": peak, "memory_per_token": peak / (4 * 512)}
                self.values |= {f"{what}_{name}": number for what, number in said.items()}
        self.values |= changes


NOT = Made(speed=0.0, needs=30.0)
"""A run that does not fit."""


def cell(text: str, margin: str, **measure: Any) -> dict[str, Any]:
    common = {
        "kind": "throughput",
        "group": "sizes",
        "checkpoints": ["mamba-1"],
        "reference": "full.float32",
        "against": None,
        "statistic": "speed",
        "form": "mean",
        "hardware": A10G,
    }
    said = {"value": margin, "origin": ""}
    return {"kind": "cell", "measure": common | measure, "margin": said, "text": text}


def fits(*runs: tuple[str, str, bool]) -> dict[str, Any]:
    said = [
        {"group": "sizes", "checkpoint": name, "arm": arm, "fits": fit} for name, arm, fit in runs
    ]
    return {"kind": "fits", "published": None, "runs": said, "hardware": A10G}


GROWING = {
    "kind": "growing",
    "published": None,
    "group": "sizes",
    "checkpoints": ["mamba-1", "mamba-2", "mamba-3"],
    "reference": "full.float32",
    "hardware": A10G,
}


def machine(name: str, memory: int = 22) -> Environment:
    gpu = Gpu(name=name, driver="1", memory=memory * GIB, uuid="")
    return records.this_machine().model_copy(update={"gpus": (gpu,)})


def found(
    root: Path,
    claim: dict[str, Any],
    made: dict[str, Made],
    on: Environment | None = None,
    groups: tuple[dict[str, Any], ...] = (GROUP,),
    beside: tuple[dict[str, Any], ...] = (),
) -> Finding:
    """The finding of one claim; `made` by the start of a run's label, the longest that fits it.

    Cells `beside` it stand in the manifest too.
    """
    on = on or machine(A10G)
    text = claim.pop("text", None)
    place = {"section": "5"}
    printed = [{"id": "it", "text": text or "1", "unit": "times", "place": place}]
    common = {"id": "it", "statement": "", "place": place, "depends_on": ["torch"]}
    common |= {"quote": "as printed"}
    claimed = records.manifest(
        published=printed,
        settings=[],
        jobs=list(groups),
        claims=[
            common | ({"published": "it"} if text else {}) | claim,
            *(
                common | {"published": "it", "id": f"beside.{at}"} | each
                for at, each in enumerate(beside)
            ),
        ],
    )
    store, jobs = Store(root), {}
    for slot in slots.slots(claimed, "full", records.checkpoints()):
        job = slot.job
        assert isinstance(job, ThroughputJob)
        label = f"{job.checkpoint}.{job.method}.{job.precision}.{job.memory_cap:g}gib.r{job.rank}"
        name = max((each for each in made if label.startswith(each)), key=len, default=None)
        if name is not None:
            one = made[name]
            arrays = dict(one.arrays)
            if "tokens_per_second" in arrays:  # no two timings are alike, bit for bit
                arrays["tokens_per_second"] = arrays["tokens_per_second"] * (1 + len(jobs) / 2**48)
            key = records.save_record(store, job, arrays, on, values=one.values)
            jobs[slot.id] = key
    run = RunFile(
        schema_version=2,
        manifest="table9",
        file="table9.json",
        tier="full",
        started="2026-01-01T00:00:00+00:00",
        committed=commitments_of(claimed),
        substitutions={},
        jobs=jobs,
        missing={},
    )
    evidence = Evidence(claimed, run, store, records.checkpoints(), {})
    return judge(claimed, evidence, {"torch": on.packages["torch"]}).findings[0]


def leaning(finding: Finding) -> str:
    """The outcome; of what one machine timed, the outcome that it only points to."""
    code, _, outcome = pointing(finding).partition(" ")
    timed = codes(finding)[0] == "one-machine"
    assert not timed or finding.outcome == "inconclusive"
    return outcome if timed and code == "points-to" else finding.outcome


SPEEDS = {
    "mamba-1.full.float32": Made(1000),
    "mamba-1.full.float16": Made(2000),
    "mamba-1.lora-all": Made(4000),
}
"""Gains of 2 and 4: 3 on average, 4 at most."""

MEMORY = {
    "mamba-1.full.float32": Made(memory=20, reserved=0),
    "mamba-1.full.float16": Made(memory=15, reserved=0),
    "mamba-1.lora-all": Made(memory=5, reserved=0),
}
"""25 % and 75 % less: 50 % on average, 75 % at most."""


# -----------------------------------------------------------------------------
# Numbers


@pytest.mark.parametrize(
    ("made", "claim", "outcome"),
    [
        (SPEEDS, cell("3.00", "0.1"), "reproduced"),
        (SPEEDS, cell("2.50", "0.1"), "contradicted"),
        (SPEEDS, cell("3.11", "0.1"), "inconclusive"),
        (SPEEDS, cell("3.00", "0.005"), "inconclusive"),
        (SPEEDS, cell("4.00", "0.1", form="largest"), "reproduced"),
        (SPEEDS, cell("3.00", "0.1", form="largest"), "contradicted"),
        (MEMORY, cell("50.0", "1", statistic="memory"), "reproduced"),
        (MEMORY, cell("51.5", "1", statistic="memory"), "contradicted"),
        (MEMORY, cell("75.0", "1", statistic="memory", form="largest"), "reproduced"),
    ],
)
def test_a_gain_is_held_against_the_printed_one(
    tmp_path: Path, made: dict[str, Made], claim: dict[str, Any], outcome: str
) -> None:
    finding = found(tmp_path, dict(claim), made)
    assert leaning(finding) == outcome
    assert (codes(finding)[0] == "one-machine") == (made is SPEEDS)


def test_both_sides_and_every_view_are_shown(tmp_path: Path) -> None:
    finding = found(tmp_path, cell("3.00", "0.1"), SPEEDS)
    assert (finding.published, finding.margin) == ("3.00", "± 0.1")
    assert finding.measured == "3.00 at 22 GiB; 3.00 at 24 GiB"
    every = cause("every-view", outcome="reproduced", views=2)
    assert (finding.outcome, finding.causes) == ("inconclusive", (cause("one-machine"), every))
    views = ("22 GiB", "24 GiB")
    assert finding.working == tuple(cause("view-within", view=view, margin="0.1") for view in views)
    assert numbers(finding) == pytest.approx({f"measured at {view}": 3 for view in views}, rel=1e-3)
    # Gains are 2 and 4 with an error of 0.01514: 2.776 of it to both sides.
    low, high = interval(finding, "measured at 22 GiB")
    assert (low, high) == pytest.approx((3 - 0.04203, 3 + 0.04203), abs=1e-3)
    line = line_of(finding)
    assert line
    assert [each.label for each in line.points] == list(views)
    assert len(finding.records) == 6


def test_sizes_are_averaged_each_against_its_own_reference_or_against_one(tmp_path: Path) -> None:
    made = SPEEDS | {"mamba-2.full.float32": Made(500), "mamba-2": Made(3000)}
    both = {"checkpoints": ["mamba-1", "mamba-2"]}
    # gains of 2 and 4, and of 6 twice; against mamba-1 of 3 twice
    assert leaning(found(tmp_path / "a", cell("4.5", "0.1", **both), made)) == "reproduced"
    against = cell("3.0", "0.1", **both, against="mamba-1")
    assert leaning(found(tmp_path / "b", against, made)) == "reproduced"


def test_the_size_that_is_compared_against_need_not_be_among_those_that_gain(
    tmp_path: Path,
) -> None:
    """3000 tokens a second of all but the reference, 1000 of mamba-1's."""
    made = SPEEDS | {"mamba-2.full.float32": Made(500), "mamba-2": Made(3000)}
    claim = cell("3.00", "0.1", checkpoints=["mamba-2"], against="mamba-1")
    assert found(tmp_path, claim, made).measured == "3.00 at 22 GiB; 3.00 at 24 GiB"


@pytest.mark.parametrize(
    ("margin", "others", "outcome"),
    [
        ("0.05", 0, "reproduced"),
        ("0.05", 1, "inconclusive"),
        ("0.06", 1, "reproduced"),
        ("0.06", 2, "inconclusive"),
    ],
)
def test_only_printed_gains_share_the_error_rate(
    tmp_path: Path, margin: str, others: int, outcome: str
) -> None:
    """The mean of five gains has an error of 0.01514; t is 2.776 alone, 3.495 of two, 3.961 of
    three, so that it reaches 0.047, 0.058 and 0.065, with half a unit."""
    other = {key: each for key, each in cell("", "0.1").items() if key != "text"}
    measure = {"kind": "unbuilt", "needs": "few-shot", "what": "no gain"}
    beside = (other | {"measure": measure}, *[other] * others)
    assert leaning(found(tmp_path, cell("3.00", margin), SPEEDS, beside=beside)) == outcome


ONE_CAP = (GROUP | {"memory_caps": [22.0]},)


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("3.08", "mean-within-margin"),
        ("3.11", "mean-below-printed"),
        ("2.89", "mean-above-printed"),
    ],
)
@pytest.mark.parametrize("groups", [(GROUP,), ONE_CAP])
def test_an_open_number_says_where_the_mean_lies(
    tmp_path: Path, text: str, where: str, groups: tuple[dict[str, Any], ...]
) -> None:
    """Of 3.00, by 0.1; on other hardware too. What nothing could decide is in no list."""
    for name, on in (("a", machine(A10G)), ("b", machine(H100))):
        finding = found(tmp_path / name, cell(text, "0.1"), SPEEDS, on, groups)
        assert (finding.outcome, pointing(finding)) == ("inconclusive", where)
        assert finding.listed_under is None


@pytest.mark.parametrize(
    ("text", "margin", "where"),
    [
        ("51.0", "1", "mean-within-margin"),
        ("51.0", "0.99", "mean-below-printed"),
        ("49.0", "0.99", "mean-above-printed"),
    ],
)
def test_memory_that_points_away_is_not_reproduced_here(
    tmp_path: Path, text: str, margin: str, where: str
) -> None:
    """50.0 %, and half a unit of 0.05 leaves open on which side of the border it lies."""
    for name, on in (("a", machine(A10G)), ("b", machine(H100))):
        finding = found(tmp_path / name, cell(text, margin, statistic="memory"), MEMORY, on)
        assert (finding.outcome, pointing(finding)) == ("inconclusive", where)
        off = name == "a" and where != "mean-within-margin"
        assert finding.listed_under == ("not-reproduced-here" if off else None)


def test_views_on_two_sides_of_a_number_point_nowhere(tmp_path: Path) -> None:
    made = SPEEDS | {"mamba-1.lora-all.float16.24gib": Made(5000)}  # a mean of 3.5
    assert leaning(found(tmp_path / "a", cell("3.25", "0.1"), made)) == "contradicted"
    made = MEMORY | {"mamba-1.lora-all": Made(memory=5, reserved=5)}  # 50 %, or 37.5 held
    finding = found(tmp_path / "b", cell("43.0", "1", statistic="memory"), made)
    assert (finding.outcome, finding.direction) == ("contradicted", None)


def test_one_view_is_every_view(tmp_path: Path) -> None:
    finding = found(tmp_path, cell("3.00", "0.1"), SPEEDS, groups=ONE_CAP)
    assert leaning(finding) == "reproduced"
    assert said(finding, "every-view") == {"outcome": "reproduced", "views": 1}


def test_caps_that_disagree_decide_nothing(tmp_path: Path) -> None:
    made = SPEEDS | {"mamba-1.lora-all.float16.24gib": Made(5000)}  # a mean of 3.5
    finding = found(tmp_path, cell("3.00", "0.1"), made)
    assert finding.outcome == "inconclusive"
    counts = {"reproduced": 1, "contradicted": 1, "inconclusive": 0}
    assert finding.causes == (cause("one-machine"), cause("views-disagree", **counts))
    assert (finding.direction, finding.listed_under) == (None, None)


def test_counts_of_memory_that_disagree_decide_nothing(tmp_path: Path) -> None:
    made = MEMORY | {"mamba-1.lora-all": Made(memory=5, reserved=5)}  # held: 25 % and 50 % less
    finding = found(tmp_path, cell("50.0", "1", statistic="memory"), made)
    assert finding.outcome == "inconclusive"
    assert "50.0 at 22 GiB, allocated; 37.5 at 22 GiB, reserved" in finding.measured


def test_an_arm_that_does_not_fit_is_left_out_by_name(tmp_path: Path) -> None:
    finding = found(tmp_path, cell("2.00", "0.1"), SPEEDS | {"mamba-1.lora-all": NOT})
    assert leaning(finding) == "reproduced"
    out = cause("view-left-out", view="22 GiB", runs="mamba-1 lora-all.float16")
    assert out in finding.working


def test_a_reference_that_does_not_fit_leaves_nothing_to_compare(tmp_path: Path) -> None:
    finding = found(tmp_path, cell("3.00", "0.1"), SPEEDS | {"mamba-1.full.float32": NOT})
    assert (finding.outcome, finding.measured) == ("inconclusive", "—")
    assert finding.working == tuple(
        each
        for view in ("22 GiB", "24 GiB")
        for each in (
            cause("view-too-few", view=view, draws=0, needed=2),
            cause("view-left-out", view=view, runs="mamba-1 full.float32"),
        )
    )
    assert finding.estimates == ()


def test_memory_is_the_maximum_over_the_whole_run(tmp_path: Path) -> None:
    """Peaks of 15, and of 16 in one timing of five, against 20: 20 % less, and not 24 % on average.

    Reference: paper v2, section 5.1, MMPT.
    """
    made = {name: each for name, each in MEMORY.items() if "lora" not in name}
    odd = Made(memory=15, reserved=0)
    for name in ("memory_allocated", "memory_reserved"):
        odd.arrays[name][2] = 16 * GIB
    for name in ("allocated", "reserved"):
        odd.values[f"max_memory_{name}"] = 16 * GIB
        odd.values[f"memory_per_token_{name}"] = 16 * GIB / (4 * 512)
    made |= {"mamba-1.full.float16": odd, "mamba-1.lora-all": odd}
    claim = cell("20.0", "0.1", statistic="memory")
    finding = found(tmp_path, claim, made)
    assert finding.outcome == "reproduced"
    assert interval(finding, "measured at 22 GiB, allocated") == pytest.approx((20, 20))


def test_the_largest_speed_is_that_of_one_arm(tmp_path: Path) -> None:
    """A speed is a mean over a run, so the arm is chosen by its mean and not timing by timing: of
    two arms whose timings cross it is the faster one's, and not the better of each timing."""
    made = SPEEDS | {"mamba-1.full.float16": Made(4000), "mamba-1.lora-all": Made(3999.9)}
    made["mamba-1.lora-all"].arrays["tokens_per_second"] = 3999.9 * (1 + np.roll(NOISE, 1))
    made["mamba-1.full.float16"].arrays["tokens_per_second"] = 4000 * (1 + NOISE)
    finding = found(tmp_path, cell("4.00", "0.1", form="largest"), made)
    reference = 1000 * (1 + np.roll(NOISE, 2))
    gains = [4000 * (1 + NOISE) / reference, 3999.9 * (1 + np.roll(NOISE, 1)) / reference]
    expected, by_timing = max(map(np.mean, gains)), np.mean(np.maximum(*gains))
    assert by_timing > expected + 0.01
    assert numbers(finding)["measured at 22 GiB"] == pytest.approx(expected)


def test_a_run_that_is_missing_leaves_the_claim_not_run(tmp_path: Path) -> None:
    made = {name: one for name, one in SPEEDS.items() if "lora" not in name}
    finding = found(tmp_path, cell("3.00", "0.1"), made)
    assert finding.outcome == "not-run"
    assert "mamba-1.lora-all.float16" in finding.reason


@pytest.mark.parametrize(("text", "points"), [("3.00", "reproduced"), ("2.50", "contradicted")])
def test_on_other_hardware_only_the_direction_is_shown(
    tmp_path: Path, text: str, points: str
) -> None:
    finding = found(tmp_path, cell(text, "0.1"), SPEEDS, machine(H100, 80))
    assert (finding.outcome, pointing(finding)) == ("inconclusive", f"points-to {points}")
    assert finding.causes == (
        cause("other-hardware", hardware=A10G, others=H100),
        cause("every-view", outcome=points, views=2),
        cause("emulated-cap", gib=80.0),
    )


def test_a_card_without_more_memory_emulates_nothing(tmp_path: Path) -> None:
    assert codes(found(tmp_path, cell("3.00", "0.1"), SPEEDS)) == ["one-machine", "every-view"]


# -----------------------------------------------------------------------------
# Sizes


def growing(first: float, second: float, third: float) -> dict[str, Made]:
    """Three sizes with gains in speed, and as many per cent less memory times 10."""
    made = {}
    for name, gain in (("mamba-1", first), ("mamba-2", second), ("mamba-3", third)):
        made[f"{name}.full.float32"] = Made(1000, memory=20, reserved=0)
        made[name] = Made(1000 * gain, memory=20 * (1 - gain / 10), reserved=0)
    return made


@pytest.mark.parametrize(
    ("gains", "outcome"),
    [
        ((2, 3, 4), "reproduced"),
        ((2, 4, 3), "contradicted"),
        ((2, 3, 3), "inconclusive"),
    ],
)
def test_gains_rise_from_each_size_to_the_next(
    tmp_path: Path, gains: tuple[float, float, float], outcome: str
) -> None:
    finding = found(tmp_path, dict(GROWING), growing(*gains))
    assert leaning(finding) == outcome
    assert codes(finding)[0] == "one-machine"
    assert f"speed {gains[0]}, {gains[1]}, {gains[2]} at 22 GiB" in finding.measured


def test_speed_and_memory_have_to_rise_both(tmp_path: Path) -> None:
    made = growing(2, 3, 4)
    made["mamba-3"] = Made(4000, memory=18, reserved=0)  # 10 % less, after 20 % and 30 %
    finding = found(tmp_path, dict(GROWING), made)
    assert finding.outcome == "inconclusive"
    counts = {"reproduced": 2, "contradicted": 4, "inconclusive": 0}
    assert said(finding, "views-disagree") == counts


def test_a_size_that_does_not_fit_is_not_compared(tmp_path: Path) -> None:
    finding = found(tmp_path, dict(GROWING), growing(2, 3, 4) | {"mamba-2.full.float32": NOT})
    assert (finding.outcome, finding.direction) == ("inconclusive", None)
    assert (finding.published, finding.margin) == ("rising", "order")
    assert finding.measured.startswith("speed 2, —, 4 at 22 GiB; speed 2, —, 4 at 24 GiB; memory ")
    for view in ("speed at 22 GiB", "memory at 24 GiB, reserved"):
        assert cause("size-missing", view=view) in finding.working
        assert cause("view-left-out", view=view, runs="mamba-2 full.float32") in finding.working
    found_ = {name: v for name, v in numbers(finding).items() if name.startswith("speed at 22 GiB")}
    expected = {"speed at 22 GiB, mamba-1": 2, "speed at 22 GiB, mamba-3": 4}
    assert found_ == pytest.approx(expected, rel=1e-3)


# -----------------------------------------------------------------------------
# What fits

LIMIT = (("mamba-1", "full.float32", True), ("mamba-2", "full.float32", False))


@pytest.mark.parametrize(
    ("first", "second", "outcome"),
    [
        (Made(), NOT, "reproduced"),
        (Made(), Made(), "contradicted"),
        (NOT, NOT, "contradicted"),
        (NOT, Made(), "contradicted"),
    ],
)
def test_what_fits_is_what_is_claimed(
    tmp_path: Path, first: Made, second: Made, outcome: str
) -> None:
    finding = found(tmp_path, fits(*LIMIT), {"mamba-1": first, "mamba-2": second})
    assert finding.outcome == outcome
    assert finding.published == "mamba-1 full.float32 fits, mamba-2 full.float32 does not"
    assert finding.margin == "none"


def test_runs_that_a_claim_does_not_name_need_not_be_there(tmp_path: Path) -> None:
    made = {"mamba-1.full.float32": Made(), "mamba-2.full.float32": NOT}
    assert found(tmp_path, fits(*LIMIT), made).outcome == "reproduced"


def test_what_a_run_takes_is_shown_with_the_context(tmp_path: Path) -> None:
    finding = found(tmp_path, fits(*LIMIT), {"mamba-1": Made(needs=8.0), "mamba-2": NOT})
    takes = {"mamba-1 full.float32 without a cap": 8.5, "mamba-2 full.float32 without a cap": 30.5}
    assert numbers(finding) == pytest.approx(takes)


def test_caps_that_disagree_about_what_fits_decide_nothing(tmp_path: Path) -> None:
    tight = Made(needs=23.0, memory=20.0)  # with the context 23.5 GiB
    over = Made(speed=0.0, needs=23.0)
    made = {"mamba-1": Made(), "mamba-2": tight, "mamba-2.full.float32.22gib": over}
    finding = found(tmp_path, fits(*LIMIT), made)
    assert (finding.outcome, finding.direction) == ("inconclusive", None)
    counts = {"reproduced": 2, "contradicted": 2, "inconclusive": 0}
    assert said(finding, "views-disagree") == counts


def test_what_fits_but_for_fragments_decides_nothing(tmp_path: Path) -> None:
    """Out of memory although 20.5 GiB are all that is needed."""
    made = {"mamba-1": Made(), "mamba-2": Made(speed=0.0, needs=20.0)}
    finding = found(tmp_path, fits(*LIMIT), made)
    assert finding.outcome == "inconclusive"
    assert "fits, fits at 22 GiB, allocated; fits, does not at 22 GiB, reserved" in finding.measured


@pytest.mark.parametrize(
    ("needs", "fit"), [(21.5, "fits"), (21.5 + 1 / GIB, "does not"), (22.0, "does not")]
)
def test_what_fits_without_fragments_fits_to_the_byte(
    tmp_path: Path, needs: float, fit: str
) -> None:
    """With the context of half a GiB; what is held beyond that, 0.5 GiB, does not count."""
    made = {"mamba-1": Made(), "mamba-2": Made(speed=0.0, needs=needs)}
    finding = found(tmp_path, fits(*LIMIT), made)
    assert finding.measured.startswith(f"fits, {fit} at 22 GiB, allocated; ")


def test_a_card_that_is_too_small_does_not_fit(tmp_path: Path) -> None:
    made = {"mamba-1": Made(), "mamba-2": Made(speed=0.0, needs=0.0)}
    made["mamba-2"].arrays["memory_uncapped"][:] = 0
    finding = found(tmp_path, fits(*LIMIT), made)
    assert finding.outcome == "reproduced"
    assert finding.working == (cause("more-than-the-card", run="mamba-2 full.float32"),)
    assert list(numbers(finding)) == ["mamba-1 full.float32 without a cap"]


def test_ranks_are_told_apart(tmp_path: Path) -> None:
    arm = {"method": "lora-all", "precision": "bfloat16"}
    groups = tuple(
        GROUP
        | {
            "id": f"r{rank}",
            "arms": [arm],
            "memory_caps": [24.0],
            "checkpoints": [{"checkpoint": "mamba-1", "learning_rate": 1e-5, "rank": rank}],
        }
        for rank in (64, 128)
    )
    runs = [
        {"group": f"r{rank}", "checkpoint": "mamba-1", "arm": "lora-all.bfloat16", "fits": fit}
        for rank, fit in ((64, True), (128, False))
    ]
    claim = {"kind": "fits", "published": None, "runs": runs, "hardware": A10G}
    label = "mamba-1.lora-all.bfloat16.24gib"
    finding = found(tmp_path, claim, {f"{label}.r64": Made(), f"{label}.r128": NOT}, groups=groups)
    assert finding.outcome == "reproduced"
    assert finding.published == (
        "mamba-1 lora-all.bfloat16 r = 64 fits, mamba-1 lora-all.bfloat16 r = 128 does not"
    )


def test_on_other_hardware_what_fits_only_points(tmp_path: Path) -> None:
    finding = found(tmp_path, fits(*LIMIT), {"mamba-1": Made(), "mamba-2": NOT}, machine(H100, 80))
    assert (finding.outcome, pointing(finding)) == ("inconclusive", "points-to reproduced")


# -----------------------------------------------------------------------------
# Records


def broken(name: str, value: Any) -> Made:
    made = Made()
    if value is None:
        del made.arrays[name]
    else:
        made.arrays[name] = np.array(value)
    return made


@pytest.mark.parametrize(
    ("made", "why"),
    [
        (Made(tokens_per_second=1100.0), "it says tokens_per_second 1100.0, its arrays say 1000"),
        (Made(batch_size=2), "it says batch_size 2, its arrays say 4"),
        (Made(fits=0), "it says fits 0, its arrays say 1"),
        (Made(max_memory_reserved=1), "it says max_memory_reserved 1"),
        (Made(memory_per_token_allocated=1.0), "it says memory_per_token_allocated 1.0"),
        (Made(context_bytes=-1), "the CUDA context has -1 bytes"),
        (Made(context_bytes=14 * GIB), "14.0 GiB of the GPU were no job's of ours"),
        (Made(speed=0.0, context_bytes=90 * GIB), "90.0 GiB of the GPU were no job's of ours"),
        (Made(memory=21.0), "than the cap of 22 GiB allows"),
        (Made(reserved=-1.0), "more memory was allocated than reserved"),
        (broken("memory_uncapped", None), "no array 'memory_uncapped'"),
        (broken("memory_uncapped", [0, 0]), "not without it"),
        (broken("memory_uncapped", [0, 1]), "not without it"),
        (broken("memory_uncapped", [2, 1]), "or more was allocated than reserved"),
        (broken("memory_allocated", [0] * 5), "more memory was allocated than reserved, or none"),
        (broken("tokens_per_second", [1000.0] * 4), "expected (5,)"),
        (broken("tokens_per_second", [1000.0, np.nan, 1e3, 1e3, 1e3]), "no numbers"),
        (broken("tokens_per_second", [0.0] * 5), "timings without speed"),
        (broken("tokens_per_second", []), "expected (5,)"),
        (broken("batch_sizes_tried", [1, 2, 3, 8]), "not powers of two"),
        (broken("batch_sizes_tried", [1, 0, 4, 8]), "not powers of two"),
        (broken("batch_sizes_tried", [2, 1, 4, 8]), "not powers of two, 1 first"),
        (broken("batch_sizes_tried", [1, 2, 4, 16]), "twice as many were not tried"),
        (broken("fits_tried", [1, 1, 0, 0]), "speeds of batch sizes that do not fit"),
        (broken("tokens_per_second_tried", [1e3, 300.0, 200.0, 0.0]), "says batch_size 4"),
    ],
)
def test_a_record_that_does_not_follow_from_its_arrays_is_invalid(
    tmp_path: Path, made: Made, why: str
) -> None:
    finding = found(tmp_path, cell("3.00", "0.1"), SPEEDS | {"mamba-1.full.float16": made})
    assert finding.outcome == "invalid"
    assert why in finding.reason


@pytest.mark.parametrize("reserved", [1.5, 1.5 + 1 / GIB])
def test_memory_is_within_the_cap_to_the_byte(tmp_path: Path, reserved: float) -> None:
    """20 GiB are given out, and the context takes half a GiB of 22."""
    made = MEMORY | {"mamba-1.full.float32": Made(memory=20, reserved=reserved)}
    finding = found(tmp_path, cell("50.0", "1", statistic="memory"), made)
    assert (finding.outcome == "invalid") == (reserved > 1.5)


def test_a_context_without_bytes_holds(tmp_path: Path) -> None:
    made = MEMORY | {"mamba-1.full.float32": Made(memory=20, reserved=0, context_bytes=0)}
    assert found(tmp_path, cell("50.0", "1", statistic="memory"), made).outcome == "reproduced"


def test_slow_timings_are_timings(tmp_path: Path) -> None:
    """Under a token a second."""
    made = {name: Made(speed) for name, speed in zip(SPEEDS, (0.125, 0.25, 0.5), strict=True)}
    assert leaning(found(tmp_path, cell("3.00", "0.1"), made)) == "reproduced"


def test_a_record_of_what_does_not_fit_holds(tmp_path: Path) -> None:
    said = Made(speed=0.0, fits=1)
    assert found(tmp_path, fits(*LIMIT), {"mamba-1": said, "mamba-2": said}).outcome == "invalid"
