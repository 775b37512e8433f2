"""`repro run`: fetch what is pinned, run what can be run, judge what came out."""

import argparse
import datetime as dt

from repro import inputs, package_sources, report, report_plan, report_progress, run_file
from repro.commands import options, planning
from repro.commands.planning import Planning
from repro.commands.verify import judge_run
from repro.errors import EXIT_DONE, EXIT_INCOMPLETE, BadInputError, CannotRunError
from repro.located import Located
from repro.plan import Plan, PlannedJob
from repro.run_file import RunFile


def add(parser: argparse.ArgumentParser) -> None:
    """Arguments of `repro run`."""
    options.add_manifests(parser)
    options.add_selection(parser)
    options.add_json(parser)
    parser.epilog = (
        "A finished job is reused as long as nothing that can change its numbers has changed.\n"
        "Exits 0 if all jobs are done, 3 if some could not run; a contradicted claim is a result."
    )


def run(arguments: argparse.Namespace) -> int:
    """Run manifests and print their verdicts."""
    prepared = planning.prepare(arguments)
    plans = [prepared.chosen(manifest) for manifest in prepared.manifests]
    for plan in plans:
        _check_unchanged(plan, prepared, fresh=arguments.fresh)
        if not arguments.json:
            following = report_plan.next_tier(plan, prepared.tiers_of(plan.manifest))
            report_plan.show(plan, following, prepared.undecidable(plan), brief=True)
    failed = dict[str, str]()
    with report_progress.bars(quiet=arguments.json) as bars:
        for name, why in _fetch(plans, prepared, bars).items():
            failed[name] = why
        failed |= _fetch_sources(prepared, bars)
        plans = [prepared.again(plan) if _waits(plan) else plan for plan in plans]
        _commit(plans, prepared, failed)
        plans, could_not = _execute(plans, prepared, bars, failed)
        failed |= could_not
    verdicts = [judge_run(plan.manifest, plan.tier, prepared.planner.store) for plan in plans]
    if arguments.json:
        print(options.as_json(verdicts))
    else:
        report.show_verdicts(verdicts)
        report.show_failures(failed)
    nothing = not any(plan.distinct() for plan in plans)  # empty is never success
    stuck = nothing or any(plan.stuck() or _waits(plan) for plan in plans)
    return EXIT_INCOMPLETE if stuck or failed else EXIT_DONE


def _waits(plan: Plan) -> bool:
    return any(job.state in ("fetch", "waits") for job in plan.jobs)


def _check_unchanged(plan: Plan, prepared: Planning, *, fresh: bool) -> None:
    """Refuse to judge old records by claims that were written after them."""
    path = run_file.path_of(prepared.planner.store.root, plan.manifest.id, plan.tier)
    if fresh or not path.exists():
        return
    changed = run_file.changes(run_file.load(path), plan.manifest)
    if changed:
        what = "; ".join(f"{name}: {why}" if name else why for name, why in changed.items())
        message = (
            f"{plan.manifest.id} was run at tier {plan.tier} with other claims ({what}).\n"
            "    Judging those records by these claims would be invalid: use --fresh to run "
            "every job again, or another --out"
        )
        raise BadInputError(message)


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
    """Fetch the source archives that facts are read from; what failed, by name."""
    from runner import fetch

    failed = dict[str, str]()
    if not prepared.planner.reach.index:
        return failed
    for pin in package_sources.missing(prepared.manifests):
        name = f"{pin.name} {pin.version}"
        bars.say(f"fetching the source archive of {name}")
        try:
            fetch.fetch_source(pin)
        except CannotRunError as error:
            failed[name] = str(error)
    return failed


def _commit(plans: list[Plan], prepared: Planning, failed: dict[str, str]) -> None:
    """Write down claims, settings and substitutions before the first number is known."""
    now = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
    pins = {name: dict(files) for name, files in prepared.planner.shelf.pins.items()}
    for plan in plans:
        located = [each for job in plan.jobs for each in job.inputs.values()]
        run_file.save(prepared.planner.store.root, _run_file(plan, prepared, located, now, failed))
        for each in located:
            if each.first_use:
                pins.setdefault(each.name, dict(each.files))
    inputs.save_pins(prepared.planner.store.root, pins)


def _run_file(
    plan: Plan, prepared: Planning, located: list[Located], now: str, failed: dict[str, str]
) -> RunFile:
    path = run_file.path_of(prepared.planner.store.root, plan.manifest.id, plan.tier)
    engine = prepared.planner.engine
    before = run_file.load(path) if path.exists() and not prepared.planner.fresh else None
    before = before if before and before.engine == engine else None
    jobs = dict(before.jobs) if before else {}
    missing = dict(before.missing) if before else {}
    substitutions = {each.name: dict(each.files) for each in located if each.substituted}
    if before and set(jobs) - {job.slot.id for job in plan.jobs}:
        # Slots left out by --only keep their records, and what those were made with.
        substitutions = {**before.substitutions, **substitutions}
    for job in plan.jobs:
        jobs.pop(job.slot.id, None)
        missing.pop(job.slot.id, None)
        if job.key and job.state != "blocked" and job.slot.name not in failed:
            jobs[job.slot.id] = job.key
        else:
            names = [job.slot.name, *(each.name for each in job.missing)]
            why = [failed[name] for name in names if name in failed]
            missing[job.slot.id] = "; ".join(why) or job.reason or "could not be fetched"
    return RunFile(
        schema_version=1,
        manifest=plan.manifest.id,
        file=str(prepared.files[plan.manifest.id]),
        tier=plan.tier,
        engine=engine,
        started=before.started if before else now,
        substitutions=substitutions,
        jobs=jobs,
        missing=missing,
        committed=run_file.commitments(plan.manifest),
    )


def _execute(
    plans: list[Plan], prepared: Planning, bars: "report_progress.Bars", unfetched: dict[str, str]
) -> tuple[list[Plan], dict[str, str]]:
    """Run every job that is ready, each key once, then those that waited for them.

    Returns:
        The plans as they are now, and what could not run, by name.
    """
    planner, failed = prepared.planner, dict[str, str]()
    tried: set[str] = set()
    while todo := _ready(plans, tried):
        from runner.execute import execute

        planner.store.sweep()
        bars.expect(len(todo))
        could_not = execute(todo, planner.store, planner.machine, bars)
        failed |= {todo[key].slot.name: why for key, why in could_not.items()}
        tried |= todo.keys()
        planner.look_again(todo.keys())
        plans = [prepared.again(plan) for plan in plans]
        _commit(plans, prepared, unfetched | failed)
    return plans, failed


def _ready(plans: list[Plan], tried: set[str]) -> dict[str, PlannedJob]:
    """Jobs to run by key, each once: manifests share what they both need."""
    found = {key: job for plan in plans for key, job in plan.to_run().items()}
    return {key: job for key, job in found.items() if key not in tried}
