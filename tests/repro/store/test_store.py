"""Records on the disk: whole or absent, whatever happens."""

import errno
import itertools
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import made_up_records as records
import numpy as np
import pytest
from small_disk import job, on_a_small_disk, saved

from repro.errors import CannotRunError
from repro.fileio import write_text
from repro.store.store import UNNAMED, BrokenRecordError, Store


def test_a_record_comes_back_as_it_was(tmp_path: Path) -> None:
    store, key = saved(tmp_path)
    record, arrays = store.load(key)
    assert record.key == key
    for name, array in records.answers(job()).items():
        assert np.array_equal(arrays[name], array)
    assert [each.name for each in store.jobs.iterdir()] == [key]


def test_a_record_written_twice_is_the_second(tmp_path: Path) -> None:
    store, key = saved(tmp_path)
    saved(tmp_path, extra=np.zeros(3))
    assert "extra" in store.load(key)[1]
    assert [each.name for each in store.jobs.iterdir()] == [key]


def test_not_contiguous_arrays_are_saved_as_they_read(tmp_path: Path) -> None:
    turned = np.arange(12.0).reshape(3, 4).T
    store, key = saved(tmp_path, turned=turned)
    assert np.array_equal(store.load(key)[1]["turned"], turned)


@pytest.mark.parametrize("name", ["record.json", "arrays.safetensors"])
def test_a_truncated_record_is_not_done(tmp_path: Path, name: str) -> None:
    store, key = saved(tmp_path)
    path = store.folder(key) / name
    path.write_bytes(path.read_bytes()[:-20])
    assert not store.has(key)
    with pytest.raises(BrokenRecordError):
        store.load(key)


def test_a_record_under_another_key_is_not_done(tmp_path: Path) -> None:
    store, key = saved(tmp_path)
    store.folder(key).rename(store.folder("f" * 64))
    assert not store.has("f" * 64)


def test_leftovers_of_a_killed_run_are_swept(tmp_path: Path) -> None:
    store, key = saved(tmp_path)
    (store.jobs / ".writing-dead").mkdir()
    (store.jobs / ".writing-dead" / "arrays.safetensors").write_bytes(b"half")
    store.sweep()
    assert [each.name for each in store.jobs.iterdir()] == [key]


def test_a_full_disk_leaves_nothing_half_written() -> None:
    """Oracle: a real file system that is full, not a simulated error."""
    script = """
        import os, numpy as np
        from pathlib import Path
        import made_up_records as records, small_disk as here
        from repro.errors import CannotRunError
        store, key = here.saved(Path("/mnt/results"))
        try:
            here.saved(Path("/mnt/results"), big=np.ones(200_000))
        except CannotRunError as error:
            print(error.exit_code, error)
        print(os.listdir("/mnt/results/jobs") == [key], store.has(key))
    """
    done = on_a_small_disk(script, "1m")
    if "unshare" in done.stderr or "mount:" in done.stderr:
        pytest.skip(f"no mount namespaces here: {done.stderr.strip()}")
    assert done.returncode == 0, done.stderr
    first, second = done.stdout.splitlines()
    assert first.startswith("3 could not save /mnt/results/jobs: No space left on device; free")
    assert second == "True True"


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises((CannotRunError, NotADirectoryError, FileExistsError)):
        saved(tmp_path / "file")


def test_text_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "file.json"
    write_text(path, "one")
    write_text(path, "two")
    assert path.read_text() == "two"
    assert [each.name for each in path.parent.iterdir()] == ["file.json"]


# -----------------------------------------------------------------------------
# Crashes at every step


def until(step: int, work: Callable[[], object]) -> bool:
    """Do some work in a process that is killed at its n-th step on the disk; whether it was."""
    child = os.fork()
    if child == 0:
        left = iter(range(step))

        def count(event: str, _: object) -> None:
            if event in TOUCHES and next(left, None) is None:
                os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(count)
        work()
        os._exit(0)
    return os.WIFSIGNALED(os.waitpid(child, 0)[1])


TOUCHES = {"open", "os.rename", "os.mkdir", "os.remove", "os.rmdir", "os.chmod", "shutil.rmtree"}
"""What Python tells of, before it does it."""


