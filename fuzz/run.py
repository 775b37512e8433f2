"""Fuzzing, guided by coverage: `python -m fuzz.run`, what `make fuzz` calls (docs/fuzzing.md).

Every target gets a process of its own, in which atheris counts what `repro` and `verify` execute
and mutates the inputs that reached something new. A failure does not stop it: the first input of
each kind is kept under `.cache/fuzz`.

Not covered: libraries below `repro` and `verify`, which are not instrumented.
"""

import argparse
import hashlib
import json
import os
import random
import re
import resource
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

KEPT = Path(__file__).resolve().parent.parent / ".cache" / "fuzz"
SHARES = {
    "manifest": 16_000,
    "claims": 22_000,
    "record": 10_000,
    "arrays": 8_000,
    "run-file": 8_000,
    "pins": 8_000,
    "audit": 12_000,
    "archive": 18_000,
    "packet": 8_000,
    "paths": 4_000,
    "checkpoint": 8_000,
    "loading": 3_000,
}
"""Inputs of each target where all get 125,000."""
_LONGEST = 96
"""Bytes of an input; the largest mutations read about 40."""
_SPARE = 2 << 30
"""Bytes of address space that a command may take beyond what the fuzzer has taken already."""


def main() -> int:
    """Fuzz all targets, or one; or run one input again."""
    parser = argparse.ArgumentParser(prog="fuzz.run", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--inputs", type=int, default=sum(SHARES.values()), help="of all targets")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--target", choices=SHARES, help="this one alone, in this process")
    parser.add_argument("--again", metavar="HEX", help="with --target: one input, and what it did")
    given = parser.parse_args()
    KEPT.mkdir(parents=True, exist_ok=True)
    if given.replan is not None:
        return _again(given.target, bytes.fromhex(given.replan))
    if given.target:
        _fuzz(given.target, given.inputs, given.seed)
    return _all(given.inputs, given.seed)


# -----------------------------------------------------------------------------
# All targets


