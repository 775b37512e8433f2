"""Keys, signatures and lists of allowed signers, by ssh-keygen."""

import subprocess
from pathlib import Path

from repro.store.run_file import SUMS

NAME = "author@example.org"


def allow(folder: Path, key: Path, options: str = "") -> Path:
    public = key.with_suffix(".pub").read_text().strip()
    (folder / "allowed").write_text(f"{NAME} {options} {public}\n".replace("  ", " "))
    return folder / "allowed"


def make_key(path: Path) -> Path:
    ssh_keygen("-q", "-t", "ed25519", "-N", "", "-C", "", "-f", path)
    return path


def sign(packet: Path, key: Path, namespace: str = "repro") -> None:
    (packet / "SHA256SUMS.sig").unlink(missing_ok=True)
    ssh_keygen("-Y", "sign", "-f", key, "-n", namespace, packet / SUMS)


def ssh_keygen(*arguments: str | Path) -> None:
    subprocess.run(["ssh-keygen", *map(str, arguments)], check=True, capture_output=True)
