"""`repro run`: fetch what is pinned, run what can be run, judge what came out."""

import argparse
import re
from collections.abc import Container, Iterable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from repro import paths
from repro.cli import fetch, options
from repro.cli import plan as planning
from repro.cli.plan import PreparedPlans
from repro.cli.verify import judge_run
from repro.environment import machine as environment
from repro.environment.machine import Environment
from repro.errors import EXIT_DONE, EXIT_INCOMPLETE, BadInputError, CannotRunError
from repro.fileio import escaped, provide_temporary_folder
from repro.inputs import locate
from repro.inputs.located import Located
from repro.planning import selection
from repro.planning.plan import Plan, PlannedJob, graph_of, job_digest, made_before
from repro.planning.planner import SlotFilter
from repro.report import console, console_budget, console_looks, console_plan, console_verdicts
from repro.schema import paper
from repro.schema.evaluation import added_setting
from repro.schema.finding import Verdict
from repro.store import run_file
from repro.store.commitments import commitments_of
from repro.store.run_file import RunFile
from repro.store.store import BrokenRecordError, Store, kept_kernels
from repro.text import plural

if TYPE_CHECKING:
    from runner.local import Work


# -----------------------------------------------------------------------------
# Where jobs run: `--on`.


class Engine(Protocol):
    """Something that runs planned jobs."""

    def machine(self) -> Environment:
        """What jobs will run on: planned for, and part of their keys."""

    def execute(self, work: "Work") -> dict[str, str]:
        """As `runner.local.execute`."""


class LocalEngine:
    """Processes of this machine."""

    @staticmethod
    def machine() -> Environment:
        """This machine."""
        return environment.capture()

    @staticmethod
    def execute(work: "Work") -> dict[str, str]:
        """As `runner.local.execute`, which is imported only if there is something to run."""
        from runner.local import execute

        return execute(work)


@contextmanager
def chosen_engine(where: str) -> Iterator[Engine]:
    """The engine that `--on` names; whatever it started is gone afterwards.

    Raises:
        BadInputError: there is no such engine.
        CannotRunError: it cannot be had here.
    """
    if where == "local":
        yield LocalEngine()
        return
    if not re.fullmatch(r"ray|ray://(auto|[^/]+:\d+)", where):
        raise BadInputError(f"--on {where}: expected local, ray, ray://HOST:PORT or ray://auto")
    try:
        from runner.ray.engine import engine as on_ray
    except ImportError as error:
        message = f"--on {where} needs the package ray ({error}); pinned-requirements.txt has it"
        raise CannotRunError(message) from error
    with on_ray(where) as found:
        yield found


# -----------------------------------------------------------------------------
# `repro run`: fetch what is pinned, run what can be run, judge what came out.


def add(parser: argparse.ArgumentParser) -> None:
    """Arguments of `repro run`."""
    add_anywhere(parser)
    parser.add_argument(
        "--on",
        metavar="local|ray|ray://HOST:PORT",
        default="local",
        help="local: processes of this machine, on its first GPU; ray: the same on all its GPUs; "
        "ray://HOST:PORT: the nodes of a Ray cluster, ray://auto: of the one that this machine is "
        "part of (docs/cluster.md; default: local)",
    )
    parser.epilog = (
        "A finished job is reused as long as nothing that can change its numbers has changed.\n"
        "Exits 0 if all jobs are done, or no claim needs one; 3 if some could not run. A\n"
        "contradicted claim is a result.\n"
        "\n"
        "example:\n"
        f"  repro run {paper.start()} --tier smoke"
    )


def add_anywhere(parser: argparse.ArgumentParser) -> None:
    """What `run` and `container run` both take."""
    options.add_manifests(parser)
    options.add_selection(parser)
    options.add_json(parser)


def run(arguments: argparse.Namespace) -> int:
    """Run manifests and print their verdicts."""
    with chosen_engine(arguments.on) as engine:
        return _run(arguments, engine)


def _run(arguments: argparse.Namespace, engine: Engine) -> int:
    prepared = planning.prepare(arguments, engine.machine)
    plans, budget = prepared.plans()
    _check_names(prepared)
    for plan in plans:
        _check_continues(plan, prepared, fresh=arguments.fresh)
        if not arguments.json:
            console_plan.show(plan, None, prepared.undecidable(plan), brief=True)
    if budget and not arguments.json:
        console_budget.show(budget)
    if not arguments.json:
        console_looks.show(plans, [prepared.looks_of(each) for each in plans])
    told = (*prepared.unread(plans), prepared.settings_of_a_cpu(plans))
    for line in filter(None, told) if not arguments.json else ():
        options.print_line(line)
    if prepared.planner.machine.gpu is None and (why := environment.why_no_gpu()):
        options.print_line(f"on the CPU: {why}; `repro doctor` says what to do", error=True)
    failed = dict[str, str]()
    with console.progress_bars(quiet=arguments.json) as bars:
        waiting = (job for plan in plans for job in plan.jobs if job.state == "fetch")
        wanted = {each.name: each for job in waiting for each in job.missing}
        failed |= fetch.fetch_inputs(wanted.values(), prepared, bars.say)
        failed |= fetch.fetch_archives(prepared, bars.say)
        plans = [prepared.replan(plan) if _is_waiting(plan) else plan for plan in plans]
        commit_to_claims(plans, prepared, failed)
        for look in count(1):
            plans, could_not = _execute(plans, prepared, engine, bars, failed)
            failed |= could_not
            opened = [prepared.after_look(plan, look, bars.say) for plan in plans]
            plans = [plan for plan, _ in opened]
            commit_to_claims(plans, prepared, failed)
            if not any(further for _, further in opened):
                break
    verdicts = [judge_run(plan.manifest, plan.tier, prepared.planner.store) for plan in plans]
    if arguments.json:
        print(options.as_json(verdicts))
    else:
        console_verdicts.show_verdicts(verdicts)
        console_verdicts.show_failures(failed)
        console_looks.show_saved(plans)
        _show_next(plans, prepared)
    stuck = _nothing_was_run(plans, verdicts) or any(
        plan.stuck() or _is_waiting(plan) for plan in plans
    )
    return EXIT_INCOMPLETE if stuck or failed else EXIT_DONE


