"""`repro run`: fetch what is pinned, run what can be run, judge what came out."""

import argparse
from collections.abc import Container, Iterable
from pathlib import Path

from repro import bundle, job_graph, package_sources, report, report_plan, report_progress, run_file
from repro.commands import engines, options, planning
from repro.commands.commit import commit
from repro.commands.engines import Engine
from repro.commands.planning import Planning
from repro.commands.verify import judge_run
from repro.errors import EXIT_DONE, EXIT_INCOMPLETE, BadInputError, CannotRunError
from repro.files import escaped, have_scratch
from repro.finding import Verdict
from repro.jobs import TuningJob
from repro.plan import Plan, PlannedJob
from repro.planner import Filter
from repro.plural import counted


def add(parser: argparse.ArgumentParser) -> None:
    """Arguments of `repro run`."""
    add_anywhere(parser)
    options.add_on(parser)
    parser.epilog = (
        "A finished job is reused as long as nothing that can change its numbers has changed.\n"
        "Exits 0 if all jobs are done, or no claim needs one; 3 if some could not run. A\n"
        "contradicted claim is a result."
    )


def add_anywhere(parser: argparse.ArgumentParser) -> None:
    """What `run` and `container run` both take."""
    options.add_manifests(parser)
    options.add_selection(parser)
    options.add_json(parser)


def run(arguments: argparse.Namespace) -> int:
    """Run manifests and print their verdicts."""
    with engines.engine(arguments.on) as engine:
        return _run(arguments, engine)


def _run(arguments: argparse.Namespace, engine: Engine) -> int:
    prepared = planning.prepare(arguments, engine.machine)
    plans = [prepared.chosen(manifest) for manifest in prepared.manifests]
    _check_names(prepared)
    for plan in plans:
        _check_continues(plan, prepared, fresh=arguments.fresh)
        if not arguments.json:
            following = report_plan.next_tier(
                plan, prepared.tiers_of(plan.manifest), prepared.files[plan.manifest.id]
            )
            report_plan.show(plan, following, prepared.undecidable(plan), brief=True)
    failed = dict[str, str]()
    with report_progress.bars(quiet=arguments.json) as bars:
        for name, why in _fetch(plans, prepared, bars).items():
            failed[name] = why
        failed |= _fetch_sources(prepared, bars)
        plans = [prepared.again(plan) if _waits(plan) else plan for plan in plans]
        commit(plans, prepared, failed)
        plans, could_not = _execute(plans, prepared, engine, bars, failed)
        failed |= could_not
    verdicts = [judge_run(plan.manifest, plan.tier, prepared.planner.store) for plan in plans]
    if arguments.json:
        print(options.as_json(verdicts))
    else:
        report.show_verdicts(verdicts)
        report.show_failures(failed)
    stuck = _nothing(plans, verdicts) or any(plan.stuck() or _waits(plan) for plan in plans)
    return EXIT_INCOMPLETE if stuck or failed else EXIT_DONE


def _nothing(plans: list[Plan], verdicts: list[Verdict]) -> bool:
    """Whether nothing was to run and some claim needed a run: empty is never success.

    A manifest whose claims all follow from the page needs no job: it is complete once judged.
    """
    findings = [each for verdict in verdicts for each in verdict.findings]
    return not any(plan.distinct() for plan in plans) and any(
        each.outcome == "not-run" for each in findings
    )


def _waits(plan: Plan) -> bool:
    return any(job.state in ("fetch", "waits") for job in plan.jobs)


def _check_names(prepared: Planning) -> None:
    """Refuse a manifest of one's own that `verify` could not find again by its name."""
    for name, path in prepared.files.items():
        own = not (bundle.MANIFESTS / f"{name}.json").is_file()
        if own and escaped(str(path)) != str(path):
            message = (
                f"{path}: found a name that is not UTF-8, which a run file cannot hold; rename it, "
                "or start this command in its folder"
            )
            raise BadInputError(message)


