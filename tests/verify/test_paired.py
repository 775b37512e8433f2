"""Which evaluations a claim is decided by. Oracle: the slots of the made-up manifest."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import made_up_records as records
import numpy as np
import pytest
from made_up_worlds import BOTH, table, wobbling, world
from scipy import stats
from single_cells import single

from repro.schema.causes import cause
from repro.schema.slots import slots
from verify import decision_rule, paired
from verify.decision_rule import Variance
from verify.evidence import Evidence, NotRunError
from verify.judge import judge
from verify.paired import PairedCells
from verify.records.checked_record import CheckedRecord
from verify.rules import model

TWENTY = {"mamba-1": "20.0", "phi-1": "20.0"}
LOST = wobbling({"mamba-1": 13, "phi-1": 4})


def test_evaluations_are_found_behind_other_jobs(tmp_path: Path) -> None:
    """One row a setting, reference first."""
    jobs = [single(), *records.manifest_data()["jobs"]]
    claimed, evidence = world(tmp_path, LOST, jobs=jobs, **table(TWENTY))
    found = paired.pair_cells(claimed, [claimed.cell(BOTH[1])], evidence)
    slots = [[[each.slot.id for each in pair] for pair in row] for row in found.rows]
    assert slots == [
        [[f"phi-1.float32.batch-{size}", f"phi-1.float16.batch-{size}"]] for size in records.BATCHES
    ]


def test_a_cell_without_a_job_type_has_no_evaluations(tmp_path: Path) -> None:
    data = table(TWENTY)
    data["claims"][0]["measure"] = {"kind": "unbuilt", "needs": "few-shot", "what": "the gain"}
    claimed, evidence = world(tmp_path, LOST, **data)
    why = f"no job for it: few-shot, for {BOTH[0]}"
    with pytest.raises(NotRunError, match=f"^{why}$"):
        paired.pair_cells(claimed, [claimed.cell(BOTH[0])], evidence)


def test_the_evaluation_of_the_tier_and_the_dtypes_is_taken(tmp_path: Path) -> None:
    """Others of the same checkpoints stand before it: of another tier, of another dtype."""
    (whole,) = records.manifest_data()["jobs"]
    smoke, full = ({name: whole["tiers"][name]} for name in ("smoke", "full"))
    fewer = {name: {**each, "settings": ["batch-1"]} for name, each in full.items()}
    jobs = [
        {**whole, "id": "small", "tiers": smoke},
        {**whole, "id": "other", "dtypes": ["bfloat16"], "tiers": fewer},
        {**whole, "id": "asked", "tiers": full},
    ]
    claimed, evidence = world(tmp_path, LOST, jobs=jobs, **table(TWENTY))
    found = paired.pair_cells(claimed, [claimed.cell(BOTH[0])], evidence)
    assert len(found.rows) == len(records.BATCHES)


def test_what_a_tier_does_not_evaluate_is_not_run(tmp_path: Path) -> None:
    (whole,) = records.manifest_data()["jobs"]
    smoke = {"smoke": whole["tiers"]["smoke"]}
    jobs = [
        {**whole, "id": "first", "checkpoints": ["mamba-1"]},
        {**whole, "id": "second", "checkpoints": ["phi-1"], "tiers": smoke},
    ]
    claimed, evidence = world(tmp_path, LOST, jobs=jobs, **table(TWENTY))
    found = {each.claim: each for each in judge(claimed, evidence, {}).findings}
    assert found[BOTH[0]].outcome != "not-run"
    assert found[BOTH[1]].outcome == "not-run"
    assert "tier full does not evaluate phi-1 in float32 and float16" in found[BOTH[1]].reason


def test_accuracies_of_the_references(tmp_path: Path) -> None:
    """40 of 65 right; the commonest gold letter stands 17 times, counted here."""
    claimed, evidence = world(tmp_path, LOST, **table(TWENTY))
    found = paired.pair_cells(claimed, [claimed.cell(BOTH[0])], evidence)
    gold = [*records.gold_of("arithmetic"), *records.gold_of("geometry")]
    majority = max(gold.count(letter) for letter in range(4)) / 65
    assert found.reference_accuracy() == pytest.approx((40 / 65, 40 / 65, majority))
    assert majority == pytest.approx(17 / 65)
    # The candidates lose 12 to 14 of them.
    other = PairedCells(tuple(tuple((b, a) for a, b in row) for row in found.rows), 0)
    assert other.reference_accuracy() == pytest.approx((26 / 65, 28 / 65, majority))
    one = PairedCells(found.rows[:1], 6)
    assert one.reference_accuracy() == pytest.approx((40 / 65, 40 / 65, majority))


def test_the_first_of_settings_that_gave_the_same_numbers_is_kept(tmp_path: Path) -> None:
    """Rows in the order given: the third repeats the first."""
    claimed, evidence = world(tmp_path, LOST, **table(TWENTY))
    rows = paired.pair_cells(claimed, [claimed.cell(BOTH[0])], evidence).rows[:3]
    again = tuple((replace(a), replace(b)) for a, b in rows[0])
    found = paired.pair_rows([*rows[:2], again, rows[2]])
    assert found.repeated == 1
    assert [row[0][0].slot.id for row in found.rows] == [row[0][0].slot.id for row in rows]
    assert found.rows[0] is rows[0]


# -----------------------------------------------------------------------------
# What decides. An answer is 100 / 65 points, at two numbers of shots.

ANSWER = 100 / 65
FOUR = ("mamba-1", "mamba-2", "mamba-3", "phi-1")
OF_FOUR = wobbling(dict(zip(FOUR, (4, 9, 16, 25), strict=True)))


def found_in(
    root: Path, flips: Any, cells: Sequence[str] = BOTH[:1], **changes: Any
) -> PairedCells:
    claimed, evidence = world(root, flips, **{**table(TWENTY), **changes})
    return paired.pair_cells(claimed, [claimed.cell(each) for each in cells], evidence)


def four_models(root: Path, flips: Any) -> list[list[tuple[Any, Any]]]:
    """Pairs of four models under each setting."""
    data = records.manifest_data()
    cell, printed = data["claims"][0], data["published"][0]
    names = [f"T9.{model}.float16" for model in FOUR]
    data["jobs"][0]["checkpoints"] = list(FOUR)
    claims = [
        {**cell, "id": name, "published": name, "measure": {**cell["measure"], "checkpoint": model}}
        for name, model in zip(names, FOUR, strict=True)
    ]
    published = [{**printed, "id": name} for name in names]
    found = found_in(root, flips, names, jobs=data["jobs"], published=published, claims=claims)
    return [list(row) for row in found.rows]


def on_kernels(
    found: PairedCells, names: Sequence[str | None], key: str = "mamba_scan"
) -> PairedCells:
    """The same, as if its settings had run on these kernels."""

    def moved(one: CheckedRecord, name: str | None) -> CheckedRecord:
        path = {**one.record.path, **({key: name} if name else {})}
        return replace(one, record=one.record.model_copy(update={"path": path}))

    rows = [
        tuple((moved(before, name), moved(after, name)) for before, after in row)
        for row, name in zip(found.rows, names, strict=True)
    ]
    return PairedCells(tuple(rows), found.repeated)


def test_divergences_and_flips_are_means_over_shots_and_settings(tmp_path: Path) -> None:
    found = found_in(tmp_path, lambda _, setting, __: (setting, 4))
    by_hand = [abs(4 - setting) for setting in range(7)]
    assert found.divergences == pytest.approx([each * ANSWER for each in by_hand])
    assert found.flips() == pytest.approx((2 * 3, 2 * 4))
    assert found.sample.values == tuple(found.divergences)


def test_changes_are_the_most_under_any_setting(tmp_path: Path) -> None:
    """Gained and lost, 3 + 6 in the last setting; at 5 shots the first one has 4 + 9."""
    found = found_in(
        tmp_path, lambda _, setting, shots: (4, 9) if shots and not setting else (setting, 3)
    )
    assert found.changes.tolist() == [[9, 13]]
    assert found.null == decision_rule.coin_flips((9, 13), 65)
    both = found_in(tmp_path / "b", wobbling({"mamba-1": 13, "phi-1": 4}), BOTH)
    assert both.changes.tolist() == [[13, 14], [4, 5]]
    assert both.null == decision_rule.coin_flips((13, 4, 14, 5), 65)


@pytest.mark.parametrize(("more", "at_the_floor"), [(0, True), (1, False)])
def test_a_divergence_as_large_as_the_null_is_at_the_floor(
    tmp_path: Path, *, more: int, at_the_floor: bool
) -> None:
    """Of 5 tosses at both shots 95 % differ by 3 answers or fewer: |net| is 1, 3 or 5 in 20, 10
    and 2 of 32 cases, so that a sum above 6 has 0.0430. Lost 4 and won 1 is a net of 3; `more`
    makes it 5 in one setting."""
    flips = lambda _, setting, __: (4 + (more and not setting), 1 - (more and not setting))  # noqa: E731
    found = found_in(tmp_path, flips)
    assert found.null == pytest.approx(3 * ANSWER)
    mean = decision_rule.mean(found.divergences)
    assert mean == pytest.approx((3 + more * 2 / 7) * ANSWER)
    assert found.at_the_floor == at_the_floor


@pytest.mark.parametrize("seed", range(3))
def test_a_cell_against_the_formulas_of_the_rule(tmp_path: Path, seed: int) -> None:
    """T, s^2, u, V and its freedom from signed differences alone, written anew."""
    rng = np.random.default_rng(seed)
    lost, won = rng.integers(0, 24, (7, 2)), rng.integers(0, 24, (7, 2))
    found = found_in(
        tmp_path,
        lambda _, setting, shots: (
            int(lost[setting, int(shots > 0)]),
            int(won[setting, int(shots > 0)]),
        ),
    )
    signed, c = (won - lost) * ANSWER, (won + lost).max(axis=0)
    d = np.abs(signed).mean(axis=1)
    u = ANSWER**2 * c.sum() / 2**2
    floor = ANSWER * 3 / np.sqrt(2 / 2)
    s2 = max(d.var(ddof=1), signed.var(axis=0, ddof=1).sum() / 2**2, floor**2)
    v = 2 * u + s2 * (1 + 1 / 7)
    nu = 6 * (v / (s2 * 8 / 7)) ** 2
    sample = found.sample
    assert sample.machine == found.machine == pytest.approx(u)
    assert (sample.mean, sample.spread) == pytest.approx((d.mean(), np.sqrt(s2)))
    assert sample.of_draw == Variance(pytest.approx(v), pytest.approx(nu))
    assert sample.deviation == pytest.approx(np.abs(d - np.median(d)).max())
    judged = decision_rule.decide(sample, "99.0", "12", least_spread=found.least_spread)
    assert judged.test is not None
    p = 2 * stats.t.sf(max(99 - d.mean() - 0.05 - 1.5, 0) / np.sqrt(v), nu)
    assert judged.test.p_value(1.5) == pytest.approx(p, rel=1e-6)


def test_folding_hides_no_spread(tmp_path: Path) -> None:
    """3 answers lost or won in turn: D never moves, and signed differences are 6 apart."""
    found = found_in(tmp_path, lambda _, setting, __: (0, 9) if setting % 2 else (9, 0))
    assert found.divergences == pytest.approx([9 * ANSWER] * 7)
    variance = ((4 * 9**2 + 3 * 9**2) - 7 * (9 / 7) ** 2) / 6
    assert found.sample.spread == pytest.approx(np.sqrt(2 * variance / 4) * ANSWER)
    assert found.sample.spread > found.least_spread


def test_a_single_setting_has_its_floor(tmp_path: Path) -> None:
    found = found_in(tmp_path, wobbling({"mamba-1": 13, "phi-1": 4}))
    one = PairedCells(found.rows[:1], 6)
    assert one.sample.spread == one.least_spread == pytest.approx(3 * ANSWER)


# -----------------------------------------------------------------------------
# What another machine adds


def test_without_a_second_kernel_all_changes_are_drawn_anew(tmp_path: Path) -> None:
    """Whatever batch or order change between settings: 7 answers here."""
    found = found_in(tmp_path, lambda _, setting, __: (10 + setting, 0))
    assert found.machine == pytest.approx((16 + 16) * ANSWER**2 / 4)
    assert found.machine_share == cause("machine-from-changes", changes=32)
    same = on_kernels(found, ["slow"] * 7)
    assert same.machine == pytest.approx(found.machine)
    assert same.machine_share.code == "machine-from-changes"


@pytest.mark.parametrize("key", ["mamba_scan", "attention"])
def test_a_second_kernel_tells_what_another_machine_changes(tmp_path: Path, key: str) -> None:
    """Lost 3, 20, 4, 4, 4 on one kernel and 8, 10 on another: 20 and 8 are furthest apart, 12 at
    both shots. 3 and 20 are further, and of one kernel."""
    lost = (3, 20, 4, 4, 4, 8, 10)
    found = found_in(tmp_path, lambda _, setting, shots: (lost[setting], setting * (shots > 0)))
    known = on_kernels(found, [*["one"] * 5, *["other"] * 2], key)
    # The second setting has won 1, the sixth 5 at 5 shots: 4 answers more.
    limit = stats.chi2.ppf(0.95, 2 * (28 + 1)) / 2
    assert known.machine == pytest.approx(limit / 2 * ANSWER**2 / 4)
    assert known.machine_share.code == "machine-from-kernels"
    assert known.machine_share.values == {"changes": 28, "limit": pytest.approx(limit)}
    assert known.sample.machine == known.machine < found.machine


def test_the_kernels_of_either_side_tell(tmp_path: Path) -> None:
    """The reference alone may have another attention; a third kernel is one more to compare."""
    found = found_in(tmp_path, lambda _, setting, __: (10 + setting, 0))
    before = [("attention", f"{setting // 3}") for setting in range(7)]
    rows = [
        tuple(
            (replace(one, record=one.record.model_copy(update={"path": dict([path])})), other)
            for one, other in row
        )
        for row, path in zip(found.rows, before, strict=True)
    ]
    known = PairedCells(tuple(rows), 0)
    assert known.machine_share.values["changes"] == 2 * 6  # the first and the last setting
    assert paired.kernels_of(rows[6][0]) == ("2", None, None, None)


def test_a_screened_reference_tells_of_no_other_kernel(tmp_path: Path) -> None:
    """It has the first setting's answers, so that its kernel could change nothing: c counts."""
    found = found_in(tmp_path, lambda _, setting, __: (10 + setting, 0))

    def on(kernel: str, each: CheckedRecord) -> CheckedRecord:
        path = {"attention": kernel}
        return replace(each, record=each.record.model_copy(update={"path": path}))

    first = on("eager", found.rows[0][0][0])
    rows = [((first, found.rows[0][0][1]),)]
    for ((one, other),) in found.rows[1:]:
        rows.append(((replace(on("sdpa", one), first=first), other),))
    known = PairedCells(tuple(rows), 0)
    assert known.machine_share == cause("machine-from-changes", changes=32)
    whole = tuple(tuple((replace(a, first=None), b) for a, b in row) for row in rows)
    assert PairedCells(whole, 0).machine_share.code == "machine-from-kernels"
    both = tuple(tuple((a, on(a.record.path["attention"], b)) for a, b in row) for row in rows)
    assert PairedCells(both, 0).machine_share.code == "machine-from-kernels"


