"""What runs Mamba's scan from a state, and how fast: three ways beside the scan from 0.

`python -m benchmarks.scan_starts`, on a GPU with mamba-ssm. For the scan of one layer of Mamba 130M
and 790M, with rows as a benchmark's questions have them (512 of 64 tokens) and as a long prefix has
them (1 of 1,024): median and range of 20, in turn, of

    from-zero      mamba-ssm's kernel as it is, which ignores the state: what nothing can do without
    pseudo-steps   `mamba_scan.by_pseudo_steps`
    adding         `by_adding`, below
    one-kernel     `mamba_scan_triton.by_one_kernel`
"""

import statistics
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from runner.models.mamba2_scan import at_least_float32
from runner.models.mamba_scan import Scan, ScanInputs, by_pseudo_steps
from runner.models.mamba_scan_triton import by_one_kernel
from tools import command

CHANNELS = {"mamba-130m": 1536, "mamba-790m": 3072}
ROWS = [(512, 64), (1, 1024)]
REPEATS = 20


def by_adding(scan: Scan, inputs: ScanInputs, state: Tensor) -> tuple[Tensor, Tensor]:
    """As `by_pseudo_steps`: what is left of the state is added to what the scan gives from 0.

    That is C_t exp(A ΣΔ) h before the gate, and exp(A ΣΔ) h at the end, exact up to FP32 rounding,
    of ΣΔ too; in plain PyTorch N exponentials for every number of u and some 4 N passes over it.
    """
    u, outward = at_least_float32(inputs.u), at_least_float32(inputs.C)
    ungated, last = scan(
        u=u,
        delta=inputs.delta,
        A=inputs.A,
        B=at_least_float32(inputs.B),
        C=outward,
        D=inputs.D,
        z=None,
        return_last_state=True,
    )
    elapsed = inputs.delta.cumsum(-1)
    left = torch.zeros_like(u)
    for n in range(state.shape[-1]):  # one column at a time: all of them would be N times u
        decayed = torch.exp(inputs.A[:, n, None] * elapsed) * state[..., n, None]
        left.addcmul_(outward[:, n, None], decayed)
    y = (ungated + left) * functional.silu(at_least_float32(inputs.z))
    return y.to(inputs.u.dtype), last + torch.exp(inputs.A * elapsed[..., -1:]) * state


def inputs_of(inner: int, rows: int, length: int, dtype: torch.dtype) -> tuple[ScanInputs, Tensor]:
    """Random inputs in the layout that a mixer has them in, and a state."""
    torch.manual_seed(0)
    u, z = torch.randn(2, rows, length, inner, device="cuda").to(dtype).mT
    selected = torch.randn(rows, length, 32, device="cuda").to(dtype).transpose(1, 2)
    made = ScanInputs(
        u=u,
        delta=torch.rand(rows, length, inner, device="cuda").mT / 10,
        A=-torch.rand(inner, 16, device="cuda") * 16,
        B=selected[:, :16],
        C=selected[:, 16:],
        D=torch.ones(inner, device="cuda"),
        z=z,
    )
    return made, torch.randn(rows, 16, inner, device="cuda").mT


def ways_of(inputs: ScanInputs, state: Tensor) -> dict[str, Callable[[], object]]:
    """The four, ready to be called."""
    from mamba_ssm.ops.selective_scan_interface import selective_scan_fn

    wanted = {name: each.contiguous() for name, each in inputs._asdict().items()}  # at no cost here
    wanted["delta"] = wanted["delta"].to(inputs.u.dtype)
    return {
        "from-zero": lambda: selective_scan_fn(**wanted, return_last_state=True),
        "pseudo-steps": lambda: by_pseudo_steps(selective_scan_fn, inputs, state),
        "adding": lambda: by_adding(selective_scan_fn, inputs, state),
        "one-kernel": lambda: by_one_kernel(None, inputs, state),
    }


def milliseconds(way: Callable[[], object]) -> float:
    """Of one call, on the GPU's clock."""
    began, ended = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    began.record()
    way()
    ended.record()
    torch.cuda.synchronize()
    return float(began.elapsed_time(ended))


def main() -> None:
    """Print a row for each case."""
    command.parser(__doc__).parse_args()
    command.need_gpu(kernels=True)
    print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}; ms, median (range) of 20")
    print("| shape | dtype | rows x tokens | from-zero | pseudo-steps | adding | one-kernel |")
    print("|---|---|---|---|---|---|---|")
    for shape, inner in CHANNELS.items():
        for dtype in (torch.float32, torch.bfloat16):
            for rows, length in ROWS:
                ways = ways_of(*inputs_of(inner, rows, length, dtype))
                times: dict[str, list[float]] = {name: [] for name in ways}
                for number in range(REPEATS + 2):  # the first two compile and allocate
                    for name, way in ways.items():
                        taken = milliseconds(way)
                        if number > 1:
                            times[name].append(taken)
                cells = (
                    f"{statistics.median(each):.3f} ({min(each):.3f} to {max(each):.3f})"
                    for each in times.values()
                )
                name = str(dtype).removeprefix("torch.")
                print(f"| {shape} | {name} | {rows} x {length} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    command.run(main)