def _all(inputs: int, seed: int) -> int:
    """A process for each target, as many at a time as there are cores; one line for each."""
    counts = {
        name: max(1, inputs * share // sum(SHARES.values())) for name, share in SHARES.items()
    }

    def one(name: str) -> dict[str, Any]:
        command = [sys.executable, "-m", "fuzz.run", "--target", name, "--seed", str(seed)]
        with (KEPT / f"{name}.log").open("w") as log:
            ended = subprocess.run(  # noqa: S603  # ourselves
                [*command, "--inputs", str(counts[name])], stderr=log, stdout=log, check=False
            )
        file = KEPT / f"{name}.json"
        found: dict[str, Any] = json.loads(file.read_bytes()) if file.is_file() else {}
        return {**found, "ended": ended.returncode, "coverage": _coverage(KEPT / f"{name}.log")}

    for name in SHARES:
        (KEPT / f"{name}.json").unlink(missing_ok=True)
    print("target      inputs    a second   branches   slowest   failures")
    total, bad = 0, 0
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for name, found in zip(SHARES, pool.map(one, SHARES), strict=True):
            count, failures = found.get("inputs", 0), found.get("failures", {})
            rate, slowest = count / found.get("seconds", 1), found.get("slowest", 0.0)
            print(
                f"{name:<10}{count:>8}{rate:>12.1f}{found['coverage']:>11}{slowest:>8.2f} s"
                f"{len(failures):>11}",
                flush=True,
            )
            for what, (times, text) in failures.items():
                print(f"    {times} times {what}\n        --target {name} --again {text}")
            if count < counts[name]:
                print(f"    ended early, exit code {found['ended']}: {KEPT / name}.log")
            total, bad = total + count, bad + len(failures) + (count < counts[name])
    print(f"{total} inputs, {bad} kinds of failure")
    return 1 if bad else 0


def _coverage(log: Path) -> int:
    """Branches of `repro` and `verify` that were reached, as libFuzzer counts them."""
    found = re.findall(r"cov: (\d+)", log.read_text(encoding="utf-8", errors="replace"))
    return max(map(int, found), default=0)


# -----------------------------------------------------------------------------
# One target


def _targets() -> tuple[Any, Any]:
    """The targets by name, on a stand in a scratch folder, in memory where there is one."""
    memory = Path("/dev/shm")  # noqa: S108  # a RAM disk: no input waits for one
    scratch = tempfile.TemporaryDirectory(prefix="fuzz-", dir=memory if memory.is_dir() else None)
    tempfile.tempdir = scratch.name
    from fuzz import stand, targets

    made = targets.Targets(stand.build(Path(scratch.name)))
    size = (
        int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
        * resource.getpagesize()
    )
    resource.setrlimit(resource.RLIMIT_AS, (size + _SPARE, size + _SPARE))
    warnings.simplefilter("error")  # a warning on a terminal is no message of ours
    return made.names, scratch


def _again(target: str, data: bytes) -> int:
    """Run one input and print what it did."""
    from fuzz.choices import Choices
    from fuzz.guard import Failure

    names, scratch = _targets()
    try:
        names[target](Choices(data))
    except Failure as failure:
        print(f"{failure}\n{failure.detail}")
        return 1
    finally:
        scratch.cleanup()
    print("what must hold holds")
    return 0


def _fuzz(target: str, inputs: int, seed: int) -> None:
    """Fuzz one target until so many inputs were run; ends the process."""
    import atheris

    with atheris.instrument_imports(include=["repro", "verify"]):
        one = _Counted(target, inputs)
        corpus = Path(tempfile.mkdtemp(prefix="corpus-"))
        drawn = random.Random(seed)  # noqa: S311  # no secret
        for number in range(64):
            (corpus / str(number)).write_bytes(drawn.randbytes(8 + number % (_LONGEST - 8)))
        options = [f"-max_len={_LONGEST}", f"-seed={seed}", "-rss_limit_mb=0", "-timeout=100"]
        options += ["-len_control=0", f"-artifact_prefix={KEPT}/", str(corpus)]
        atheris.Setup([sys.argv[0], *options], one)
        atheris.Fuzz()


class _Counted:
    """A target that counts what came of its inputs, and ends the process after the last."""

    def __init__(self, target: str, inputs: int) -> None:
        from fuzz import guard
        from fuzz.choices import Choices

        self.target, self.inputs, self.guard, self.choices = target, inputs, guard, Choices
        self.names, self.scratch = _targets()
        self.count, self.slowest, self.start = 0, 0.0, time.monotonic()
        self.failures: dict[str, tuple[int, str]] = {}

    def __call__(self, data: bytes) -> None:
        before = time.process_time()
        try:
            self.names[self.target](self.choices(data))
        except self.guard.Failure as failure:
            self._keep(str(failure), data, failure.detail)
        except Exception as error:  # noqa: BLE001  # the fuzzer's own; it must not end the rest
            self._keep(f"fuzzer: {error!r}", data, traceback.format_exc())
        self.slowest = max(self.slowest, time.process_time() - before)
        self.count += 1
        if self.count == self.inputs:
            self._save()
            self.scratch.cleanup()
            os._exit(0)

    def _keep(self, what: str, data: bytes, detail: str) -> None:
        times, text = self.failures.get(what, (0, data.hex()))
        self.failures[what] = (times + 1, text)
        if not times:
            name = hashlib.sha256(what.encode()).hexdigest()[:12]
            path = KEPT / f"{self.target}-{name}.txt"
            path.write_text(f"{what}\n{data.hex()}\n{detail}\n", encoding="utf-8", errors="replace")

    def _save(self) -> None:
        found = {
            "inputs": self.count,
            "seconds": time.monotonic() - self.start,
            "slowest": self.slowest,
            "failures": self.failures,
        }
        (KEPT / f"{self.target}.json").write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
