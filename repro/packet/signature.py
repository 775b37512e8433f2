"""The signature of a packet: OpenSSH's, over SHA256SUMS, which lists every other file.

Three questions, in this order: did some key sign these very bytes for this purpose; whose key is
it; may it sign. Then every file is held to the list that was signed.

Reference: ssh-keygen(1), `-Y`; OpenSSH 8.2 or newer, PROTOCOL.sshsig.
Not covered: when it was signed; keys that were revoked (leave them out of ALLOWED_SIGNERS).
"""

import shutil
import subprocess
from pathlib import Path

from repro import fileio
from repro.errors import BadInputError, CannotRunError, cannot_read
from repro.packet.build import SIGNATURE, differences
from repro.store.run_file import SUMS

NAMESPACE = "repro"
"""What the signature is for: a signature made for something else does not count."""


def check(folder: Path, allowed: Path, shown: Path) -> str:
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
        sums = fileio.content(folder / SUMS)
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
