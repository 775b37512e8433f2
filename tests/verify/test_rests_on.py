"""What a claim rests on, and that leaving jobs out makes no verdict.

Oracle: what the rules themselves ask for, and the findings of the whole list.
"""

import shutil
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import made_up_records as records
import pytest
from made_up_worlds import BOTH, Flips, sentence, table, world

from repro import paths
from repro.schema import catalog, validate
from repro.schema.claims import AmbiguousClaim, Claim
from repro.schema.finding import Finding
from repro.schema.groups import EvaluationGroup
from repro.schema.manifest import Manifest
from repro.schema.slots import slots
from repro.store import run_file
from repro.store.commitments import commitments_of
from repro.store.run_file import RunFile
from repro.store.store import Store
from verify.errors import NotRunError
from verify.evidence import Evidence
from verify.judge import decide, judge
from verify.paper import without_run
from verify.rests_on import slots_of

MANIFESTS = sorted(paths.MANIFESTS.glob("*.json"))


class Asked(Evidence):
    """Evidence that has nothing, and knows what it was asked for first."""

    first = ""

    def get(self, slot_id: str) -> NoReturn:
        self.first = self.first or slot_id
        raise NotRunError(slot_id)


def nothing_run(manifest: Manifest, tier: Any) -> RunFile:
    return RunFile(
        schema_version=2,
        manifest=manifest.id,
        file="none",
        tier=tier,
        started="2026-01-01T00:00:00+00:00",
        substitutions={},
        jobs={},
        missing={},
        committed=commitments_of(manifest),
    )


def measured(manifest: Manifest) -> Iterator[Claim]:
    for claim in manifest.claims:
        if not isinstance(claim, AmbiguousClaim) and without_run(manifest, claim) is None:
            yield claim


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.stem)
def test_what_a_rule_asks_for_is_among_what_its_claim_rests_on(path: Path) -> None:
    manifest = validate.load_manifest(path)
    for tier in manifest.tiers():
        every = frozenset(each.id for each in slots(manifest, tier, catalog.checkpoints()))
        for claim in manifest.claims:
            if not any(claim is each for each in measured(manifest)):
                readings = claim.readings if isinstance(claim, AmbiguousClaim) else ()
                found = [c for c in manifest.claims if c.id in readings]
                union = {slot for each in found for slot in slots_of(manifest, each, tier, every)}
                assert slots_of(manifest, claim, tier, every) == union
                continue
            asked = Asked(
                manifest,
                nothing_run(manifest, tier),
                Store(Path("none")),
                catalog.checkpoints(),
                catalog.question_sets(),
            )
            with pytest.raises(NotRunError):
                decide(manifest, claim, asked)
            named = {asked.first} & set(asked.slots)
            assert named <= slots_of(manifest, claim, tier, every), claim.id


@pytest.mark.parametrize("path", sorted(paths.ROOT.glob("evidence/*/runs/*.json")), ids=str)
def test_records_of_a_finding_are_of_slots_that_its_claim_rests_on(path: Path) -> None:
    run, store = run_file.load(path), Store(path.parent.parent)
    manifest = run_file.manifest_of(run)
    evidence = Evidence(manifest, run, store, catalog.checkpoints(), catalog.question_sets())
    every = frozenset(evidence.slots)
    found = {each.claim: each for each in judge(manifest, evidence, {}).findings}
    checked = 0
    for claim in measured(manifest):
        slots_ = slots_of(manifest, claim, run.tier, every)
        allowed = {run.jobs.get(slot) for slot in slots_}
        assert set(found[claim.id].records) <= allowed, claim.id
        checked += len(found[claim.id].records)
    assert checked


def test_a_kind_that_is_not_known_rests_on_everything() -> None:
    manifest = validate.load_manifest(paths.MANIFESTS / "stability.json")
    every = frozenset({"one", "two"})

    class Unknown:
        id = "new"

    assert slots_of(manifest, Unknown(), "full", every) == every  # type: ignore[arg-type]


# -----------------------------------------------------------------------------
# Leaving jobs out


def odd(model: str, setting: int, shots: int) -> tuple[int, int]:
    """Both lose 13 answers, but for one setting of mamba-1, which loses nearly all."""
    if model == "mamba-1" and setting == 5:
        return 39, 0
    return 13 + (setting % 2 if shots else 0), 0


def even(_: str, setting: int, shots: int) -> tuple[int, int]:
    return 13 + (setting % 2 if shots else 0), 0


SENTENCES = [
    sentence("ordering", left=BOTH[:1], right=BOTH[1:], relation="at-most"),
    {**sentence("count", of=BOTH, above="1", published="count"), "id": "count.measured"},
]


PINS = records.this_machine().packages


def fresh(evidence: Evidence, claimed: Manifest, run: RunFile) -> Evidence:
    """The same records under another run file, none of them read yet."""
    return Evidence(
        claimed, run, evidence.store, records.checkpoints(), {"mmlu": records.dataset()}
    )


