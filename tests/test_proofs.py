"""The machine-checked proofs: they hold, and the checker refuses what does not."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from repro import paths

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
