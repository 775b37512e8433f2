"""A packet: how it is laid out, its list of digests and their signature, and how one is opened.

    PACKET/ro-crate-metadata.json              what everything is and what made it
    PACKET/report.html, findings.csv           for a reader, for a spreadsheet
    PACKET/results/runs/, results/jobs/        what `repro verify` reads; results-2/ and so on
                                               where several results folders were packed
    PACKET/paper.json, manifests/, catalog/    what is claimed, and of what: a packet is a bundle
    PACKET/schemas/                            of each kind of file above, as JSON Schema
    PACKET/pinned-requirements.txt, …          the lock
    PACKET/sbom-1.cdx.json, …                  one for each environment that measured
    PACKET/SHA256SUMS                          every file above, as sha256sum writes it
    PACKET/SHA256SUMS.sig                      once its author has signed it

A packet is a folder, or the same in a zip file, which may have the folder on top, as systems that
compress a folder make it. Equal files give equal zip files: entries are
sorted and have no time of their own.
"""

import os
import shutil
import stat
import subprocess
import tempfile
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from repro import fileio
from repro.errors import BadInputError, CannotRunError, Problem, cannot_read
from repro.paths import PAPER
from repro.store.run_file import SUMS, is_packet, results_below

SIGNATURE = f"{SUMS}.sig"
_MODE = 0o100644 << 16
"""A plain file that everyone may read, as a zip file says it."""
_FINDERS = "__MACOSX"
"""What macOS puts beside a folder that it compresses; no part of it."""
_ROOM, _RATIO = 1 << 30, 100
"""A zip file that unpacks to more bytes and to more times its own size is no packet."""


def files_of(folder: Path) -> Iterator[str]:
    """Every entry but folders, relative, sorted; a link to a folder is an entry.

    Raises:
        OSError: if a folder in it cannot be read.
    """

    def refuse(error: OSError) -> None:
        raise error

    for root, folders, files in os.walk(folder, onerror=refuse):
        links = [name for name in folders if (Path(root) / name).is_symlink()]
        yield from ((Path(root) / name).relative_to(folder).as_posix() for name in links + files)


def write_sums(folder: Path) -> None:
    """List every file of a packet with its digest."""
    names = sorted(set(files_of(folder)) - {SUMS, SIGNATURE})
    lines = [f"{fileio.digest_of_file(folder / name)}  {name}\n" for name in names]
    (folder / SUMS).write_text("".join(lines), encoding="utf-8")


def differences(folder: Path, sums: bytes) -> list[str]:
    """How a packet differs from a list of digests, one line for each file.

    Raises:
        BadInputError: if the list is not one, or a file cannot be read.
    """
    listed = dict[str, str]()
    for number, line in enumerate(sums.decode(errors="replace").splitlines(), start=1):
        digest, separator, name = line.partition("  ")
        sound = separator and name and len(digest) == 64  # noqa: PLR2004  # of SHA-256
        if not sound or name in listed:
            expected = "a digest and a file" if not sound else "every file once"
            raise BadInputError(f"{SUMS}, line {number}: found {line[:80]!r}, expected {expected}")
        listed[name] = digest
    try:
        found = set(files_of(folder)) - {SUMS, SIGNATURE}
        digest_of = {name: _digest(folder / name) for name in sorted(found & listed.keys())}
    except OSError as error:
        raise BadInputError(cannot_read(error.filename, error)) from error
    return [
        *(f"{name} is missing" for name in sorted(listed.keys() - found)),
        *(f"{name} is not listed" for name in sorted(found - listed.keys())),
        *(f"{name} was changed" for name, sha in digest_of.items() if sha != listed[name]),
    ]


def check_digests(folder: Path, shown: Path) -> None:
    """Hold a packet to its own list of digests.

    Raises:
        BadInputError: with every file that was changed, is missing or is not listed.
    """
    try:
        found = differences(folder, fileio.read_bytes(folder / SUMS))
    except OSError as error:
        raise BadInputError(cannot_read(error.filename, error)) from error
    if found:
        raise BadInputError(f"{shown}: not as its {SUMS} lists it: {', '.join(found)}")


