"""Four honest runs: evaluations and fine-tunings whose outcome we chose, made-up layers, evidence.

Every one has claims that are reproduced, contradicted and open, so that each verdict can be lost or
made up. Records are written as a runner writes them, by the tests' own helpers.

Not covered: throughput, whose records say `inconclusive` off the paper's GPU.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import made_up_records as records
import made_up_tuning as tuned

from repro import paths
from repro.cli.verify import judge_run
from repro.schema.manifest import Manifest
from repro.store import run_file
from repro.store.commitments import commitments_of
from repro.store.run_file import RunFile
from repro.store.store import Store

ROOT = Path(__file__).resolve().parent.parent
MMLU = {"mamba-1": 17, "phi-1": 13}
"""Answers of 65 that float16 loses: 20 points."""


@dataclass
class Results:
    """A results folder as an honest run left it."""

    root: Path
    manifest: Path
    recomputed: bool
    """Whether verify computes every number of its records from arrays that say more."""
    files: dict[Path, bytes] = field(default_factory=dict)
    outcomes: dict[str, str] = field(default_factory=dict)
    """Outcome by claim."""

    @property
    def run(self) -> Path:
        """The run file."""
        return next(path for path in self.files if path.parent.name == "runs")

    def records(self) -> list[Path]:
        """Every record's JSON."""
        return sorted(path for path in self.files if path.name == "record.json")


def runs(root: Path) -> list[Results]:
    """Write all of them into a folder, and judge them."""
    made = [_evaluations(root), _layers(root), _tunings(root), _evidence(root)]
    for each in made:
        each.files = {path: path.read_bytes() for path in each.root.rglob("*") if path.is_file()}
        run = run_file.load(each.run)
        verdict = judge_run(_load(each.manifest), run.tier, Store(each.root))
        each.outcomes = {finding.claim: finding.outcome for finding in verdict.findings}
    return made


def _load(path: Path) -> Manifest:
    return Manifest.model_validate_json(path.read_bytes())


def _write(folder: Path, data: dict[str, Any], name: str) -> tuple[Path, Manifest]:
    """A manifest as a file of its own name."""
    path = folder / f"{name}.json"
    path.write_text(json.dumps({**data, "id": name}), encoding="utf-8")
    return path, _load(path)


def _save_run(root: Path, file: Path, claimed: Manifest, jobs: dict[str, str]) -> None:
    """The run file of a whole run at tier full."""
    written = RunFile(
        schema_version=2,
        manifest=claimed.id,
        file=str(file),
        tier="full",
        started="2026-01-01T00:00:00+00:00",
        committed=commitments_of(claimed),
        substitutions={},
        jobs=jobs,
        missing={},
    )
    run_file.save(root, written)


# -----------------------------------------------------------------------------
# Runs


def _evaluations(root: Path) -> Results:
    """Cells that are reproduced, contradicted and open, a sentence with two readings, the rest."""
    data = records.manifest_data()
    for printed, text in zip(data["published"], ("26.2", "60.0"), strict=False):
        printed["text"] = text
    for each in data["claims"]:
        each.pop("margin", None)  # computed
    both = [each["id"] for each in data["claims"][:2]]
    sentence = {"statement": "", "place": {"section": "5"}, "depends_on": []}
    open_ = {"kind": "ambiguous", "missing": "which", "readings": both}
    data["claims"].append({**sentence, **open_, "id": "open"})
    file, claimed = _write(paths.bundle().manifests, data, "evaluated")

    def change(arrays: dict[str, Any], fields: dict[str, Any]) -> None:
        job = fields["job"]
        setting = records.BATCHES.index(job.setting.batch_size)
        lost = MMLU[job.checkpoint] if job.dtype == "float16" else 0
        made = tuned.mmlu(
            job, lambda shots: 40 - lost - (setting % 3 - 1) * (shots > 0 < lost), setting
        )
        arrays.update(made)
        fields["values"] = records.values_of(arrays)
        taken = {"attention_float32": "", **records.SECOND}  # two kernels tell of another machine
        if job.setting.mamba_path == taken["mamba_path"]:
            fields["path"] = {**fields.get("path", {}), "mamba_scan": "kernels"}

    folder = root / "evaluated"
    _, run = records.run(folder, claimed, "full", change)
    run_file.save(folder, run.model_copy(update={"file": str(file)}))
    return Results(folder, file, recomputed=True)