@pytest.mark.parametrize("disk", ["local", "nfs"])
def test_a_kill_at_any_step_leaves_the_old_record_or_the_new(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, disk: str
) -> None:
    if disk == "nfs":  # two names cannot change places there
        monkeypatch.setattr("repro.store.store.exchange", lambda *_: False)
    store, key = saved(tmp_path, age=np.zeros(1))
    seen = []
    for step in itertools.count():
        killed = until(step, lambda: saved(tmp_path, age=np.ones(1)))
        seen.append(float(store.load(key)[1]["age"][0]))  # whole, whatever happened
        if not killed:
            break
        store.sweep()
        assert [each.name.strip(".") for each in store.jobs.iterdir()] in ([key], [f"old-{key}"])
        saved(tmp_path, age=np.zeros(1))
        assert [each.name for each in store.jobs.iterdir()] == [key]
    assert step > 10
    assert {0.0, 1.0} == set(seen)  # the old one was there for a while, then the new one
    assert seen == sorted(seen)


def test_a_kill_while_a_record_is_removed_leaves_no_half_of_it(tmp_path: Path) -> None:
    store, key = saved(tmp_path)
    for step in itertools.count():
        saved(tmp_path)
        killed = until(step, lambda: store.remove(key))
        if store.folder(key).exists():
            store.load(key)
        store.sweep()
        assert {each.name for each in store.jobs.iterdir()} <= {key}
        if not killed:
            break
    assert step > 2


# -----------------------------------------------------------------------------
# One writer a key

HOLD = """
import sys, time
from pathlib import Path
from repro.store.store import Store
with Store(Path(sys.argv[1])).lock("a" * 64):
    print("mine", flush=True)
    time.sleep(60)
"""


@contextmanager
def another_process_holds(root: Path) -> Iterator["subprocess.Popen[str]"]:
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(root)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    ) as holder:
        assert holder.stdout
        assert holder.stdout.readline() == "mine\n"
        yield holder
        holder.kill()


def test_a_lock_is_waited_for_and_a_dead_owner_lets_go(tmp_path: Path) -> None:
    told: list[str] = []
    store = Store(tmp_path)
    with another_process_holds(tmp_path) as holder:

        def waiting(owner: str) -> None:
            told.append(owner)
            if len(told) == 2:
                holder.kill()

        with store.lock_now("a" * 64) as mine:
            assert not mine
        with store.lock("a" * 64, waiting):
            assert len(told) >= 2
    assert told[0] == f"process {holder.pid} on {socket.gethostname()}"
    assert not list(store.locks.iterdir())


@pytest.mark.usefixtures("all_cores")
def test_no_two_processes_have_a_lock_at_once(tmp_path: Path) -> None:
    """The file that stands for it is removed and made again all the time."""
    store, counter, children = Store(tmp_path / "s"), tmp_path / "count", []
    counter.write_text("0")
    for _ in range(4):
        child = os.fork()
        if child == 0:
            for _ in range(50):
                while True:
                    with store.lock_now("a") as mine:
                        if mine:
                            counter.write_text(str(int(counter.read_text()) + 1))
                            break
            os._exit(0)
        children.append(child)
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * 4
    assert counter.read_text() == "200"


def test_what_a_live_writer_writes_is_not_swept(tmp_path: Path) -> None:
    draft = Store(tmp_path).jobs / f".writing-{'a' * 64}-x"
    draft.mkdir(parents=True)
    with another_process_holds(tmp_path):
        Store(tmp_path).sweep()
        assert draft.exists()
    Store(tmp_path).sweep()
    assert not draft.exists()


def test_a_file_system_without_locks_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("fcntl.flock", refuse)
    with (
        pytest.raises(CannotRunError, match=r"No locks available; .*choose another --out"),
        Store(tmp_path).lock("a"),
    ):
        pass


# -----------------------------------------------------------------------------
# What may be reused


def test_a_record_of_inputs_without_a_digest_is_kept_and_never_reused(tmp_path: Path) -> None:
    def change(_: dict[str, Any], fields: dict[str, Any]) -> None:
        fields["path"] = {UNNAMED: "mmlu"}

    store = Store(tmp_path)
    machine = records.this_machine()
    key = records.save_record(store, job(), records.answers(job()), machine, change)
    assert store.load(key)[0].path == {UNNAMED: "mmlu"}
    assert not store.has(key)