def _digest(path: Path) -> str:
    """Of a file; a link or a pipe is never what was packed."""
    return fileio.digest_of_file(path) if stat.S_ISREG(path.lstat().st_mode) else "no file"


# -----------------------------------------------------------------------------
# The signature of a packet: OpenSSH's, over SHA256SUMS, which lists every other file.
#
# Three questions, in this order: did some key sign these very bytes for this purpose; whose key is
# it; may it sign. Then every file is held to the list that was signed.
#
# Reference: ssh-keygen(1), `-Y`; OpenSSH 8.2 or newer, PROTOCOL.sshsig.
# Not covered: when it was signed; keys that were revoked (leave them out of ALLOWED_SIGNERS).

NAMESPACE = "repro"
"""What the signature is for: a signature made for something else does not count."""


def check_signature(folder: Path, allowed: Path, shown: Path) -> str:
    """Hold a packet to its signature and to its list of digests.

    Args:
        folder: The packet, unpacked.
        allowed: File of those who may sign, as ssh-keygen reads it.
        shown: The packet's name in messages.

    Returns:
        Who signed, and with which key.

    Raises:
        CannotRunError: without ssh-keygen.
        BadInputError: if anything is missing or not as it was signed; one line.
    """
    for path, remedy in (
        (folder / SUMS, "`repro export` makes packets"),
        (folder / SIGNATURE, f"its author makes it: ssh-keygen -Y sign -f KEY -n repro {SUMS}"),
    ):
        if not path.is_file():
            raise BadInputError(f"{shown}: found no {path.name}; {remedy}")
    if not allowed.is_file():
        message = f"--signature {allowed}: found no file, expected one of allowed signers, one a "
        message += 'line: "name@example.org ssh-ed25519 AAAA…"'
        raise BadInputError(message)
    try:
        sums = fileio.read_bytes(folder / SUMS)
    except OSError as error:
        raise BadInputError(cannot_read(error.filename, error)) from error
    signer = _signer(sums, folder / SIGNATURE, allowed, shown)
    if found := differences(folder, sums):
        raise BadInputError(f"{shown}: not as it was signed: {', '.join(found)}")
    return signer


def _signer(sums: bytes, signature: Path, allowed: Path, shown: Path) -> str:
    """Who signed."""
    known = ("-s", str(signature))
    done = _keygen("check-novalidate", "-n", NAMESPACE, *known, said=sums)
    if done.returncode:
        message = f"{shown}: {SIGNATURE} is no signature of {SUMS} for {NAMESPACE}: {_last(done)}"
        raise BadInputError(message)
    key = done.stdout.decode(errors="replace").strip().rpartition(" with ")[2]
    done = _keygen("find-principals", "-f", str(allowed), *known)
    names = done.stdout.decode(errors="replace").splitlines()
    if done.returncode or not names:
        raise BadInputError(f"{shown}: unknown signer: {allowed} does not have the {key}")
    for name in names:
        done = _keygen("verify", "-f", str(allowed), "-I", name, "-n", NAMESPACE, *known, said=sums)
        if not done.returncode:
            return f"{name}, {key}"
    raise BadInputError(f"{shown}: {allowed} does not allow {names[0]} to sign this: {_last(done)}")


def _keygen(
    action: str, *arguments: str, said: bytes = b""
) -> "subprocess.CompletedProcess[bytes]":
    """Run ssh-keygen, without a shell."""
    program = shutil.which("ssh-keygen")
    if program is None:
        message = "--signature needs ssh-keygen (OpenSSH 8.2 or newer), found none on the path"
        raise CannotRunError(message)
    return subprocess.run(  # noqa: S603  # no shell, and only files as arguments
        [program, "-Y", action, *arguments], input=said, capture_output=True, check=False
    )


def _last(done: "subprocess.CompletedProcess[bytes]") -> str:
    lines = (done.stderr + done.stdout).decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else f"exit code {done.returncode}"


# -----------------------------------------------------------------------------
# A packet as a zip file, whose members are refused before one is unpacked.


