"""Steps of the Dockerfile that need the bundle's own code, and no command of a user.

python -m repro.container.steps inputs            fetch what the index has of inputs
python -m repro.container.steps lock ...          write image.json
python -m repro.container.steps probe             print what a forward pass runs on
python -m repro.container.steps kernels ...       build the CUDA kernels' wheels
python -m repro.container.steps nvcc ...          nvcc, for the architectures that are named
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from repro import fileio, paths
from repro.environment import image as audit_image
from repro.environment import pins
from repro.environment.pins import Pin
from repro.errors import EXIT_DONE, CannotRunError, ReproError
from repro.fileio import write_text
from repro.inputs import sources
from repro.schema import catalog, validate
from repro.schema.base import Frozen
from repro.schema.jobs import EvaluateJob, Setting
from repro.text import visible_lines

TWINS = ("mamba-twin", "mamba2-twin", "gpt-neox-twin")
_TOLD = ("device", "attention", "mamba_scan", "layer_norm")


def main(arguments: Sequence[str] | None = None) -> int:
    """Take one step."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given[:1] == ["nvcc"]:
        return nvcc(given[1:])
    parser = argparse.ArgumentParser(prog="container_steps")
    steps = parser.add_subparsers(dest="step", required=True)
    steps.add_parser("inputs")
    lock = steps.add_parser("lock")
    lock.add_argument("--target", choices=("cpu", "cuda"), required=True)
    lock.add_argument("--revision", required=True)
    lock.add_argument("--dpkg-status", type=Path, help="of the stage that the image ends in")
    steps.add_parser("probe")
    kernels = steps.add_parser("kernels")
    kernels.add_argument("--wheels", type=Path, required=True)
    kernels.add_argument("packages", nargs="*", help="build these alone")
    chosen = parser.parse_args(given)
    try:
        if chosen.step == "inputs":
            fetch_inputs()
        elif chosen.step == "lock":
            write_lock(chosen.target, chosen.revision, chosen.dpkg_status)
        elif chosen.step == "probe":
            print(json.dumps(probe(), indent=1))
        else:
            build(pins.read(pins.KERNELS), chosen.wheels, only=chosen.packages)
    except ReproError as error:
        print(visible_lines(str(error)), file=sys.stderr)
        return error.exit_code
    return EXIT_DONE


def fetch_inputs() -> None:
    """Fetch every data wheel and archive that is needed, each by its digest."""
    from runner import inputs_fetch

    wheels = [each.wheel for each in catalog.datasets().values()]
    wheels += [each.wheel for each in catalog.benchmarks().values() if each.wheel]
    wheels += [each.wheel for each in catalog.instructions().values() if each.wheel]
    for wheel in {each.filename: each for each in wheels}.values():
        inputs_fetch.fetch_wheel(wheel)
    for pin in sources.missing_archives(validate.load_manifests([])):
        inputs_fetch.fetch_source(pin)


def write_lock(
    target: Literal["cpu", "cuda"], revision: str, dpkg_status: Path | None = None
) -> None:
    """Write down what the image is, as its last step but cleaning up.

    Its OS packages are those of this stage, or of the stage that `dpkg_status` was copied from.

    Raises:
        ReproError: if a forward pass fails: such an image is not worth having.
    """
    image = audit_image.capture(target, revision)
    if dpkg_status:
        image = image.model_copy(update={"os_packages": audit_image.os_packages(dpkg_status)})
    if "failed" in image.probe:
        raise ReproError(f"the probe forward pass failed: {image.probe['failed']}")
    write_text(audit_image.FILE, image.model_dump_json(indent=1) + "\n")


def probe() -> dict[str, str]:
    """One forward pass of each twin in two dtypes, and what it ran on."""
    from runner.evaluation import loading

    found = dict[str, str]()
    for twin in TWINS:
        for dtype in ("float32", "bfloat16"):
            model = loading.load(_job(twin, dtype), paths.ROOT / "twins" / twin)
            model._loglikelihood_tokens([(("", ""), [1, 2, 3], [4])], disable_tqdm=True)  # noqa: SLF001
            path = model.path()
            found |= {f"{twin} {dtype} {name}": path[name] for name in _TOLD}
    return found


def _job(twin: str, dtype: Literal["float32", "bfloat16"]) -> EvaluateJob:
    """A question for a twin that asks for every kernel there is."""
    setting = Setting(
        id="probe",
        batch_size=1,
        order="length-descending",
        attention_float32="sdpa",
        attention_half="flash_attention_2",
        mamba_path="kernels",
    )
    return EvaluateJob(
        kind="evaluate",
        checkpoint=twin,
        dtype=dtype,
        arm="weight-cast",
        task="mmlu",
        subjects=("anatomy",),
        shots=(0,),
        setting=setting,
    )


