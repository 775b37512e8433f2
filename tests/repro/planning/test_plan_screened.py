"""Plans of settings that are screened: what comes first, what it costs, what a choice keeps."""

import json
from pathlib import Path
from typing import Any

import made_up_records as records
import pytest
from tuning_plans import FIGURE1, machine, planned, planner

from repro import paths
from repro.inputs.data import Located
from repro.planning import plan as graph
from repro.planning import selection
from repro.planning.planner import Planner, SlotFilter
from repro.report import console_plan
from repro.schema import catalog, slots, validate
from repro.schema.evaluation import looks
from repro.schema.groups import Slot
from repro.schema.jobs import EvaluateJob, ModelJob
from repro.schema.kinds.screen import SAMPLE, screened_against
from repro.schema.manifest import Manifest
from repro.store.store import Store

CHECKPOINTS = catalog.checkpoints()
TABLE1 = validate.load_manifest(paths.MANIFESTS / "table1.json")
TABLE4 = validate.load_manifest(paths.MANIFESTS / "table4.json")
FIRST, SECOND = "mamba-twin.float32.batch-16", "mamba-twin.float32.batch-8"


def of_twin(**changes: Any) -> Manifest:
    """Table 1 with a bundled checkpoint in the place of its own, so that nothing is missing."""
    data = json.loads((paths.MANIFESTS / "table1.json").read_text())
    group = data["jobs"][0]
    group.update(checkpoints=["mamba-twin"])
    group["tiers"] = {"full": group["tiers"]["full"]}
    cell = next(each for each in data["claims"] if each["id"] == "T1.mamba-130m.float16")
    cell["measure"]["checkpoint"] = "mamba-twin"
    data |= {"claims": [cell], "id": "twin", **changes}
    return Manifest.model_validate_json(json.dumps(data))


@pytest.fixture
def plans(tmp_path: Path, data_wheel: Path, monkeypatch: pytest.MonkeyPatch) -> Planner:
    monkeypatch.setenv("REPRO_CACHE", str(data_wheel.parent))
    return planner(tmp_path)


def test_float32_after_the_first_setting_is_screened_and_nothing_else() -> None:
    for each in slots.slots(TABLE1, "full", CHECKPOINTS):
        assert isinstance(each.job, EvaluateJob)
        wanted = each.dtype == "float32" and each.setting != "batch-16"
        assert (each.job.screen is not None) == wanted, each.id
        if each.job.screen:
            assert each.job.screen.against.id == "batch-16"
    smoke = slots.slots(TABLE1, "smoke", CHECKPOINTS)
    assert not any(isinstance(each.job, ModelJob) and each.job.screen for each in smoke)


def test_no_look_wants_the_first_setting_of_a_later_one() -> None:
    """A second group begins with a setting of the second look, and has a kernel of the first."""
    data = json.loads(of_twin().model_dump_json())
    (group,) = data["jobs"]
    some = ["batch-4", "ascending", "plain-scan"]
    full = {**group["tiers"]["full"], "settings": some, "other_arms": []}
    other = {**group, "id": "other", "checkpoints": ["gpt-neox-twin"], "tiers": {"full": full}}
    made = of_twin(jobs=[group, other])
    planned = looks.planned(made, "full")
    assert [next(at for at, e in enumerate(planned) if name in e) for name in some] == [1, 2, 0]
    found = {each.id: each for each in slots.slots(made, "full", CHECKPOINTS)}
    screened = 0
    for each in found.values():
        if isinstance(each.job, ModelJob) and each.job.screen:
            screened += 1
            first = found[f"{each.checkpoint}.float32.{each.job.screen.against.id}"]
            assert looks.of_slot(planned, first) <= looks.of_slot(planned, each), each.id
            assert first.job == each.job.first()
    assert screened == 6 + 2


