"""Where output may go, and who may read it. Oracles: what lies there afterwards; another user's
`find`."""

import errno
import json
import os
import shutil
import socket
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import made_up_archives as archives
import made_up_records as records
import pytest

from repro import fileio, paths
from repro.cli.main import main
from repro.errors import BadInputError, CannotReadError
from repro.packet import build
from repro.store import run_file
from repro.store.store import Store
from repro.weights.convert import convert

EVIDENCE = paths.ROOT / "evidence" / "h100"
NOBODY = 12345


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Theorem 3 of the evidence."""
    folder = tmp_path_factory.mktemp("small") / "results"
    (folder / "runs").mkdir(parents=True)
    path = EVIDENCE / "runs" / "theorem3.full.json"
    shutil.copy(path, folder / "runs")
    for key in run_file.load(path).jobs.values():
        if (EVIDENCE / "jobs" / key).is_dir():
            shutil.copytree(EVIDENCE / "jobs" / key, folder / "jobs" / key)
    return folder


# -----------------------------------------------------------------------------
# No file


def test_a_device_is_written_to_and_stays(tmp_path: Path) -> None:
    """As root a rename would make a regular file of /dev/null."""
    link = tmp_path / "null"
    link.symlink_to("/dev/null")
    for path in (link, Path("/dev/null")):
        before = path.stat()
        fileio.write_text(path, "gone")
        after = path.stat()
        assert stat.S_ISCHR(after.st_mode)
        assert (after.st_ino, after.st_rdev) == (before.st_ino, before.st_rdev)
    assert link.is_symlink()
    assert not list(Path("/dev").glob(".writing-*"))


def test_a_pipe_is_written_to_if_somebody_reads(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(BadInputError, match="found a pipe that nobody reads, expected a file"):
        fileio.write_text(pipe, "x")
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    fileio.write_text(pipe, "through")
    assert os.read(reader, 100) == b"through"
    os.close(reader)
    assert stat.S_ISFIFO(pipe.stat().st_mode)


@pytest.mark.parametrize("kind", ["folder", "socket", "loop"])
def test_what_cannot_be_written_to_is_refused_and_stays(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "x"
    if kind == "folder":
        path.mkdir()
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(str(path))
    else:
        path.symlink_to("x")
    before = path.lstat()
    with pytest.raises(BadInputError, match=r"found .*, expected a file or a free name"):
        fileio.write_text(path, "x")
    assert path.lstat().st_ino == before.st_ino
    assert [each.name for each in tmp_path.iterdir()] == ["x"]


@pytest.mark.parametrize("there", [True, False])
def test_a_link_is_followed(tmp_path: Path, *, there: bool) -> None:
    target, link = tmp_path / "deep" / "target", tmp_path / "link"
    target.parent.mkdir()
    if there:
        target.write_text("older")
    link.symlink_to(target)
    fileio.write_text(link, "newer")
    assert link.is_symlink()
    assert not target.is_symlink()
    assert target.read_text() == "newer"


def test_our_own_output_is_written_to(tmp_path: Path, small: Path) -> None:
    """Renamed over, the file that a shell has open would keep only what is printed after."""
    arguments = ["export", str(small), "--format", "csv", "--out"]
    assert main([*arguments, str(tmp_path / "table.csv")]) == 0
    expected = (tmp_path / "table.csv").read_bytes()
    command = [str(paths.ROOT / ".venv/bin/repro"), *arguments, "/dev/stdout"]
    with (tmp_path / "out").open("wb") as stream:
        subprocess.run(command, stdout=stream, check=True)
    assert (tmp_path / "out").read_bytes() == expected
    done = subprocess.run(command, capture_output=True, check=True)
    assert done.stdout == expected


def test_a_packet_goes_where_a_link_leads(tmp_path: Path, small: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "packet")
    command = ["export", str(small), "--format", "ro-crate", "--out", str(tmp_path / "link")]
    assert main(command) == 0
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "packet" / "SHA256SUMS").is_file()


def test_a_zip_file_goes_through_a_pipe_and_a_link(tmp_path: Path) -> None:
    (tmp_path / "draft").write_bytes(b"PK")
    os.mkfifo(tmp_path / "pipe.zip")
    reader = os.open(tmp_path / "pipe.zip", os.O_RDONLY | os.O_NONBLOCK)
    (tmp_path / "link.zip").symlink_to("target")
    for name in ("pipe.zip", "link.zip"):
        fileio.rename_draft(tmp_path / "draft", tmp_path / name)
    assert os.read(reader, 100) == b"PK"
    os.close(reader)
    assert (tmp_path / "link.zip").is_symlink()
    assert (tmp_path / "target").read_bytes() == b"PK"


def test_a_page_may_be_a_device(tmp_path: Path, small: Path) -> None:
    (tmp_path / "report.html").symlink_to("/dev/null")
    assert main(["report", str(small), "--out", str(tmp_path)]) == 3
    assert stat.S_ISCHR(Path("/dev/null").stat().st_mode)
    assert [each.name for each in tmp_path.iterdir()] == ["report.html"]


# -----------------------------------------------------------------------------
# Who may read it


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """One that every user may look into; pytest's own are private."""
    folder = Path(tempfile.mkdtemp(dir="/tmp"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def leave_everything(folder: Path, small: Path) -> None:
    """What commands leave behind: a record, a run file, a packet, a zip file, converted weights."""
    store, run = records.run(folder / "results", records.manifest(), "smoke")
    run_file.save(store.root, run)
    (folder / "made").mkdir()
    (folder / "made" / "adapter.safetensors").write_bytes(b"weights")
    key = next(iter(run.jobs.values()))
    record, arrays = store.load(key)
    store.save(arrays, lambda _: record, folder / "made")
    packet = folder / "packet"
    assert main(["export", str(small), "--format", "ro-crate", "--out", str(packet)]) == 0
    build.write_zip(packet, folder / "draft")
    fileio.rename_draft(folder / "draft", folder / "packet.zip")
    (folder / "pytorch_model.bin").write_bytes(archives.archive())
    convert(folder / "pytorch_model.bin", folder / "converted", lambda *_: None)


@pytest.mark.parametrize("umask", [0o002, 0o077])
def test_modes_are_the_umasks(tmp_path: Path, small: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        leave_everything(tmp_path, small)
    finally:
        os.umask(before)
    wrong = {
        str(path.relative_to(tmp_path)): oct(path.stat().st_mode)
        for path in tmp_path.rglob("*")
        if path.stat().st_mode & 0o777 != (0o777 if path.is_dir() else 0o666) & ~umask
    }
    assert wrong == {}


def test_another_user_reads_everything(open_folder: Path, small: Path) -> None:
    if os.geteuid() != 0 or not shutil.which("find"):
        pytest.skip("needs root, who may become another user, and find")
    leave_everything(open_folder, small)
    done = subprocess.run(
        ["find", str(open_folder), "!", "-readable"],
        user=NOBODY,
        group=NOBODY,
        extra_groups=[],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert len(list(open_folder.rglob("*"))) > 30


# -----------------------------------------------------------------------------
# Who may not


def as_one_who_may_not(*arguments: object) -> subprocess.CompletedProcess[str]:
    """A command run without root's right to read what its mode forbids."""
    command = [str(paths.ROOT / ".venv/bin/repro"), *map(str, arguments)]
    if os.geteuid() == 0:
        if not shutil.which("setpriv"):
            pytest.skip("root reads everything, and here is no setpriv to give that up")
        rights = "-dac_override,-dac_read_search"
        command = ["setpriv", f"--bounding-set={rights}", f"--inh-caps={rights}", *command]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture
def results(small: Path, tmp_path: Path) -> Iterator[Path]:
    """A copy; a test may close what it likes."""
    yield Path(shutil.copytree(small, tmp_path / "results"))
    for path in (tmp_path, *tmp_path.rglob("*")):
        path.chmod(0o755)


@pytest.mark.parametrize("what", ["", "record.json", "arrays.safetensors"])
def test_a_record_that_may_not_be_read_is_not_run(results: Path, what: str) -> None:
    closed = [job / what for job in (results / "jobs").iterdir()]
    assert closed
    for path in closed:
        path.chmod(0)
    done = as_one_who_may_not("verify", results, "--json")
    (verdict,) = json.loads(done.stdout)
    found = [each for each in verdict["findings"] if "cannot be read" in each["reason"]]
    assert found
    assert {each["outcome"] for each in found} == {"not-run"}
    assert "(its owner lets others: chmod -R a+rX)" in found[0]["reason"]
    assert "invalid" not in done.stdout


@pytest.mark.parametrize(
    ("what", "command"),
    [("runs", "verify"), ("runs/theorem3.full.json", "report"), (".", "export")],
)
def test_where_nothing_may_be_read_it_is_one_line(results: Path, what: str, command: str) -> None:
    (results / what).chmod(0)
    options = {
        "verify": (),
        "report": ("--out", results.parent / "page"),
        "export": ("--format", "ro-crate", "--out", results.parent / "packet"),
    }
    done = as_one_who_may_not(command, results, *options[command])
    assert done.returncode == 2
    assert "Permission denied" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert done.stdout == ""


def test_a_record_that_may_not_be_read_is_not_packed_and_frees_nothing(results: Path) -> None:
    next((results / "jobs").glob("*/record.json")).chmod(0)
    out = results.parent / "packet"
    for command in (
        ("export", results, "--format", "ro-crate", "--out", out),
        ("results", "gc", "--out", results),
    ):
        done = as_one_who_may_not(*command)
        assert done.returncode == 3
        assert "cannot be read: Permission denied" in done.stderr
    assert not out.exists()


def test_a_disk_that_fails_makes_no_record_invalid(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, run = records.run(tmp_path, records.manifest(), "smoke")

    def fails(path: Path) -> str:
        raise OSError(errno.EIO, os.strerror(errno.EIO), str(path))

    monkeypatch.setattr(fileio, "digest_of_file", fails)
    with pytest.raises(CannotReadError, match="cannot be read: Input/output error"):
        store.load(next(iter(run.jobs.values())))


def test_what_is_half_written_has_a_name_of_its_own(tmp_path: Path) -> None:
    assert fileio.unused_path(tmp_path, ".writing-") != fileio.unused_path(tmp_path, ".writing-")
    store = Store(tmp_path)
    store.jobs.mkdir()
    draft = fileio.unused_path(store.jobs, f".writing-{'a' * 64}-")
    draft.mkdir()
    assert list(store.leftovers()) == [("a" * 64, draft)]
