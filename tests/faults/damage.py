"""Records, arrays and weights that are cut short or have a flipped bit, a NaN or an infinity."""

import random
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
from faults.whole_runs import Reference, Row, outcomes
from safetensors.numpy import load_file, save_file

from repro import paths
from repro.errors import BadInputError
from repro.inputs.locate import InputLocator
from repro.inputs.located import Missing
from repro.store.store import Store

TWIN = "gpt-neox-twin"


def flip(path: Path, draw: random.Random) -> None:
    """Flip one bit."""
    content = bytearray(path.read_bytes())
    content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
    path.write_bytes(content)


def cut(path: Path, draw: random.Random) -> None:
    """Keep less than the whole."""
    content = path.read_bytes()
    path.write_bytes(content[: draw.randrange(len(content))])


def spoiled_records(reference: Reference, folder: Path, count: int, seed: int) -> list[Row]:
    """Damage one file of one record, judge, and at the end of it all run again."""
    rows = []
    for fault, spoil in (("flipped bit", flip), ("cut short", cut)):
        for name in ("record.json", "arrays.safetensors"):
            draw, failed, out = (
                random.Random(f"{seed}{fault}{name}"),
                list[str](),
                folder / "spoiled",
            )
            for number in range(count):
                shutil.copytree(reference.out, out)
                key = draw.choice(sorted(reference.records))
                spoil(Store(out).folder(key) / name, draw)
                wrong = reference.untrue(out)
                wrong += [f"{key[:12]} counts as whole"] if Store(out).has(key) else []
                wrong += reference.finish(out) if not (number or rows) else []
                failed += [f"{number}: {each}" for each in wrong]
                shutil.rmtree(out)
            held = "not reused, judged invalid; run again, the same record"
            rows.append(Row(f"{name}: {fault}", count, held, tuple(failed)))
    return rows


def spoiled_weights(folder: Path, count: int, seed: int) -> list[Row]:
    """Damage the twin's weights: refused, or known to be another checkpoint's."""
    rows = []
    for fault, spoil in (("flipped bit", flip), ("cut short", cut)):
        draw, failed = random.Random(f"{seed}{fault}"), list[str]()
        for number in range(count):
            copy = _twin(folder)
            spoil(copy / "model.safetensors", draw)
            try:
                found = InputLocator(substitutes={TWIN: copy}).checkpoint(TWIN)
                taken = not isinstance(found, Missing) and not found.substituted
                failed += [f"{number}: taken for the twin itself"] if taken else []
            except BadInputError:
                pass
        held = "refused, or a substitution that decides nothing"
        rows.append(Row(f"weights: {fault}", count, held, tuple(failed)))
    return rows


def no_numbers(reference: Reference, folder: Path) -> list[Row]:
    """Run with weights that hold a NaN or an infinity."""
    rows = []
    for value in (np.nan, np.inf):
        copy, out = _twin(folder), folder / "no-numbers"

        def spoil(weights: dict[str, "np.ndarray"]) -> None:
            weights["gpt_neox.final_layer_norm.weight"][0] = value  # noqa: B023

        _change(copy / "model.safetensors", spoil)
        reference.finish(out, "--substitute", f"{TWIN}={copy}")
        found = outcomes(out, reference.manifests)
        wrong = [
            f"{claim}: {outcome}"
            for claim, outcome in found.items()
            if claim.startswith("T1") and outcome != "invalid"
        ]
        wrong += [] if any(claim.startswith("T1") for claim in found) else ["nothing was judged"]
        rows.append(Row(f"weights: a value of {value}", 1, "judged invalid", tuple(wrong)))
        shutil.rmtree(out)
    return rows


def _twin(folder: Path) -> Path:
    copy = folder / "twin"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(paths.ROOT / "twins" / TWIN, copy)
    return copy


def _change(path: Path, change: Callable[[dict[str, "np.ndarray"]], None]) -> None:
    weights = load_file(path)
    change(weights)
    save_file(weights, path, metadata={"format": "pt"})
