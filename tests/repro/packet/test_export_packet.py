"""Packets as others zip, unpack, damage and forge them. Oracle: the packet that was made here."""

import os
import shutil
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path

import packets
import pytest

from repro.cli.main import main
from repro.errors import BadInputError
from repro.packet import build

results = packets.results
packet = packets.packet


def zipped(folder: Path, out: Path, top: str = "") -> Path:
    with zipfile.ZipFile(out, "w") as archive:
        for name in sorted(build.files_of(folder)):
            archive.write(folder / name, top + name)
    return out


def outcomes(capsys: pytest.CaptureFixture[str], *given: Path) -> list[tuple[str, str]]:
    return [
        (finding["claim"], finding["outcome"])
        for verdict in packets.verdicts(capsys, *given)
        for finding in verdict["findings"]
    ]


# -----------------------------------------------------------------------------
# A folder on top


def test_a_packet_with_its_folder_on_top_is_the_packet(
    packet: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    expected = outcomes(capsys, packet)
    assert expected
    plain = zipped(packet, tmp_path / "plain.zip", "a name/")
    assert outcomes(capsys, plain) == expected
    with zipfile.ZipFile(plain, "a") as archive:  # as macOS' Finder
        archive.mkdir("a name")
        archive.writestr("__MACOSX/a name/._report.html", b"a fork")
    assert outcomes(capsys, plain) == expected
    assert outcomes(capsys, zipped(packet, tmp_path / "dot.zip", "./")) == expected  # as bsdtar
    unpacked = tmp_path / "unpacked"  # as Windows' "extract all"
    shutil.copytree(packet, unpacked / "packet")
    assert outcomes(capsys, unpacked) == expected


def test_results_without_a_list_may_have_a_folder_on_top_too(
    results: Path, packet: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = zipped(results, tmp_path / "results.zip", "results/")
    assert outcomes(capsys, made) == outcomes(capsys, packet)


def test_two_packets_in_a_zip_file_are_refused(
    packet: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("one", "two"):
        shutil.copytree(packet, tmp_path / "both" / name)
    made = zipped(tmp_path / "both", tmp_path / "both.zip")
    assert main(["verify", str(made)]) == 2
    said = capsys.readouterr().err
    assert "found several packets or results, one, two; expected one in a zip file" in said


# -----------------------------------------------------------------------------
# What is no packet


def link() -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo("results/runs/a.json")
    entry.external_attr = (stat.S_IFLNK | 0o777) << 16
    return entry


@pytest.mark.parametrize(
    ("member", "found"),
    [
        ("../escaped", "a name that leads elsewhere"),
        ("results/../../escaped", "a name that leads elsewhere"),
        ("/escaped", "a name that leads elsewhere"),
        ("C:/escaped", "a name that leads elsewhere"),
        ("results\\..\\escaped", "a name that is none"),
        ("a//b", "a name that is none"),
        ("a\nb", "a name that is none"),
        ("SHA256SUMS", "a name twice"),
        ("results", "a name twice"),
        (link(), "a link or a device"),
    ],
)
def test_a_zip_file_that_writes_elsewhere_or_twice_is_refused_whole(
    packet: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    member: str | zipfile.ZipInfo,
    found: str,
) -> None:
    made = zipped(packet, tmp_path / "packet.zip")
    with zipfile.ZipFile(made, "a") as archive:
        if member == "SHA256SUMS":
            with pytest.warns(UserWarning, match="Duplicate name"):
                archive.writestr(member, "/etc/passwd")
        else:
            archive.writestr(member, "/etc/passwd")
    (tmp_path / "scratch").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "scratch"))
    with pytest.raises(BadInputError, match=found) as error, build.opened(made):
        pass
    assert "nothing was unpacked" in str(error.value)
    assert list((tmp_path / "scratch").iterdir()) == []
    assert not (tmp_path / "escaped").exists()


def test_a_zip_bomb_is_refused_before_it_is_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(build, "_ROOM", 1 << 20)
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("results/runs/a.json", bytes(4 << 20))
    over = pytest.raises(BadInputError, match="bytes unpacked, over 100 times its own")
    with over, build.opened(tmp_path / "bomb.zip"):
        pass


# -----------------------------------------------------------------------------
# Held to its own list


def append(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b" ")


def become_a_link(path: Path) -> None:
    copy = path.with_name("copy")
    path.rename(copy)
    path.symlink_to(copy)


def become_a_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        (append, "report.html was changed"),
        (Path.unlink, "report.html is missing"),
        (become_a_link, "copy is not listed, report.html was changed"),
        (become_a_pipe, "report.html was changed"),
        (lambda path: append(path) or path.with_name("a").touch(), "a is not listed, report.html"),
    ],
)
def test_a_packet_without_a_signature_is_held_to_its_list(
    packet: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    damage: Callable[[Path], object],
    expected: str,
) -> None:
    copy = tmp_path / "packet"
    shutil.copytree(packet, copy)
    damage(copy / "report.html")
    given = [copy]
    if damage in (append, Path.unlink):  # zipfile follows a link, and waits at a pipe
        given.append(zipped(copy, tmp_path / "packet.zip", "packet/"))
    for each in given:
        assert main(["verify", str(each)]) == 2
        done = capsys.readouterr()
        assert f"not as its SHA256SUMS lists it: {expected}" in done.err
        assert done.out == ""


def test_a_list_without_a_signature_says_what_it_cannot_find(
    packet: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = tmp_path / "packet"
    shutil.copytree(packet, copy)
    append(copy / "report.html")
    build.write_sums(copy)  # what a forger does
    assert main(["verify", str(copy)]) in (1, 3)
    said = capsys.readouterr().err
    assert "finds slips and not forgery; no signature was checked (--signature)" in said


def test_a_list_that_has_a_file_twice_is_none(packet: Path, tmp_path: Path) -> None:
    copy = tmp_path / "packet"
    shutil.copytree(packet, copy)
    lines = (copy / "SHA256SUMS").read_text().splitlines(keepends=True)
    (copy / "SHA256SUMS").write_text("".join([*lines, lines[0]]))
    with pytest.raises(BadInputError, match="expected every file once"):
        build.check_digests(copy, copy)