# -----------------------------------------------------------------------------
# Wheels of the three CUDA kernels, from sources that are pinned by content.
#
# flash-attn comes from its source archive on the package index, by digest. Those of mamba-ssm
# and causal-conv1d lack the CUDA sources, so both come from their public repositories, each at
# one commit: git names a commit by the digest of everything in it. Each setup.py would first
# try to download a wheel that nothing pins, and is told to build; the compiler is the machine's.
# A wheel that lies in the folder already is taken as it is, and the log names its digest:
# flash-attn takes hours, and may be built elsewhere.
#
# Each setup.py names its architectures itself (5.3 to 9.0), so $TORCH_CUDA_ARCH_LIST would have
# no effect. PyTorch compiles by $PYTORCH_NVCC where it is set: the step `nvcc`, which passes on
# everything but those architectures, and names what the variable lists in their place.
#
# Reference: mamba-ssm 2.2.2, causal-conv1d 1.4.0 and flash-attn 2.5.7, setup.py.
# Not covered: submodules; the two commits have none that a build reads.

FORCE = {f"{name}_FORCE_BUILD": "TRUE" for name in ("MAMBA", "CAUSAL_CONV1D", "FLASH_ATTENTION")}
"""Keeps a setup.py from downloading a prebuilt wheel."""
_TOOLS = ("einops", "ninja", "packaging")
"""Of pinned-kernels.txt: what the kernels need to be built and to be imported. They come first,
so that no setup.py finds one missing and fetches it."""


class Commit(Frozen):
    """The source of one package."""

    package: str
    """Normalised name."""
    repository: str
    commit: str
    """40 hexadecimal digits: a tag may move, a commit cannot."""


COMMITS = (
    Commit(
        package="causal-conv1d",
        repository="https://github.com/Dao-AILab/causal-conv1d",
        commit="f8c246707eff3431b5cf2ce6defa4b7f309ea9fb",
    ),
    Commit(
        package="mamba-ssm",
        repository="https://github.com/state-spaces/mamba",
        commit="8ffd905c91d207f5c0cc84fc2a2fb748655094f0",
    ),
)


def build(
    kernels: Mapping[str, Pin],
    wheels: Path,
    commits: Sequence[Commit] = COMMITS,
    only: Sequence[str] = (),
) -> list[Path]:
    """Build one wheel for each package of `pinned-kernels.txt`, or of `only`, into a folder.

    The source of some is a commit; all others come from the index by digest. What the folder
    has a wheel of already is not built.

    Raises:
        CannotRunError: a source or a wheel is not what is pinned, an architecture is none, or a
            build failed.
    """
    architectures(os.environ.get(NAMED, ""))
    if unknown := sorted(set(only) - kernels.keys()):
        found, expected = ", ".join(unknown), ", ".join(kernels)
        raise CannotRunError(f"kernels: found {found}, expected some of {expected}")
    there = _wheels_there(kernels, wheels)
    wanted = {*(only or kernels), *_TOOLS} & kernels.keys()
    kernels = {name: pin for name, pin in kernels.items() if name in wanted}
    tools = [kernels[name] for name in _TOOLS if name in kernels.keys() - there]
    if tools:
        _from_index(tools, wheels, [])
        _pip("install", "--no-deps", "--no-index", *map(str, sorted(wheels.glob("*.whl"))))
    by_commit = {each.package for each in commits}
    with tempfile.TemporaryDirectory() as folder:
        for source in (each for each in commits if each.package in kernels.keys() - there):
            checkout = Path(folder) / source.package
            fetch(source, checkout)
            _pip("wheel", "--no-index", *_BUILD, "--wheel-dir", str(wheels), str(checkout))
    elsewhere = {*_TOOLS, *by_commit, *there}
    sources = [pin for name, pin in kernels.items() if name not in elsewhere]
    for pin in sources:
        _from_index([pin], wheels, ["--no-binary", pin.name])
    return [_built_wheel(pin, wheels) for pin in kernels.values()]


_BUILD = ("--no-deps", "--no-build-isolation")


def _wheels_there(kernels: Mapping[str, Pin], wheels: Path) -> set[str]:
    """Packages that a folder has a wheel of already: built by an earlier step, or elsewhere."""
    there = set[str]()
    for path in sorted(wheels.glob("*.whl")):
        name = pins.normalise(path.name.partition("-")[0])
        if name not in kernels:
            message = f"{path}: found a wheel of {name}, expected {', '.join(kernels)} alone"
            raise CannotRunError(message)
        _built_wheel(kernels[name], wheels)
        print(f"{path.name}: taken as it is, sha256 {fileio.digest_of_file(path)}")
        there.add(name)
    return there


