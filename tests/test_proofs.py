"""The machine-checked proofs: they hold, and the checker refuses what does not."""

import hashlib
import os
import re
import shutil
import subprocess
from functools import cache
from pathlib import Path

import pytest

from repro import paths
from repro.fileio import digest_of_file
from repro.schema import catalog, validate
from repro.schema.groups import SingleJob
from repro.schema.jobs import ProofJob
from repro.schema.kinds.proof import AXIOMS
from repro.schema.manifest import Manifest
from repro.schema.measured_claims import ProofClaim
from repro.store import run_file
from repro.store.store import Store
from runner.proofs import read_values
from tools import describe_theorems
from verify.evidence import Evidence
from verify.judge import judge
from verify.paper import paper_against_itself

pytestmark = pytest.mark.timeout(300)

PROOFS = paths.ROOT / "proofs"
README = (PROOFS / "README.md").read_text()
FILES = sorted(PROOFS.glob("*.v"))
THEOREM = re.compile(r"^Theorem ([A-Za-z0-9_]+)", re.MULTILINE)

with_coq = pytest.mark.skipif(
    shutil.which("coqc") is None, reason="needs coqc: Debian's package coq (8.16)"
)


def checked(*arguments: str | Path, path: str | None = None) -> tuple[int, str]:
    """Exit code of proofs/check, and all that it printed."""
    bash = shutil.which("bash") or "bash"
    done = subprocess.run(
        [bash, PROOFS / "check", *arguments],
        env=os.environ if path is None else {"PATH": path},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout


@with_coq
def test_every_theorem_is_proved_from_the_axioms_of_the_reals() -> None:
    code, output = checked("--quick")
    count = sum(len(THEOREM.findall(file.read_text())) for file in FILES)
    assert code == 0, output
    assert f"{count} theorems proved in {len(FILES)} files" in output


GOOD = "Theorem good : 1 + 1 = 2.\nProof. reflexivity. Qed.\n"

PLANTED = {
    "a false theorem": (
        "Theorem planted : 1 + 1 = 3.\nProof. reflexivity. Qed.",
        "refused: Planted.v: its proofs do not hold",
    ),
    "an Admitted": (
        "Theorem planted : 1 + 1 = 3.\nProof. Admitted.",
        "refused: coqchk: found the axioms Lyapunov.Planted.planted",
    ),
    "an Admitted lemma": (
        (
            "Lemma helper : 1 + 1 = 3.\nAdmitted.\nTheorem planted : 3 = 2.\n"
            "Proof. symmetry. exact helper. Qed."
        ),
        "refused: Planted.planted rests on Planted.helper",
    ),
    "an added axiom": (
        "Axiom handy : 1 + 1 = 3.\nTheorem planted : 1 + 1 = 3.\nProof. exact handy. Qed.",
        "refused: Planted.planted rests on Planted.handy",
    ),
    "an axiom that nothing uses": (
        "Axiom idle : 1 + 1 = 3.\nTheorem planted : 1 + 1 = 2.\nProof. reflexivity. Qed.",
        "refused: coqchk: found the axioms Lyapunov.Planted.idle",
    ),
    "an axiom under an allowed name": (
        (
            "Module ClassicalDedekindReals.\nAxiom sig_not_dec : 1 = 2.\n"
            "End ClassicalDedekindReals.\n"
            "Theorem planted : 1 = 2.\nProof. exact ClassicalDedekindReals.sig_not_dec. Qed."
        ),
        "refused: coqchk: found the axioms Lyapunov.Planted.ClassicalDedekindReals.sig_not_dec",
    ),
    "a theorem given up": (
        "Theorem planted : 1 + 1 = 3.\nProof. Abort.",
        "refused: a Theorem is stated but not there",
    ),
    "a switched-off check": (
        (
            "Unset Guard Checking.\nFixpoint absurd (n : nat) : False := absurd n.\n"
            "Theorem planted : 1 = 2.\nProof. destruct (absurd 0). Qed."
        ),
        "refused: coqchk: does not say '(co)fixpoints: <none>'",
    ),
    "no theorem": ("Lemma planted : 1 + 1 = 2.\nProof. reflexivity. Qed.", "found no Theorem"),
}
"""What is planted beside a good theorem (alone, if it is no theorem): a file, and the refusal."""


@with_coq
@pytest.mark.parametrize("what", PLANTED)
def test_what_is_not_proved_is_refused(what: str, tmp_path: Path) -> None:
    text, refusal = PLANTED[what]
    (tmp_path / "Planted.v").write_text(text)
    if what != "no theorem":
        (tmp_path / "Good.v").write_text(GOOD)
    code, output = checked(tmp_path)
    assert code == 1, output
    assert refusal in output


SPOILED = {
    "a statement changed": ("lora 1 U V O 2%nat = 3", "lora 1 U V O 2%nat = 4", "do not hold"),
    "a proof left out": (
        "Proof. intros. exists (U i). reflexivity. Qed.",
        "Admitted.",
        "rests on Theorem3.theorem3_rows",
    ),
}
"""What is changed in Theorem3.v, into what, and the refusal."""


@with_coq
@pytest.mark.parametrize("what", SPOILED)
def test_our_own_theorem_is_refused_once_spoiled(what: str, tmp_path: Path) -> None:
    old, new, refusal = SPOILED[what]
    shutil.copy(PROOFS / "Vectors.v", tmp_path)
    text = (PROOFS / "Theorem3.v").read_text()
    assert text.count(old) == 1
    (tmp_path / "Theorem3.v").write_text(text.replace(old, new))
    code, output = checked("--quick", tmp_path)
    assert code == 1, output
    assert refusal in output


@with_coq
def test_a_theorem_without_axioms_passes_and_is_read_twice(tmp_path: Path) -> None:
    (tmp_path / "Good.v").write_text(GOOD)
    code, output = checked(tmp_path)
    assert code == 0, output
    assert "Good.good: no axiom\n" in output
    assert "* Axioms: <none>" in output


@with_coq
def test_a_folder_without_proofs_is_named(tmp_path: Path) -> None:
    code, output = checked(tmp_path)
    assert (code, output) == (2, f"{tmp_path}: found no .v file, expected Coq files\n")


def test_without_coq_one_message_says_what_to_install(tmp_path: Path) -> None:
    for tool in ("dirname", "sed"):
        (tmp_path / tool).symlink_to(shutil.which(tool) or tool)
    code, output = checked(path=str(tmp_path))
    assert code == 3
    assert output == "coqc: found none, expected Coq 8.16; install Debian's package coq\n"


def test_readme_names_every_theorem_and_no_other() -> None:
    stated = {f"{file.stem}.{name}" for file in FILES for name in THEOREM.findall(file.read_text())}
    stems = "|".join(file.stem for file in FILES)
    listed = set(re.findall(rf"`((?:{stems})\.(?!v`)\w+)`", README))
    assert listed == stated


def test_readme_names_code_that_is_there() -> None:
    """`file.py` `name`: what the hypotheses are mapped to."""
    places = re.findall(r"`((?:repro|runner|verify)/[a-z0-9_/]+\.py)` `([A-Za-z0-9_.]+)`", README)
    assert len(places) > 10
    for file, name in places:
        *owners, last = name.split(".")
        text = (paths.ROOT / file).read_text()
        for owner in owners:
            assert re.search(rf"^class {owner}\b", text, re.MULTILINE), (file, name)
        pattern = rf"^\s*(?:def|class) {last}\b|^\s*(?:self\.)?{last}\b.*[:=]|^import .*{last}"
        assert re.search(pattern, text, re.MULTILINE), (file, name)


def test_readme_names_the_claims_that_read_the_pinned_code() -> None:
    """`prose:EQ.…`: an equation of the paper, and the line of the packages' code that has it."""
    prose = validate.load_manifest(paths.MANIFESTS / "prose.json")
    about = {claim.id for claim in prose.claims if claim.id.startswith("EQ.")}
    named = set(re.findall(r"`prose:(EQ\.[a-z.-]+)`", README))
    sentences = {"EQ.diagonal", "EQ.two-linear"}
    assert named == about - sentences
    found = {each.claim: each.outcome for each in paper_against_itself(prose).findings}
    assert {each for each in named if found[each] != "consistent"} == {
        "EQ.hold",  # the released code has Euler, which the proofs cover as well
        "EQ.diagonal.output",  # it adds up a channel, as the proofs have it
    }


# -----------------------------------------------------------------------------
# The manifests that claim what the proofs show, and the committed record: no Coq is needed

MANIFESTS = ("proofs", "proofs_v3")
EVIDENCE = paths.ROOT / "evidence" / "coq"


@cache
def claimed(name: str) -> tuple[Manifest, ProofJob]:
    manifest = validate.load_manifest(paths.MANIFESTS / f"{name}.json")
    (group,) = manifest.jobs
    assert isinstance(group, SingleJob)
    assert isinstance(group.job, ProofJob)
    return manifest, group.job


@pytest.mark.parametrize("name", MANIFESTS)
def test_manifests_pin_every_source_and_every_theorem(name: str) -> None:
    _, job = claimed(name)
    assert job.sources == {file.name: digest_of_file(file) for file in FILES}
    stated = {f"{file.stem}.{one}" for file in FILES for one in THEOREM.findall(file.read_text())}
    assert set(job.theorems) == stated


def test_every_theorem_is_claimed_or_a_step_to_one() -> None:
    named = {
        theorem
        for name in MANIFESTS
        for claim in claimed(name)[0].claims
        if isinstance(claim, ProofClaim)
        for theorem in claim.theorems
    }
    assert set(claimed("proofs")[1].theorems) - named == {
        "Constants.states_stay",
        "Lemma1.lemma1_negative",
        "Lemma1.lemma1_norm_at_most_1",
        "Model.mamba_output",
        "Model.paper_equations",
        "Precision.rounding_grows",
        "Precision.rounding_stays",
        "Section31.doubling_passes",
        "Section31.finite_horizon_says_nothing",
        "Theorem1.deviation_exact",
        "Theorem1.theorem1_state_rate",
        "Theorem1.theorem1_state_sharp",
        "Theorem1.theorem1_state_two_norm",
        "Theorem1.theorem1_two_norm_never_rises",
    }


def test_the_allowed_axioms_are_those_of_the_checker() -> None:
    listed = re.search(r"^allowed='([^']+)'", (PROOFS / "check").read_text(), re.MULTILINE)
    assert listed
    assert sorted(listed[1].split()) == sorted(AXIOMS)
    assert all(f"`{name.rpartition('.')[2]}`" in README for name in AXIOMS)


@pytest.mark.parametrize("name", MANIFESTS)
def test_the_committed_record_proves_what_is_claimed(name: str) -> None:
    manifest, _ = claimed(name)
    run = run_file.load(EVIDENCE / "runs" / f"{name}.full.json")
    store = Store(EVIDENCE)
    evidence = Evidence(manifest, run, store, catalog.checkpoints(), catalog.question_sets())
    found = {each.claim: each for each in judge(manifest, evidence, {}).findings}
    words = {
        each.claim: each.listed_under or each.outcome for each in found.values() if each.counts
    }
    expected = {
        "proofs": {
            **dict.fromkeys(("TH1a.proof", "TH1b.proof", "TH2.proof", "TH3.proof"), "proved"),
            "TH1c.proof": "fails-by-one-reading",
            "TH1d.proof": "proved-in-part",
            "TH4.positive.proof": "fails-by-one-reading",
            "TH4.nonpositive.proof": "contradicted",
            "TH4.bound": "fails-by-one-reading",
        },
        "proofs_v3": {"V3.guaranteed.proof": "proved", "V3.random.proof": "proved"},
    }
    assert words == expected[name]
    fails = {name for name, each in found.items() if each.result == "fails"}
    refuting = {
        each.id
        for each in manifest.claims
        if isinstance(each, ProofClaim) and each.relation == "refutes"
    }
    assert fails == {each for each in refuting if found[each].standing != "printed"}


def test_the_page_of_the_theorems_is_made_of_the_evidence() -> None:
    page = (paths.ROOT / "docs" / "theorems.md").read_text(encoding="utf-8")
    assert page == describe_theorems.describe(paths.ROOT / "evidence")


@with_coq
def test_a_statement_is_printed_as_the_manifest_pins_it_and_a_changed_one_is_not(
    tmp_path: Path,
) -> None:
    """Theorem 3, which needs one other file, and a weaker one beside it.

    One call: the second kernel reads Coq's library again in each, which takes 40 s.
    """
    _, job = claimed("proofs")
    mine = {name: sha for name, sha in job.theorems.items() if name.startswith("Theorem3.")}
    text = (PROOFS / "Theorem3.v").read_text()
    weaker = text.replace("(W U V : mat) t, (0 < t)%nat ->", "(W U V : mat) t, (1 < t)%nat ->")
    assert weaker != text
    folder, kept = tmp_path / "proofs", tmp_path / "kept"
    folder.mkdir()
    shutil.copy(PROOFS / "Vectors.v", folder)
    (folder / "Theorem3.v").write_text(text)
    (folder / "Weaker.v").write_text(weaker)
    code, output = checked("--keep", kept, folder)
    assert code == 0, output
    apart = []
    for module in ("Theorem3", "Weaker"):
        pinned = {name.replace("Theorem3", module, 1): sha for name, sha in mine.items()}
        said = read_values(job.model_copy(update={"theorems": pinned}), kept)
        printed = {name: hashlib.sha256(str(said[name]).encode()).hexdigest() for name in pinned}
        apart.append([name for name in pinned if printed[name] != pinned[name]])
    assert apart == [[], ["Weaker.theorem3_as_printed"]]
