"""Inputs that are no JSON: what may lie where a file is expected, paths, torch archives, packets.

Not covered: archives beyond one that `torch.save` could have written and bytes changed in it;
tests/repro/weights/test_torch_pickle.py and test_repro_torch_zip.py go through opcodes and headers.
"""

import hashlib
import io
import os
import shutil
import stat
import warnings
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import made_up_archives as archives

from fuzz.choices import Choices
from fuzz.honest import ROOT


@contextmanager
def placed(path: Path, content: bytes, choices: Choices) -> Iterator[None]:
    """A file with this content, one time in 32 no file at all; what was there comes back."""
    before = path.read_bytes() if path.is_file() else None
    path.parent.mkdir(exist_ok=True)
    path.unlink(missing_ok=True)
    strange = choices.one_in(32)
    if strange:
        choices.of(_STRANGE)(path)
    else:
        path.write_bytes(content)
    try:
        yield
    finally:
        if path.is_dir() and not path.is_symlink():
            path.rmdir()
        path.unlink(missing_ok=True)
        if before is not None:
            path.write_bytes(before)


_STRANGE: tuple[Callable[[Path], Any], ...] = (
    Path.mkdir,
    lambda path: path.symlink_to(path),
    lambda path: path.symlink_to("nowhere"),
    lambda path: path.symlink_to("/dev/zero"),
    lambda path: path.symlink_to(path.parent),
    lambda path: path.symlink_to(os.devnull),
    lambda path: os.mknod(path, stat.S_IFSOCK | 0o600),
    os.mkfifo,
    lambda _: None,
)
"""What may lie where a file is expected."""


def point(tree: Any, choices: Choices) -> None:
    """A run file whose manifest is said to lie somewhere else."""
    where = (
        *("/dev/zero", "/dev/stdin", "/proc/self/mem", "/", "..", "", "\0", "a" * 5000, "/root/x"),
        *("/proc/self/environ", str(ROOT / "manifests" / "table1.json"), "\ud800", "a/" * 3000),
        *("\x1b[1A\x1b[2Kreproduced", "\u202e", "x\nreproduced", "\x9b2J"),
    )
    for pair in tree:
        if pair[0] == "file":
            pair[1] = choices.of(where)
        if pair[0] == "manifest" and choices.below(2):
            pair[1] = choices.of(("nowhere", "..", "theorem3", "tuned", "evaluated"))


def packet(files: Mapping[str, bytes], choices: Choices) -> bytes:
    """A zip file of a packet, with a folder on top or not, and often something wrong with it.

    Args:
        files: What the packet holds, by name, but for its list of digests.
        choices: What to do to it.
    """
    files = dict(files)
    if choices.one_in(4):
        name = choices.of(sorted(files))
        files[name] = choices.of((b"", b"{}", files[name] + b" ", files[name][:-1]))
    sums = "".join(f"{hashlib.sha256(files[name]).hexdigest()}  {name}\n" for name in sorted(files))
    if choices.one_in(4):
        del files[choices.of(sorted(files))]
    files["SHA256SUMS"] = choices.of((sums, sums, sums[:-1], sums * 2, sums[1:], "\0")).encode()
    top = choices.of(("", "", "packet/", "packet/", "é/", "./", "a/b/", "../"))
    entries = [(zipfile.ZipInfo(top + name), content) for name, content in files.items()]
    for _ in range(choices.below(3)):
        entry, content = choices.of(entries)
        how = choices.below(4)
        if how == 0:
            entry.filename = choices.of(_NAMES)
        elif how == 1:
            kind = choices.of((stat.S_IFLNK, stat.S_IFIFO, stat.S_IFDIR, stat.S_IFCHR))
            entry.external_attr = (kind | 0o777) << 16
        else:
            entries.append((zipfile.ZipInfo(choices.of((entry.filename, *_NAMES))), content))
    made = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(made, "w") as archive:
        warnings.simplefilter("ignore")  # of a name that is there twice
        for entry, content in entries:
            archive.writestr(entry, content)
    whole = bytearray(made.getvalue())
    for _ in range(choices.below(4) if choices.one_in(3) else 0):
        # The directory, which lies at the end, has the names, sizes and kinds.
        whole[-1 - choices.below(min(len(whole), 1 << 12))] = choices.below(256)
    return bytes(whole)


_NAMES = (
    *("../escaped", "/escaped", "a/../../escaped", "C:\\x", "a\\b", "a//b", ".", "..", "a" * 300),
    *("results", "results/runs", "results/runs/a.json", "results-2/runs/a.json", "SHA256SUMS/x"),
    *("\u202e", "\ud7ff", "a\nb", "SHA256SUMS", "SHA256SUMS.sig", "packet/SHA256SUMS"),
)
"""What a member may be called."""


_STEPS = (
    *("file", "loop", "dangling", "folder", "new", "..", "", "n" * 255, "n" * 256, "é" * 128),
    *("na\udcffme", "\x1b[2J", "a\nb", "a:b", "-x", "--json", "{}", "%s", "\u202e", "=", "hub"),
)
"""Of a path: what is there, what could be, and what no file can be called."""


def path(root: Path, choices: Choices) -> str:
    """A path below a folder, in which there are a file, a folder and links that lead nowhere."""
    shutil.rmtree(root, ignore_errors=True)
    (root / "folder").mkdir(parents=True)
    (root / "file").write_bytes(b"x")
    (root / "loop").symlink_to("loop")
    (root / "dangling").symlink_to("nowhere/x")
    steps = [choices.of(_STEPS) for _ in range(1 + choices.below(3))]
    return "/".join([str(root), *steps * choices.of((1, 1, 1, 40))])


def archive(choices: Choices) -> bytes:
    """An archive of `torch.save`, whole or with something wrong in its pickle."""
    dims = [choices.of((0, 1, 2, 4, 2**31, 2**62, -1)) for _ in range(choices.below(4))] or [4]
    strides = [choices.of((0, 1, 2, 4, 2**31, -1)) for _ in dims]
    whole = choices.below(2) == 0
    shape, stride = (archives.sizes(4), archives.sizes(1))
    if not whole:
        shape, stride = archives.sizes(*dims), archives.sizes(*strides)
    offset = choices.of((b"K\0", b"K\1", b"K\xff", b"\x8a\x08" + b"\x7f" * 8))
    kind = choices.of(("FloatStorage", "HalfStorage", "LongStorage", "QInt8Storage", "Storage"))
    numel = choices.of((4, 0, 1, 2**40, -1))
    of = archives.storage("0", numel, kind) if choices.below(2) else archives.storage()
    one = archives.tensor(of, b"K\0" if whole else offset, shape, stride)
    name = choices.of(
        ("weight", "", "..", "/x", "a" * 300, "é", "\0", "__metadata__", "\x1b[2J", "\u202e")
    )
    pickle = archives.state_dict(**{name: one, "other": one})
    if choices.one_in(3):
        at = choices.below(len(pickle))
        pickle = pickle[:at] + bytes([choices.below(256)]) + pickle[at + 1 :]
    nested = choices.of((b"", b"(" * 5000, b"]" * 5000, b"}" * 5000))
    return archives.archive(nested + pickle)