def test_two_kernels_that_agree_leave_what_chance_may_hide(tmp_path: Path) -> None:
    """No change counted: 2.9957 expected at most."""
    found = found_in(tmp_path, lambda *_: (10, 0))
    known = on_kernels(found, ["one"] * 6 + ["other"])
    assert known.machine == pytest.approx(-np.log(0.05) / 2 * ANSWER**2 / 4)
    assert known.machine_share.values["changes"] == 0


def test_cells_of_their_own_add_variances(tmp_path: Path) -> None:
    """13 and 14, and 4 and 5 changes: a half of both means, so a quarter of each variance. The last
    setting is one answer from the furthest of the others, at one number of shots."""
    found = found_in(tmp_path, LOST, BOTH)
    assert found.machine == pytest.approx((27 + 9) * ANSWER**2 / 4 / 4)
    assert found.least_spread == pytest.approx(3 * ANSWER / np.sqrt(2))
    assert found.machine_share.values["changes"] == 36
    known = on_kernels(found, ["one"] * 6 + ["other"])
    assert known.machine_share.code == "machine-from-kernels"
    assert known.machine_share.values["changes"] == 2  # 1 of each cell
    limit = 2 * stats.chi2.ppf(0.95, 2 * 2) / 2
    assert known.machine_share.values["limit"] == pytest.approx(limit)
    assert known.machine == pytest.approx(limit / 2 * ANSWER**2 / 4 / 4)


