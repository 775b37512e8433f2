"""What stands beside every number of a tuned model: what did not learn, and what overflowed.

A printed number is decided as measured, whatever did not learn; who reads it has to know. A
log-likelihood that is no finite number counts as lm-eval counts it, and the reason says so.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from repro.jobs import BenchmarkJob
from repro.plural import counted
from verify import tuning_records
from verify.benchmark_records import overflows
from verify.decided import Judged
from verify.evidence import Loaded


def beside(judged: Judged) -> Judged:
    """The same with what its tuned models did not learn, and where they overflowed."""
    tuned = {each.record.key: each for each in judged.loaded if each.tuning}
    if not tuned:
        return judged
    tunings = {each.tuning.record.key: each.tuning for each in tuned.values() if each.tuning}
    decided = judged.decided
    bad = sum(_overflowed(each) for each in tuned.values())
    if bad:
        asked = sum(_asked(each) for each in tuned.values())
        what = f"{bad} of {asked} answers of tuned models have no finite log-likelihood"
        reason = f"{decided.reason}; {what} and count as lm-eval counts them, for the first choice"
        decided = replace(decided, reason=reason)
    working = (*decided.working, *_lines(list(tunings.values())))
    return replace(judged, decided=replace(decided, working=working))


def _lines(tunings: Sequence[Loaded]) -> Iterator[str]:
    """Of each tuned checkpoint and arm, over its settings; one line where all is well."""
    arms: dict[str, list[Loaded]] = {}
    for each in tunings:
        arms.setdefault(each.slot.id.removesuffix(f".{each.slot.setting}"), []).append(each)
    dead = 0
    for arm, found in arms.items():
        names = frozenset[str]().union(
            *(tuning_records.dead(each.record, each.arrays) for each in found)
        )
        if names:
            dead += 1
            trainable = len(tuning_records.names_of(found[0].record))
            shown = tuning_records.summed_up(names)
            path = found[0].record.path.get("mamba_path", "")
            where = f" on the path {path}" if path else ""
            yield f"{arm}: {len(names)} of {trainable} tensors got no gradient{where}: {shown}"
        steps = [tuning_records.first_overflow(each.arrays) for each in found]
        if any(steps):
            first = min(step for step in steps if step)
            some = f"{len(steps) - steps.count(None)} of {counted(len(steps), 'tuning')}"
            yield f"{arm}: loss no finite number in {some}, from step {first} on"
    if not dead:
        yield f"every trainable tensor of {counted(len(tunings), 'tuning')} got a gradient"


def _overflowed(loaded: Loaded) -> int:
    """Answers with a log-likelihood that is no finite number, over all shots."""
    if isinstance(loaded.record.job, BenchmarkJob):
        return sum(int(overflows(loaded.arrays, shots).sum()) for shots in loaded.shots())
    rows = (loaded.arrays[f"shots{shots}/log_likelihood"] for shots in loaded.shots())
    return sum(int((~np.isfinite(each)).any(axis=1).sum()) for each in rows)


def _asked(loaded: Loaded) -> int:
    """Answers over all shots."""
    return sum(len(loaded.arrays[f"shots{shots}/log_likelihood"]) for shots in loaded.shots())
