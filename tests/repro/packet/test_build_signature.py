"""The signature of a packet, by real keys made here. Oracle: what was done to the packet."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from signing import NAME, allow, make_key, sign

from repro.errors import BadInputError, CannotRunError
from repro.packet.build import check_signature, write_sums
from repro.store.run_file import SUMS

pytestmark = pytest.mark.skipif(not shutil.which("ssh-keygen"), reason="no ssh-keygen here")


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The author's key, and another's."""
    folder = tmp_path_factory.mktemp("keys")
    return make_key(folder / "author"), make_key(folder / "other")


@pytest.fixture
def packet(tmp_path: Path, keys: tuple[Path, Path]) -> Path:
    """Three files, listed and signed by the author."""
    made = tmp_path / "packet"
    (made / "results/runs").mkdir(parents=True)
    (made / "results/runs/a.json").write_text("{}")
    (made / "findings.csv").write_text("a,b\r\n")
    (made / "a name with spaces").write_text("x")
    write_sums(made)
    sign(made, keys[0])
    return made


def refused(packet: Path, allowed: Path) -> str:
    """The one line that a packet is refused with."""
    with pytest.raises(BadInputError) as error:
        check_signature(packet, allowed, Path("shown"))
    said = str(error.value)
    assert len(said.splitlines()) == 1
    assert "shown" in said or "--signature" in said
    return said


def test_the_signer_and_the_key_are_named(
    packet: Path, keys: tuple[Path, Path], tmp_path: Path
) -> None:
    said = check_signature(packet, allow(tmp_path, keys[0]), packet)
    fingerprint = subprocess.run(
        ["ssh-keygen", "-lf", str(keys[0])], capture_output=True, text=True, check=True
    ).stdout.split()[1]
    assert said == f"{NAME}, ED25519 key {fingerprint}"


def test_the_list_is_one_that_sha256sum_checks(packet: Path) -> None:
    done = subprocess.run(
        ["sha256sum", "--check", "--strict", "--quiet", SUMS], cwd=packet, check=False
    )
    assert done.returncode == 0
    listed = (packet / SUMS).read_text().splitlines()
    assert [line[66:] for line in listed] == [
        "a name with spaces",
        "findings.csv",
        "results/runs/a.json",
    ]


def change(packet: Path) -> None:
    (packet / "findings.csv").write_text("a,c\r\n")


def remove(packet: Path) -> None:
    (packet / "results/runs/a.json").unlink()


def add_file(packet: Path) -> None:
    (packet / "results/runs/b.json").write_text("{}")


def link(packet: Path) -> None:
    (packet.parent / "elsewhere").write_bytes((packet / "findings.csv").read_bytes())
    (packet / "findings.csv").unlink()
    (packet / "findings.csv").symlink_to(packet.parent / "elsewhere")


def link_to_folder(packet: Path) -> None:
    (packet / "results/jobs").symlink_to(packet.parent, target_is_directory=True)


@pytest.mark.parametrize(
    ("tamper", "said"),
    [
        (change, "findings.csv was changed"),
        (remove, "results/runs/a.json is missing"),
        (add_file, "results/runs/b.json is not listed"),
        (link, "findings.csv was changed"),
        (link_to_folder, "results/jobs is not listed"),
    ],
)
def test_every_file_is_held_to_the_list(
    packet: Path,
    keys: tuple[Path, Path],
    tmp_path: Path,
    tamper: Callable[[Path], None],
    said: str,
) -> None:
    tamper(packet)
    assert refused(packet, allow(tmp_path, keys[0])) == f"shown: not as it was signed: {said}"


def test_every_difference_is_named(packet: Path, keys: tuple[Path, Path], tmp_path: Path) -> None:
    for tamper in (change, remove, add_file):
        tamper(packet)
    said = refused(packet, allow(tmp_path, keys[0]))
    for name in ("a.json is missing", "b.json is not listed", "findings.csv was changed"):
        assert name in said


def test_a_list_made_anew_is_not_what_was_signed(
    packet: Path, keys: tuple[Path, Path], tmp_path: Path
) -> None:
    change(packet)
    (packet / "SHA256SUMS.sig").rename(tmp_path / "kept")
    write_sums(packet)
    (tmp_path / "kept").rename(packet / "SHA256SUMS.sig")
    said = refused(packet, allow(tmp_path, keys[0]))
    assert "SHA256SUMS.sig is no signature of SHA256SUMS for repro" in said


def test_an_unknown_signer_is_named_by_key(
    packet: Path, keys: tuple[Path, Path], tmp_path: Path
) -> None:
    sign(packet, keys[1])
    said = refused(packet, allow(tmp_path, keys[0]))
    assert "unknown signer" in said
    assert "ED25519 key SHA256:" in said


def test_a_signature_for_another_purpose_does_not_count(
    packet: Path, keys: tuple[Path, Path], tmp_path: Path
) -> None:
    sign(packet, keys[0], namespace="git")
    assert "no signature of SHA256SUMS for repro" in refused(packet, allow(tmp_path, keys[0]))


@pytest.mark.parametrize("options", ['namespaces="git"', 'valid-before="20200101"'])
def test_a_signer_may_be_allowed_less(
    packet: Path, keys: tuple[Path, Path], tmp_path: Path, options: str
) -> None:
    said = refused(packet, allow(tmp_path, keys[0], options))
    assert "allow" in said or "unknown signer" in said


def test_what_is_not_there_is_said(packet: Path, keys: tuple[Path, Path], tmp_path: Path) -> None:
    allowed = allow(tmp_path, keys[0])
    assert "found no file, expected one of allowed signers" in refused(packet, tmp_path / "none")
    (packet / "SHA256SUMS.sig").unlink()
    assert "found no SHA256SUMS.sig; its author makes it: ssh-keygen -Y" in refused(packet, allowed)
    (packet / SUMS).unlink()
    assert "found no SHA256SUMS; `repro export` makes packets" in refused(packet, allowed)


def test_a_damaged_signature_is_one_line(
    packet: Path, keys: tuple[Path, Path], tmp_path: Path
) -> None:
    (packet / "SHA256SUMS.sig").write_text("-----BEGIN SSH SIGNATURE-----\nnonsense\n")
    assert "is no signature of" in refused(packet, allow(tmp_path, keys[0]))


def test_a_signed_list_that_is_none_is_refused(
    packet: Path, keys: tuple[Path, Path], tmp_path: Path
) -> None:
    (packet / SUMS).write_text("not a digest\n")
    sign(packet, keys[0])
    with pytest.raises(BadInputError, match="SHA256SUMS, line 1: found 'not a digest'"):
        check_signature(packet, allow(tmp_path, keys[0]), packet)


def test_without_ssh_keygen_it_says_so(
    packet: Path, keys: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    allowed = allow(tmp_path, keys[0])
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(CannotRunError, match="found none on the path"):
        check_signature(packet, allowed, packet)