def test_one_cell_without_a_second_kernel_is_told(tmp_path: Path) -> None:
    found = found_in(tmp_path, LOST, BOTH)
    half = on_kernels(found, ["one"] * 6 + ["other"])
    rows = tuple((moved[0], row[1]) for moved, row in zip(half.rows, found.rows, strict=True))
    mixed = PairedCells(rows, 0)
    assert mixed.machine_share == cause("machine-from-changes", changes=36)
    limit = stats.chi2.ppf(0.95, 2 * 2) / 2
    assert mixed.machine == pytest.approx((limit / 2 + 9) * ANSWER**2 / 4 / 4)


def test_cells_that_share_an_evaluation_add_deviations(tmp_path: Path) -> None:
    """c of the candidates is 4 + 5, 9 + 10, 16 + 17 and 25 + 26. Cells: reference 1 with candidate
    1; reference 4 with 4, alone; 2 with 3; 1 with 3, which ties the first to the third."""
    rows = [
        ((one[0], one[1]), (four[0], four[1]), (two[0], three[1]), (one[0], three[1]))
        for one, two, three, four in four_models(tmp_path, OF_FOUR)
    ]
    found = PairedCells(tuple(rows), 0)
    together, alone = np.sqrt(9) + 2 * np.sqrt(33), np.sqrt(51)
    assert found.machine == pytest.approx((together**2 + alone**2) * ANSWER**2 / 4 / 16)
    # Reference 1 and candidate 3 stand twice, four others once: 12 in place of 8.
    assert found.least_spread == pytest.approx(3 * ANSWER * np.sqrt(2 / (2 * 16 * 2 / 12)))


