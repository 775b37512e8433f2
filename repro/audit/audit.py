"""The environment against the pins: paper's pin, bundle's pin, what is installed.

A package whose files were changed after its installation is drift, as is a second owner
of one of the bundle's three packages: either could answer in the bundle's name.
"""

import importlib.machinery
import os
import platform
import sys
import sysconfig
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from repro import paths
from repro.environment import image as audit_image
from repro.environment import installed, pins, revision
from repro.environment import machine as environment
from repro.environment.image import Image
from repro.environment.installed import Distribution, Progress
from repro.environment.machine import Environment
from repro.environment.pins import PaperPin, Pin
from repro.schema import catalog
from repro.schema.base import Frozen

BUNDLE = paths.DISTRIBUTION
"""The bundle's own distribution."""
TOP_LEVELS = ("repro", "runner", "verify")
"""The bundle's own packages."""
_TOOLS = frozenset({"pip"})
"""Comes with every environment and computes nothing."""
_MODULES = frozenset({".py", ".pyc", ".so"})
_AT_START = frozenset({"sitecustomize", "usercustomize"})
"""Python imports these before anything else, if they are there."""
_VARIABLES = ("PYTHONPATH", "PYTHONHOME", "LD_PRELOAD")
"""What they name comes before everything that is pinned."""
_SWITCHED_ON = frozenset({"1", "true", "yes", "on"})

State = Literal[
    "as pinned",
    "stands in",
    "missing (needs a GPU)",
    "development tool",
    "installer",
    "the bundle itself",
    "missing",
    "wrong version",
    "changed since installed",
    "no RECORD",
    "duplicate",
    "extra",
]
DRIFTED: frozenset[State] = frozenset(
    {"missing", "wrong version", "changed since installed", "no RECORD", "duplicate", "extra"}
)


class Row(Frozen):
    """One package."""

    package: str
    """Normalised name."""
    paper: str | None
    """Version as the paper prints it; null if the paper does not name the package."""
    pinned: str | None
    """Version in the lock; null if it is not in it."""
    installed: str | None
    """Version found; null if it is not installed."""
    state: State
    detail: str
    """Why, where the state does not say it; may be empty."""
    files: tuple[str, ...]
    """Files that are gone or no longer what was installed."""

    @property
    def drifted(self) -> bool:
        """Whether this package is not what the pins say."""
        return self.state in DRIFTED


class Audit(Frozen):
    """An environment held against the pins."""

    rows: tuple[Row, ...]
    """The paper's packages first, then the others by name."""
    problems: tuple[str, ...]
    """Drift that belongs to no package: Python, a second owner, stray files, forced TF32, the
    bundle's own code against its revision, and what is no longer as the image was built."""
    environment: Environment
    floating: tuple[str, ...]
    """Checkpoints of the catalog that nothing pins before the first fetch; no drift."""
    image: Image | None = None
    """What lies under the packages now; null outside an image."""

    @property
    def drifted(self) -> bool:
        """Whether anything at all differs from the pins; missing kernels without a GPU do not."""
        return bool(self.problems) or any(row.drifted for row in self.rows)


def audit(
    against: Path | None = None,
    progress: Progress | None = None,
    search: Sequence[str] | None = None,
) -> Audit:
    """Hold what is installed against the pins.

    Args:
        against: Another lock file than the bundle's.
        progress: Told how far the check of gigabytes of files has come.
        search: Where to look for distributions; `sys.path` by default.

    Raises:
        BadInputError: if a lock file is not one.
    """
    search = sys.path if search is None else search
    lock_file = against or pins.LOCK
    lock, kernels = pins.read(lock_file), pins.read(pins.KERNELS)
    development = pins.read(pins.DEVELOPMENT)
    distributions, files = installed.find_distributions(search)
    changed = installed.altered_by_distribution(distributions, files, progress)
    stray, inside = installed.unrecorded_files(distributions)
    for index, lines in inside.items():
        changed[index] = [*changed.get(index, []), *lines]
    code = revision.own()
    machine = environment.capture(lock | kernels).model_copy(update={"revision": code})
    has_gpu = bool(machine.gpus)
    books = _ExpectedPackages(lock, kernels, development, pins.paper(), has_gpu)
    found: dict[str, list[int]] = {}
    for index, each in enumerate(distributions):
        found.setdefault(each.name, []).append(index)
    rows = []
    for name in sorted({*found, *lock, *kernels, *books.paper}, key=books.order):
        several = found.get(name, [])
        lines = [line for index in several for line in changed.get(index, [])]
        rows.append(books.row(name, [distributions[index] for index in several], lines))
    built = audit_image.load(audit_image.FILE)
    image = audit_image.capture(built.target, built.revision, search) if built else None
    problems = (
        *_python(lock_file),
        *_second_owners(distributions),
        *_shadows(search, distributions),
        *(f"{path} belongs to no package" for path in stray),
        *_first_on_the_path(search, distributions),
        *_forced_tf32(machine.flags),
        *(audit_image.differences(built, image, has_gpu=has_gpu) if built and image else ()),
        *(f"{name} is not as {code.of} has it" for name in code.changed if not built),
    )
    return Audit(
        rows=tuple(rows),
        problems=problems,
        environment=machine,
        floating=catalog.unpinned_checkpoints(catalog.checkpoints()),
        image=image,
    )