def _tunings(root: Path) -> Results:
    """Divergences of fine-tuned models, of a manifest that is not the bundle's."""
    outcomes = ("20.0", "60.0", "30.0")
    measure = {
        "kind": "tuned-divergence",
        "checkpoints": ["mamba-1"],
        "methods": ["lora-all"],
        "precision": "bfloat16",
    }
    cells = [{**tuned.cell(measure, "12"), "id": each, "published": each} for each in outcomes]
    group = tuned.group(("mamba-1",), ("lora-all.float32", "lora-all.bfloat16"), ("mmlu",))
    made = tuned.manifest([group], cells, **{each: each for each in outcomes})
    file, claimed = _write(root, made.model_dump(mode="json"), "tuned")

    def right(_: str, arm: str, setting: int, __: str, shots: int) -> int:
        return 27 - (setting % 3 - 1) * (shots > 0) if arm == "lora-all.bfloat16" else 40

    folder = root / "tuned"
    evidence = tuned.run(folder, claimed, right)
    _save_run(folder, file, claimed, dict(evidence.run.jobs))
    return Results(folder, file, recomputed=False)


def _layers(root: Path) -> Results:
    """A bound, a trend and an identity on made-up arrays."""
    import made_up_layers

    common = {"statement": "", "place": {"section": "3"}, "quote": "so", "depends_on": ["torch"]}
    bad = [{"array": "bad_ratio", "what": "bad"}]
    rising = [{"array": "rising", "what": "rising"}]
    claims = [
        {**common, "id": name, "jobs": ["layers"], **claim, "controls": controls}
        for name, claim, controls in (
            ("bound", made_up_layers.BOUND, bad),
            ("broken", {**made_up_layers.BOUND, "limit": "0.5"}, bad),
            ("trend", made_up_layers.TREND, rising),
            ("identity", made_up_layers.IDENTITY, [{"array": "untied", "what": "untied"}]),
        )
    ]
    job = made_up_layers.JOB
    single = {"kind": "single", "id": "layers", "tiers": ["full"], "job": job.model_dump()}
    data = records.manifest_data(jobs=[single], claims=claims)
    file, claimed = _write(paths.bundle().manifests, data, "layers")
    folder = root / "layers"
    arrays = made_up_layers.as_recorded(made_up_layers.GOOD)
    key = records.save_record(Store(folder), job, arrays, records.this_machine())
    _save_run(folder, file, claimed, {"layers": key})
    return Results(folder, file, recomputed=False)


def _evidence(root: Path) -> Results:
    """Committed records: which adapters learned."""
    folder = root / "evidence"
    data = json.loads((ROOT / "manifests" / "theorem3.json").read_bytes())
    printed = {"standing": "printed", "quote": "so", "conditions": [], "depends_on": []}
    data["claims"] = [each | printed for each in data["claims"] if each["kind"] == "learns"]
    asked = {name for each in data["claims"] for name in each["jobs"]}
    found = (run_file.load(path) for path in (ROOT / "evidence").rglob("theorem3.full.json"))
    jobs = next(each.jobs for each in found if asked <= each.jobs.keys())
    file, claimed = _write(paths.bundle().manifests, data, "evidence")
    for path in (ROOT / "evidence").rglob("jobs/*/*"):
        if path.parent.name in jobs.values() and path.is_file():
            target = folder / "jobs" / path.parent.name / path.name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())
    _save_run(folder, file, claimed, jobs)
    return Results(folder, file, recomputed=False)