def test_the_spread_of_cells_that_share_an_evaluation_adds_deviations(tmp_path: Path) -> None:
    """10 answers lost and 30 in turn, of one cell as the other loses 30 and 10: their mean never
    moves, and each by itself wobbles at both shots."""
    turn = {"mamba-1": (10, 30), "mamba-2": (30, 10)}
    made = four_models(tmp_path, lambda model, at, _: (turn.get(model, (5, 5))[at % 2], 0))
    variance = np.var([10, 30, 10, 30, 10, 30, 10], ddof=1) / 2 * ANSWER**2
    for second, expected in ((True, variance), (False, variance / 2)):
        rows = [((one[0], one[1]), (one[0] if second else two[0], two[1])) for one, two, *_ in made]
        found = PairedCells(tuple(rows), 0)
        assert found.divergences == pytest.approx([20 * ANSWER] * 7)
        assert found.sample.spread == pytest.approx(np.sqrt(expected))
        assert found.sample.spread > found.least_spread


def test_ranges_are_moved_by_single_cells(tmp_path: Path) -> None:
    """4, 9 and 25 answers; the largest cell has 25 + 26 changes, on the machine of either end."""
    rows = [(one, two, four) for one, two, _, four in four_models(tmp_path, OF_FOUR)]
    found = PairedCells(tuple(rows), 0).ranges
    assert found.values == pytest.approx((21 * ANSWER,) * 7)
    assert found.machine == pytest.approx(2 * 51 * ANSWER**2 / 4)
    assert found.spread == pytest.approx(3 * ANSWER)