def _check_continues(plan: Plan, prepared: Planning, *, fresh: bool) -> None:
    """Refuse to judge old records by later claims, or to drop what another engine answered."""
    path = run_file.path_of(prepared.planner.store.root, plan.manifest.id, plan.tier)
    before = run_file.earlier(path)
    if before is None:
        if path.exists():
            _replace(path, every=prepared.planner.only == Filter())
        return
    engine, left = prepared.planner.engine, len(before.jobs.keys() - plan.slots())
    if before.engine != engine and left and not run_file.too_late(before, plan.manifest):
        message = (
            f"--engine {engine}: {plan.manifest.id} was run at tier {plan.tier} by "
            f"{before.engine}, and a run has one engine.\n    {counted(left, 'job')} of it would "
            "be forgotten: leave --only out, or use another --out"
        )
        raise BadInputError(message)
    changed = {} if fresh else run_file.too_late(before, plan.manifest)
    if changed:
        what = "; ".join(f"{name}: {why}" if name else why for name, why in changed.items())
        message = (
            f"{plan.manifest.id} was run at tier {plan.tier} with other claims ({what}).\n"
            "    Judging those records by these claims would be invalid: use --fresh to run "
            "every job again, or another --out"
        )
        raise BadInputError(message)


def _replace(path: Path, *, every: bool) -> None:
    """Say that a damaged run file is replaced; refuse if it may name jobs that are left out."""
    if not every:
        message = (
            f"{path} is damaged, and what it said of jobs that --only leaves out would be lost: "
            "run once without --only; records that are there are reused"
        )
        raise BadInputError(message)
    options.say(f"{path} is damaged and is written anew", error=True)


def _fetch(plans: list[Plan], prepared: Planning, bars: "report_progress.Bars") -> dict[str, str]:
    """Fetch everything that some plan waits for; what failed, by name."""
    from runner import fetch  # `repro` meets `runner` only here, and late

    failed = {}
    shelf = prepared.planner.shelf
    wanted = {
        each.name: each
        for plan in plans
        for job in plan.jobs
        if job.state == "fetch"
        for each in job.missing
    }
    for name, missing in wanted.items():
        bars.say(f"fetching {missing.what} ({missing.download / 1e6:,.0f} MB)")
        try:
            if missing.role == "data":
                fetch.fetch_data(shelf.datasets[name])
            else:
                fetch.fetch_checkpoint(
                    name, shelf.checkpoints[name], allow_remote_code=shelf.allow_remote_code
                )
        except CannotRunError as error:
            failed[name] = str(error)
        shelf.forget(name)
    return failed


def _fetch_sources(prepared: Planning, bars: "report_progress.Bars") -> dict[str, str]:
    """Fetch the archives that facts are read from; what failed, by name."""
    from runner import fetch

    failed = dict[str, str]()
    if not prepared.planner.reach.index:
        return failed
    for pin in package_sources.missing(prepared.manifests):
        name = f"{pin.name} {pin.version}"
        bars.say(f"fetching the archive of {name}, which a fact is read from")
        try:
            fetch.fetch_source(pin)
        except CannotRunError as error:
            failed[name] = str(error)
    return failed


def _execute(
    plans: list[Plan],
    prepared: Planning,
    engine: Engine,
    bars: "report_progress.Bars",
    unfetched: dict[str, str],
) -> tuple[list[Plan], dict[str, str]]:
    """Run every job that is ready, each key once; what asks a tuned model, after its tuning.

    Returns:
        The plans as they are now, and what could not run, by name.
    """
    from runner.scheduling import Work

    planner, handed = prepared.planner, _ready(plans, ())

    def then(key: str) -> dict[str, PlannedJob]:
        if not isinstance(handed[key].slot.job, TuningJob):
            return {}  # nothing waits for it
        look_again([key], {})
        found = _ready(plans, handed)
        handed.update(found)
        return found

    def look_again(ran: Iterable[str], failed: dict[str, str]) -> None:
        planner.look_again(ran)
        plans[:] = [prepared.again(plan) for plan in plans]
        commit(plans, prepared, unfetched | failed)

    if not handed:
        return plans, {}
    planner.store.sweep()
    have_scratch(planner.store.root)
    coming = job_graph.of(plans).to_come()
    bars.expect(len(coming))
    memory = max(job.cost.memory for job in coming if job.cost)
    work = Work(handed.copy(), planner.store, planner.machine, bars, then, memory)
    could_not = engine.execute(work)
    failed = {handed[key].slot.name: why for key, why in could_not.items()}
    look_again(list(handed), failed)
    return plans, failed


def _ready(plans: list[Plan], handed: Container[str]) -> dict[str, PlannedJob]:
    """Jobs to run by key, each once: manifests share what they both need."""
    found = {key: job for plan in plans for key, job in plan.to_run().items()}
    return {key: job for key, job in found.items() if key not in handed}
