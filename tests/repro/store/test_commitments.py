"""What a run is held to. Oracle: the manifest before, and one change to it at a time."""

import functools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import made_up_records as records
import pytest

from repro import fileio, paths
from repro.schema import validate
from repro.schema.claim_base import Published
from repro.schema.claims import Claim
from repro.schema.manifest import Manifest
from repro.schema.measured_claims import CellClaim
from repro.store import commitments, run_file
from repro.store.commitments import Commitments, commitments_of, of_version_1

Change = Callable[[dict[str, Any]], Any]

CELL, OTHER = "T9.mamba-1.float16", "T9.phi-1.float16"
SENTENCE = {
    "id": "sentence",
    "kind": "ambiguous",
    "statement": "a sentence",
    "place": {"section": "5"},
    "depends_on": [],
    "missing": "which mean",
    "readings": ["mean.printed", "count.measured"],
}


def data() -> dict[str, Any]:
    """The made-up manifest with a sentence that can be read in two ways."""
    found = records.manifest_data()
    found["claims"].append(SENTENCE)
    found["packages"]["transformers"] = "everything"
    return found


def changed(change: Change) -> dict[str, str]:
    """What a run of the manifest before it was changed is told, by claim."""
    then, now = records.manifest(**data()), json.loads(json.dumps(data()))
    change(now)
    return commitments.changes(commitments_of(then), records.manifest(**now))


def put(where: str, value: Any) -> Change:
    """Set a field, by its path."""

    def change(now: dict[str, Any]) -> None:
        *steps, last = [int(step) if step.isdecimal() else step for step in where.split(".")]
        functools.reduce(lambda inside, step: inside[step], steps, now)[last] = value

    return change


@pytest.mark.parametrize(
    "change",
    [
        put("title", "Another title"),
        put("claims.0.statement", "another sentence"),
        put("claims.0.quote", "as printed"),
        put("claims.0.standing", "step"),
        put("claims.0.standing", "beside"),
        put("claims.0.conditions", ["it is installed"]),
        put("claims.0.reading", "as a mean"),
        put("claims.0.place", {"section": "6"}),
        put("claims.0.answers", [records.ANSWER]),
        put("claims.0.margin.origin", "another sentence"),
        put("claims.5.missing", "which of two means"),
        put("published.0.place", {"section": "6"}),
        put("packages.torch", "another reason"),
    ],
)
def test_words_may_be_mended(change: Change) -> None:
    assert changed(change) == {}


MARGIN = "the claim or its margin was changed after the run"
DIGITS = "its printed value was changed after the run"
NAMED = f"{CELL}, which it names, was changed after the run"


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (put("claims.0.margin.value", "0.2"), {CELL: MARGIN}),
        (put("claims.0.measure.dtype", "bfloat16"), {CELL: MARGIN}),
        (put("claims.0.measure.input_rounding", "0.02"), {CELL: MARGIN}),
        (put("claims.0.published", "mean"), {CELL: MARGIN}),
        (put("claims.5.readings", ["mean.printed"]), {"sentence": MARGIN}),
        (put("published.0.text", "0.21"), {CELL: DIGITS}),
        (put("published.0.text", "0.200"), {CELL: DIGITS}),
        (put("published.0.unit", "percent"), {CELL: DIGITS}),
        (put("claims.3.above", "2"), {"count.measured": MARGIN}),
    ],
)
def test_what_decides_may_not(change: Change, told: dict[str, str]) -> None:
    found = changed(change)
    named = {name: what for name, what in found.items() if what != NAMED}
    assert named == told
    if CELL in told:  # what counts or compares the cell is changed with it
        assert {name for name, what in found.items() if what == NAMED} == {
            "count.measured",
            "order.measured",
        }


@pytest.mark.parametrize(
    "change",
    [
        put("settings.0.batch_size", 5),
        put("settings.0.mamba_path", "kernels"),
        put("jobs.0.shots", [0]),
        put("jobs.0.tiers.full.subjects", ["geometry"]),
    ],
)
def test_settings_and_jobs_may_not(change: Change) -> None:
    assert changed(change) == {
        "": "the settings or jobs of the manifest were changed after the run"
    }


def test_a_claim_may_come_to_depend_on_more_and_not_on_less() -> None:
    more = ["transformers", "torch"]
    assert changed(put("claims.0.depends_on", more)) == {}
    lost = "it depended on torch when it ran, and does no longer"
    for less in ([], ["transformers"]):
        assert changed(put("claims.0.depends_on", less))[CELL] == lost


def test_a_claim_may_neither_come_nor_go() -> None:
    assert changed(lambda now: now["claims"].pop()) == {
        "sentence": "the claim was removed after the run"
    }
    late = {**SENTENCE, "id": "late"}
    assert changed(lambda now: now["claims"].append(late)) == {
        "late": "the claim was added after the run"
    }


