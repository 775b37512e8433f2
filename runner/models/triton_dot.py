"""float32 matrix products inside Triton kernels in float32, not in TF32.

Triton's `tl.dot` multiplies float32 in TF32 (10 bits of mantissa) unless a kernel says otherwise,
whatever torch's flags say; mamba-ssm's kernels for Mamba-2 say nothing. Mamba-1's scan is CUDA and
multiplies no matrices.

- Triton 3: the default is read from TRITON_F32_DEFAULT when a kernel is compiled. In 3.6.0 the
  variable is part of the cache's key, in 3.0.0 it is not.
- Triton 2: the default is that of the argument `allow_tf32`, which is changed in place. The cache's
  key knows nothing of it.

Hence a cache folder of its own. A process started from this one inherits variables and folder, but
under Triton 2 must call `ieee_float32` itself.

Reference: triton 2.2.0 (torch 2.2.1's), 3.0.0 and 3.6.0, `language/core.py`, `runtime/jit.py`.
Not covered: kernels compiled by `triton.compile` and never run, or by torch.compile; a kernel that
asks for TF32 itself.
"""

import gc
import importlib
import inspect
import os
from importlib.util import find_spec
from pathlib import Path
from types import FunctionType

from repro import paths
from repro.errors import CannotRunError

FOLDER = "ieee_float32"
"""Where compiled kernels go, in Triton's own cache folder."""


def ieee_float32() -> None:
    """Compile every Triton kernel of this process with float32 products; again is no change.

    Raises:
        CannotRunError: Triton is not installed, or has run kernels with TF32 already.
    """
    if find_spec("triton") is None:
        message = (
            "float32 products in Triton kernels were asked for, but Triton is not installed; "
            "install the pinned torch for CUDA, which brings it"
        )
        raise CannotRunError(message)
    if is_set():
        return
    run = _kernels_run()
    if run:
        message = (
            f"float32 products in Triton kernels were asked for after {', '.join(run)} had been "
            "compiled with TF32; ask for them before the first kernel runs, in a new process"
        )
        raise CannotRunError(message)
    usual = os.environ.get("TRITON_CACHE_DIR", "").strip() or paths.home() / ".triton" / "cache"
    if Path(usual).name != FOLDER:
        os.environ["TRITON_CACHE_DIR"] = str(Path(usual) / FOLDER)
    os.environ["TRITON_F32_DEFAULT"] = "ieee"
    if _old():
        _forbid_tf32()


def _old() -> bool:
    """Whether this Triton takes the default from its own signature."""
    version: str = importlib.import_module("triton").__version__
    return version.startswith("2.")


def is_set() -> bool:
    """Whether kernels of this process are compiled with float32 products."""
    folder = Path(os.environ.get("TRITON_CACHE_DIR", "")).name == FOLDER
    asked = folder and os.environ.get("TRITON_F32_DEFAULT") == "ieee"
    return asked and not (_old() and _parameters()["allow_tf32"].default)


def _dot() -> FunctionType:
    """The function behind every name of `tl.dot`."""
    dot: FunctionType = inspect.unwrap(importlib.import_module("triton.language").dot)
    return dot


def _parameters() -> dict[str, inspect.Parameter]:
    """Parameters of `tl.dot`; the decorator around it does not hide them."""
    return dict(inspect.signature(_dot()).parameters)


def _forbid_tf32() -> None:
    """Change the default of `allow_tf32` in the function itself."""
    defaults = {
        name: parameter.default
        for name, parameter in _parameters().items()
        if parameter.default is not inspect.Parameter.empty
    }
    _dot().__defaults__ = tuple((defaults | {"allow_tf32": False}).values())


def _kernels_run() -> list[str]:
    """Names of the kernels that this process has compiled by running them."""
    kind = importlib.import_module("triton.runtime").JITFunction
    # type(...), as some objects answer isinstance with code of their own
    kernels = (each for each in gc.get_objects() if issubclass(type(each), kind))
    caches = ("cache", "device_caches")  # of Triton 2 and 3, filled for a device at its first run
    return sorted(
        kernel.__name__ for kernel in kernels if any(vars(kernel).get(cache) for cache in caches)
    )