def _show_next(plans: list[Plan], prepared: PreparedPlans) -> None:
    """The commands that go on from here, to the models of the paper."""
    files = prepared.files
    above = {files[each.manifest.id]: prepared.tier_above(each) for each in plans}
    found = {file: plan for file, plan in above.items() if plan}
    machine, sources = prepared.planner.machine, prepared.planner.fetch_sources
    console_plan.show_next(found, machine, hub=sources.hub, offline=not sources.index)


def _nothing_was_run(plans: list[Plan], verdicts: list[Verdict]) -> bool:
    """Whether nothing was to run and some claim needed a run: empty is never success.

    A manifest whose claims all follow from the page needs no job: it is complete once judged.
    """
    findings = [each for verdict in verdicts for each in verdict.findings]
    return not any(plan.distinct() for plan in plans) and any(
        each.outcome == "not-run" for each in findings
    )


def _is_waiting(plan: Plan) -> bool:
    return any(job.state in ("fetch", "waits") for job in plan.jobs)


def _check_names(prepared: PreparedPlans) -> None:
    """Refuse a manifest of one's own that `verify` could not find again by its name."""
    for name, path in prepared.files.items():
        own = not (paths.bundle().manifests / f"{name}.json").is_file()
        if own and escaped(str(path)) != str(path):
            raise BadInputError(
                f"{path}: found a name that is not UTF-8, which a run file cannot hold; rename it, "
                "or start this command in its folder"
            )


def _check_continues(plan: Plan, prepared: PreparedPlans, *, fresh: bool) -> None:
    """Refuse to judge old records by later claims, or to drop what another engine answered."""
    path = run_file.path_of(prepared.planner.store.root, plan.manifest.id, plan.tier)
    before = run_file.earlier_run(path)
    if before is None:
        if path.exists():
            _replace(path, every=prepared.planner.only == SlotFilter())
        return
    prepared.check_looks(plan, before)
    engine = prepared.planner.engine_of(plan.manifest, plan.tier)
    left = len(before.jobs.keys() - plan.slots() - selection.to_come(plan))
    if before.engine != engine and left and not run_file.late_changes(before, plan.manifest):
        raise BadInputError(
            f"--engine {engine}: {plan.manifest.id} was run at tier {plan.tier} by "
            f"{before.engine}, and a run has one engine.\n    {plural(left, 'job')} of it would "
            "be forgotten: leave --only out, or use another --out"
        )
    changed = {} if fresh else run_file.late_changes(before, plan.manifest)
    if changed:
        what = "; ".join(f"{name}: {why}" if name else why for name, why in changed.items())
        if before.added != prepared.added:
            what = f"--set {added_setting.in_words(before.added) or 'nothing'}; {what}"
        raise BadInputError(
            f"{plan.manifest.id} was run at tier {plan.tier} with other claims ({what}).\n"
            "    Judging those records by these claims would be invalid: use --fresh to run "
            "every job again, or another --out"
        )


def _replace(path: Path, *, every: bool) -> None:
    """Say that a damaged run file is replaced; refuse if it may name jobs that are left out."""
    if not every:
        raise BadInputError(
            f"{path} is damaged, and what it said of jobs that --only leaves out would be lost: "
            "run once without --only; records that are there are reused"
        )
    options.print_line(f"{path} is damaged and is written anew", error=True)