def test_a_field_that_claims_come_to_have_later_changes_none_that_do_not_say_it() -> None:
    class Later(CellClaim):
        shape: str = "round"

    now = records.manifest().claims[0]
    later = Later.model_validate(now.model_dump())
    squared = Later.model_validate({**now.model_dump(), "shape": "square"})
    digests = [commitments._what_decides(each) for each in (now, later, squared)]
    assert digests[0] == digests[1] != digests[2]


# -----------------------------------------------------------------------------
# Run files of version 1


def version_1(manifest: Manifest) -> Commitments:
    """As the code of version 1 committed: every claim with its words."""
    now = commitments_of(manifest)

    def digest(one: Claim | Published) -> str:
        later = {"standing", "quote", "conditions", "answers"}
        return fileio.digest_of_data(one.model_dump(mode="json", exclude=later))

    return Commitments(
        claims={each.id: digest(each) for each in manifest.claims},
        printed={each.id: digest(each) for each in manifest.published},
        plan=now.plan,
    )


def run_of_version_1(root: Path, manifest: Manifest) -> run_file.RunFile:
    """As it lies on the disk."""
    run = records.run(root, manifest)[1]
    told = json.loads(run.model_dump_json()) | {"schema_version": 1}
    told["committed"] = json.loads(version_1(manifest).model_dump_json(exclude={"depends_on"}))
    path = run_file.path_of(root, run.manifest, run.tier)
    path.write_text(json.dumps(told))
    return run_file.load(path)


def test_what_is_as_it_was_is_read_without_a_table(tmp_path: Path) -> None:
    manifest = records.manifest(**data())
    run = run_of_version_1(tmp_path, manifest)
    assert run_file.changes(run, manifest) == {}
    less = data()
    less["claims"][0]["depends_on"] = []
    told = run_file.changes(run, records.manifest(**less))
    assert "of version 1" in told[CELL]


def test_what_no_table_knows_is_refused_with_the_version(tmp_path: Path) -> None:
    """Of version 1 nobody can tell whether the words or the margin were changed."""
    run = run_of_version_1(tmp_path, records.manifest(**data()))
    mended = data()
    mended["claims"][0]["statement"] = "another sentence"
    mended["published"][1]["place"] = {"section": "6"}
    told = run_file.changes(run, records.manifest(**mended))
    assert told[CELL] == f"{MARGIN} (its run file is of version 1)"
    assert told[OTHER] == f"{DIGITS} (its run file is of version 1)"


def committed() -> dict[Path, run_file.RunFile]:
    """Run files of version 1 among the evidence."""
    runs = {path: run_file.load(path) for path in (paths.ROOT / "evidence").glob("**/runs/*.json")}
    return {path: run for path, run in runs.items() if run.schema_version == 1}


def test_every_digest_of_the_evidence_is_in_the_table() -> None:
    known = commitments._version_1(paths.CATALOG / "commitments-v1.json")
    runs = committed()
    assert runs
    for path, run in runs.items():
        manifest = run_file.manifest_of(run)
        for name, digest in run.committed.claims.items():
            assert digest in known.claims, (path, name)
        for name, digest in run.committed.printed.items():
            assert digest in known.printed, (path, name)
        read = of_version_1(run.committed, manifest)
        assert not set(read.claims.values()) & set(known.claims)
        assert set(read.depends_on) == set(read.claims)


def test_the_table_is_of_what_decides() -> None:
    """The bundle's claims of today that are as they were, words and all, stand in it so."""
    known, same = commitments._version_1(paths.CATALOG / "commitments-v1.json"), 0
    for path in sorted(paths.MANIFESTS.glob("*.json")):
        manifest = validate.load_manifest(path)
        now = commitments_of(manifest)
        for name, digest in version_1(manifest).claims.items():
            if one := known.claims.get(digest):
                same += 1
                assert (one.claim, one.depends_on) == (now.claims[name], now.depends_on[name])
        for name, digest in version_1(manifest).printed.items():
            assert known.printed.get(digest, now.printed[name]) == now.printed[name]
    assert same


def test_the_words_of_a_bundled_claim_may_be_mended_under_version_1() -> None:
    """By the table: its digests are of the words as they were."""
    for path, run in committed().items():
        manifest = run_file.manifest_of(run)
        before = run_file.changes(run, manifest)
        mended = manifest.model_copy(
            update={
                "claims": tuple(
                    each.model_copy(update={"statement": f"{each.statement}, in other words"})
                    for each in manifest.claims
                )
            }
        )
        assert run_file.changes(run, mended) == before, path
