"""Records on the disk: whole or absent, whatever happens."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import made_up_records as records
import numpy as np
import pytest

from repro import environment
from repro.errors import CannotRunError
from repro.expand import slots
from repro.files import write_text
from repro.jobs import EvaluateJob
from repro.store import BrokenRecordError, Store


def job() -> EvaluateJob:
    first = next(iter(slots(records.manifest(), "full", records.checkpoints()))).job
    assert isinstance(first, EvaluateJob)
    return first


def saved(root: Path, **arrays: Any) -> tuple[Store, str]:
    store = Store(root)
    made = {**records.answers(job()), **arrays}
    return store, records.save_record(store, job(), made, environment.capture(["torch"]))


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


def on_a_small_disk(script: str, size: str) -> subprocess.CompletedProcess[str]:
    """Run a script in a mount namespace of its own, with a tmpfs of `size` at /mnt."""
    command = (
        f"mount -t tmpfs -o size={size} tmpfs /mnt && exec {sys.executable} -c "
        f"'{textwrap.dedent(script)}'"
    )
    unshare = ["unshare", "--mount", "--map-root-user"]
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])}
    return subprocess.run(
        [*unshare, "sh", "-c", command],
        capture_output=True,
        text=True,
        check=False,
        env=environ,
    )


def test_a_full_disk_leaves_nothing_half_written() -> None:
    """Oracle: a real file system that is full, not a simulated error."""
    script = """
        import os, numpy as np
        from pathlib import Path
        import made_up_records as records, test_repro_store as here
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
