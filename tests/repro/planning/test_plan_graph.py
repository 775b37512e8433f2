"""One graph over several manifests: what is shared, what waits, the longest chain, the cost."""

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from tuning_plans import ASKED, FIGURE1, TUNED, planned, planner, save, small

from repro import paths
from repro.inputs.locate import InputLocator
from repro.planning import cost
from repro.planning import plan as graph
from repro.planning.plan import Plan
from repro.report import console_plan
from repro.schema import validate
from repro.schema.jobs import EvaluateJob, ModelJob, TuningJob

TABLE1 = validate.load_manifest(paths.MANIFESTS / "table1.json")
TABLE3 = validate.load_manifest(paths.MANIFESTS / "table3.json")
V3 = validate.load_manifest(paths.MANIFESTS / "v3.json")
LIMA = validate.load_manifest(paths.MANIFESTS / "lima.json")


@pytest.fixture(autouse=True)
def _empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REPRO_CACHE", str(tmp_path / "cache"))


def with_cost(plan: Plan, tuning: float, asked: float) -> Plan:
    """The plan with seconds of our own: every tuning, every other job."""

    def cost_of(job: object) -> cost.Cost:
        seconds = tuning if isinstance(job, TuningJob) else asked
        return cost.Cost(seconds, seconds / 10, 1)

    jobs = tuple(replace(each, cost=cost_of(each.slot.job)) for each in plan.jobs)
    return replace(plan, jobs=jobs)


def test_tables_1_and_3_and_figure_1_share_their_references(tmp_path: Path) -> None:
    """Oracle: at full, Pythia in FP32 under the seven settings that all three manifests have."""
    plans = planner(tmp_path)
    found = graph.graph_of(plans.plan(each, "full") for each in (TABLE1, TABLE3, FIGURE1))
    shared = [
        node
        for node in found.nodes.values()
        if {name.partition("/")[0] for name in node.needed_by} == {"table1", "table3", "figure1"}
    ]
    jobs = [node.planned.slot.job for node in shared]
    assert all(isinstance(job, EvaluateJob) and job.tuned is None for job in jobs)
    references = {
        (job.checkpoint, job.setting.id)
        for job in jobs
        if isinstance(job, EvaluateJob) and job.dtype == "float32"
    }
    names = {"pythia-160m", "pythia-410m", "pythia-1b"}  # those that Figure 1 tunes
    assert {name for name, _ in references} >= names
    assert len([name for name, _ in references if name in names]) == 3 * 7


def kinds_needed_by(found: graph.JobGraph, *names: str) -> Counter[str]:
    """How many jobs of each kind these manifests need and no other of the graph."""
    return Counter(
        node.planned.slot.job.kind
        for node in found.nodes.values()
        if {each.partition("/")[0] for each in node.needed_by} == set(names)
        and node.planned.slot.job
    )


def test_v3_tunes_and_asks_what_figure_1_does_once(tmp_path: Path) -> None:
    """Oracle: counted by hand.

    Under 7 settings 6 checkpoints of 9 arms and 2 of 6 are 462 tunings. Each is asked MMLU and
    WinoGrande, as are the 56 checkpoints as they were, and the 56 references MMLU in bfloat16.
    """
    plans = planner(tmp_path)
    found = graph.graph_of(plans.plan(each, "full") for each in (FIGURE1, V3))
    assert kinds_needed_by(found, "figure1", "v3") == {"tuning": 462, "evaluate": 462 + 56 + 56}
    assert kinds_needed_by(found, "v3") == {"benchmark": 462 + 56, "stability": 3}
    smoke = graph.graph_of(plans.plan(each, "smoke") for each in (FIGURE1, V3))
    assert kinds_needed_by(smoke, "figure1", "v3") == {"tuning": 24, "evaluate": 28}
    assert kinds_needed_by(smoke, "v3") == {"benchmark": 28, "stability": 3}
    assert not kinds_needed_by(smoke, "figure1")


def test_lima_shares_what_was_before_tuning_and_at_smoke_everything(tmp_path: Path) -> None:
    """Oracle: at full 6 checkpoints under 7 settings as they were; twins learn the same rows."""
    plans = planner(tmp_path)
    found = graph.graph_of(plans.plan(each, "full") for each in (FIGURE1, LIMA))
    assert kinds_needed_by(found, "figure1", "lima") == {"evaluate": 42}
    assert kinds_needed_by(found, "lima") == {"tuning": 378, "evaluate": 378 + 42}
    smoke = graph.graph_of(plans.plan(each, "smoke") for each in (FIGURE1, LIMA))
    assert kinds_needed_by(smoke, "figure1", "lima") == {"tuning": 24, "evaluate": 28}
    assert not kinds_needed_by(smoke, "lima")


