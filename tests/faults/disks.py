"""A full disk and a folder that cannot be written: real file systems that nobody else sees."""

import random
import shlex
import shutil
import subprocess
from pathlib import Path

from faults.whole_runs import Reference, Row, command, environ


class NoMountsError(Exception):
    """This system lets nobody mount anything here."""


def on_a_disk(script: str) -> "subprocess.CompletedProcess[str]":
    """Run a shell script where /mnt can be mounted over and nobody else sees it."""
    unshare = ["unshare", "--mount", "--map-root-user", "sh", "-c", script]
    done = subprocess.run(unshare, capture_output=True, text=True, check=False, env=environ())
    if "unshare:" in done.stderr or "mount:" in done.stderr:
        raise NoMountsError(done.stderr.strip())
    return done


def full_disks(reference: Reference, folder: Path, count: int, seed: int) -> Row:
    """Run on disks that are too small by a random amount, then on the same disk made larger."""
    draw, failed, full = random.Random(seed), list[str](), 0
    needed = sum(path.stat().st_size for path in reference.out.rglob("*") if path.is_file())
    for number in range(count):
        size, out = draw.randrange(4096, int(needed)), folder / f"disk-{number}"
        run = shlex.join(command(reference.manifests, Path("/mnt/results")))
        done = on_a_disk(
            f"mount -t tmpfs -o size={size} tmpfs /mnt && {run}; echo code $?; "
            f"mount -o remount,size=64m /mnt && {run}; echo code $?; "
            f"cp -a /mnt/results {shlex.quote(str(out))}"
        )
        codes = [line.split()[1] for line in done.stdout.splitlines() if line.startswith("code ")]
        wrong = [] if codes in (["3", "0"], ["0", "0"]) else [f"exit codes {codes}"]
        full += codes[0] == "3"
        if codes[0] == "3" and not _says(done, "free some space"):
            wrong.append("no message says what to do")
        wrong += [done.stderr[-400:]] if "Traceback" in done.stderr else []
        wrong += reference.differences(out)
        failed += [f"{size} bytes: {each}" for each in wrong]
        shutil.rmtree(out)
    held = f"{full} ran out: exit 3 and a remedy; with space, the same records"
    return Row("full disk", count, held, tuple(failed))


def read_only(reference: Reference) -> Row:
    """A finished folder, half of it removed, on a disk that cannot be written."""
    key = min(reference.records)
    run = shlex.join(command(reference.manifests, Path("/mnt/results")))
    verify = f"{command([], Path())[0]} -m repro.cli.main verify /mnt/results --json"
    done = on_a_disk(
        f"mount -t tmpfs tmpfs /mnt && cp -a {shlex.quote(str(reference.out))} /mnt/results && "
        f"mount -o remount,ro /mnt && {verify} >/dev/null; echo code $?; {run}; "
        f"echo code $?; mount -o remount,rw /mnt; rm -r /mnt/results/jobs/{key}; "
        f"mount -o remount,ro /mnt; {run}; echo code $?"
    )
    codes = [line.split()[1] for line in done.stdout.splitlines() if line.startswith("code ")]
    wrong = [] if codes[0] in "013" else [f"verify exits {codes[0]}: {done.stderr[-300:]}"]
    wrong += [f"run exits {code}" for code in codes[1:] if code != "3"]
    wrong += [] if _says(done, "with --out") else ["no message says what to do"]
    held = "verify judges; run exits 3 and says to choose another --out"
    return Row("read-only results", 1, held, tuple(wrong))


def _says(done: "subprocess.CompletedProcess[str]", words: str) -> bool:
    """Whether a command said some words, however its lines were broken."""
    return words in " ".join((done.stdout + done.stderr).split())