def findings(evidence: Evidence, claimed: Manifest, run: RunFile) -> tuple[Finding, ...]:
    return judge(claimed, fresh(evidence, claimed, run), PINS).findings


def outcomes(evidence: Evidence, claimed: Manifest, **update: Any) -> dict[str, str]:
    run = evidence.run.model_copy(update=update)
    return {each.claim: each.outcome for each in findings(evidence, claimed, run)}


@pytest.mark.parametrize("flips", [odd, even])
def test_leaving_out_makes_no_verdict(tmp_path: Path, flips: Flips) -> None:
    """phi-1 is printed so far off that its cell alone would be contradicted; the odd setting of
    mamba-1 guards it, if it is run."""
    data = table({"mamba-1": "20.0", "phi-1": "60.0"}, more=SENTENCES)
    claimed, evidence = world(tmp_path, flips, kernels=2, **data)
    whole = outcomes(evidence, claimed)
    assert whole[BOTH[1]] == ("contradicted" if flips is even else "inconclusive")
    (group,) = claimed.jobs
    assert isinstance(group, EvaluationGroup)
    jobs = evidence.run.jobs
    for left in ("mamba-1", "phi-1", ".float16", ".float32", ".batch-1", *jobs):
        kept = {slot: key for slot, key in jobs.items() if left not in slot}
        assert len(kept) < len(jobs)
        for reasons in ({}, dict.fromkeys(jobs.keys() - kept.keys(), "too dear")):
            part = outcomes(evidence, claimed, jobs=kept, left_out=reasons)
            for name, outcome in part.items():
                assert outcome in {whole[name], "not-run", "inconclusive"}, (left, name)


def of_no_run(evidence: Evidence, gone: list[str], said: str) -> RunFile:
    """Slots that are in no list, or with a reason in one."""
    jobs = {slot: key for slot, key in evidence.run.jobs.items() if slot not in gone}
    reasons = {said: dict.fromkeys(gone, "a reason")} if said else {}
    return evidence.run.model_copy(update={"jobs": jobs, **reasons})


def without_records(evidence: Evidence, gone: list[str], how: str) -> RunFile:
    """Slots whose records are deleted or damaged after the run file was written."""
    for slot in gone:
        folder = evidence.store.jobs / evidence.run.jobs[slot]
        if how == "deleted":
            shutil.rmtree(folder)
        else:
            (arrays,) = folder.glob("*.safetensors")
            content = bytearray(arrays.read_bytes())
            content[-1] ^= 1
            arrays.chmod(0o600)
            arrays.write_bytes(content)
    return evidence.run


WITHOUT = {
    "nowhere": partial(of_no_run, said=""),
    "chosen": partial(of_no_run, said="left_out"),
    "could not run": partial(of_no_run, said="missing"),
    "deleted": partial(without_records, how="deleted"),
    "damaged": partial(without_records, how="damaged"),
}


@pytest.mark.parametrize("how", WITHOUT)
@pytest.mark.parametrize("every", [True, False], ids=["all", "one"])
def test_nothing_is_contradicted_over_a_part_whatever_made_it_one(
    tmp_path: Path, how: str, *, every: bool
) -> None:
    """A number that has lost its records, or one of them, might have guarded the other."""
    data = table({"mamba-1": "20.0", "phi-1": "60.0"})
    claimed, evidence = world(tmp_path, even, kernels=2, **data)
    assert outcomes(evidence, claimed)[BOTH[1]] == "contradicted"
    gone = [slot for slot in evidence.run.jobs if "mamba-1" in slot]
    run = WITHOUT[how](evidence, gone if every else gone[-1:])
    found = {each.claim: each for each in findings(evidence, claimed, run)}
    first = "invalid" if how == "damaged" else "not-run"
    assert [found[name].outcome for name in BOTH] == [first, "inconclusive"]
    said = records.said(found[BOTH[1]], "part-of-the-table")
    assert said == {"left": 1, "numbers": 2}
    assert found[BOTH[1]].direction


def test_what_the_manifest_has_no_job_for_is_no_part(tmp_path: Path) -> None:
    """Nobody can measure it, so that the rest is the whole."""
    data = table({"mamba-1": "20.0", "phi-1": "60.0"})
    claimed, evidence = world(tmp_path, even, kernels=2, **data)
    run = of_no_run(evidence, [slot for slot in evidence.slots if "mamba-1" in slot], "missing")
    part = fresh(evidence, claimed, run)
    part.slots = {
        name: replace(slot, job=None, reason="no job") if "mamba-1" in name else slot
        for name, slot in part.slots.items()
    }
    found = {each.claim: each.outcome for each in judge(claimed, part, PINS).findings}
    assert [found[name] for name in BOTH] == ["not-run", "contradicted"]