def test_pairs_of_settings_on_other_kernels(tmp_path: Path) -> None:
    found = on_kernels(found_in(tmp_path, LOST), ["a", "a", "b", None, None, None, None])
    rows = [row[0] for row in found.rows[:4]]
    pairs = paired.on_other_kernels(rows, rows)
    assert [(rows.index(one), rows.index(other)) for one, other in pairs] == [
        (0, 2),
        (0, 3),
        (1, 2),
        (1, 3),
        (2, 3),
    ]


@pytest.mark.parametrize(
    ("one", "other", "changed", "squares"),
    [
        ((1.0, 0.0, -1.0), (0.0, 0.0, -1.0), 1, 1.0),
        ((1.0, 0.0, -1.0), (-1.0, 0.0, 1.0), 2, 8.0),
        ((0.5, 2.0, 0.0), (0.0, 0.0, 0.0), 2, 4.25),
        ((0.0, 0.0, 0.0), (0.0, -2.0, 0.5), 2, 4.25),
        ((1000.0, 1.0, 5.0), (1000.0, 0.0, 0.0), 1, 26.0),  # one thousandth is no other answer
        ((1000.0, 1.01, 5.0), (1000.0, 0.0, 0.0), 2, 26.0201),
    ],
)
def test_half_of_the_squared_changes_between_two_kernels(
    one: tuple[float, ...], other: tuple[float, ...], changed: int, squares: float
) -> None:
    limit = stats.chi2.ppf(0.95, 2 * (changed + 1)) / 2
    found = paired.machine_share(np.array(one), np.array(other))
    assert found == pytest.approx(squares * limit / changed / 2)


