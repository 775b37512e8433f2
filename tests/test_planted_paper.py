"""A made-up paper of claims whose truth is known, and what `repro verify` says of each.

Oracle: `planted`, which imports nothing of `verify`: how each number was made stands beside it.
"""

import ast
import json
from pathlib import Path
from typing import Any, get_args

import pytest
from command_line import repro_here
from own_manifests import save
from planted import drawn, page, runs
from planted.claims import Paper, Planted

from repro import paths
from repro.schema import catalog, validate
from repro.schema.claims import Claim
from repro.schema.finding import Finding, Verdict
from repro.schema.manifest import Manifest
from repro.store.store import Store
from verify.evidence import Evidence
from verify.judge import judge
from verify.paper import paper_against_itself

KINDS: tuple[Any, ...] = get_args(get_args(Claim)[0])
OF_TUNED_MODELS = {"bars", "improvement", "measured-wins"}
"""What nothing but random runs tell: tests/test_planted_worlds.py has them."""


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Manifest, Paper]:
    """A results folder, its manifest, and what is true of each claim."""
    root, paper = tmp_path_factory.mktemp("planted"), Paper()
    page.plant(paper)
    claimed = paper.manifest("planted", jobs=runs.plant(paper))
    runs.write(root, claimed)
    return root, claimed, paper


@pytest.fixture(scope="module")
def verdict(written: tuple[Path, Manifest, Paper]) -> Verdict:
    root, claimed, _ = written
    run = runs.run_file.load(runs.run_file.path_of(root, claimed.id, "full"))
    known = catalog.checkpoints(), catalog.question_sets()
    return judge(claimed, Evidence(claimed, run, Store(root), *known), {})


def wrong(found: Finding, expected: Planted) -> str:
    """What is wrong with a finding; empty if nothing is."""
    if found.outcome not in expected.outcomes:
        return f"{found.claim} is {expected.truth}, the verdict {found.outcome}: {found.reason}"
    if (found.standing, found.result) != (expected.standing, expected.result):
        return f"{found.claim} stands as {found.standing}, {found.result}"
    if expected.listed not in (None, found.causes[0].code):
        return f"{found.claim} belongs to {expected.listed}, not {found.causes[0].code}"
    return ""


def test_nothing_of_the_verdict_is_known_to_who_plants() -> None:
    """Their imports, followed through the folder of tests."""
    here = paths.ROOT / "tests"
    waiting, seen = sorted((here / "planted").glob("*.py")), set[Path]()
    assert len(waiting) > 3
    while waiting:
        path = waiting.pop()
        seen.add(path)
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                names = [str(node.module), *(f"{node.module}.{each.name}" for each in node.names)]
            assert not [each for each in names if each.split(".")[0] == "verify"], path
            files = {here.joinpath(*each.split(".")).with_suffix(".py") for each in names}
            waiting += [each for each in files - seen if each.is_file()]
    assert here / "made_up_records.py" in seen


def test_the_planted_paper_is_a_manifest_as_any_other(
    written: tuple[Path, Manifest, Paper], tmp_path: Path
) -> None:
    """Units and names are those that a manifest has to have."""
    _, claimed, paper = written
    path = save(tmp_path, json.loads(claimed.model_dump_json()))
    assert validate.load_manifest(path) == claimed
    every = {get_args(each.model_fields["kind"].annotation)[0] for each in KINDS}
    assert {each.kind for each in claimed.claims} == every - OF_TUNED_MODELS - {"proof"}
    assert len(paper.planted) > 100


def test_every_word_on_the_page_on_code_and_on_exact_runs_is_right(
    written: tuple[Path, Manifest, Paper], verdict: Verdict
) -> None:
    expected = written[2].expected()
    assert {each.claim for each in verdict.findings} == set(expected)
    assert not [said for f in verdict.findings if (said := wrong(f, expected[f.claim]))]


def test_every_truth_is_planted_and_told(
    written: tuple[Path, Manifest, Paper], verdict: Verdict
) -> None:
    """So that no list is right because it is empty."""
    told = {(written[2].expected()[f.claim].truth, f.outcome) for f in verdict.findings}
    assert told >= {
        ("true", "consistent"),
        ("true", "reproduced"),
        ("false", "contradicted"),
        ("open", "inconclusive"),
        ("open", "not-run"),
        ("by-one-reading", "inconclusive"),
        ("under-a-condition", "inconclusive"),
        ("sampled", "inconclusive"),
        ("broken", "invalid"),
    }


def test_the_command_says_the_same(
    written: tuple[Path, Manifest, Paper], verdict: Verdict, tmp_path: Path
) -> None:
    """From the files alone."""
    root, claimed, _ = written
    save(tmp_path, json.loads(claimed.model_dump_json()))
    done = repro_here("verify", str(root), "--json", cwd=tmp_path)
    assert done.returncode == 1, done.stderr
    said = {each["claim"]: each["outcome"] for each in json.loads(done.stdout)[0]["findings"]}
    assert said == {each.claim: each.outcome for each in verdict.findings}


def test_no_rounding_makes_a_true_sentence_false_or_a_false_one_true() -> None:
    """Hundreds of drawn numbers, of which only the rounded ones are printed."""
    told = set[tuple[str, str, str]]()
    for seed in range(150):
        paper = Paper()
        drawn.plant(paper, seed)
        expected = paper.expected()
        for found in paper_against_itself(paper.manifest("drawn")).findings:
            assert not wrong(found, expected[found.claim]), seed
            told.add((found.kind, expected[found.claim].truth, found.outcome))
    decided = {(kind, truth) for kind, truth, outcome in told if outcome != "inconclusive"}
    assert len(decided) == 18  # nine kinds, true and false: none is only ever left open
