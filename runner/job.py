"""Running one job in this process: it ends as a record on the disk.

Who runs a job holds the lock of its key. Whoever else wants the same record waits for it and takes
what comes: the second of two runs on one results folder computes nothing twice.

Not covered: which jobs run when and where (`runner.local`, `runner.ray`).
"""

import datetime as dt
import functools
import gc
import importlib
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from repro.environment.machine import Environment
from repro.errors import CannotRunError
from repro.fileio import digest_of_file
from repro.inputs.located import Located
from repro.schema.jobs import KINDS, Job
from repro.store import keys
from repro.store.record import ArrayFile, Record
from repro.store.store import UNNAMED, Store
from repro.weights import loadable
from runner.measurement import Inputs, Measurement, Progress

JobFunction = Callable[[Any, Inputs, Progress], Measurement]


def function_of(kind: str) -> JobFunction:
    """The function that runs a kind of job; only then are its libraries imported."""
    found: JobFunction = importlib.import_module(KINDS[kind].ENTRY).run
    return found


@functools.cache
def _imported(kind: str) -> tuple[JobFunction, dict[str, str]]:
    """`function_of` and its code, once a process: its imports are not searched for garbage again.

    transformers and lm-eval collect garbage twice a job, which took 0.6 s of a twin's 8 s.
    """
    function = function_of(kind)
    gc.collect()
    gc.freeze()
    return function, keys.code_of(kind)


def run_job(
    key: str,
    job: Job,
    located: Mapping[str, Located],
    store: Store,
    machine: Environment,
    progress: Progress,
    *,
    replaces: str = "",
) -> Record:
    """Run one job in this process and save its record, or take what another run makes of it.

    `located` are its inputs by role, `machine` is recorded as the environment. `replaces` is the
    digest of the record that is to be made again (`--fresh`), if there was one when the run was
    planned: any other that is there by now is another run's, and as good.

    Raises:
        CannotRunError: if it cannot run here, its weights are damaged, or its code was changed.
    """
    with store.lock(key, lambda owner: progress(0, 1, f"waiting for {owner}")):
        there = store.reusable(key)
        if there and there.digest != replaces:
            return there
        digests = {name: sha for each in located.values() for name, sha in each.files.items()}
        started = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
        clock = time.perf_counter()
        function, code = _imported(job.kind)
        unnamed = _undigested_inputs(located)
        if unnamed:  # what an earlier try left may be of other data
            shutil.rmtree(store.work / key, ignore_errors=True)
        _check_key(key, job, digests, code, machine)  # what is left half done is this code's
        with _inputs(located, store.work / key) as inputs:
            measured = function(job, inputs, progress)
        seconds = time.perf_counter() - clock
        code = keys.code_of(job.kind)
        _check_key(key, job, digests, code, machine)
        path = measured.path | ({UNNAMED: unnamed} if unnamed else {})
        made = _model_digests(measured.model)

        def make_record(arrays: ArrayFile) -> Record:
            draft = Record(
                schema_version=1,
                key=key,
                job=job,
                inputs=digests,
                code=code,
                environment=machine,
                path=path,
                values=measured.values,
                arrays=arrays,
                files=made,
                warnings=measured.warnings,
                started=started,
                seconds=round(seconds, 3),
                digest="0" * 64,
            )
            return draft.model_copy(update={"digest": draft.digest_of_content()})

        record = store.save(measured.arrays, make_record, measured.model)
        shutil.rmtree(store.work / key, ignore_errors=True)
        return record


@contextmanager
def _inputs(located: Mapping[str, Located], work: Path) -> Iterator[Inputs]:
    """What a job function is given: of a folder just those files, held to their digests."""
    with ExitStack() as stack:
        paths = {role: each.path for role, each in located.items()}
        for role, each in located.items():
            if each.path and (each.path.is_dir() or role in _MADE):
                try:
                    paths[role] = stack.enter_context(
                        loadable.private_copy(each.path, held=each.digests_by_name, work=work)
                    )
                except loadable.ChangedError as error:
                    raise CannotRunError(_changed_inputs(role, each, error)) from error
        yield Inputs(
            checkpoint=paths.get("checkpoint"),
            remote_code=any(each.executes for each in located.values()),
            data=paths.get("data"),
            tuned=paths.get("tuned"),
            first=paths.get("first"),
            work=work,
        )


_MADE = {"tuned": ("weights", "tunes"), "first": ("answers", "asks")}
"""Roles of what an earlier job made: what it is, and what making it again does."""


def _changed_inputs(role: str, located: Located, error: loadable.ChangedError) -> str:
    """What to do about files that are not those of the key; nobody digests made ones to plan."""
    if role not in _MADE:
        return f"{located.name}: {error}"
    what, makes = _MADE[role]
    return (
        f"the {what} of {located.name} are damaged: {error.path} {error.how}; "
        f"remove the record's folder, and the next run {makes} again"
    )


def _check_key(
    key: str,
    job: Job,
    digests: Mapping[str, str],
    code: Mapping[str, str],
    machine: Environment,
) -> None:
    """That the key is of this code."""
    libraries = keys.libraries_of(job.kind, machine.packages)
    if keys.job_key(job, digests, code, libraries, machine.key_parts()) != key:
        message = "the code of the job was changed while it ran; run it again"
        raise CannotRunError(message)


def _undigested_inputs(located: Mapping[str, Located]) -> str:
    """Inputs that no digest names: their record is true of today and is never reused."""
    return ", ".join(each.name for each in located.values() if each.path is None or not each.files)


def _model_digests(model: Path | None) -> dict[str, str]:
    """Digest of every file of a model that a job made."""
    if model is None:
        return {}
    return {path.name: digest_of_file(path) for path in sorted(model.iterdir())}
