"""How long the light commands take from start to end: `python -m benchmarks.startup`.

Each is a whole process, repeated, beside two others measured in the same turn: an empty
interpreter, and one that imports torch, which is what these commands must not do.
"""

import statistics
import subprocess
import sys
import time

from tools import command

COMMANDS = {
    "python -c pass": ["-c", "pass"],
    "import torch": ["-c", "import torch"],
    "repro --help": ["-m", "repro.cli.main", "--help"],
    "repro list": ["-m", "repro.cli.main", "list"],
    "repro verify --paper": ["-m", "repro.cli.main", "verify", "--paper"],
    "repro audit --help": ["-m", "repro.cli.main", "audit", "--help"],
}
REPEATS = 7


def seconds(arguments: list[str]) -> float:
    """Wall time of one process."""
    started = time.perf_counter()
    subprocess.run([sys.executable, *arguments], capture_output=True, check=False)  # noqa: S603
    return time.perf_counter() - started


def main() -> None:
    """Print minimum, median and maximum of each command, in turn so that drift hits all."""
    command.parser(__doc__).parse_args()
    times: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(REPEATS + 1):
        for name, arguments in COMMANDS.items():
            times[name].append(seconds(arguments))
    print(f"{'':24}{'min':>8}{'median':>8}{'max':>8}  of {REPEATS} runs after a warm-up, seconds")
    for name, found in times.items():
        counted = found[1:]
        middle = statistics.median(counted)
        print(f"{name:24}{min(counted):8.2f}{middle:8.2f}{max(counted):8.2f}")


if __name__ == "__main__":
    command.run(main)
