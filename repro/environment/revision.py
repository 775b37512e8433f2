"""Which revision the bundle's own code is, and which of its files are not as that has them.

A checkout is held to its commit by git, an image to the digests that it was built with, an
installed wheel to the digests that its installer wrote down. A copy without any of these is held
to nothing, and says so.

Not covered: what git is told to ignore, and a commit that was made to fit.
"""

import subprocess
from collections.abc import Mapping
from pathlib import Path

from repro import paths
from repro.environment import image, installed
from repro.schema.base import Frozen

CODE = Path(__file__).resolve().parents[2]
"""Where `repro`, `runner` and `verify` lie."""
FOLDERS = ("repro", "runner", "verify")


class Revision(Frozen):
    """The bundle's own code."""

    of: str
    """`commit <40 digits>`, `image of <commit>`, `wheel <version>`, or `unknown`."""
    changed: tuple[str, ...]
    """Files that are changed, added or gone since."""


def own() -> Revision:
    """The revision of the code that runs here."""
    return _image() or _checkout(CODE) or _wheel() or Revision(of="unknown", changed=())


def _image() -> Revision | None:
    built = image.load(image.FILE)
    if built is None or paths.ROOT.resolve() != CODE:
        return None
    now = dict(image.own_files(FOLDERS))
    then = {name: sha for name, sha in built.bundle.items() if name.startswith(FOLDERS)}
    return Revision(of=f"image of {built.revision}", changed=_apart(then, now))


def _checkout(folder: Path) -> Revision | None:
    """By git, where it is installed, trusts the folder, and the folder is a checkout of its own."""
    if not (folder / ".git").exists():
        return None
    commit = git(folder, "rev-parse", "HEAD")
    # An assumed-unchanged file is not looked at: each is digested, whatever the index says.
    listed = git(folder, "ls-tree", "-r", "HEAD", "--", *FOLDERS)
    if not commit or listed is None:
        return None
    then = {line.partition("\t")[2]: line.split()[2] for line in listed.splitlines()}
    here = [path for name in FOLDERS for path in sorted((folder / name).rglob("*"))]
    files = [path for path in here if path.is_file() and path.suffix != ".pyc"]
    names = [str(path.relative_to(folder)) for path in files]
    hashed = git(folder, "hash-object", "--no-filters", "--stdin-paths", given="\n".join(names))
    now = dict(zip(names, (hashed or "").splitlines(), strict=False))
    return Revision(of=f"commit {commit}", changed=_apart(then, now))


def _apart(then: Mapping[str, str], now: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(sorted(each for each in then.keys() | now if then.get(each) != now.get(each)))


def git(folder: Path, *words: str, given: str = "") -> str | None:
    """What git says; None if it cannot."""
    try:
        done = subprocess.run(  # noqa: S603
            ["git", "-C", str(folder), *words],  # noqa: S607
            input=given,
            capture_output=True,
            text=True,
            check=False,
        )
    except OSError:
        return None
    return None if done.returncode else done.stdout.strip()


def _wheel() -> Revision | None:
    """An installed wheel, not an editable installation, which lists no code."""
    found = installed.distribution(paths.DISTRIBUTION)
    files = installed.files_of(found) if found else []
    own_files = [each for each in files if each.name.startswith(FOLDERS)]
    if found is None or not own_files:
        return None
    apart = installed.altered_files(own_files)
    return Revision(of=f"wheel {found.version}", changed=tuple(apart))
