"""Running one job in this process: it ends as a record on the disk.

Not covered: which jobs run when and where (`execute`).
"""

import datetime as dt
import functools
import gc
import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from repro import keys
from repro.digests import of_file
from repro.environment import Environment
from repro.errors import CannotRunError
from repro.jobs import Job
from repro.located import Located
from repro.record import ArrayFile, Record
from repro.store import Store
from runner.measurement import Inputs, Measurement, Progress

JobFunction = Callable[[Any, Inputs, Progress], Measurement]


def function_of(kind: str) -> JobFunction:
    """The function that runs a kind of job; only then are its libraries imported."""
    if kind == "evaluate":
        from runner import evaluate

        return evaluate.run
    if kind == "benchmark":
        from runner import benchmark

        return benchmark.run
    if kind == "tuning":
        from runner import finetune

        return finetune.run
    if kind == "throughput":
        from runner import throughput

        return throughput.run
    if kind == "stability":
        from runner import stability

        return stability.run
    from runner import weight_tying

    return weight_tying.run


@functools.cache
def _imported(kind: str) -> JobFunction:
    """`function_of`, once a process: what it imports is not searched for garbage again.

    transformers and lm-eval collect garbage twice a job, which took 0.6 s of a twin's 8 s.
    """
    function = function_of(kind)
    gc.collect()
    gc.freeze()
    return function


def run_job(
    key: str,
    job: Job,
    located: Mapping[str, Located],
    store: Store,
    machine: Environment,
    progress: Progress,
) -> Record:
    """Run one job in this process and save its record.

    Raises:
        CannotRunError: if it cannot run here, or its code was changed meanwhile.
    """
    paths = {role: each.path for role, each in located.items()}
    inputs = Inputs(
        checkpoint=paths.get("checkpoint"),
        remote_code=any(each.executes for each in located.values()),
        data=paths.get("data"),
        tuned=paths.get("tuned"),
        work=store.work / key,
    )
    started = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
    clock = time.perf_counter()
    measured = _imported(job.kind)(job, inputs, progress)
    seconds = time.perf_counter() - clock
    code = keys.code_of(job.kind)
    libraries = keys.libraries_of(job.kind, machine.packages)
    digests = {name: sha for each in located.values() for name, sha in each.files.items()}
    if keys.of_job(job, digests, code, libraries, machine.key_parts()) != key:
        message = "the code of `runner` was changed while the job ran; run it again"
        raise CannotRunError(message)

    made = _files(measured.model)

    def make_record(arrays: ArrayFile) -> Record:
        draft = Record(
            schema_version=1,
            key=key,
            job=job,
            inputs=digests,
            code=code,
            environment=machine,
            path=measured.path,
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


def _files(model: Path | None) -> dict[str, str]:
    """Digest of every file of a model that a job made."""
    if model is None:
        return {}
    return {path.name: of_file(path) for path in sorted(model.iterdir())}
