"""`repro report`: what it refuses, writes and exits with; and what it takes from records.

Oracle: `repro verify` on the same folder; flips and letters counted here question by question.
"""

import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import made_up_records as records
import numpy as np
import pytest

from repro import paths
from repro.cli.main import main
from repro.report import collect as report_arrays
from repro.report.report_data import PrecisionSide
from repro.schema.jobs import KINDS, StabilityJob
from verify.evidence import Evidence
from verify.records.checked_record import CheckedRecord

# -----------------------------------------------------------------------------
# The command


def test_a_folder_that_is_not_there_is_one_message(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["report", str(tmp_path / "none"), "--out", str(tmp_path / "page")]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"repro report: found no folder {tmp_path / 'none'}, expected")
    assert len(said.splitlines()) == 1
    assert not (tmp_path / "page").exists()


def test_a_file_in_the_place_of_the_folder_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "page").write_text("mine")
    with pytest.raises(SystemExit, match="2"):
        main(["report", str(tmp_path), "--out", str(tmp_path / "page")])
    assert re.search("found a file at .*, expected a folder", capsys.readouterr().err)
    assert (tmp_path / "page").read_text() == "mine"


def test_a_light_install_says_what_is_missing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "jinja2" else name)
    assert main(["report", str(tmp_path), "--out", str(tmp_path / "page")]) == 3
    assert "needs the package jinja2; `make venv` installs it" in capsys.readouterr().err


def test_a_folder_without_runs_is_refused_as_verify_refuses_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for given in (tmp_path, tmp_path / "nowhere"):
        said = []
        for command in (
            ["verify", str(given)],
            ["report", str(given), "--out", str(tmp_path / "p")],
        ):
            assert main(command) == 2
            done = capsys.readouterr()
            assert done.out == ""
            said.append(done.err.partition(": ")[2])
        assert said[0] == said[1]
    assert not (tmp_path / "p").exists()


def test_the_page_of_the_evidence_says_what_verify_says(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = str(paths.ROOT / "evidence" / "h200-pinned")
    code = main(["verify", folder, "--json"])
    verdicts = json.loads(capsys.readouterr().out)
    assert main(["report", folder, "--out", str(tmp_path)]) == code
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert len(verdicts) >= 2
    for verdict in verdicts:
        for finding in verdict["findings"]:
            card = text[: text.index(f'id="{finding["claim"]}"')].rpartition("<details ")[2]
            assert f'data-outcome="{finding["outcome"]}"' in card
    assert len(text.encode()) < 5_000_000
    assert "backbone.layers.*.mixer.x_proj.lora_A (2)" in text


# -----------------------------------------------------------------------------
# Arrays


def loaded(root: Path) -> list[CheckedRecord]:
    """Records of the made-up run, checked."""
    claimed = records.manifest()
    store, run = records.run(root, claimed, "full")
    datasets = {"mmlu": records.dataset()}
    evidence = Evidence(claimed, run, store, records.checkpoints(), datasets)
    return [evidence.get(slot) for slot in evidence.slots]


def test_flips_and_letters_are_counted_for_every_pair_of_precisions(tmp_path: Path) -> None:
    every = loaded(tmp_path)
    found = report_arrays.RecordCollector()
    found.add_records(every)
    found.add_records(every)  # a second run that shares the records adds nothing
    assert len(found.pairs()) == 2 * len(records.BATCHES)
    for flips in found.flips():  # under one setting, as `repro compare` shows them
        (pair,) = (
            pair
            for pair in found.pairs()
            if (pair.model, pair.setting, pair.candidate.precision)
            == (flips.model, flips.setting, flips.sides[1])
        )
        assert flips.total == pair.lost + pair.won
        assert len(flips.shown.rows) == min(flips.total, 20)
        assert {row[1] for row in flips.shown.rows} <= {flips.setting}
    shown = [(flips.model, flips.sides[1]) for flips in found.flips()]
    assert shown == sorted({(pair.model, pair.candidate.precision) for pair in found.pairs()})
    assert any(flips.total for flips in found.flips())
    at = {each.slot.id: each.arrays for each in every}
    single, half = at["phi-1.float32.batch-4"], at["phi-1.float16.batch-4"]
    lost = won = changed = answers = 0
    letters = [0, 0, 0, 0]
    for shots in records.SHOTS:
        before, after = (
            side[f"shots{shots}/log_likelihood"].argmax(axis=1).tolist() for side in (single, half)
        )
        gold = single[f"shots{shots}/gold"].tolist()
        for one, other, right in zip(before, after, gold, strict=True):
            answers += 1
            lost += one == right != other
            won += other == right != one
            changed += one != other
            letters[other] += 1
    pair = next(
        each for each in found.pairs() if (each.model, each.setting) == ("phi-1", "batch-4")
    )
    assert (pair.answers, pair.lost, pair.won, pair.changed) == (answers, lost, won, changed)
    assert changed > 0
    assert pair.candidate == PrecisionSide("float16", tuple(letters), 0)
    assert pair.reference.precision == "float32"


def test_rates_of_decay_are_those_of_curves_that_decay_so() -> None:
    times = np.arange(20.0)
    job = StabilityJob(
        kind="stability",
        family="mamba-euler",
        checkpoint=None,
        layers=3,
        channels=1,
        state_size=1,
        steps=20,
        epsilon=0.1,
        sweep=(),
        sweep_layers=0,
        precisions=(),
        seed=0,
    )
    falling = np.exp(-np.outer([0.1, 0.2, 0.3], times))
    arrays = {
        "times": times,
        "rounding/latent_envelope": np.full((3, 20), 1e-12),
        "latent-once/latent_envelope": falling,
        "latent-once/latent_ratio": np.array([0.5, 0.9, 0.1, 0.2]),
        "control/positive-decay/latent-once/latent_envelope": 1 / falling[:2],
        "control/positive-decay/rounding/latent_envelope": falling[:2],
        "sweep/0.1/latent-once/latent_envelope": falling,
    }
    record = SimpleNamespace(job=job, key="a" * 64, arrays=None)
    found = report_arrays.RecordCollector()
    one: Any = SimpleNamespace(record=record, arrays=arrays)
    found.add_records([one])
    (shown,) = found.envelopes()
    mode, control = shown.curves
    assert (shown.layers, shown.of) == (3, 4)
    assert (mode.mode, mode.control, control.control) == ("latent-once", False, True)
    assert mode.rates == pytest.approx((-0.29, -0.2, -0.11))  # quantiles of three layers
    assert (mode.falling, control.falling, mode.worst) == (3, 0, 0.9)
    assert mode.middle == pytest.approx(tuple(falling[1]))


def test_every_kind_of_job_has_its_place_on_the_page() -> None:
    assert report_arrays.SUMMARIES.keys() == {*KINDS, "imported"}
