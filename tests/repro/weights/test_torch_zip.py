"""Layouts of a zip archive: torch's is read, whatever could hide or multiply data is refused."""

import io
import struct
import zipfile
from typing import Any

import made_up_archives as made_up
import pytest

from repro.weights import torch_zip
from repro.weights.torch_zip import RefusedError


def members(data: bytes) -> dict[str, torch_zip.Member]:
    return torch_zip.members(io.BytesIO(data), len(data))


def refusal(data: bytes) -> str:
    with pytest.raises(RefusedError) as caught:
        members(data)
    return f"{caught.value.where}: found {caught.value.found}, expected {caught.value.expected}"


def test_members_are_where_zipfile_finds_them() -> None:
    data = made_up.archive()
    found = members(data)
    with zipfile.ZipFile(io.BytesIO(data)) as file:
        for info in file.infolist():
            member = found.pop(info.filename.removeprefix("a/"))
            assert data[member.offset : member.end] == file.read(info)
            assert (member.header, member.crc) == (info.header_offset, info.CRC)
    assert not found


def test_large_archives_keep_sizes_in_the_zip64_field(monkeypatch: Any) -> None:
    """Oracle: zipfile, told that everything over 10 bytes is large."""
    plain = members(made_up.archive())
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", 10)
    data = made_up.archive()
    assert b"PK\x06\x06" in data
    assert struct.pack("<L", 0xFFFFFFFF) in data
    found = members(data)
    assert found.keys() == plain.keys()
    member = found["data/0"]
    assert data[member.offset : member.end] == bytes(range(16))


def test_end_records_that_disagree_are_refused(monkeypatch: Any) -> None:
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", 10)
    data = bytearray(made_up.archive())
    struct.pack_into("<2H", data, len(data) - 14, 2, 2)
    assert "two end records that disagree" in refusal(bytes(data))


def test_an_enormous_place_is_refused_unread(monkeypatch: Any) -> None:
    """2**64 - 1 is more than a file can be asked to seek."""
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", 10)
    data = bytearray(made_up.archive())
    place = struct.pack("<Q", members(bytes(data))["version"].header)
    at = data.index(place, data.rindex(b"a/version"))
    data[at : at + 8] = b"\xff" * 8
    assert "18,446,744,073,709,551,615, expected the end before" in refusal(bytes(data))


def test_a_directory_that_lists_more_than_it_says_is_refused() -> None:
    data = bytearray(made_up.archive())
    struct.pack_into("<2H", data, len(data) - 14, 2, 2)
    assert "a directory that lists more" in refusal(bytes(data))


def test_a_comment_that_is_not_there_is_refused() -> None:
    assert "or a comment" in refusal(made_up.archive()[:-2] + b"\x03\0")


@pytest.mark.parametrize("end", range(len(made_up.archive())))
def test_an_archive_cut_anywhere_is_refused(end: int) -> None:
    assert "a whole archive of torch.save" in refusal(made_up.archive()[:end])


def test_compressed_members_are_refused_unread() -> None:
    """A bomb: a gigabyte of zeros in a megabyte."""
    bomb = made_up.archive(storages={"0": bytes(100_000_000)}, method=zipfile.ZIP_DEFLATED)
    assert len(bomb) < 1_000_000
    assert "members that are not compressed" in refusal(bomb)


def test_encrypted_members_are_refused() -> None:
    data = bytearray(made_up.archive())
    data[data.index(b"PK\x01\x02") + 8] |= 1
    assert "an encrypted member" in refusal(bytes(data))


def test_a_name_twice_is_refused() -> None:
    data = made_up.archive(storages={"0": b"one", "1": b"two"}).replace(b"data/1", b"data/0")
    assert refusal(data) == "member data/0: found the name twice, expected every name once"


def test_members_inside_each_other_are_refused() -> None:
    """The second storage's header lies in the data of the first, after David Fifield's bomb."""
    inner = made_up.archive(storages={"1": b"x" * 50})
    start = inner.index(b"PK\x03\x04", 10)
    hidden = inner[start : inner.index(b"PK\x03\x04", start + 4)]
    data = bytearray(made_up.archive(storages={"0": hidden, "1": b"x" * 50}))
    entry = data.rindex(b"a/data/1") - 46
    assert data[entry : entry + 4] == b"PK\x01\x02"
    struct.pack_into("<L", data, entry + 42, data.index(hidden))
    assert "two members at one place" in refusal(bytes(data))


def test_data_between_the_members_is_refused() -> None:
    data = made_up.archive(storages={"0": b"0" * 100, "1": b"1"})
    entry = data.rindex(b"a/data/0") - 46
    hidden = bytearray(data)
    struct.pack_into("<2L", hidden, entry + 20, 3, 3)  # the directory lists three bytes of 100
    assert "data that belongs to no member" in refusal(bytes(hidden))


@pytest.mark.parametrize(
    "data",
    [
        b"MZ" + made_up.archive(),
        made_up.archive() + b"\0",
        made_up.archive()[:-2] + b"\x03\0...",
        made_up.archive() + made_up.archive(),
    ],
    ids=["data before", "data behind", "a comment", "two archives"],
)
def test_data_around_the_archive_is_refused(data: bytes) -> None:
    """zipfile opens each of these without a word."""
    with zipfile.ZipFile(io.BytesIO(data)) as file:
        assert "a/data.pkl" in file.namelist()
    assert "end of the zip archive" in refusal(data)


@pytest.mark.parametrize("name", ["a/../x", "/a/x", "a//x", "a/", "x", "a\\x", "a/./x", "a/\x1b["])
def test_names_that_leave_the_folder_are_refused(name: str) -> None:
    assert "a name inside the archive's one folder" in refusal(made_up.archive(**{name: b""}))


def test_two_folders_are_refused() -> None:
    assert "2 folders" in refusal(made_up.archive(**{"b/x": b""}))


def test_a_directory_that_names_a_member_otherwise_is_refused() -> None:
    data = made_up.archive()
    at = data.index(b"a/data/0")
    assert "another name in its header" in refusal(data[:at] + b"a/data/1" + data[at + 8 :])


def test_too_many_members_are_refused(monkeypatch: Any) -> None:
    monkeypatch.setattr(torch_zip, "_MOST_MEMBERS", 2)
    assert "3 members" in refusal(made_up.archive())


def test_damaged_data_is_refused() -> None:
    data = bytearray(made_up.archive())
    member = members(bytes(data))["data/0"]
    data[member.offset] ^= 1
    with pytest.raises(RefusedError, match="the file is damaged"):
        torch_zip.digest(io.BytesIO(data), members(bytes(data)), len(data), lambda _: None)