def _execute(
    plans: list[Plan],
    prepared: PreparedPlans,
    engine: Engine,
    bars: "console.ProgressBars",
    unfetched: dict[str, str],
) -> tuple[list[Plan], dict[str, str]]:
    """Run every job that is ready, each key once; what reads another's record, after that one.

    `unfetched` are inputs and jobs that could not be had so far, by name.

    Returns:
        The plans as they are now, and what could not run, by name.
    """
    planner, handed = prepared.planner, _ready(plans, (), unfetched)

    def newly_ready(key: str) -> dict[str, PlannedJob]:
        done = handed[key].slot.job
        waiting = [each.slot.job for plan in plans for each in plan.jobs if each.state == "waits"]
        before = {job_digest(each) for each in map(made_before, waiting) if each}
        if done is None or job_digest(done) not in before:
            return {}
        plan_again([key], {})
        found = _ready(plans, handed, unfetched)
        handed.update(found)
        return found

    def plan_again(ran: Iterable[str], failed: dict[str, str]) -> None:
        planner.forget_records_of(ran)
        plans[:] = [prepared.replan(plan) for plan in plans]
        commit_to_claims(plans, prepared, unfetched | failed)

    if not handed:
        return plans, {}
    planner.store.sweep()
    provide_temporary_folder(planner.store.root)  # before any library asks for it
    from runner.local import Work

    coming = graph_of(plans).to_come()
    bars.expect(len(coming))
    memory = max(job.cost.memory for job in coming if job.cost)
    work = Work(handed.copy(), planner.store, planner.machine, bars, newly_ready, memory)
    with kept_kernels(planner.store, bars.compiling if planner.machine.gpu else None):
        could_not = engine.execute(work)
    failed = {handed[key].slot.name: why for key, why in could_not.items()}
    plan_again(list(handed), failed)
    return plans, failed


def _ready(
    plans: list[Plan], handed: Container[str], failed: Container[str]
) -> dict[str, PlannedJob]:
    """Jobs to run by key, each once: manifests share what they both need.

    Args:
        plans: All that is run.
        handed: Keys of jobs that run, or did.
        failed: Names of jobs that could not, before an earlier look.
    """
    found = {key: job for plan in plans for key, job in plan.to_run().items()}
    return {k: job for k, job in found.items() if k not in handed and job.slot.name not in failed}


# -----------------------------------------------------------------------------
# What a run writes down before its first number: claims, settings, substitutions, pins.


def commit_to_claims(plans: list[Plan], prepared: PreparedPlans, failed: dict[str, str]) -> None:
    """Write down claims, settings and substitutions before the first number is known."""
    with prepared.planner.store.lock("runs"):  # another run on the folder reads and writes them too
        _write_run_files(plans, prepared, failed)


def _write_run_files(plans: list[Plan], prepared: PreparedPlans, failed: dict[str, str]) -> None:
    root = prepared.planner.store.root
    found = list[Located]()
    for plan in plans:
        located = [each for job in plan.jobs for each in job.inputs.values()]
        run_file.save(root, _run_file(plan, prepared, located, failed))
        found += located
    locate.save_first_use_pins(root, prepared.planner.locator.pins, found)


def _run_file(
    plan: Plan, prepared: PreparedPlans, located: list[Located], failed: dict[str, str]
) -> RunFile:
    """What is to be run now, beside what the run file knew of jobs that this run does not touch."""
    path = run_file.path_of(prepared.planner.store.root, plan.manifest.id, plan.tier)
    engine = prepared.planner.engine_of(plan.manifest, plan.tier)
    before = run_file.earlier_run(path)
    if before and (before.engine != engine or run_file.late_changes(before, plan.manifest)):
        before = None  # --fresh, under other claims
    jobs = dict(before.jobs) if before else {}
    missing = dict(before.missing) if before else {}
    left_out = dict(before.left_out) if before else {}
    left_out |= {each.slot.id: each.reason for each in plan.left_out}
    for slot in left_out:  # why it could not run an earlier time is not why it does not now
        missing.pop(slot, None)
    substitutions = {each.name: dict(each.files) for each in located if each.substituted}
    kept = set(jobs) - plan.slots()
    for job in plan.jobs:
        known = jobs.pop(job.slot.id, "")
        missing.pop(job.slot.id, None)
        left_out.pop(job.slot.id, None)
        if job.key and job.state != "blocked" and job.slot.name not in failed:
            jobs[job.slot.id] = job.key
        elif known and _is_whole(prepared.planner.store, known):
            jobs[job.slot.id] = known  # it cannot be run again here, and what was measured stands
            kept.add(job.slot.id)
        else:
            names = [job.slot.name, *(each.name for each in job.missing)]
            why = [failed[name] for name in names if name in failed]
            reason = "; ".join(why) or job.reason or "could not be fetched"
            missing[job.slot.id] = escaped(" ".join(reason.split()))  # findings quote it in a line
    if before and kept:  # what their records were made with
        substitutions = {**before.substitutions, **substitutions}
    goes_on = before and (kept or not prepared.planner.fresh)
    return RunFile(
        schema_version=2,
        manifest=plan.manifest.id,
        file=escaped(str(prepared.files[plan.manifest.id])),
        tier=plan.tier,
        engine=engine,
        started=before.started if before and goes_on else prepared.started,
        substitutions=substitutions,
        jobs=jobs,
        missing=missing,
        left_out={slot: why for slot, why in left_out.items() if slot not in jobs},
        looks=prepared.looks_of(plan),
        added=dict(prepared.added),
        committed=commitments_of(plan.manifest),
    )


def _is_whole(store: Store, key: str) -> bool:
    """Whether there is a record that can be judged."""
    try:
        store.load(key)
    except (BrokenRecordError, OSError):
        return False
    return True