def write_zip(folder: Path, out: Path) -> None:
    """Put a packet's folder into a zip file."""
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted(files_of(folder)):
            entry = zipfile.ZipInfo(name)  # 1980, the beginning of a zip file's time
            entry.compress_type, entry.external_attr = zipfile.ZIP_DEFLATED, _MODE
            entry.file_size = (folder / name).stat().st_size
            with (folder / name).open("rb") as source, archive.open(entry, "w") as sink:
                shutil.copyfileobj(source, sink, 1 << 20)


@contextmanager
def opened(path: Path) -> Iterator[Path]:
    """The folder of a packet; of a zip file, unpacked for as long as it is needed.

    Raises:
        BadInputError: if there is nothing of the name, or no folder and no zip file of one packet;
            if a zip file is damaged, says that it writes elsewhere, or is larger than it may be.
    """
    if path.is_dir():
        yield path
        return
    try:
        with fileio.open_regular_file(path) as stream:
            zipped = zipfile.is_zipfile(stream)
    except PermissionError as error:
        raise BadInputError(cannot_read(path, error)) from error
    except OSError as error:
        message = f"{path}: {error.strerror}; expected a folder of `repro run`, or a packet"
        raise BadInputError(message) from error
    if not zipped:
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="repro-packet-") as folder:
        try:
            with zipfile.ZipFile(path) as archive:
                members = [
                    each
                    for each in archive.infolist()
                    if PurePosixPath(each.filename).parts[:1] != (_FINDERS,)
                ]
                _check(path, members, shutil.disk_usage(folder).free)
                archive.extractall(folder, members)
        except (
            *(zipfile.BadZipFile, zlib.error, RuntimeError, NotImplementedError),
            *(OSError, EOFError, ValueError),
        ) as error:
            raise BadInputError(f"{path}: cannot be unpacked: {error}") from error
        yield _packet_folder(Path(folder), path)


def _check(path: Path, members: Sequence[zipfile.ZipInfo], free: int) -> None:
    """Refuse a zip file that unpacks to anything but files below one folder, each once."""
    names = Counter(_plain(each) for each in members)
    folders = {str(up) for name in names for up in PurePosixPath(name).parents}
    problems = []
    for each in members:
        name, plain, kind = each.filename, _plain(each), stat.S_IFMT(each.external_attr >> 16)
        what = ""
        if (
            str(PurePosixPath(plain)) not in (plain, f"{plain}.")
            or "\\" in name
            or not name.isprintable()
        ):
            what = "a name that is none"
        elif name.startswith("/") or ".." in name.split("/") or name[1:2] == ":":
            what = "a name that leads elsewhere"
        elif names[plain] > 1 or (plain in folders and not each.is_dir()):
            what = "a name twice"
        elif kind not in (0, stat.S_IFREG, stat.S_IFDIR):
            what = "a link or a device"
        if what:
            expected = "files below the packet's folder, each once"
            problems.append(Problem(f"{path}: {name!r}", what, expected))
    if problems:
        raise BadInputError(f"{path} is no packet; nothing was unpacked", problems)
    size = sum(each.file_size for each in members)
    if size > free:
        message = f"{path}: {size} bytes unpacked, {free} are free in {tempfile.gettempdir()}"
        raise BadInputError(message)
    if size > max(_ROOM, _RATIO * path.stat().st_size):
        message = f"{path}: {size} bytes unpacked, over {_RATIO} times its own: it is no packet"
        raise BadInputError(message)


def _plain(member: zipfile.ZipInfo) -> str:
    """A member's name, as it will be unpacked; some programs begin each with `./`."""
    return member.filename.removeprefix("./").rstrip("/")


def _packet_folder(folder: Path, shown: Path) -> Path:
    """The packet in what was unpacked: all of it, or its one folder."""
    if is_packet(folder) or (folder / "runs").is_dir() or (folder / PAPER).is_file():
        return folder
    found = results_below(folder) or [each.parent for each in folder.glob(f"*/{PAPER}")]
    if len(found) > 1:
        names = ", ".join(each.name for each in found)
        message = f"{shown}: found several packets or results, {names}; expected one in a zip file"
        raise BadInputError(message)
    return found[0] if found else folder
