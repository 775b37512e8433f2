"""What keeps records from deciding a claim about the paper's models, and what a reader has to know.

A tier below full, a twin in the place of a checkpoint, a substitution, files that are not the
catalog's, drift of a package that the claim depends on, an engine that does not answer as lm-eval
does, and batches smaller than the setting's: measured and shown, never decided by.
"""

from collections.abc import Iterator, Mapping, Sequence

from repro.schema.catalog import HubSource
from repro.schema.causes import Cause, cause
from repro.schema.claims import Claim
from repro.schema.jobs import ModelJob, TuningJob
from repro.schema.kinds.imported import ImportedJob
from verify.evidence import Evidence
from verify.records.answers import count_engine_differences
from verify.records.checked_record import CheckedRecord

_PICKLE = ".bin"
"""The catalog may pin a pickle, which is not what is loaded; `repro run` held the two together."""


def disqualifiers(
    claim: Claim, loaded: Sequence[CheckedRecord], evidence: Evidence, pins: Mapping[str, str]
) -> list[Cause]:
    """What keeps these records from deciding this claim."""
    found: list[Cause] = []
    for each in loaded:
        job, slot = each.record.job, each.slot
        if isinstance(job, ImportedJob):
            found.append(cause("imported", by=job.by, unknown=", ".join(job.unknown())))
            found += _reasons_of_tier(job.checkpoint, each, evidence)
        elif isinstance(job, ModelJob | TuningJob):
            found += _reasons_of_model(job, each, evidence)
        of_model = isinstance(job, ModelJob | TuningJob | ImportedJob)
        if of_model and slot.checkpoint is not None and evidence.run.tier != "full":
            continue  # the versions of what decides nothing are beside the point
        for name in claim.depends_on:
            absent = "none" if each.imported is None else "unknown"
            installed = each.record.environment.packages.get(name, absent)
            pinned = pins.get(name, "no pin")
            if installed != pinned:
                found.append(cause("drift", package=name, installed=installed, pinned=pinned))
    return [each for place, each in enumerate(found) if each not in found[:place]]


def _reasons_of_model(
    job: ModelJob | TuningJob, loaded: CheckedRecord, evidence: Evidence
) -> Iterator[Cause]:
    """The same of the model and the data that one record is about."""
    yield from _reasons_of_tier(job.checkpoint, loaded, evidence)
    for name in (job.checkpoint, job.data_name()):
        if name in evidence.run.substitutions:
            yield cause("substituted", name=name)
    if not _matches_catalog(loaded, evidence):
        yield cause("other-files", checkpoint=job.checkpoint)
    if apart := _reasons_of_engine(loaded):
        yield apart
    asked = str(job.setting.batch_size) if isinstance(job, ModelJob) else ""
    took = loaded.record.path.get("batch_size", asked)
    if asked and took != asked:  # the memory did not suffice, and batches were halved
        yield cause("smaller-batch", checkpoint=job.checkpoint, took=took, asked=asked)


def _reasons_of_tier(checkpoint: str, loaded: CheckedRecord, evidence: Evidence) -> Iterator[Cause]:
    paper, tier = loaded.slot.checkpoint, evidence.run.tier
    if paper is not None and checkpoint != paper:  # a single job is about what it names
        yield cause("tier-and-stand-in", tier=tier, checkpoint=checkpoint)
    elif paper is not None and tier != "full":
        yield cause("tier", tier=tier)


def pinned_on_first_use(loaded: Sequence[CheckedRecord], evidence: Evidence) -> list[str]:
    """Checkpoints of the hub that the catalog knows no digest of: some run took what was there."""
    found: dict[str, None] = {}
    for each in loaded:
        job = each.record.job
        if isinstance(job, ModelJob | TuningJob):
            known = evidence.checkpoints[job.checkpoint]
            given = job.checkpoint in evidence.run.substitutions
            if isinstance(known.source, HubSource) and not known.files and not given:
                found[job.checkpoint] = None
    return list(found)


def _matches_catalog(loaded: CheckedRecord, evidence: Evidence) -> bool:
    """Whether a record read the files that the catalog pins, where it pins any."""
    job = loaded.record.job
    assert isinstance(job, ModelJob | TuningJob)  # noqa: S101  # the caller looked
    if job.checkpoint in evidence.run.substitutions:
        return True  # said already
    pinned = evidence.checkpoints[job.checkpoint].files
    return all(
        loaded.record.inputs.get(f"{job.checkpoint}/{file}") == sha
        for file, sha in pinned.items()
        if not file.endswith(_PICKLE)
    )


def _reasons_of_engine(loaded: "CheckedRecord") -> Cause | None:
    """Why a record's engine may not stand for lm-eval; None if it may."""
    job = loaded.record.job
    if not isinstance(job, ModelJob) or job.engine == "lm-eval":
        return None
    apart, own, asked = count_engine_differences(loaded.record, job, loaded.arrays)
    if apart <= own:
        return None
    return cause("engine-differs", engine=job.engine, apart=apart, asked=asked, own=own)
