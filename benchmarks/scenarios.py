"""What the decision rule is tried on: processes, printed values and margins.

Fixed before they were run. The noise of settings is unknown until the paper's models have
been run, so that it spans what is possible: from the floor of s to one answer in ten.
"""

from dataclasses import replace

import numpy as np

from benchmarks.decision_trials import Case
from benchmarks.flip_process import Process, steady


def flips_at_times(process: Process) -> Process:
    """One setting in ten flips 25 times as many answers: heavy tails on both sides."""
    return replace(process, rare=0.1, rare_flips=25.0)


def off_at_times(process: Process) -> Process:
    """One setting in ten is half a point off: a tail on one side."""
    return replace(process, rare=0.1, rare_shift=0.5)


UNEQUAL = Process(shift=(0.0, 0.0, 0.0, 2.4), setting_flips=(1.0, 9.0, 36.0, 400.0))
TABLE_1 = (
    *("0.03", "0.05", "0.05", "0.20", "0.21", "0.66", "0.04", "0.31", "0.15", "1.17"),  # Mamba
    *("0.35", "1.45", "0.06", "0.20", "0.05", "0.16", "0.07", "0.13", "0.12", "0.11"),  # Pythia
    *("0.04", "0.13", "0.03", "1.05"),  # OLMo, Phi
)

NOISE = {
    "nothing but 9 flips an evaluation (s at its floor)": steady(0, 9),
    "nothing but 140 flips (1 % of answers)": steady(0, 140),
    "nothing but 1,404 flips (10 %)": steady(0, 1404),
    "1,404 flips of the dtype, 9 of a setting": replace(steady(0, 9), dtype_flips=1404),
    "1,404 flips of the dtype, 140 of a setting": replace(steady(0, 140), dtype_flips=1404),
    "shift 0.3, 100 flips": steady(0.3, 100),
    "shift 1.2, 100 flips": steady(1.2, 100),
    "unequal shots: shift 2.4 on one; 1, 9, 36, 400 flips": UNEQUAL,
    "shift 0.3; one setting in ten flips 2,500, others 100": flips_at_times(steady(0.3, 100)),
    "shift 0.3, 100 flips; one setting in ten 0.5 points off": off_at_times(steady(0.3, 100)),
}
AT_MARGIN = (
    ("s = h, ours above", steady(0.6, 9), "0.55", 5),
    ("s = 2 h, ours above", steady(0.6, 36), "0.51", 5),
    ("s = 4 h, ours above", steady(0.6, 144), "0.42", 5),
    ("s = 4 h, ours below", steady(0.6, 144), "0.78", 5),
    ("s = 4 h, ours above, 3 settings", steady(0.6, 144), "0.42", 3),
    ("s = 4 h, ours above, 10 settings", steady(0.6, 144), "0.42", 10),
    ("nothing but 1,404 flips, ours above", steady(0, 1404), "0.02", 5),
    ("nothing but 1,404 flips, ours below", steady(0, 1404), "0.64", 5),
    ("unequal shots, ours above", UNEQUAL, "0.45", 5),
    ("one setting in ten flips 2,500, ours above", flips_at_times(steady(0.6, 100)), "0.32", 5),
    ("one setting in ten flips 2,500, ours below", flips_at_times(steady(0.6, 100)), "0.88", 5),
    ("one setting in ten 0.5 points off, ours above", off_at_times(steady(0.6, 100)), "0.18", 5),
    ("one setting in ten 0.5 points off, ours below", off_at_times(steady(0.6, 100)), "1.12", 5),
)
POWER = (
    ("s = h", steady(0.6, 9), 5),
    ("s = 2 h", steady(0.6, 36), 5),
    ("s = 4 h", steady(0.6, 144), 5),
    ("s = 4 h", steady(0.6, 144), 3),
    ("s = 4 h", steady(0.6, 144), 10),
    ("unequal shots", UNEQUAL, 5),
    ("one setting in ten flips 2,500", flips_at_times(steady(0.6, 100)), 5),
    ("one setting in ten 0.5 points off", off_at_times(steady(0.6, 100)), 5),
)


def on_the_margin(
    name: str, process: Process, published: str, settings: int, hidden: float, mean: float
) -> Case:
    """Our mean just at the margin of the printed value, or of what it was before rounding.

    `mean` is that of the process; rounding took the printed value `hidden` points towards it.
    """
    margin = abs(mean - float(published)) + hidden
    return Case(name, process, settings, f"{margin:.6f}", published=published)


def off_by(name: str, process: Process, settings: int, s: float, margins: int) -> Case:
    """A margin of three s, and ours so many margins off, where the process has its shift."""
    off = margins * 3 * s / float(np.mean(process.shift))
    none, one, three, five = process.shift
    extra = (none * off, one * off, three * off, five * off)
    return Case(name, process, settings, f"{3 * s:.6f}", extra)
