"""What is no longer as it was when the image was built, in words.

Not covered: byte code, and whatever else no digest in `image.json` speaks of.
"""

from collections.abc import Iterable, Iterator, Mapping

from repro.environment.image import Image, Kernel

_PLAIN = frozenset({"slow", "plain", "eager"})
"""Paths that no kernel is on."""


def differences(then: Image, now: Image, *, has_gpu: bool) -> Iterator[str]:
    """What is no longer as it was built, one line each."""
    yield from _changes("OS package", then.os_packages, now.os_packages)
    for name in sorted(then.wheels.keys() & now.wheels.keys()):
        if then.wheels[name] != now.wheels[name]:
            yield f"{name}: another wheel than the image was built with, whatever its version"
    for name in sorted(then.kernels.keys() | now.kernels.keys()):
        yield from _kernel(name, then.kernels.get(name), now.kernels.get(name))
    for name in sorted(then.bundle.keys() | now.bundle.keys()):
        before, after = then.bundle.get(name), now.bundle.get(name)
        if before != after:
            state = "added" if before is None else "gone" if after is None else "changed"
            yield f"{name}: {state} since the image was built"
    yield from _paths(then, now, has_gpu=has_gpu)


def _changes(what: str, then: Mapping[str, str], now: Mapping[str, str]) -> Iterator[str]:
    for name in sorted(then.keys() | now.keys()):
        if then.get(name) != now.get(name):
            yield (
                f"{what} {name}: {then.get(name, 'not there')} when the image was built, "
                f"{now.get(name, 'not there')} now"
            )


def _kernel(name: str, then: Kernel | None, now: Kernel | None) -> Iterator[str]:
    """How one shared object differs, the telling difference first."""
    if then == now:
        return
    if then is None or now is None:
        yield f"kernel {name}: {'added' if now else 'gone'} since the image was built"
        return
    told = [
        f"{what} {_said(before)} when the image was built, {_said(after)} now"
        for what, before, after in (
            ("architectures", then.architectures, now.architectures),
            ("C++ ABI", then.abi, now.abi),
        )
        if before != after
    ]
    yield f"kernel {name}: {'; '.join(told) or 'another file, of the same architectures and ABI'}"


def _said(value: Iterable[str] | str | None) -> str:
    return value if isinstance(value, str) else " ".join(value or ()) or "none"


def _paths(then: Image, now: Image, *, has_gpu: bool) -> Iterator[str]:
    """The path taken is held to the build's, which has no GPU; with one, to the kernels."""
    if "failed" in now.probe:
        yield f"the probe forward pass failed: {now.probe['failed']}"
    elif not has_gpu:
        yield from _changes("path taken,", then.probe, now.probe)
    elif now.target == "cuda":
        for name, path in now.probe.items():
            if path in _PLAIN and not name.endswith("float32 attention"):
                yield f"path taken, {name}: {path}, although the image has the kernels"
