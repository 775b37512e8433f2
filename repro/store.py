"""The results folder: records by job key, and one `run.json` for each manifest and tier.

    results/jobs/<key>/record.json, arrays.safetensors    written once, whole
    results/jobs/<key>/model/                             weights, where the job tuned a model
    results/work/<key>/                                   where a long job can be taken up again
    results/runs/<manifest>.<tier>.json                   what was asked, before the first job
    results/pins.json                                     what a first fetch resolved

A record's folder appears by one rename, so a killed run leaves a whole record or none.
"""

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from repro import digests
from repro.errors import saving
from repro.files import write_text

if TYPE_CHECKING:  # numpy takes a quarter of the start-up that `repro list` is allowed
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from repro.record import ArrayFile, Record

    Arrays = Mapping[str, NDArray[Any]]


MODEL = "model"
"""Folder of a record that holds the weights that its job made."""


class BrokenRecordError(Exception):
    """A record cannot be trusted: what is wrong with it, in one sentence."""


class Store:
    """Records under one folder."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.jobs = root / "jobs"
        self.work = root / "work"

    def folder(self, key: str) -> Path:
        """Where the record of a key lies, or would."""
        return self.jobs / key

    def has(self, key: str) -> bool:
        """Whether the record of a key is there, whole and undamaged."""
        try:
            self.load(key)
        except (BrokenRecordError, FileNotFoundError):
            return False
        return True

    def load(self, key: str) -> "tuple[Record, Arrays]":
        """A record and its arrays, held to their digests.

        Raises:
            FileNotFoundError: if there is no record of this key.
            BrokenRecordError: if it is not what was written.
        """
        from repro.record import Record  # `repro list` opens none

        folder = self.folder(key)
        text = (folder / "record.json").read_bytes()
        try:
            record = Record.model_validate_json(text, strict=True)
        except ValidationError as error:
            message = f"record {key[:12]} is not a record: {error.errors()[0]['msg']}"
            raise BrokenRecordError(message) from error
        if record.digest != record.digest_of_content():
            message = f"record {key[:12]} was edited: its digest does not match its content"
            raise BrokenRecordError(message)
        if record.key != key:
            message = f"record {key[:12]} says that it is {record.key[:12]}"
            raise BrokenRecordError(message)
        return record, self._load_arrays(folder / record.arrays.name, record)

    def _load_arrays(self, path: Path, record: "Record") -> "Arrays":
        from safetensors import SafetensorError  # type: ignore[attr-defined]
        from safetensors.numpy import load_file

        try:
            found = digests.of_file(path)
            if found != record.arrays.sha256:
                message = (
                    f"the arrays of record {record.key[:12]} have digest {found[:12]}, "
                    f"the record says {record.arrays.sha256[:12]}"
                )
                raise BrokenRecordError(message)
            return load_file(path)
        except (OSError, SafetensorError) as error:
            message = f"the arrays of record {record.key[:12]} cannot be read: {error}"
            raise BrokenRecordError(message) from error

    def save(
        self,
        arrays: "Arrays",
        make_record: "Callable[[ArrayFile], Record]",
        model: Path | None = None,
    ) -> "Record":
        """Write a record and its arrays; they appear together or not at all.

        Args:
            arrays: Arrays by name; saved contiguous, in their own dtype.
            make_record: Builds the record once the digest of the arrays is known.
            model: Folder with the weights that the job made; it is moved.

        Raises:
            CannotRunError: if the disk is full or the folder cannot be written.
        """
        import numpy as np
        from safetensors.numpy import save

        from repro.record import ArrayFile

        with saving(self.jobs):
            self.jobs.mkdir(parents=True, exist_ok=True)
            work = Path(tempfile.mkdtemp(prefix=".writing-", dir=self.jobs))
            try:
                path = work / "arrays.safetensors"
                # Bytes first: safetensors' own writer hides a full disk in a message of its own.
                path.write_bytes(
                    save({name: np.ascontiguousarray(each) for name, each in arrays.items()})
                )
                record = make_record(
                    ArrayFile(
                        name="arrays.safetensors",
                        sha256=digests.of_file(path),
                        size=path.stat().st_size,
                    )
                )
                write_text(work / "record.json", record.model_dump_json(indent=1) + "\n")
                if model:
                    shutil.move(model, work / MODEL)
                self._publish(work, self.folder(record.key))
            finally:
                shutil.rmtree(work, ignore_errors=True)
        return record

    def _publish(self, work: Path, folder: Path) -> None:
        if folder.exists():  # a damaged or an unwanted older record of the same key
            old = Path(tempfile.mkdtemp(prefix=".old-", dir=self.jobs))
            folder.rename(old / "record")
            work.rename(folder)
            shutil.rmtree(old, ignore_errors=True)
        else:
            work.rename(folder)

    def sweep(self) -> None:
        """Remove what a killed run was writing."""
        for pattern in (".writing-*", ".old-*"):
            for path in self.jobs.glob(pattern):
                shutil.rmtree(path, ignore_errors=True)