def test_two_groups_that_ask_the_same_share_a_first_setting_and_screen_nothing_by_itself() -> None:
    """Pretrained models of Figure 1 asked by a group of evaluations too, in another order."""
    tuned = json.loads((paths.MANIFESTS / "figure1.json").read_text())
    (asked,) = (each for each in slots.slots(FIGURE1, "full", CHECKPOINTS) if _is_first(each))
    assert isinstance(asked.job, EvaluateJob)
    group = json.loads((paths.MANIFESTS / "table1.json").read_text())["jobs"][0]
    group |= {"checkpoints": [asked.checkpoint], "shots": asked.job.shots, "dtypes": ["float32"]}
    full = {"subjects": asked.job.subjects, "rule": "the same"}
    full["settings"] = tuned["jobs"][0]["tiers"]["full"]["settings"][1:]
    group["tiers"] = {"full": full}
    tuned["jobs"].append(group)
    made = Manifest.model_validate_json(json.dumps(tuned))
    same = [
        each.job
        for each in slots.slots(made, "full", CHECKPOINTS)
        if isinstance(each.job, EvaluateJob)
        and (each.job.checkpoint, each.job.dtype, each.job.tuned)
        == (asked.job.checkpoint, "float32", None)
    ]
    assert len(same) == 7 + 6
    assert [job for job in same if job.screen is None] == [asked.job]
    for job in same:
        assert job.screen is None or job.screen.against == asked.job.setting != job.setting


def _is_first(slot: Slot) -> bool:
    """The evaluation of a pretrained Mamba that others of Figure 1 are screened against."""
    job = slot.job
    plain = isinstance(job, EvaluateJob) and job.tuned is None and job.screen is None
    return plain and (job.checkpoint, job.dtype) == ("mamba-130m", "float32")


def test_what_is_screened_keeps_its_first_whatever_else_is_left_out(plans: Planner) -> None:
    """By a claim that rests on the screened setting alone, and by a look that wants no other."""
    plan = plans.plan(of_twin(), "full")
    rests = frozenset({SECOND})
    needs = [selection.ClaimNeeds("it", rests, "decided", counts=True)]
    assert selection.what_decides(plan, needs).slots() == {FIRST, SECOND}
    found = selection.at_look(plan, rests, frozenset(plan.slots()), frozenset())
    assert found.slots() == {FIRST, SECOND}
    assert {each.reason for each in found.left_out} == {selection.LATER}


def test_scores_have_their_settings_for_draws_and_are_not_screened() -> None:
    found = [each.job for each in slots.slots(TABLE4, "full", CHECKPOINTS)]
    assert not any(isinstance(job, ModelJob) and job.screen for job in found)


def test_tuned_models_are_not_screened() -> None:
    """Each setting has a model of its own; the pretrained one is the same under all."""
    found = [each.job for each in slots.slots(FIGURE1, "full", CHECKPOINTS)]
    screened = [job for job in found if isinstance(job, ModelJob) and job.screen]
    assert screened
    assert all(job.tuned is None for job in screened)


def test_settings_draw_samples_of_their_own_whatever_they_are_called() -> None:
    first, second, third = TABLE1.settings[:3]
    one = screened_against(first, second)
    named = second.model_copy(update={"id": "another-name"})
    assert screened_against(first, named) == one
    assert one.seed != screened_against(first, third).seed


def test_a_screened_setting_waits_for_the_first(plans: Planner) -> None:
    plan = plans.plan(of_twin(), "full")
    assert planned(plan, FIRST).state == "ready"
    waits = planned(plan, SECOND)
    assert (waits.state, waits.key, waits.reason) == ("waits", None, f"after {FIRST}")
    assert planned(plan, SECOND.replace("float32", "float16")).state == "ready"
    nodes = graph.graph_of([plan])
    order = [nodes.nodes[name].planned.slot.id for name in nodes.order()]
    assert order.index(FIRST) < order.index(SECOND)
    assert "float32, screened" in console_plan.jobs_table(plan).columns[1]._cells
    told = {each["slot"]: each["screened"] for each in console_plan.as_data(plan, {})["jobs"]}
    assert (told[FIRST], told[SECOND]) == (False, True)


def test_only_brings_the_first_along(plans: Planner) -> None:
    plans.only = SlotFilter(dtype=frozenset(["float32"]), setting=frozenset(["batch-8"]))
    assert plans.plan(of_twin(), "full").slots() == {FIRST, SECOND}
    plans.only = SlotFilter(dtype=frozenset(["float16"]), setting=frozenset(["batch-8"]))
    assert plans.plan(of_twin(), "full").slots() == {SECOND.replace("float32", "float16")}