@dataclass(frozen=True)
class _ExpectedPackages:
    """Everything that says what should be installed."""

    lock: Mapping[str, Pin]
    kernels: Mapping[str, Pin]
    development: Mapping[str, Pin]
    paper: Mapping[str, PaperPin]
    has_gpu: bool

    def order(self, name: str) -> tuple[int, str]:
        """The paper's packages in its order, then the others by name."""
        ranks = list(self.paper)
        return ranks.index(name) if name in self.paper else len(ranks), name

    def row(self, name: str, found: Sequence[Distribution], changed: Sequence[str]) -> Row:
        """The row of one package, from all its installations and their changed files."""
        pin = self.lock.get(name) or self.kernels.get(name)
        named = self.paper.get(name)
        state, detail = self._state(name, pin, found, changed)
        if not detail and named is not None:
            detail = named.stands_in or named.note
        return Row(
            package=name,
            paper=named.printed if named else None,
            pinned=pin.version if pin else None,
            installed=found[0].version if found else None,
            state=state,
            detail=detail,
            files=tuple(changed),
        )

    def _state(
        self, name: str, pin: Pin | None, found: Sequence[Distribution], changed: Sequence[str]
    ) -> tuple[State, str]:
        if not found:
            return self._absent(name, pin)
        if len(found) > 1:
            places = (f"{each.version} in {each.place.name}" for each in found)
            return "duplicate", f"installed {len(found)} times: {', '.join(places)}"
        if pin is not None and found[0].version != pin.version:
            return "wrong version", ""
        if not found[0].has_record:
            return "no RECORD", "cannot be checked: installed by something else than pip or uv"
        if changed:
            return "changed since installed", f"{len(changed)} files, first {changed[0]}"
        return self._intact(name, pin, found[0])

    def _absent(self, name: str, pin: Pin | None) -> tuple[State, str]:
        if name in self.kernels and name not in self.lock and not self.has_gpu:
            return "missing (needs a GPU)", ""
        return "missing", "" if pin else "named in the paper, in no lock file"

    def _intact(self, name: str, pin: Pin | None, found: Distribution) -> tuple[State, str]:
        if pin is not None:
            named = self.paper.get(name)
            return "stands in" if named and named.stands_in else "as pinned", ""
        if name == BUNDLE:
            return "the bundle itself", ""
        if name in _TOOLS:
            return "installer", ""
        tool = self.development.get(name)
        if tool is None:
            return "extra", "in no lock file"
        other = found.version != tool.version
        return "development tool", f"requirements-dev.txt has {tool.version}" if other else ""


def _python(lock_file: Path) -> list[str]:
    wanted = pins.python_version(lock_file)
    running = platform.python_version()
    if wanted is None or running.startswith(f"{wanted}."):
        return []
    return [f"Python {running}, {lock_file.name} was compiled for {wanted}"]


def _second_owners(distributions: Sequence[Distribution]) -> list[str]:
    return [
        f"{each.name} {each.version} also ships a top-level `{name}`"
        for each in distributions
        for name in TOP_LEVELS
        if each.name != BUNDLE and name in each.top_levels()
    ]


def _shadows(search: Sequence[str], distributions: Sequence[Distribution]) -> list[str]:
    """Packages of the bundle's names on the search path that are not the bundle's own."""
    own = {paths.ROOT.resolve(), Path(__file__).resolve().parents[2]}
    own |= {each.place.resolve() for each in distributions if each.name == BUNDLE}
    shadows: dict[str, None] = {}
    for entry in dict.fromkeys(str(Path(entry).resolve()) for entry in search):
        if Path(entry) in own:
            continue
        for name in TOP_LEVELS:
            spec = importlib.machinery.PathFinder.find_spec(name, [entry])
            # A folder without code is importable too, as a namespace; it answers for nobody.
            folder = Path(entry) / name
            if spec and (spec.origin or any(folder.glob("*.py"))):
                shadows[f"{spec.origin or folder} can be imported as `{name}`"] = None
    return list(shadows)


def _first_on_the_path(
    search: Sequence[str], distributions: Sequence[Distribution]
) -> Iterator[str]:
    """What Python imports in the place of a pinned package or its own library, or on its own."""
    places = {each.place.resolve() for each in distributions if each.name != BUNDLE}
    library = Path(sysconfig.get_path("stdlib")).resolve()
    tops = {name for each in distributions for name in each.top_levels()} - {*TOP_LEVELS, ""}
    own = {paths.ROOT.resolve(), Path(__file__).resolve().parents[2]}
    folders = [Path(entry).resolve() for entry in dict.fromkeys(search)]
    for at, folder in enumerate(folders):
        readable = os.path.isdir(folder) and os.access(folder, os.R_OK | os.X_OK)  # noqa: PTH112
        if folder in places or library in (folder, *folder.parents) or not readable:
            continue
        hidden = sys.stdlib_module_names if library in folders[at:] else frozenset()
        names = tops | hidden if places & set(folders[at:]) else hidden
        for entry in sorted(folder.iterdir()):
            name = entry.name.partition(".")[0]
            code = entry.suffix in _MODULES or os.path.isfile(entry / "__init__.py")  # noqa: PTH113
            if code and (name in names or name in _AT_START):
                yield f"{entry} is imported as `{name}`"
    for name in _VARIABLES:
        value = os.environ.get(name, "")
        entries = {Path(each).resolve() for each in value.split(os.pathsep) if each} - own
        if entries:
            yield f"{name}={value} is in effect"


def _forced_tf32(flags: Mapping[str, str]) -> list[str]:
    names = ("NVIDIA_TF32_OVERRIDE", "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE")
    return [
        f"{name}={flags[name]} turns float32 into TF32"
        for name in names
        if flags.get(name, "").lower() in _SWITCHED_ON
    ]
