"""What a run writes down before its first number: claims, settings, substitutions, pins."""

from repro import inputs, run_file
from repro.commands.planning import Planning
from repro.files import escaped
from repro.located import Located
from repro.plan import Plan
from repro.run_file import RunFile
from repro.store import BrokenRecordError, Store


def commit(plans: list[Plan], prepared: Planning, failed: dict[str, str]) -> None:
    """Write down claims, settings and substitutions before the first number is known."""
    with prepared.planner.store.lock("runs"):  # another run on the folder reads and writes them too
        _write(plans, prepared, failed)


def _write(plans: list[Plan], prepared: Planning, failed: dict[str, str]) -> None:
    root = prepared.planner.store.root
    pins = {name: dict(files) for name, files in inputs.load_pins(root).items()}
    for name, files in prepared.planner.shelf.pins.items():
        pins.setdefault(name, dict(files))
    for plan in plans:
        located = [each for job in plan.jobs for each in job.inputs.values()]
        run_file.save(root, _run_file(plan, prepared, located, failed))
        for each in located:
            if each.first_use:
                pins.setdefault(each.name, dict(each.files))
    inputs.save_pins(root, pins)


def _run_file(
    plan: Plan, prepared: Planning, located: list[Located], failed: dict[str, str]
) -> RunFile:
    """What is to be run now, beside what the run file knew of jobs that this run does not touch."""
    path = run_file.path_of(prepared.planner.store.root, plan.manifest.id, plan.tier)
    engine = prepared.planner.engine
    before = run_file.earlier(path)
    if before and (before.engine != engine or run_file.too_late(before, plan.manifest)):
        before = None  # --fresh, under other claims
    jobs = dict(before.jobs) if before else {}
    missing = dict(before.missing) if before else {}
    substitutions = {each.name: dict(each.files) for each in located if each.substituted}
    kept = set(jobs) - plan.slots()
    for job in plan.jobs:
        known = jobs.pop(job.slot.id, "")
        missing.pop(job.slot.id, None)
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
        schema_version=1,
        manifest=plan.manifest.id,
        file=escaped(str(prepared.files[plan.manifest.id])),
        tier=plan.tier,
        engine=engine,
        started=before.started if before and goes_on else prepared.started,
        substitutions=substitutions,
        jobs=jobs,
        missing=missing,
        committed=run_file.commitments(plan.manifest),
    )


def _is_whole(store: Store, key: str) -> bool:
    """Whether there is a record that can be judged."""
    try:
        store.load(key)
    except (BrokenRecordError, OSError):
        return False
    return True
