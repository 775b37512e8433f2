"""SIGKILL of a run and all its processes at random moments, and two runs on one folder."""

import os
import random
import shutil
import signal
import time
from pathlib import Path

from faults.whole_runs import Reference, Row, keys_of, start

from repro.store.store import Store

STRETCH = 5
"""Kills of one folder, before it is run to its end."""


def kills(reference: Reference, folder: Path, count: int, seed: int) -> Row:
    """Kill runs at random moments of their time; every few, let one end and compare."""
    draw, failed, inside = random.Random(seed), list[str](), 0
    for number in range(count):
        out = folder / f"kills-{number // STRETCH}"
        wait = draw.uniform(0, reference.seconds)
        ended, wrong = _killed_after(wait, reference, out)
        inside += not ended
        failed += [f"kill {number} after {wait:.2f} s: {each}" for each in wrong]
        if draw.random() < 0.3:
            _spoil(out, draw)
        if ended or number % STRETCH == STRETCH - 1 or number == count - 1:
            failed += [f"{out.name}: {each}" for each in reference.finish(out)]
            shutil.rmtree(out)
    held = f"{inside} hit a run; done stays done, same records to the bit, no untrue outcome"
    return Row(f"SIGKILL of all processes, {_what(reference)}", count, held, tuple(failed))


def _killed_after(wait: float, reference: Reference, out: Path) -> tuple[bool, list[str]]:
    """Whether the run had ended by itself, and what was wrong right after the kill."""
    with start(reference.manifests, out) as running:
        time.sleep(wait)
        ended = running.poll() is not None
        if not ended:
            os.killpg(running.pid, signal.SIGKILL)
        _, said = running.communicate()
    if ended and running.returncode != 0:
        return True, [f"it had ended with {running.returncode}: {said[-400:]}"]
    done = [line.partition("done: ")[2] for line in said.splitlines() if "done: " in line]
    keys = {_name(slot): key for slot, key in keys_of(out).items()}
    lost = [f"{name} was done and is lost" for name in done if not Store(out).has(keys[name])]
    return ended, lost + reference.untrue(out)


def _name(slot: str) -> str:
    """What a run calls a slot: with the twin that stands in."""
    return slot.replace("pythia-160m", "gpt-neox-twin")


def _what(reference: Reference) -> str:
    """Which jobs were hit."""
    return "with evaluations" if len(reference.manifests) > 1 else "exact integers"


def _spoil(out: Path, draw: random.Random) -> None:
    """Flip a bit of what a killed job had kept of its answers, if it had."""
    files = sorted(path for path in out.glob("work/*/*") if path.is_file())
    if files:
        path = draw.choice(files)
        content = bytearray(path.read_bytes())
        content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
        path.write_bytes(content)


def two_runs(reference: Reference, folder: Path, count: int, seed: int) -> Row:
    """Start two runs on one folder, up to a third of a run apart; each job is to be run once."""
    draw, failed = random.Random(seed), list[str]()
    for number in range(count):
        out, seen = folder / f"two-{number}", set[tuple[str, int]]()
        with start(reference.manifests, out) as one:
            time.sleep(draw.uniform(0, reference.seconds / 3))
            with start(reference.manifests, out) as other:
                while one.poll() is None or other.poll() is None:
                    seen |= _written(out)
                    time.sleep(0.02)
                said = [each.communicate()[1][-300:] for each in (one, other)]
        codes = (one.returncode, other.returncode)
        wrong = [f"exit codes {codes}: {said}"] if codes != (0, 0) else reference.differences(out)
        twice = len(seen) - len({key for key, _ in seen})
        failed += [f"pair {number}: {each}" for each in wrong]
        failed += [f"pair {number}: {twice} jobs were run twice"] if twice else []
        shutil.rmtree(out)
    return Row(
        f"two runs at once on one folder, {_what(reference)}",
        count,
        "each job run once, same records",
        tuple(failed),
    )


def _written(out: Path) -> set[tuple[str, int]]:
    """Records that are there now, by key and inode."""
    found = set()
    for path in out.glob("jobs/[0-9a-f]*/record.json"):
        try:
            found.add((path.parent.name, path.stat().st_ino))
        except FileNotFoundError:
            continue
    return found
