"""What is fuzzed: each target turns an input into files, runs a command line and judges it.

Beside what `fuzz.guard` holds, no verdict may be made up: a claim may be `reproduced` or
`contradicted` with damaged files only if it was the same with the honest ones.

Not covered: numbers that nothing else in a record bears out (a loss, a speed), once the record is
sealed again: whoever forges those and every digest has made another record.
"""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import made_up_archives as archives

from fuzz import guard, json_trees, sealed
from fuzz.choices import Choices
from fuzz.guard import Ended, Failure
from fuzz.stand import ROOT, Results, Stand
from repro.commands import audit as audit_command
from repro.commands import options

DECIDED = ("reproduced", "contradicted")
_LARGE = 50_000
"""Bytes of a manifest."""


class Targets:
    """The targets on one stand, by name."""

    def __init__(self, stand: Stand) -> None:
        self.stand = stand
        self.empty = stand.root / "empty"
        self.empty.mkdir()
        # Planning the two largest takes a second as it is.
        manifests = [each for each in _committed() if each.stat().st_size < _LARGE]
        manifests += [each.manifest for each in stand.results] * 4
        self.manifests = [(path.name, path.read_bytes()) for path in manifests]
        self.audit = options.as_json(audit_command.audit(None, None)).encode()
        self.names: dict[str, Callable[[Choices], None]] = {
            "manifest": self.manifest,
            "claims": self.claims,
            "record": self.record,
            "arrays": self.arrays,
            "run-file": self.run_file,
            "pins": self.pins,
            "audit": self.against,
            "archive": self.archive,
        }

    # -----------------------------------------------------------------------------
    # Files that are asked for by name

    def manifest(self, choices: Choices) -> None:
        """`repro plan` of a damaged manifest."""
        name, text = choices.of(self.manifests)
        tree = json_trees.parse(text)
        json_trees.mutate(tree, choices)
        path = self.stand.root / "mutated" / name
        json_flag = ["--json"] * choices.below(2)
        tier = choices.of((["smoke"], ["full"], ["full", "--engine", "prefix"]))
        with _placed(path, json_trees.text_of(tree, choices), choices):
            guard.run(["plan", path, "--offline", "--out", self.empty, "--tier", *tier, *json_flag])

    def pins(self, choices: Choices) -> None:
        """`repro plan` with damaged pins of an earlier run."""
        files = {"model.safetensors": "1" * 64, "tokenizer.json": "2" * 64}
        tree = json_trees.parse(json.dumps({"mamba-twin": files, "mamba-130m": files}))
        json_trees.mutate(tree, choices)
        path = self.empty / "pins.json"
        with _placed(path, json_trees.text_of(tree, choices), choices):
            evaluations, layers = self.stand.results[:2]
            if choices.below(4):
                guard.run(["plan", layers.manifest, "--offline", "--out", self.empty])
            else:
                given = f"mamba-1={ROOT / 'twins' / 'mamba'}"
                command = ["plan", evaluations.manifest, "--offline", "--out", self.empty]
                guard.run([*command, "--substitute", given])

    def against(self, choices: Choices) -> None:
        """`repro audit` against a damaged audit of another environment."""
        tree = json_trees.parse(self.audit)
        json_trees.mutate(tree, choices)
        path = self.stand.root / "other.json"
        with _placed(path, json_trees.text_of(tree, choices), choices):
            guard.run(["audit", "--against", path, *["--json"] * choices.below(2)])

    def archive(self, choices: Choices) -> None:
        """`repro pin` of a damaged torch checkpoint."""
        made = bytearray(_archive(choices))
        for _ in range(choices.below(4)):
            at = choices.below(len(made))
            made[at] = choices.below(256)
        path = self.stand.root / "pytorch_model.bin"
        with _placed(path, bytes(made), choices):
            out = self.stand.out / "pinned"
            guard.run(["pin", path, "--out", out], allowed=self.stand.out)
        for file in out.glob("*") if out.is_dir() else ():
            file.unlink()

    # -----------------------------------------------------------------------------
    # Files of a results folder

    def claims(self, choices: Choices) -> None:
        """`repro verify` of honest records and a manifest that was changed after the run."""
        results = choices.of(self.stand.results)
        tree = json_trees.parse(results.manifest.read_bytes())
        json_trees.mutate(tree, choices)
        with _placed(results.manifest, json_trees.text_of(tree, choices), choices):
            self._verify(results, choices, basis=("measured",))

    def run_file(self, choices: Choices) -> None:
        """`repro verify` and `repro list` of a damaged run file."""
        results = choices.of(self.stand.results)
        tree = json_trees.parse(results.files[results.run])
        if choices.one_in(4):
            _point(tree, choices)
        json_trees.mutate(tree, choices)
        with _placed(results.run, json_trees.text_of(tree, choices), choices):
            self._verify(results, choices)
            guard.run(["list", "--out", results.root, *["--json"] * choices.below(2)])

    def record(self, choices: Choices) -> None:
        """`repro verify` of a damaged record, half of the time sealed again."""
        results = choices.of(self.stand.results)
        path = choices.of(results.records())
        tree = json_trees.parse(results.files[path])
        json_trees.mutate(tree, choices)
        text = json_trees.text_of(tree, choices)
        again = choices.below(2) == 1
        with _placed(path, sealed.seal(text) if again else text, choices):
            self._verify(results, choices, exempt=again and not results.recomputed)

    def arrays(self, choices: Choices) -> None:
        """`repro verify` of damaged arrays, sealed again three times in four."""
        results = choices.of(self.stand.results)
        record = choices.of(results.records())
        path = sealed.folder_of(record)
        content = sealed.damaged_arrays(results.files[path], choices)
        again = choices.below(4) > 0
        text = results.files[record]
        with _placed(path, content, choices):
            record.write_bytes(sealed.with_arrays(text, content) if again else text)
            try:
                self._verify(results, choices, exempt=again and not results.recomputed)
            finally:
                record.write_bytes(text)

    def _verify(
        self,
        results: Results,
        choices: Choices,
        basis: tuple[str, ...] = ("measured", "printed"),
        *,
        exempt: bool = False,
    ) -> None:
        """Verify a folder, and hold what is decided to what was decided of the honest one."""
        if choices.one_in(8):
            guard.run(["verify", results.root])
            return
        ended = guard.run(["verify", results.root, "--json"])
        if not exempt:
            hold_verdicts(ended, results.outcomes, basis)