def test_a_job_is_one_node_whatever_a_setting_is_called(tmp_path: Path) -> None:
    plan = planner(tmp_path).plan(TABLE1, "smoke")
    job = next(each.slot.job for each in plan.jobs if each.slot.job)
    assert isinstance(job, ModelJob)
    renamed, other = (
        job.model_copy(update={"setting": job.setting.model_copy(update=change)})
        for change in ({"id": "another"}, {"order": "length-ascending"})
    )
    assert graph.job_digest(job) == graph.job_digest(renamed)
    assert graph.job_digest(job) != graph.job_digest(other)


def test_an_edge_leads_from_a_tuning_to_what_asks_its_model(tmp_path: Path) -> None:
    plan = planner(tmp_path).plan(small(), "smoke")
    found = graph.graph_of([plan, plan])
    tuned, asked = (
        graph.job_digest(job)
        for job in (planned(plan, name).slot.job for name in (TUNED, ASKED))
        if job
    )
    assert found.nodes[asked].after == tuned
    assert found.order().index(tuned) < found.order().index(asked)
    assert len(found.nodes[tuned].needed_by) == 2 * sum(
        each.slot.job == planned(plan, TUNED).slot.job for each in plan.jobs
    )
    assert {each.state for each in found.to_come()} == {"ready", "waits"}


def test_the_longest_chain_is_a_tuning_and_an_evaluation(tmp_path: Path) -> None:
    plan = with_cost(planner(tmp_path).plan(small(), "smoke"), 100, 7)
    seconds, chain = graph.graph_of([plan]).critical_path()
    assert seconds == 107
    assert len(chain) == 2
    assert chain[1].startswith(chain[0])
    assert graph.graph_of([]).critical_path() == (0.0, ())


def test_what_is_done_costs_nothing_and_the_rest_of_its_chain_remains(tmp_path: Path) -> None:
    for each in planner(tmp_path).plan(small(), "smoke").distinct():
        if isinstance(each.slot.job, TuningJob):
            save(tmp_path, each)
    plan = with_cost(planner(tmp_path).plan(small(), "smoke"), 100, 7)
    assert graph.graph_of([plan]).critical_path()[0] == 7


def test_sharing_saves_what_the_same_slots_would_cost_apart(tmp_path: Path) -> None:
    plan = with_cost(planner(tmp_path).plan(small(), "smoke"), 100, 7)
    one, two = graph.graph_of([plan]), graph.graph_of([plan, plan])
    assert one.nodes.keys() == two.nodes.keys()
    jobs, seconds = (a - b for a, b in zip(two.saved(), one.saved(), strict=True))
    slots = [each for each in plan.jobs if each.slot.job]
    assert jobs == len(slots)
    assert seconds == pytest.approx(sum(each.cost.gpu_seconds for each in slots if each.cost))


def test_disk_counts_a_full_model_whole_and_adapters_in_part(tmp_path: Path) -> None:
    jobs = [each.slot.job for each in planner(tmp_path).plan(FIGURE1, "full").jobs]
    locator = InputLocator()
    sizes = {
        job.recipe.method: job.stored_bytes(locator.checkpoint_of(job), None)
        for job in jobs
        if isinstance(job, TuningJob) and job.checkpoint == "mamba-130m"
    }
    assert sizes["full"] == pytest.approx(4 * 129e6, rel=0.01)
    assert sizes["lora-all"] < sizes["full"] / 20
    asked = next(job for job in jobs if isinstance(job, EvaluateJob))
    stored = asked.stored_bytes(None, locator.data_of(asked))
    assert stored == pytest.approx(14_042 * 4 * 63, rel=0.05)  # a measured record


def test_the_summary_says_all_of_it(tmp_path: Path) -> None:
    plans = [planner(tmp_path).plan(each, "full") for each in (TABLE1, TABLE3)]
    said = "\n".join(map(str, console_plan.summary_lines(plans)))
    found = json.loads(json.dumps(console_plan.summary_as_data(plans)))
    slots = [each for plan in plans for each in plan.jobs if each.slot.job]
    assert found["slots"] == len(slots) == found["jobs"] + found["shared_jobs"]
    for words in ("together", "sharing saves", "GPU-hours", "longest chain", "to fetch", "missing"):
        assert words in said
    assert f"{found['jobs']:,} jobs" in said
    assert "to run one by one: beyond this machine (over a month), " in said
    assert "longest chain: beyond this machine (over a month), " in said