def saved(plan: graph.Plan, slot: str, root: Path) -> str:
    """A record of a slot, under the key that its plan has, or would have if it were whole."""
    job = planned(plan, slot).slot.job
    assert isinstance(job, EvaluateJob)

    def as_planned(_: dict[str, Any], fields: dict[str, Any]) -> None:
        fields["key"] = key

    inputs = planned(plan, FIRST).inputs
    located = {role: each for role, each in inputs.items() if isinstance(each, Located)}
    key = planner(root).key(job.whole(), located)
    arrays = records.answers(job.model_copy(update={"subjects": ("arithmetic",), "checked": ()}))
    return records.save_record(Store(root), job, arrays, machine(), as_planned)


def test_it_reads_the_record_of_the_first_and_its_key_hangs_on_it(
    plans: Planner, tmp_path: Path
) -> None:
    plan = plans.plan(of_twin(), "full")
    key = saved(plan, FIRST, tmp_path)
    plans.forget_records_of([key])
    ready = planned(plans.plan(of_twin(), "full"), SECOND)
    assert ready.state == "ready"
    sha = Store(tmp_path).load(key)[0].arrays.sha256
    assert ready.inputs["first"].files == {"first/arrays.safetensors": sha}
    assert ready.inputs["first"].path == Store(tmp_path).folder(key)
    job = ready.slot.job
    assert job
    others = {role: each for role, each in ready.inputs.items() if role != "first"}
    assert plans.key(job, others) != ready.key


def test_a_whole_record_in_its_place_is_done(plans: Planner, tmp_path: Path) -> None:
    """From before there were screens, or because another manifest asks for all of it."""
    plan = plans.plan(of_twin(), "full")
    key = saved(plan, SECOND, tmp_path)
    plans.forget_records_of([key])
    found = planned(plans.plan(of_twin(), "full"), SECOND)
    assert (found.state, found.key) == ("done", key)


def test_a_whole_record_moves_no_price_by_which_a_budget_chooses(
    plans: Planner, tmp_path: Path
) -> None:
    def chosen_by(plan: graph.Plan) -> dict[str, tuple[str, float, str | None]]:
        nodes = graph.graph_of([plans.priced(plan)]).nodes
        return {n: (e.planned.slot.id, e.gpu_seconds, e.after) for n, e in nodes.items()}

    before = chosen_by(plans.plan(of_twin(), "full"))
    key = saved(plans.plan(of_twin(), "full"), SECOND, tmp_path)
    plans.forget_records_of([key])
    after = plans.plan(of_twin(), "full")
    assert planned(after, SECOND).done
    assert chosen_by(after) == before
    assert any(waits for _, _, waits in before.values())


def test_the_share_that_is_asked_is_what_it_costs(plans: Planner) -> None:
    """Oracle: tokens of lm-eval, which shares nothing, are those of a sample and of near ties."""
    jobs = {e.id: e.job for e in slots.slots(of_twin(), "full", CHECKPOINTS, "lm-eval")}
    first, second = jobs[FIRST], jobs[SECOND]
    assert isinstance(first, EvaluateJob)
    assert isinstance(second, EvaluateJob)
    data = catalog.datasets()["mmlu"]
    share = second.tokens(data, 4.0) / first.tokens(data, 4.0)
    assert share == pytest.approx(SAMPLE / 14_042 + 0.005)
    del plans


def test_jobs_without_a_screen_are_of_the_digests_that_they_had() -> None:
    """Records from before there were any say nothing of it."""
    job = next(each.job for each in slots.slots(TABLE1, "full", CHECKPOINTS) if each.job)
    assert isinstance(job, EvaluateJob)
    assert "screen" not in job.model_dump(mode="json")
    assert "screen" not in json.loads(job.model_dump_json())
    assert "screen" not in job.specification()
    again = EvaluateJob.model_validate_json(job.model_dump_json())
    assert again == job


def test_a_label_of_the_first_setting_is_in_no_key() -> None:
    jobs = {each.id: each.job for each in slots.slots(TABLE1, "full", CHECKPOINTS)}
    job = jobs["mamba-130m.float32.batch-8"]
    assert isinstance(job, EvaluateJob)
    assert job.screen
    renamed = job.screen.against.model_copy(update={"id": "other"})
    screen = job.screen.model_copy(update={"against": renamed})
    other = job.model_copy(update={"screen": screen})
    assert other.specification() == job.specification()
    assert EvaluateJob.model_validate_json(job.model_dump_json()) == job
