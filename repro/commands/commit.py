"""What a run writes down before its first number: claims, settings, substitutions, pins."""

import datetime as dt

from repro import inputs, run_file
from repro.commands.planning import Planning
from repro.files import escaped
from repro.located import Located
from repro.plan import Plan
from repro.run_file import RunFile


def commit(plans: list[Plan], prepared: Planning, failed: dict[str, str]) -> None:
    """Write down claims, settings and substitutions before the first number is known."""
    with prepared.planner.store.lock("runs"):  # another run on the folder reads and writes them too
        _write(plans, prepared, failed)


def _write(plans: list[Plan], prepared: Planning, failed: dict[str, str]) -> None:
    now = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
    root = prepared.planner.store.root
    pins = {name: dict(files) for name, files in inputs.load_pins(root).items()}
    for name, files in prepared.planner.shelf.pins.items():
        pins.setdefault(name, dict(files))
    for plan in plans:
        located = [each for job in plan.jobs for each in job.inputs.values()]
        run_file.save(root, _run_file(plan, prepared, located, now, failed))
        for each in located:
            if each.first_use:
                pins.setdefault(each.name, dict(each.files))
    inputs.save_pins(root, pins)


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
            reason = "; ".join(why) or job.reason or "could not be fetched"
            missing[job.slot.id] = escaped(reason)
    return RunFile(
        schema_version=1,
        manifest=plan.manifest.id,
        file=escaped(str(prepared.files[plan.manifest.id])),
        tier=plan.tier,
        engine=engine,
        started=before.started if before else now,
        substitutions=substitutions,
        jobs=jobs,
        missing=missing,
        committed=run_file.commitments(plan.manifest),
    )