def test_kernels_that_agree_may_hide_changes_of_the_largest_term() -> None:
    terms = np.array([0.5, -4.0, 0.0])
    assert paired.machine_share(terms, terms) == pytest.approx(-np.log(0.05) * 16 / 2)


def test_other_arms_stand_beside_the_first_setting(tmp_path: Path) -> None:
    """13 and 2 answers lost of 65 are 20 and 3.08 points; the third arm was left out of the run."""
    data = table(TWENTY)
    data["jobs"] = [single(), *records.manifest_data()["jobs"]]
    data["jobs"][1]["tiers"]["full"]["other_arms"] = ["autocast", "float32-head"]
    claimed = records.manifest(**data)
    lost = {"weight-cast": 13, "autocast": 2, "float32-head": 40}

    def change(arrays: dict[str, Any], fields: dict[str, Any]) -> None:
        job = fields["job"]
        least = lost[job.arm] if job.dtype == "float16" else 0
        for shots in job.shots:
            gold = arrays[f"shots{shots}/gold"]
            letters = np.where(np.arange(65) < least, (gold + 1) % 4, gold)
            scores = np.full((65, 4), -5.0 - job.setting.batch_size / 1024)
            scores[np.arange(65), letters] = -1.0
            arrays[f"shots{shots}/log_likelihood"] = scores
            arrays[f"shots{shots}/prediction"] = letters
        fields["values"] = records.values_of(arrays)

    store, run = records.run(tmp_path, claimed, "full", change)
    jobs = {name: key for name, key in run.jobs.items() if "float32-head" not in name}
    run = run.model_copy(update={"jobs": jobs})
    datasets = {"mmlu": records.dataset()}
    evidence = Evidence(claimed, run, store, records.checkpoints(), datasets)
    cell = claimed.cell(BOTH[0])
    found = paired.by_cast_mode(claimed, cell, evidence)
    apart = {arm: paired.divergence(*pair) for arm, pair in found.items()}
    assert apart == pytest.approx({"weight-cast": 20.0, "autocast": 200 / 65})
    beside = {
        each.label: each.value for each in model.cell(claimed, cell, evidence).decided.estimates
    }
    named = {f"{arm}, first setting": value for arm, value in apart.items()}
    assert beside.items() >= named.items()


def test_the_way_of_float32_is_one_of_the_reference(tmp_path: Path) -> None:
    """Mamba-2 alone has it: 5 of 65 answers lost by it, 13 by float16, so 8 apart: 12.3 points."""
    data = table(TWENTY)
    data["jobs"] = [single(), *records.manifest_data()["jobs"]]
    data["jobs"][1]["tiers"]["full"]["other_arms"] = ["ieee"]
    claimed = records.manifest(**data)

    def change(arrays: dict[str, Any], fields: dict[str, Any]) -> None:
        job = fields["job"]
        least = 13 if job.dtype == "float16" else 5 if job.arm == "ieee" else 0
        for shots in job.shots:
            gold = arrays[f"shots{shots}/gold"]
            letters = np.where(np.arange(65) < least, (gold + 1) % 4, gold)
            scores = np.full((65, 4), -5.0)
            scores[np.arange(65), letters] = -1.0
            arrays[f"shots{shots}/log_likelihood"] = scores
            arrays[f"shots{shots}/prediction"] = letters
        fields["values"] = records.values_of(arrays)

    known = records.checkpoints()
    mamba2 = {**known, "mamba-1": known["mamba-1"].model_copy(update={"family": "mamba2"})}
    wanted = {each.id for each in slots(claimed, "full", mamba2) if ".ieee." in each.id}
    assert wanted == {"mamba-1.float32.ieee.batch-4"}
    assert not any(".ieee." in each.id for each in slots(claimed, "full", known))
    store, run = records.run(tmp_path, claimed, "full", change, known=mamba2)
    evidence = Evidence(claimed, run, store, mamba2, {"mmlu": records.dataset()})
    found = paired.by_cast_mode(claimed, claimed.cell(BOTH[0]), evidence)
    apart = {arm: paired.divergence(*pair) for arm, pair in found.items()}
    assert apart == pytest.approx({"weight-cast": 20.0, "ieee": 800 / 65})
