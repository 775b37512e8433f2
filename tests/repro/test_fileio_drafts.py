"""Large files: together under their names or not at all, and never over another file."""

from pathlib import Path

import made_up_archives as made_up
import pytest
import small_disk
import torch

from repro.errors import BadInputError
from repro.weights.convert import convert


def quiet(_done: int, _total: int, _note: str) -> None:
    """No bar."""


def refusal(file: Path, out: Path | None = None) -> str:
    with pytest.raises(BadInputError) as caught:
        convert(file, out, quiet)
    return str(caught.value)


def test_the_same_file_is_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "pytorch_model.bin").write_bytes(made_up.archive())
    (first,) = convert(tmp_path / "pytorch_model.bin", None, quiet)
    before = first.target.stat()
    (second,) = convert(tmp_path / "pytorch_model.bin", None, quiet)
    assert (first.written, second.written) == (True, False)
    assert second.target_sha256 == first.target_sha256
    assert first.target.stat().st_mtime_ns == before.st_mtime_ns
    assert first.target.stat().st_ino == before.st_ino


def test_another_file_is_never_overwritten(tmp_path: Path) -> None:
    (tmp_path / "pytorch_model.bin").write_bytes(made_up.archive())
    (tmp_path / "model.safetensors").write_bytes(b"precious")
    said = refusal(tmp_path / "pytorch_model.bin")
    assert "a file of that name is there, with another content; nothing was written" in said
    assert (tmp_path / "model.safetensors").read_bytes() == b"precious"
    assert len(list(tmp_path.iterdir())) == 2


def test_an_interrupt_leaves_nothing(tmp_path: Path) -> None:
    torch.save({"w": torch.ones(1000)}, tmp_path / "pytorch_model.bin")

    def interrupt(done: int, total: int, _note: str) -> None:
        if done > total * 0.9:
            assert len(list(tmp_path.iterdir())) == 2
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        convert(tmp_path / "pytorch_model.bin", None, interrupt)
    assert [each.name for each in tmp_path.iterdir()] == ["pytorch_model.bin"]


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "pytorch_model.bin").write_bytes(made_up.archive())
    said = refusal(tmp_path / "pytorch_model.bin", tmp_path / "pytorch_model.bin" / "out")
    assert "Not a directory; nothing was written" in said


def test_a_full_disk_leaves_nothing(tmp_path: Path) -> None:
    """Oracle: a real file system that is full."""
    torch.save({"w": torch.ones(600_000)}, tmp_path / "pytorch_model.bin")
    done = small_disk.on_a_small_disk(
        f"""
        import os, sys
        from repro.cli.main import main
        print(main(["convert", "{tmp_path}/pytorch_model.bin", "--out", "/mnt/out"]))
        print(os.listdir("/mnt/out"))
        """,
        "1m",
    )
    if "unshare" in done.stderr or "mount:" in done.stderr:
        pytest.skip(f"no mount namespaces here: {done.stderr.strip()}")
    assert done.stdout.splitlines() == ["2", "[]"]
    assert "No space left on device; nothing was written. Free some space" in done.stderr
