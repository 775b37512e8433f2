"""How fast the stability roll-out is: `python -m benchmarks.stability [--layers N] [--repeats R]`.

For each family, the same batch of layers is rolled out by `runner.stability.rollout` (fast) and by
`runner.stability.rollout` (one mode and one step at a time), and memory is copied in the same
process by torch's copy_. Every figure is repeated, and shown as minimum, median and maximum.

- elements: layers x steps x channels x state entries x trajectories (the unperturbed one and one
  a mode). The fast figure includes drawing nothing but all else: parameters, bounds, outputs,
  summary. The plain one rolls out and bounds the same modes, and keeps every state.
- share of copy: bytes that an element must move at least in one step (read and write one float64
  for the state) times elements a second, over the copy's bytes read and written a second.

Fast and plain agree to rounding: `tests/runner/stability/test_rollout.py`. Not a test, and timed
nowhere else; on a CPU it uses one thread a core, as a job does that runs alone.
"""

import argparse
import os
import statistics
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import torch

from runner.stability.layers import Layers
from runner.stability.perturbation import MODES
from runner.stability.random_layers import Design, Family, draw_layers
from runner.stability.rollout import chunk_size, plain_bound, plain_trajectory, roll_out
from runner.stability.summary import recorded_times, summarise

SHAPES: dict[Family, int] = {"mamba-euler": 16, "mamba-zoh": 16, "mamba2": 128}
"""State entries a channel."""
CHANNELS, EPSILON = 16, 1e-3
STATE_BYTES = 16
"""A float64 read and a float64 written."""


def seconds(work: Callable[[], object], repeats: int) -> list[float]:
    """Wall-clock of each repetition, after one that is not counted."""
    found = []
    for repeat in range(repeats + 1):
        start = time.perf_counter()
        work()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        if repeat:
            found.append(time.perf_counter() - start)
    return found


def rates(work: Callable[[], object], amount: float, repeats: int) -> list[float]:
    """`amount` a second, of each repetition."""
    return [amount / one for one in seconds(work, repeats)]


def chunks(layers: Layers, size: int, device: torch.device) -> Iterator[Layers]:
    """The batch as a job cuts it."""
    for start in range(0, layers.count, size):
        yield layers.mapped(start, min(start + size, layers.count), device)


def fast(layers: Layers, size: int, device: torch.device, workers: ThreadPoolExecutor) -> None:
    """Every mode of every layer, with bounds and summaries."""
    at = layers.steps // 16
    times = recorded_times(layers.steps, at, 48)

    def one(chunk: Layers) -> None:
        summarise(roll_out(chunk, EPSILON, at), chunk.decay, times)

    list(workers.map(one, chunks(layers, size, device)))


def plain(layers: Layers, device: torch.device) -> None:
    """The same by the slow twin, the whole batch at once, with all of torch's threads."""
    layers, at = layers.mapped(0, layers.count, device), layers.steps // 16
    base = plain_trajectory(layers)
    for mode in MODES:
        plain_trajectory(layers, mode, EPSILON, at)
        plain_bound(layers, base, mode, EPSILON, at)


def copied(device: torch.device, workers: ThreadPoolExecutor, count: int) -> None:
    """Copy 64 MiB a worker, ten times: more than any cache holds."""
    sources = [torch.ones(2**23, dtype=torch.float64, device=device) for _ in range(count)]
    targets = [torch.empty_like(source) for source in sources]

    def one(index: int) -> None:
        for _ in range(10):
            targets[index].copy_(sources[index])

    list(workers.map(one, range(count)))


def row(name: str, rates: list[float], unit: str, note: str = "") -> None:
    """One line of the table."""
    low, middle, high = min(rates), statistics.median(rates), max(rates)
    print(f"{name:<24}{low:>10.3f}{middle:>10.3f}{high:>10.3f}  {unit:<12}{note}")


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--layers", type=int, default=128, help="layers of each batch")
    parser.add_argument("--steps", type=int, default=256, help="time steps")
    parser.add_argument("--repeats", type=int, default=5)
    chosen = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    count = len(os.sched_getaffinity(0)) if device.type == "cpu" else 1
    where = torch.cuda.get_device_name() if device.type == "cuda" else f"{count} cores"
    print(f"torch {torch.__version__} on {where}; {chosen.layers} layers, {chosen.steps} steps")
    print(f"{'':<24}{'min':>10}{'median':>10}{'max':>10}")
    with ThreadPoolExecutor(count, initializer=torch.set_num_threads, initargs=(1,)) as workers:
        moved = 2 * 8 * 2**23 * 10 * count / 1e9
        bandwidth = rates(partial(copied, device, workers, count), moved, chosen.repeats)
        row("copy_", bandwidth, "GB/s")
        for family, state_size in SHAPES.items():
            design = Design(
                family=family,
                channels=CHANNELS,
                state_size=state_size,
                steps=chosen.steps,
                seed=0,
            )
            layers = draw_layers(design, 0, chosen.layers)
            elements = chosen.layers * chosen.steps * CHANNELS * state_size * (1 + len(MODES)) / 1e9
            size = chunk_size(design, device)
            quick = rates(partial(fast, layers, size, device, workers), elements, chosen.repeats)
            slow = rates(partial(plain, layers, device), elements, chosen.repeats)
            share = statistics.median(quick) * STATE_BYTES / statistics.median(bandwidth)
            ratio = statistics.median(quick) / statistics.median(slow)
            row(f"{family}, fast", quick, "G elements/s", f"  {share:.0%} of copy")
            row(f"{family}, plain", slow, "G elements/s", f"  fast is {ratio:.1f} times as fast")


if __name__ == "__main__":
    main()
