"""Faults and what held: `python tests/faults/bench.py [--kills 100]` prints one table.

What is made to happen is real: processes are killed, disks full, files damaged, a hub hangs.
Exits 1 if anything did not hold.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[1]), str(Path(__file__).resolve().parents[2])]

from faults import damage, disks, hubs, kills  # noqa: E402  # found by the line above
from faults.whole_runs import Reference, Row, write_cell, write_tying  # noqa: E402

SEED = 2406002


def rows(folder: Path, count: int) -> Iterator[Row]:
    """Every fault; a quarter of the kills also hit evaluations, whose runs take longer."""
    some = max(1, count // 10)
    tying = Reference(folder / "tying", [write_tying(folder)])
    both = Reference(folder / "both", [write_cell(folder), *tying.manifests])
    say(f"a run of exact integers takes {tying.seconds:.1f} s, with a twin {both.seconds:.1f} s\n")
    yield kills.kills(tying, folder, count, SEED)
    yield kills.two_runs(tying, folder, some, SEED)
    try:
        yield disks.full_disks(tying, folder, some, SEED)
        yield disks.read_only(tying)
    except disks.NoMountsError as error:
        yield Row("full disk, read-only results", 0, f"not made: {error}", ())
    yield from damage.spoiled_weights(folder, count, SEED)
    yield from damage.spoiled_records(both, folder, count, SEED)
    yield kills.kills(both, folder, count // 4, SEED)
    yield kills.two_runs(both, folder, max(1, some // 5), SEED)
    yield from damage.no_numbers(both, folder)
    yield from hubs.faults(folder)


def say(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


def main() -> int:
    """Print the table as it comes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=100)
    count = parser.parse_args().kills
    clock, failed = time.monotonic(), 0
    with tempfile.TemporaryDirectory(prefix="faults-") as folder:
        say("| fault | times | what held | what did not |\n|---|---|---|---|\n")
        for row in rows(Path(folder), count):
            failed += len(row.failed)
            what = "; ".join(row.failed) or "—"
            say(f"| {row.fault} | {row.count} | {row.held} | {what} |\n")
    say(f"\nseed {SEED}; {time.monotonic() - clock:.0f} s; {failed} did not hold\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