NAMED = "TORCH_CUDA_ARCH_LIST"
"""PyTorch's own variable, e.g. `8.0;9.0`, or `9.0+PTX` with code that later GPUs compile."""
_ARCHITECTURE = re.compile(r"(\d+)\.(\d+a?)(\+PTX)?")


def architectures(named: str) -> list[str]:
    """Arguments of nvcc for what `$TORCH_CUDA_ARCH_LIST` names.

    Raises:
        CannotRunError: if it names something else than architectures.

    Example:
        >>> architectures("8.0;9.0+PTX")[1:]
        ['-gencode=arch=compute_90,code=sm_90', '-gencode=arch=compute_90,code=compute_90']
    """
    found = list[str]()
    for each in filter(None, re.split(r"[;\s]+", named)):
        match = _ARCHITECTURE.fullmatch(each)
        if not match:
            raise CannotRunError(f"{NAMED}: found {each!r}, expected a list like 8.0;9.0+PTX")
        number = f"{match[1]}{match[2]}"
        codes = [f"sm_{number}", *([f"compute_{number}"] if match[3] else [])]
        found += [f"-gencode=arch=compute_{number},code={code}" for code in codes]
    return found


def nvcc(arguments: Sequence[str]) -> int:
    """Compile as asked, but for the architectures of `$TORCH_CUDA_ARCH_LIST`, if it names any."""
    named = architectures(os.environ.get(NAMED, ""))
    passed = list[str]()
    skip = False
    for each in arguments:
        if named and (skip or each.partition("=")[0] in ("-gencode", "--generate-code")):
            skip = not skip and "=" not in each  # the value is the next argument
        else:
            passed.append(each)
    program = Path(os.environ.get("CUDA_HOME", "/usr/local/cuda"), "bin", "nvcc")
    return subprocess.run([str(program), *passed, *named], check=False).returncode  # noqa: S603


def fetch(source: Commit, checkout: Path) -> None:
    """Check out one commit, and nothing else of the repository.

    Raises:
        CannotRunError: if git cannot get it, or got another one.
    """
    _run(["git", "init", "--quiet", str(checkout)])
    git = ["git", "-C", str(checkout), "-c", "transfer.fsckObjects=true"]
    _run([*git, "fetch", "--quiet", "--depth=1", source.repository, source.commit])
    _run([*git, "checkout", "--quiet", "--detach", "FETCH_HEAD"])
    found = _run([*git, "rev-parse", "HEAD"]).strip()
    if found != source.commit:
        raise CannotRunError(f"{source.repository}: found commit {found}, expected {source.commit}")


def _from_index(pins: Sequence[Pin], wheels: Path, options: Sequence[str]) -> None:
    """Wheels of packages of the index, each held to the digest of what they are made from."""
    with tempfile.NamedTemporaryFile("w", suffix=".txt", encoding="utf-8") as requirements:
        for pin in pins:
            hashes = " ".join(f"--hash=sha256:{each}" for each in pin.hashes)
            requirements.write(f"{pin.name}=={pin.version} {hashes}\n")
        requirements.flush()
        given = ["--require-hashes", "--requirement", requirements.name]
        _pip("wheel", *_BUILD, "--wheel-dir", str(wheels), *given, *options)


def _pip(command: str, *arguments: str) -> None:
    always = ["--quiet", "--disable-pip-version-check", "--no-cache-dir"]
    _run([sys.executable, "-m", "pip", command, *always, *arguments])


def _run(command: Sequence[str]) -> str:
    """Run it with every build forced; what it says on standard error is part of the build's log.

    Raises:
        CannotRunError: if it fails.
    """
    # A setup.py may ask for build tools of its own: from nowhere, where pip was told so.
    nowhere = {"PIP_NO_INDEX": "1"} if "--no-index" in command else {}
    compiler = {"PYTORCH_NVCC": f"{sys.executable} -m {__spec__.name} nvcc"}
    environ = {**os.environ, **FORCE, **nowhere, **compiler}
    done = subprocess.run(  # noqa: S603
        list(command), stdout=subprocess.PIPE, text=True, check=False, env=environ
    )
    if done.returncode:
        message = f"{' '.join(command[:5])} … failed with code {done.returncode}; see above"
        raise CannotRunError(message)
    return done.stdout


def _built_wheel(pin: Pin, wheels: Path) -> Path:
    """The wheel of a package, which has to be of its pinned version."""
    stem = pin.name.replace("-", "_")
    found = sorted(wheels.glob(f"{stem}-*.whl"))
    if len(found) != 1 or found[0].name.split("-")[1].partition("+")[0] != pin.version:
        names = ", ".join(path.name for path in found) or "none"
        raise CannotRunError(f"{pin.name}: found the wheels {names}, expected one of {pin.version}")
    return found[0]


if __name__ == "__main__":
    sys.exit(main())
