"""The job of a proof: with Coq on tiny files of its own, without it a message."""

import hashlib
import shutil
from pathlib import Path

import pytest

from repro import paths
from repro.environment import machine
from repro.errors import CannotRunError
from repro.fileio import digest_of_file
from repro.inputs import data, locate
from repro.inputs.located import Located, Missing
from repro.schema.jobs import ProofJob
from runner import proofs
from runner.measurement import Inputs, Measurement

pytestmark = pytest.mark.timeout(300)

with_coq = pytest.mark.skipif(
    shutil.which("coqc") is None, reason="needs coqc: Debian's package coq (8.16)"
)
GOOD = "Theorem good : forall n : nat, n + 0 = n.\nProof. induction n; simpl; auto. Qed.\n"
STATEMENT = "forall n : nat, (n + 0)%nat = n"


def folder_of(root: Path, text: str) -> Path:
    """A folder of proofs of one file, with the bundle's own checker."""
    folder = root / "proofs"
    folder.mkdir()
    shutil.copy(paths.ROOT / "proofs" / "check", folder)
    (folder / "Planted.v").write_text(text)
    return folder


def job_of(folder: Path, *theorems: str) -> ProofJob:
    sources = {path.name: digest_of_file(path) for path in folder.glob("*.v")}
    return ProofJob(kind="proof", sources=sources, theorems=dict.fromkeys(theorems, "0" * 64))


def run(root: Path, text: str, *theorems: str) -> Measurement:
    folder = folder_of(root, text)
    told: list[tuple[int, int]] = []

    def progress(done: int, total: int, note: str = "") -> None:
        assert note
        told.append((done, total))

    found = proofs.run(job_of(folder, *theorems), Inputs(data=folder), progress)
    assert told == [(0, len(theorems)), (len(theorems), len(theorems))]
    return found


@with_coq
def test_a_record_says_what_coq_says(tmp_path: Path) -> None:
    found = run(tmp_path, GOOD, "Planted.good")
    assert found.values["Planted.good"] == STATEMENT
    assert found.values["Planted.good/axioms"] == ""
    assert "* Axioms: <none>" in str(found.values["coqchk"])
    assert len(str(found.values["Planted.vo"])) == len(hashlib.sha256().hexdigest())
    assert (found.arrays, found.path) == ({}, {"coq": machine.coq_version()})


@with_coq
@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("Theorem good : 1 + 1 = 3.\nProof. reflexivity. Qed.\n", "its proofs do not hold"),
        ("Theorem good : 1 + 1 = 3.\nAdmitted.\n", "found the axioms Lyapunov.Planted.good"),
        (
            "Axiom handy : 1 + 1 = 3.\nTheorem good : 1 + 1 = 3.\nProof. exact handy. Qed.\n",
            "Planted.good rests on Planted.handy",
        ),
        (GOOD.replace("good", "other"), "found no such Theorem in Planted.v"),
    ],
)
def test_what_is_not_proved_leaves_no_record(text: str, why: str, tmp_path: Path) -> None:
    with pytest.raises(CannotRunError) as error:
        run(tmp_path, text, "Planted.good")
    assert why in str(error.value)


def test_without_coq_a_job_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(CannotRunError, match="install Debian's package coq"):
        run(tmp_path, GOOD, "Planted.good")


# -----------------------------------------------------------------------------
# Before anything runs


def located(
    root: Path, monkeypatch: pytest.MonkeyPatch, text: str = GOOD, *, coq: bool = True
) -> tuple[Path, Located | Missing]:
    """Where the sources of a job are, of which one says something else by then."""
    folder = folder_of(root, GOOD)
    job = job_of(folder, "Planted.good")
    (folder / "Planted.v").write_text(text)
    monkeypatch.setenv("REPRO_BUNDLE", str(root))
    monkeypatch.setattr(shutil, "which", lambda name: f"/bin/{name}" if coq else None)
    return folder, locate.InputLocator().for_job(job)["data"]


def test_sources_are_found_and_digested(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, found = located(tmp_path, monkeypatch)
    assert isinstance(found, Located)
    assert found.path == folder
    assert found.files == {
        f"proofs/{name}": digest_of_file(folder / name) for name in ("Planted.v", "check")
    }


def test_without_coq_the_plan_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, found = located(tmp_path, monkeypatch, coq=False)
    assert isinstance(found, Missing)
    assert "apt-get install coq" in found.remedy
    assert found.download == 0


def test_a_changed_source_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, found = located(tmp_path, monkeypatch, GOOD.replace("n + 0", "0 + n"))
    assert isinstance(found, Missing)
    assert found.what == "the pinned sources of the proofs"
    assert "Planted.v" in found.remedy


def test_without_sources_they_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = folder_of(tmp_path, GOOD)
    job = job_of(folder, "Planted.good")
    shutil.rmtree(folder)
    monkeypatch.setenv("REPRO_BUNDLE", str(tmp_path))
    found = data.find_proofs(job)
    assert isinstance(found, Missing)
    assert "Planted.v" in found.remedy


def test_the_version_of_coq_is_part_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "coq_version", lambda: "8.16.1")
    assert machine.capture().packages["coq"] == "8.16.1"
    monkeypatch.setattr(machine, "coq_version", lambda: None)
    assert "coq" not in machine.capture().packages
