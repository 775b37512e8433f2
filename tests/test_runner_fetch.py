"""Fetching by digest. Oracle: pip itself, on an index that is a folder of our own."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from repro import bundle, digests
from repro.catalog import Wheel
from repro.errors import CannotRunError
from runner import fetch

NAME = "made_up_data-1.0-py3-none-any.whl"


@pytest.fixture
def wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Wheel:
    """A wheel in a folder that pip takes for the index, and an empty cache."""
    index = tmp_path / "index"
    index.mkdir()
    with zipfile.ZipFile(index / NAME, "w") as archive:
        metadata = "Metadata-Version: 2.1\nName: made-up-data\nVersion: 1.0\n"
        archive.writestr("made_up_data-1.0.dist-info/METADATA", metadata)
        archive.writestr("made_up_data-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\n")
        archive.writestr("made_up_data-1.0.dist-info/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(index))
    monkeypatch.setenv("REPRO_CACHE", str(tmp_path / "cache"))
    return Wheel(
        distribution="made-up-data",
        version="1.0",
        filename=NAME,
        sha256=digests.of_file(index / NAME),
        size=(index / NAME).stat().st_size,
    )


def test_the_pinned_file_lands_in_the_cache(wheel: Wheel) -> None:
    path = fetch.fetch_wheel(wheel)
    assert path == bundle.cache() / NAME
    assert digests.of_file(path) == wheel.sha256
    assert [each.name for each in bundle.cache().iterdir()] == [NAME]


def test_another_file_of_that_name_is_refused(wheel: Wheel) -> None:
    other = wheel.model_copy(update={"sha256": "0" * 64})
    with pytest.raises(CannotRunError, match="could not fetch made_up_data"):
        fetch.fetch_wheel(other)
    assert not list(bundle.cache().iterdir())


def test_a_file_that_is_not_there_is_named(wheel: Wheel) -> None:
    with pytest.raises(CannotRunError, match=r"could not fetch made_up_data-1.0.*No matching"):
        fetch.fetch_wheel(wheel.model_copy(update={"version": "2.0"}))


def test_a_hub_that_does_not_answer_is_a_message(tmp_path: Path) -> None:
    script = (
        "from repro import catalog; from repro.errors import CannotRunError; "
        "from runner import fetch\n"
        "try: fetch.fetch_checkpoint('mamba-130m', catalog.checkpoints()['mamba-130m'])\n"
        "except CannotRunError as error: print(error)"
    )
    environ = {**os.environ, "HF_ENDPOINT": "http://127.0.0.1:9", "HF_HOME": str(tmp_path)}
    path = os.pathsep.join([str(bundle.ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=True,
        env={**environ, "PYTHONPATH": path},
    )
    assert done.stdout.startswith("could not fetch state-spaces/mamba-130m-hf at main: ")
    assert "Traceback" not in done.stderr
