"""What is fuzzed: each target turns an input into files, runs a command line and judges it.

Beside what `fuzz.guard` holds, no verdict may be made up: a claim may be `reproduced` or
`contradicted` with damaged files only if it was the same with the honest ones.

Not covered: numbers that nothing else in a record bears out (a loss, a speed), once the record is
sealed again: whoever forges those and every digest has made another record.
"""

import json
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from fuzz import checkpoints, guard, json_trees, sealed
from fuzz.choices import Choices
from fuzz.guard import Ended, Failure
from fuzz.honest import ROOT, Results
from fuzz.inputs import archive, packet, path, placed, point
from fuzz.stand import Stand
from repro.cli import options
from repro.schema import catalog, slots, validate

Target = Callable[[Choices], None]

DECIDED = ("reproduced", "consistent", "proved", "contradicted")
_MOST_JOBS = 150
"""Of a committed manifest over all tiers; planning the largest takes a second as it is."""


class Targets:
    """The targets on one stand, by name."""

    def __init__(self, stand: Stand) -> None:
        self.stand = stand
        self.empty = stand.root / "empty"
        self.empty.mkdir()
        self.unpacked = stand.root / "unpacked"
        self.unpacked.mkdir()
        self.folders = 0
        manifests = [each for each in _committed() if _jobs(each) <= _MOST_JOBS]
        manifests += [each.manifest for each in stand.results] * 6
        self.manifests = [(path.name, path.read_bytes()) for path in manifests]
        self.audit = options.as_json(stand.audit).encode()
        self.names: dict[str, Target] = {
            "manifest": self.manifest,
            "claims": self.claims,
            "record": self.record,
            "arrays": self.arrays,
            "run-file": self.run_file,
            "pins": self.pins,
            "audit": self.against,
            "archive": self.archive,
            "packet": self.packet,
            "paths": self.paths,
            "checkpoint": self.checkpoint,
            "loading": self.loading,
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
        with placed(path, json_trees.text_of(tree, choices), choices):
            guard.run(["plan", path, "--offline", "--out", self.empty, "--tier", *tier, *json_flag])

    def pins(self, choices: Choices) -> None:
        """`repro plan` with damaged pins of an earlier run."""
        files = {"model.safetensors": "1" * 64, "tokenizer.json": "2" * 64}
        tree = json_trees.parse(json.dumps({"mamba-twin": files, "mamba-130m": files}))
        json_trees.mutate(tree, choices)
        path = self.empty / "pins.json"
        with placed(path, json_trees.text_of(tree, choices), choices):
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
        with placed(path, json_trees.text_of(tree, choices), choices):
            guard.run(["audit", "--against", path, *["--json"] * choices.below(2)])

    def archive(self, choices: Choices) -> None:
        """`repro convert` of a damaged torch checkpoint."""
        made = bytearray(archive(choices))
        for _ in range(choices.below(4)):
            at = choices.below(len(made))
            made[at] = choices.below(256)
        path = self.stand.root / "pytorch_model.bin"
        with placed(path, bytes(made), choices):
            out = self.stand.out / "pinned"
            guard.run(["convert", path, "--out", out], allowed=self.stand.out)
        for file in out.glob("*") if out.is_dir() else ():
            file.unlink()

    def packet(self, choices: Choices) -> None:
        """`repro verify` of a damaged packet in a zip file, whatever its list of digests says."""
        results = choices.of(self.stand.results)
        files = {
            f"results/{path.relative_to(results.root)}": content
            for path, content in results.files.items()
        }
        files[f"manifests/{results.manifest.name}"] = results.manifest.read_bytes()
        path, before = self.stand.root / "packet.zip", tempfile.tempdir
        tempfile.tempdir = str(self.unpacked)
        try:
            with placed(path, packet(files, choices), choices):
                ended = guard.run(["verify", path, "--json"], allowed=self.unpacked)
        finally:
            tempfile.tempdir = before
        # In the place of the file there may be a link to the folder that holds all of them.
        honest = {name: each for one in self.stand.results for name, each in one.outcomes.items()}
        hold_verdicts(ended, honest, ("measured",))
        if left := list(self.unpacked.iterdir()):
            raise Failure("left", ", ".join(each.name for each in left))

    def paths(self, choices: Choices) -> None:
        """Commands that are given names which no file can have, on streams of any encoding."""
        place, results = self.stand.root / "odd", choices.of(self.stand.results)
        given, planned = path(place, choices), ["plan", results.manifest, "--offline"]
        commands: list[list[object]] = [
            [*planned, "--out", given],
            [*planned, "--data", f"mmlu={given}"],
            [*planned, "--substitute", f"mamba-1={given}"],
            ["plan", given, "--offline"],
            ["list", "--out", given],
            ["list", "--coverage", "--text", given],
            ["verify", given],
            ["audit", "--against", given],
            ["convert", given],
            ["results", choices.of(("list", "gc")), "--out", given],
            ["report", given, "--out", place / "page"],
            ["export", given, "--format", "csv", "--out", place / "table.csv"],
            ["export", results.root, "--format", "csv", "--out", given],
        ]
        command = choices.of(commands)
        encoding = choices.of(("utf-8", "ascii", "latin-1", "cp1252", "utf-16"))
        guard.run(command, allowed=place, encoding=encoding)

    def checkpoint(self, choices: Choices) -> None:
        """`repro plan` of a damaged checkpoint folder."""
        with self._checkpoint("mamba", choices) as folder:
            path = ROOT / "manifests" / "stability.json"
            given = ["--substitute", f"mamba-twin={folder}", "--only", "model=mamba-twin"]
            guard.run(["plan", path, "--offline", "--out", self.empty, "--tier", "full", *given])

    def loading(self, choices: Choices) -> None:
        """What a job loads of a damaged checkpoint folder, by other people's libraries."""
        from fuzz import loads  # it takes seconds to import, and no other target needs it

        family = choices.of(tuple(checkpoints.TWINS))
        self.stand.out.mkdir(exist_ok=True)
        with self._checkpoint(family, choices) as folder:
            loads.hold(folder, self.stand.out)

    @contextmanager
    def _checkpoint(self, family: str, choices: Choices) -> Iterator[Path]:
        """A folder of a name that no input before had: what was looked up of it is remembered."""
        self.folders += 1
        folder = self.stand.root / "checkpoints" / f"{self.folders}"
        checkpoints.make(folder, family, choices)
        try:
            yield folder
        finally:
            shutil.rmtree(folder)

    # -----------------------------------------------------------------------------
    # Files of a results folder

    def claims(self, choices: Choices) -> None:
        """`repro verify` of honest records and a manifest that was changed after the run."""
        results = choices.of(self.stand.results)
        tree = json_trees.parse(results.manifest.read_bytes())
        json_trees.mutate(tree, choices)
        with placed(results.manifest, json_trees.text_of(tree, choices), choices):
            self.verify(results, choices, basis=("measured",))

    def run_file(self, choices: Choices) -> None:
        """`repro verify` and `repro list` of a damaged run file."""
        results = choices.of(self.stand.results)
        tree = json_trees.parse(results.files[results.run])
        if choices.one_in(4):
            point(tree, choices)
        json_trees.mutate(tree, choices)
        with placed(results.run, json_trees.text_of(tree, choices), choices):
            self.verify(results, choices)
            guard.run(["list", "--out", results.root, *["--json"] * choices.below(2)])

    def record(self, choices: Choices) -> None:
        """`repro verify` of a damaged record, half of the time sealed again."""
        results = choices.of(self.stand.results)
        path = choices.of(results.records())
        tree = json_trees.parse(results.files[path])
        json_trees.mutate(tree, choices)
        text = json_trees.text_of(tree, choices)
        again = choices.below(2) == 1
        with placed(path, sealed.seal(text) if again else text, choices):
            self.verify(results, choices, exempt=again and not results.recomputed)

    def arrays(self, choices: Choices) -> None:
        """`repro verify` of damaged arrays, sealed again three times in four."""
        results = choices.of(self.stand.results)
        record = choices.of(results.records())
        path = sealed.folder_of(record)
        content = sealed.damaged_arrays(results.files[path], choices)
        again = choices.below(4) > 0
        text = results.files[record]
        with placed(path, content, choices):
            record.write_bytes(sealed.with_arrays(text, content) if again else text)
            try:
                self.verify(results, choices, exempt=again and not results.recomputed)
            finally:
                record.write_bytes(text)

    def verify(
        self,
        results: Results,
        choices: Choices,
        basis: tuple[str, ...] = ("measured", "page", "code"),
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


def _committed() -> list[Path]:
    return sorted((ROOT / "manifests").glob("*.json"))


def _jobs(path: Path) -> int:
    claimed, known = validate.load_manifest(path), catalog.checkpoints()
    return sum(len(slots.slots(claimed, tier, known)) for tier in claimed.tiers())
