"""JSON of others, read one way everywhere. Oracle: what the same file without its oddity gives."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import made_up_records as records
import pytest
from safetensors.numpy import save_file

from repro import json_text, paths
from repro.audit import compare
from repro.environment import image as audit_image
from repro.environment import pins
from repro.errors import BadInputError
from repro.inputs import locate
from repro.schema import catalog, validate
from repro.store import run_file
from repro.store.store import BrokenRecordError, Store
from repro.weights import checkpoint_files

MARK = b"\xef\xbb\xbf"


def test_a_mark_and_line_ends_of_windows_change_nothing() -> None:
    text = b'{"a": [1, "x"],\n "b": Infinity}\n\n'
    expected = json.loads(text)
    for odd in (MARK + text, text.replace(b"\n", b"\r\n"), MARK + text.replace(b"\n", b"\r\n")):
        assert json_text.parse(odd) == expected
        assert json_text.parse(odd.decode()) == expected


@pytest.mark.parametrize(
    "text",
    [
        '{"a": 1, "a": 1}',
        '[{"b": {"a": 1, "a": 2}}]',
        r'"\ud800"',
        r'{"\udfff": 1}',
        "1" + "0" * 4300,
        "[" * 100_000,
        "[" * 100_000 + "]" * 100_000,
        "",
        "{} {}",
        b'"\xff"',
        b"\xff\xfe{\x00}\x00",
    ],
)
def test_what_is_refused_is_a_value_error(text: str | bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        json_text.parse(text)


def test_a_whole_pair_of_surrogates_is_text() -> None:
    assert json_text.parse(r'"\ud835\udecc"') == "𝛌"


def test_blank_lines_are_none_and_text_is_not_cut() -> None:
    rows = [{"a": "one\u2028two"}, {"a": 2}]
    text = "\n".join(json.dumps(each, ensure_ascii=False) for each in rows)
    for odd in (text, f"{text}\n\n", f"\ufeff{text}\r\n \n", text.replace("\n", "\r\n\r\n")):
        assert [json_text.parse(each) for each in json_text.lines(odd)] == rows
        assert json_text.lines(odd.encode()) == json_text.lines(odd)


# -----------------------------------------------------------------------------
# Every reader


Read = Callable[[Path], Any]


def a_record(folder: Path) -> tuple[Path, Read]:
    store, run = records.run(folder, records.manifest(), "smoke")
    key = next(iter(run.jobs.values()))
    return store.folder(key) / "record.json", lambda _: Store(folder).load(key)[0]


def a_run(folder: Path) -> tuple[Path, Read]:
    store, run = records.run(folder, records.manifest(), "smoke")
    run_file.save(store.root, run)
    return run_file.path_of(folder, run.manifest, "smoke"), run_file.load


def a_manifest(folder: Path) -> tuple[Path, Read]:
    path = folder / "table1.json"
    shutil.copy(paths.MANIFESTS / path.name, path)
    return path, validate.load_manifest


def a_catalog(folder: Path) -> tuple[Path, Read]:
    path = folder / "checkpoints.json"
    shutil.copy(paths.CATALOG / path.name, path)
    return path, catalog.checkpoints


def some_pins(folder: Path) -> tuple[Path, Read]:
    path = folder / "pins.json"
    path.write_text(json.dumps({"a": {"b": "0" * 64}}))
    return path, lambda path: locate.load_first_use_pins(path.parent)


def an_audit(folder: Path) -> tuple[Path, Read]:
    from repro.audit.audit import audit

    path = folder / "other.json"
    path.write_text(audit(search=[]).model_dump_json())

    def load(path: Path) -> Any:
        assert compare.is_audit(path)
        return compare.load(path)

    return path, load


def an_image(folder: Path) -> tuple[Path, Read]:
    image = audit_image.Image(
        schema_version=1,
        target="cpu",
        revision="x",
        os_packages={},
        wheels={},
        kernels={},
        bundle={},
        probe={},
    )
    path = folder / "image.json"
    path.write_text(image.model_dump_json())
    return path, audit_image.load


def an_index(folder: Path) -> tuple[Path, Read]:
    path = folder / "pytorch_model.bin.index.json"
    path.write_text(json.dumps({"weight_map": {"w": "pytorch_model.bin"}}))
    (folder / "pytorch_model.bin").touch()
    return path, checkpoint_files.find_shards


def a_config(folder: Path) -> tuple[Path, Read]:
    import numpy as np

    path = folder / "config.json"
    path.write_text(json.dumps({"model_type": "mamba"}))
    save_file({"w": np.ones(1)}, folder / "model.safetensors")
    return path, lambda path: checkpoint_files.check(path.parent, "it", "mamba")


READERS = [
    a_record,
    a_run,
    a_manifest,
    a_catalog,
    some_pins,
    an_audit,
    an_image,
    an_index,
    a_config,
]


@pytest.mark.parametrize("make", READERS)
def test_every_reader_takes_a_mark_and_line_ends_of_windows(
    tmp_path: Path, make: Callable[[Path], tuple[Path, Read]]
) -> None:
    path, read = make(tmp_path)
    expected = read(path)
    path.write_bytes(MARK + path.read_bytes().replace(b"\n", b"\r\n"))
    assert read(path) == expected


@pytest.mark.parametrize("make", READERS)
def test_every_reader_refuses_a_key_that_stands_twice(
    tmp_path: Path, make: Callable[[Path], tuple[Path, Read]]
) -> None:
    path, read = make(tmp_path)
    data = json.loads(path.read_bytes())
    key, value = next(iter(data.items()))
    text = json.dumps(data)
    path.write_text(f"{text[:-1]}, {json.dumps(key)}: {json.dumps(value)}}}")
    with pytest.raises((BadInputError, BrokenRecordError), match=f"key '{key}' twice"):
        read(path)


def test_a_lock_file_may_have_a_mark(tmp_path: Path) -> None:
    path = tmp_path / "lock.txt"
    path.write_bytes(MARK + pins.LOCK.read_bytes().replace(b"\n", b"\r\n"))
    assert pins.read(path) == pins.read(pins.LOCK)
    assert pins.python_version(path) == pins.python_version(pins.LOCK)
