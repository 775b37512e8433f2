"""Planning of tuned models: what waits for what, what fits, what it costs, names of slots."""

from collections import Counter
from pathlib import Path
from typing import Any

import made_up_records as records
import pytest
from tuning_plans import ASKED, FIGURE1, GIB, TUNED, locator, machine, planned, planner, save, small

from repro import paths
from repro.inputs.locate import InputLocator
from repro.planning import cost
from repro.planning.planner import FetchSources, SlotFilter
from repro.report import console_plan
from repro.schema import catalog, validate
from repro.schema import slots as job_slots
from repro.schema.jobs import BenchmarkJob, EvaluateJob, ModelJob, ThroughputJob, TuningJob
from repro.schema.kinds.cost import START, fitting_batch, peak_memory
from repro.schema.manifest import Manifest
from repro.store.commitments import commitments_of
from repro.store.run_file import RunFile
from repro.store.store import MODEL, Store
from verify.errors import InvalidError
from verify.evidence import Evidence

CHECKPOINTS = catalog.checkpoints()


@pytest.fixture(autouse=True)
def _empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No data wheel on this machine, whatever it has fetched before."""
    monkeypatch.setenv("REPRO_CACHE", str(tmp_path / "cache"))


# -----------------------------------------------------------------------------
# What waits for what


def test_an_evaluation_waits_for_its_tuning_and_the_pretrained_one_does_not(tmp_path: Path) -> None:
    plan = planner(tmp_path).plan(small(), "smoke")
    waits = planned(plan, ASKED)
    assert (waits.state, waits.key) == ("waits", None)
    assert waits.reason == "after mamba-twin.lora-all.bfloat16.seed42"
    assert planned(plan, TUNED).state == "ready"
    assert planned(plan, "mamba-130m.pretrained.batch-16.lambada_openai.float32").state == "ready"


def test_it_is_ready_when_the_record_of_its_tuning_is_there(tmp_path: Path) -> None:
    key = save(tmp_path, planned(planner(tmp_path).plan(small(), "smoke"), TUNED))
    plan = planner(tmp_path).plan(small(), "smoke")
    assert planned(plan, TUNED).state == "done"
    ready = planned(plan, ASKED)
    assert ready.state == "ready"
    tuned = ready.inputs["tuned"]
    assert tuned.path == Store(tmp_path).folder(key) / MODEL
    assert tuned.files == {f"{MODEL}/adapter_model.safetensors": "1" * 64}
    assert planned(plan, ASKED.replace("lora-all.bfloat16", "full.float32")).state == "waits"


def test_a_tuned_model_that_was_removed_cannot_be_asked(tmp_path: Path) -> None:
    key = save(tmp_path, planned(planner(tmp_path).plan(small(), "smoke"), TUNED))
    (Store(tmp_path).folder(key) / MODEL).rmdir()
    found = planned(planner(tmp_path).plan(small(), "smoke"), ASKED)
    assert found.state == "blocked"
    assert found.reason.endswith("were removed: --fresh tunes again")


def test_its_key_changes_with_the_weights_that_the_tuning_made(tmp_path: Path) -> None:
    found = set()
    for weights in ("1" * 64, "2" * 64, "1" * 64):
        save(tmp_path, planned(planner(tmp_path).plan(small(), "smoke"), TUNED), weights)
        found.add(planned(planner(tmp_path).plan(small(), "smoke"), ASKED).key)
    assert len(found) == 2
    assert None not in found


def test_a_fresh_run_counts_what_it_ran_itself_and_nothing_older(tmp_path: Path) -> None:
    save(tmp_path, planned(planner(tmp_path).plan(small(), "smoke"), TUNED))
    fresh = planner(tmp_path, fresh=True)
    before = fresh.plan(small(), "smoke")
    tuning = planned(before, TUNED)
    assert (tuning.state, planned(before, ASKED).state) == ("ready", "waits")
    assert tuning.replaces == Store(tmp_path).load(str(tuning.key))[0].digest
    fresh.forget_records_of([str(tuning.key)])
    after = fresh.plan(small(), "smoke")
    assert (planned(after, TUNED).state, planned(after, ASKED).state) == ("done", "ready")
    assert not planned(after, ASKED).replaces


def test_what_another_run_makes_since_is_not_replaced(tmp_path: Path) -> None:
    fresh = planner(tmp_path, fresh=True)
    assert not planned(fresh.plan(small(), "smoke"), TUNED).replaces
    save(tmp_path, planned(planner(tmp_path).plan(small(), "smoke"), TUNED))
    fresh.forget_records_of([])
    found = planned(fresh.plan(small(), "smoke"), TUNED)
    assert (found.state, found.replaces) == ("ready", "")


def test_a_planner_sees_new_records_only_when_it_looks_again(tmp_path: Path) -> None:
    plans = planner(tmp_path)
    save(tmp_path, planned(plans.plan(small(), "smoke"), TUNED))
    assert planned(plans.plan(small(), "smoke"), ASKED).state == "waits"
    plans.forget_records_of([])
    assert planned(plans.plan(small(), "smoke"), ASKED).state == "ready"


@pytest.mark.parametrize(("hub", "states"), [(True, ("fetch", "waits")), (False, ("blocked",) * 2)])
def test_it_shares_the_fate_of_a_tuning_without_data(
    tmp_path: Path, states: tuple[str, str], *, hub: bool
) -> None:
    plan = planner(tmp_path, fetch_sources=FetchSources(hub=hub, index=False)).plan(
        small("lima"), "smoke"
    )
    tuning, asked = planned(plan, TUNED), planned(plan, ASKED)
    assert (tuning.state, asked.state) == states
    assert [each.name for each in asked.missing] == ["lima"]
    if not hub:
        assert asked.reason == tuning.reason == "the data of lima missing"
    assert plan.stuck() is not hub


def test_it_does_not_wait_where_its_own_data_is_missing(tmp_path: Path) -> None:
    """Hours of tuning would end in questions that nobody can ask."""
    plan = planner(tmp_path, on_shelf=locator()).plan(small(), "smoke")
    assert planned(plan, TUNED).state == "ready"
    asked = planned(plan, ASKED)
    assert (asked.state, [each.name for each in asked.missing]) == ("blocked", ["lambada_openai"])


def test_its_own_data_is_fetched_before_the_tuning_runs(tmp_path: Path) -> None:
    """`repro run` fetches once, for what is in state fetch, and then runs."""
    fetch_sources = FetchSources(hub=True, index=False)
    plan = planner(tmp_path, on_shelf=locator(), fetch_sources=fetch_sources).plan(small(), "smoke")
    assert planned(plan, ASKED).state == "fetch"


def test_a_selection_keeps_the_tunings_that_it_waits_for(tmp_path: Path) -> None:
    """What waits for a tuning outside the plan would wait forever."""
    only = SlotFilter(dtype=frozenset({"float32"}))
    plan = planner(tmp_path, only=only).plan(small(), "smoke")
    assert planned(plan, ASKED).state == "waits"
    assert planned(plan, TUNED).state == "ready"


# -----------------------------------------------------------------------------
# GPU and memory


def test_float16_mixed_precision_needs_a_gpu(tmp_path: Path) -> None:
    asked = small(precisions=["float32", "bfloat16", "float16"])
    half, after = TUNED.replace("bfloat16", "float16"), ASKED.replace("bfloat16", "float16")
    without = planner(tmp_path).plan(asked, "smoke")
    for slot in (half, after):
        assert planned(without, slot).state == "blocked"
        assert planned(without, slot).reason == "torch has no float16 mixed precision on a CPU"
    assert planned(without, TUNED).state == "ready"
    within = planner(tmp_path, machine(gpu=24 * GIB)).plan(asked, "smoke")
    assert (planned(within, half).state, planned(within, after).state) == ("ready", "waits")


def test_throughput_is_measured_on_a_gpu_alone(tmp_path: Path) -> None:
    figure2 = validate.load_manifest(paths.MANIFESTS / "figure2.json")
    without = planner(tmp_path).plan(figure2, "full")
    assert {job.state for job in without.jobs} == {"blocked"}
    assert {job.reason for job in without.jobs} == {
        "speed and memory of training are measured on a CUDA GPU"
    }
    within = planner(tmp_path, machine(gpu=24 * GIB)).plan(figure2, "full")
    assert {job.state for job in within.jobs} == {"ready"}  # what does not fit is a result


def test_a_tuning_that_does_not_fit_blocks_what_is_asked_after_it(tmp_path: Path) -> None:
    plan = planner(tmp_path, machine(ram=1 << 20)).plan(small(), "smoke")
    for slot in (TUNED, ASKED):
        assert planned(plan, slot).state == "blocked"
        assert "GiB of memory" in planned(plan, slot).reason


def unsized(found: Manifest) -> Manifest:
    """The manifest with the batch size of every setting left to the machine."""
    free = tuple(each.model_copy(update={"batch_size": None}) for each in found.settings)
    return found.model_copy(update={"settings": free})


def test_both_dtypes_of_a_checkpoint_get_the_batch_that_fits_in_float32(tmp_path: Path) -> None:
    """Oracle: of Pythia 410M an H200 measured 8.4 GiB at 4, 28.5 GiB at 16, in half 14.3 GiB."""
    table1 = unsized(validate.load_manifest(paths.MANIFESTS / "table1.json"))
    only = SlotFilter(model=frozenset({"pythia-410m"}))
    plan = planner(tmp_path, machine(ram=20 * GIB), only=only).plan(table1, "full")
    sizes = {
        (job.slot.dtype, job.slot.job.setting.batch_size)
        for job in plan.jobs
        if isinstance(job.slot.job, ModelJob)
    }
    assert sizes == {("float32", 8), ("float16", 8), ("bfloat16", 8)}
    assert peak_memory(CHECKPOINTS["pythia-410m"], "bfloat16", 16, "eager") < 20 * GIB


SETTING = FIGURE1.settings[0]


@pytest.mark.parametrize("name", ["mamba-twin", "mamba-2.8b", "pythia-410m", "mamba2-2.7b"])
def test_the_fitting_batch_is_the_largest_that_fits(name: str) -> None:
    known, before = CHECKPOINTS[name], 1
    assert fitting_batch(known, SETTING, 0) == 1  # nothing is known of the machine
    for memory in (GIB, 4 * GIB, 16 * GIB, 24 * GIB, 80 * GIB, 141 * GIB, 1 << 50):
        size = fitting_batch(known, SETTING, memory)
        needed = [
            peak_memory(known, "float32", times * size, SETTING.attention_float32)
            for times in (1, 2)
        ]
        assert before <= size <= 64
        assert size.bit_count() == 1
        assert size == 1 or needed[0] <= memory
        assert size == 64 or needed[1] > memory
        before = size
    assert before == 64


# -----------------------------------------------------------------------------
# What a verifier makes of a batch size that the machine chose


def evidence(root: Path, asked: Manifest, batch: int) -> tuple[Evidence, list[str]]:
    """A run of the made-up manifest whose records all say one batch size."""
    store, jobs = Store(root), {}
    for slot in job_slots.slots(asked, "smoke", records.checkpoints()):
        if isinstance(slot.job, EvaluateJob):
            setting = slot.job.setting.model_copy(update={"batch_size": batch})
            job = slot.job.model_copy(update={"setting": setting})
            jobs[slot.id] = records.save_record(store, job, records.answers(job), machine())
    written = RunFile(
        schema_version=2,
        manifest=asked.id,
        file="table9.json",
        tier="smoke",
        started="2026-01-01T00:00:00+00:00",
        substitutions={},
        jobs=jobs,
        missing={},
        committed=commitments_of(asked),
    )
    known = {"mmlu": records.dataset()}
    return Evidence(asked, written, store, records.checkpoints(), known), list(jobs)


@pytest.mark.parametrize("batch", [1, 8, 64])
def test_any_batch_size_is_accepted_where_the_machine_chooses(tmp_path: Path, batch: int) -> None:
    found, names = evidence(tmp_path, unsized(records.manifest()), batch)
    assert names
    for name in names:
        job = found.get(name).record.job
        assert isinstance(job, ModelJob)
        assert job.setting.batch_size == batch


def test_another_batch_size_than_the_manifest_names_is_refused(tmp_path: Path) -> None:
    found, names = evidence(tmp_path, records.manifest(), 8)
    for name in names:
        if name.endswith("batch-8"):
            assert found.get(name)
            continue
        with pytest.raises(InvalidError, match="another job than the manifest asks for"):
            found.get(name)


# -----------------------------------------------------------------------------
# Slots


def test_slots_name_checkpoint_arm_setting_task_and_dtype() -> None:
    group = FIGURE1.model_copy(update={"jobs": FIGURE1.jobs[:1]})
    found = [slot.id for slot in job_slots.slots(group, "smoke", CHECKPOINTS)]
    assert max(Counter(found).values()) == 1
    arms = [
        f"{method}.{precision}"
        for method in ("full", "lora-all", "lora-sll")
        for precision in ("float32", "bfloat16")  # smoke leaves float16 out
    ]
    first = [f"mamba-130m.{arm}.batch-16" for arm in arms]
    asked = [f"mamba-130m.{arm}.batch-16.mmlu.float32" for arm in (*arms, "pretrained")]
    assert found[: len(first + asked)] == first + asked  # smoke leaves evaluations in bfloat16 out
    assert len(found) == 6 * 2 * len(first + asked)


def test_a_control_is_asked_of_the_first_arm_alone() -> None:
    """Figure 1 asks FP32 Full again in bfloat16: once for each checkpoint and setting."""
    group = FIGURE1.model_copy(update={"jobs": FIGURE1.jobs[:1]})
    slots = job_slots.slots(group, "full", CHECKPOINTS)
    control = [each.id for each in slots if each.id.endswith(".mmlu.bfloat16")]
    assert len(control) == 6 * 7
    assert all(".full.float32." in name for name in control)
    assert any(each.dtype == "float16" for each in slots if isinstance(each.job, TuningJob))


def test_another_path_of_mamba_is_another_arm() -> None:
    (live,) = (group for group in FIGURE1.jobs if group.id == "live-adapters")
    found = job_slots.slots(FIGURE1.model_copy(update={"jobs": (live,)}), "full", CHECKPOINTS)
    assert found[0].id == "mamba-130m.full.float32.live.batch-16"
    kernels = {slot.id for slot in job_slots.slots(FIGURE1, "full", CHECKPOINTS)}
    assert {slot.id for slot in found} <= kernels
    assert (
        max(Counter(slot.id for slot in job_slots.slots(FIGURE1, "full", CHECKPOINTS)).values())
        == 1
    )


def test_throughput_is_told_apart_by_rank() -> None:
    table5 = validate.load_manifest(paths.MANIFESTS / "table5.json")
    slots = job_slots.slots(table5, "full", CHECKPOINTS)
    found = {slot.id: slot.job for slot in slots if isinstance(slot.job, ThroughputJob)}
    assert {name.split(".")[-2]: job.rank for name, job in found.items()} == {
        "r64": 64,
        "r128": 128,
    }
    figure2 = validate.load_manifest(paths.MANIFESTS / "figure2.json")
    full = [s for s in job_slots.slots(figure2, "full", CHECKPOINTS) if ".full." in s.id]
    assert full
    for slot in full:
        assert isinstance(slot.job, ThroughputJob)
        assert slot.job.rank is None
        assert ".r" not in slot.id


def test_full_has_no_rank_and_a_smaller_recipe_changes_what_it_names() -> None:
    group = FIGURE1.model_copy(update={"jobs": FIGURE1.jobs[:1]})
    for tier in ("smoke", "full"):
        for slot in job_slots.slots(group, tier, CHECKPOINTS):
            if not isinstance(slot.job, TuningJob):
                continue
            recipe = slot.job.recipe
            lora = (recipe.rank, recipe.lora_scale, recipe.lora_dropout)
            assert (lora == (None, None, None)) == (recipe.method == "full")
            assert (None in lora) == (recipe.method == "full")
            # both arms of a difference see the same rows in the same order
            assert recipe.seed == 42 + [each.id for each in FIGURE1.settings].index(
                str(slot.setting)
            )
            assert recipe.data == ("alpaca" if tier == "full" else "arc-easy-instructions")
            assert recipe.learning_rate != 1e-4 or tier == "smoke"
            assert recipe.max_gradient_norm == 1.0


# -----------------------------------------------------------------------------
# Cost


def tuning(method: str = "lora-all", **changes: Any) -> TuningJob:
    """A tuning of Mamba 130M, as Figure 1 asks for it."""
    for slot in job_slots.slots(FIGURE1, "full", CHECKPOINTS):
        if isinstance(slot.job, TuningJob) and slot.job.recipe.method == method:
            recipe = slot.job.recipe.model_copy(update=changes)
            return slot.job.model_copy(update={"recipe": recipe})
    raise AssertionError(method)


def of_tuning(job: TuningJob) -> cost.Cost:
    return cost.estimate_cost(job, InputLocator(), machine())


def test_more_rows_and_epochs_cost_more_time_up_to_all_rows() -> None:
    few, many, all_, over = (of_tuning(tuning(rows=rows)) for rows in (1000, 10_000, None, 10**9))
    for each, start in (("seconds", 5), ("gpu_seconds", START)):  # which rows do not change
        assert getattr(few, each) < getattr(many, each) < getattr(all_, each)
        assert getattr(many, each) - start == pytest.approx(10 * (getattr(few, each) - start))
    assert over == all_
    assert of_tuning(tuning(epochs=6)).seconds > all_.seconds


def test_lora_takes_less_memory_and_time_than_full() -> None:
    lora, full = of_tuning(tuning("lora-all")), of_tuning(tuning("full"))
    assert lora.memory < full.memory
    assert lora.gpu_seconds < full.gpu_seconds
    assert of_tuning(tuning(batch_size=16)).memory > lora.memory


def test_full_does_not_fit_24_gib_above_790m_and_smaller_sizes_do() -> None:
    """Oracle: the caption of Figure 2, of batches as large as fit: here of one row."""
    sizes = ("mamba-130m", "mamba-370m", "mamba-790m", "mamba-1.4b")
    peaks = [
        of_tuning(tuning("full", batch_size=1).model_copy(update={"checkpoint": name})).memory
        for name in sizes
    ]
    assert [peak <= 24 * GIB for peak in peaks] == [True, True, True, False]


def test_more_questions_and_shots_cost_more_time() -> None:
    known = catalog.benchmarks()["hellaswag"]

    def seconds(questions: int | None, shots: tuple[int, ...]) -> float:
        job = BenchmarkJob(
            kind="benchmark",
            checkpoint="mamba-130m",
            tuned=None,
            dtype="float32",
            arm="weight-cast",
            task="hellaswag",
            questions=questions,
            shots=shots,
            seed=1234,
            setting=SETTING,
        )
        return cost.estimate_cost(job, InputLocator(), machine()).gpu_seconds

    assert seconds(100, (0,)) < seconds(1000, (0,)) < seconds(None, (0,)) < seconds(None, (5,))
    assert seconds(None, (0,)) == seconds(known.questions, (0,)) == seconds(10**9, (0,))


# -----------------------------------------------------------------------------
# The headline


def test_the_headline_counts_tunings_references_and_what_was_asked_before(tmp_path: Path) -> None:
    """Oracle: 2 twins under 2 settings, each with 6 arms and as it was; counted by hand."""
    plan = planner(tmp_path).plan(FIGURE1, "smoke")
    assert console_plan.tunings(plan.distinct()) == (
        " (24 fine-tunings, 4 of them FP32 Full under its seeds; "
        "28 evaluations, 4 of them before any tuning)"
    )
    assert console_plan.tunings([]) == ""
    before = [job for job in plan.jobs if not isinstance(job.slot.job, TuningJob)]
    assert console_plan.tunings(before) == ""
