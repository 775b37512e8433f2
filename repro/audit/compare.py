"""How two environments differ, and which claims the difference can touch.

Both are what `repro audit --json` prints. A claim lists the packages that it depends on, so a
package touches the claims that name it. Python, the hardware, numeric flags, the C and C++
libraries and the path that the models take touch every claim that is measured.

Not covered: whether a difference does move a digit. That takes a run of both.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from repro import fileio, json_text
from repro.audit.audit import Audit
from repro.environment.image import Image
from repro.environment.machine import NUMERIC_FLAGS, Environment
from repro.errors import BadInputError
from repro.schema.base import Frozen
from repro.schema.manifest import Manifest

_LIBRARIES = ("libc6", "libgcc-s1", "libgomp1", "libstdc++6")
"""OS packages that compute."""
_OWNERS = {"selective": "mamba-ssm", "causal": "causal-conv1d", "flash": "flash-attn"}
"""Start of a kernel's file name to its package."""
EVERY = "*"
"""Touches whatever is measured."""


class Difference(Frozen):
    """One thing that differs."""

    what: str
    here: str | None
    """Null if it is not there."""
    there: str | None
    touches: str | None
    """Package whose claims it can touch, `*` for every measured claim, null for none."""
    claims: dict[str, tuple[str, ...]]
    """Those claims, by manifest."""


def is_audit(path: Path) -> bool:
    """Whether a file is JSON, and so no lock file."""
    try:
        return fileio.read_text(path).lstrip()[:1] == "{"
    except (OSError, UnicodeDecodeError):
        return False  # whoever reads it as a lock says what is wrong


def load(path: Path) -> Audit:
    """Read another environment's audit.

    Raises:
        BadInputError: it is not what `repro audit --json` prints.
    """
    try:
        return json_text.load_model(path, Audit.model_validate_json)
    except (OSError, ValueError) as error:
        why = json_text.explain_error(error)
        raise BadInputError(f"{path}: {why}; expected what `repro audit --json` prints") from error


_Side = Mapping[str, str]
_Sides = tuple[str, _Side, _Side]
"""What names of a kind begin with, and their values on both sides."""


def compare(here: Audit, there: Audit, manifests: Sequence[Manifest]) -> tuple[Difference, ...]:
    """Everything that differs, with the claims that it can touch."""
    problems = [dict.fromkeys(each.problems, "yes") for each in (here, there)]
    return _differences(
        (
            ("", _machine(here.environment), _machine(there.environment)),
            ("", _packages(here), _packages(there)),
            ("flag ", here.environment.flags, there.environment.flags),
            ("problem: ", problems[0], problems[1]),
            *_images(here.image, there.image),
        ),
        manifests,
    )


def compare_environments(here: Environment, there: Environment) -> tuple[Difference, ...]:
    """The same of what two records say of the machines that made them; no claims are named."""
    own = [{"code": each.revision.of} if each.revision else {} for each in (here, there)]
    return _differences(
        (
            ("", _machine(here), _machine(there)),
            ("", here.packages, there.packages),
            ("flag ", here.flags, there.flags),
            ("bundle's own ", own[0], own[1]),
        ),
        (),
    )


def _differences(
    several: Iterable[_Sides], manifests: Sequence[Manifest]
) -> tuple[Difference, ...]:
    found = []
    for label, one, other in several:
        for name in sorted(one.keys() | other.keys()):
            if one.get(name) != other.get(name):
                touches = _touches(label, name)
                difference = Difference(
                    what=f"{label}{name}",
                    here=one.get(name),
                    there=other.get(name),
                    touches=touches,
                    claims=_claims(manifests, touches) if touches else {},
                )
                found.append(difference)
    return tuple(found)


def _machine(environment: Environment) -> dict[str, str]:
    """Parts of a job's key that are the machine, flags apart."""
    parts = environment.key_parts()
    found = {name: value for name, value in parts.items() if name not in NUMERIC_FLAGS}
    return found | {"driver": environment.gpu.driver if environment.gpu else "none"}


def _packages(audit: Audit) -> dict[str, str]:
    """Version and, where files were changed, that they were."""
    return {
        row.package: f"{row.installed} (changed)" if row.files else row.installed
        for row in audit.rows
        if row.installed is not None
    }


def _images(here: Image | None, there: Image | None) -> tuple[_Sides, ...]:
    """What lies under the packages, where both sides are images and say."""
    if here is None or there is None:
        return ()
    kernels = (
        {name: str(kernel) for name, kernel in each.kernels.items()} for each in (here, there)
    )
    one, other = kernels
    return (
        ("OS package ", here.os_packages, there.os_packages),
        ("wheel of ", here.wheels, there.wheels),
        ("kernel ", one, other),
        ("path taken, ", here.probe, there.probe),
        ("bundle's own ", here.bundle, there.bundle),
    )


def _touches(label: str, name: str) -> str | None:
    """Package whose claims a difference touches."""
    if label == "OS package ":
        return EVERY if name.partition(":")[0] in _LIBRARIES else None
    if label == "kernel ":
        return next(
            (package for start, package in _OWNERS.items() if name.startswith(start)), EVERY
        )
    if label == "wheel of ":
        return name
    if label == "bundle's own ":
        return EVERY if name.startswith(("runner/", "catalog/", "twins/", "repro/")) else None
    if label == "flag ":
        return EVERY if name in NUMERIC_FLAGS else None
    if label or name in ("hardware", "python", "vendor", "driver"):
        return EVERY
    return name


def _claims(manifests: Iterable[Manifest], package: str) -> dict[str, tuple[str, ...]]:
    """Claims that depend on a package, or are measured at all, by manifest."""
    found = {
        manifest.id: tuple(
            claim.id
            for claim in manifest.claims
            if (claim.depends_on if package == EVERY else package in claim.depends_on)
        )
        for manifest in manifests
    }
    return {name: claims for name, claims in found.items() if claims}