def hold_verdicts(ended: Ended, honest: dict[str, str], basis: tuple[str, ...]) -> None:
    """No claim is decided that was not decided so without the damage."""
    if not ended.out:
        return
    for verdict in json.loads(ended.out):
        for found in verdict["findings"]:
            outcome, claim = found["outcome"], found["claim"]
            if outcome in DECIDED and found["basis"] in basis and honest.get(claim) != outcome:
                what = f"{found['kind']} {honest.get(claim)} -> {outcome}"
                raise Failure("verdict", what, json.dumps(found, indent=1))


# -----------------------------------------------------------------------------
# Files


def _committed() -> list[Path]:
    return sorted((ROOT / "manifests").glob("*.json"))


@contextmanager
def _placed(path: Path, content: bytes, choices: Choices) -> Iterator[None]:
    """A file with this content, one time in 32 no file at all; what was there comes back."""
    before = path.read_bytes() if path.is_file() else None
    path.parent.mkdir(exist_ok=True)
    path.unlink(missing_ok=True)
    strange = choices.one_in(32)
    if strange:
        choices.of(_STRANGE)(path)
    else:
        path.write_bytes(content)
    try:
        yield
    finally:
        if path.is_dir() and not path.is_symlink():
            path.rmdir()
        path.unlink(missing_ok=True)
        if before is not None:
            path.write_bytes(before)


_STRANGE: tuple[Callable[[Path], Any], ...] = (
    Path.mkdir,
    lambda path: path.symlink_to(path),
    lambda path: path.symlink_to("nowhere"),
    lambda path: path.symlink_to("/dev/zero"),
    lambda path: path.symlink_to(path.parent),
    os.mkfifo,
    lambda _: None,
)
"""What may lie where a file is expected."""


def _point(tree: Any, choices: Choices) -> None:
    """A run file whose manifest is said to lie somewhere else."""
    where = (
        *("/dev/zero", "/dev/stdin", "/proc/self/mem", "/", "..", "", "\0", "a" * 5000, "/root/x"),
        *("/proc/self/environ", str(ROOT / "manifests" / "table1.json"), "\ud800", "a/" * 3000),
    )
    for pair in tree:
        if pair[0] == "file":
            pair[1] = choices.of(where)
        if pair[0] == "manifest" and choices.below(2):
            pair[1] = choices.of(("nowhere", "..", "theorem3", "tuned", "evaluated"))


def _archive(choices: Choices) -> bytes:
    """An archive of `torch.save`, whole or with something wrong in its pickle."""
    dims = [choices.of((0, 1, 2, 4, 2**31, 2**62, -1)) for _ in range(choices.below(4))] or [4]
    strides = [choices.of((0, 1, 2, 4, 2**31, -1)) for _ in dims]
    whole = choices.below(2) == 0
    shape, stride = (archives.sizes(4), archives.sizes(1))
    if not whole:
        shape, stride = archives.sizes(*dims), archives.sizes(*strides)
    offset = choices.of((b"K\0", b"K\1", b"K\xff", b"\x8a\x08" + b"\x7f" * 8))
    kind = choices.of(("FloatStorage", "HalfStorage", "LongStorage", "QInt8Storage", "Storage"))
    numel = choices.of((4, 0, 1, 2**40, -1))
    of = archives.storage("0", numel, kind) if choices.below(2) else archives.storage()
    one = archives.tensor(of, b"K\0" if whole else offset, shape, stride)
    name = choices.of(("weight", "", "..", "/x", "a" * 300, "é", "\0", "__metadata__"))
    pickle = archives.state_dict(**{name: one, "other": one})
    if choices.one_in(3):
        at = choices.below(len(pickle))
        pickle = pickle[:at] + bytes([choices.below(256)]) + pickle[at + 1 :]
    nested = choices.of((b"", b"(" * 5000, b"]" * 5000, b"}" * 5000))
    return archives.archive(nested + pickle)
