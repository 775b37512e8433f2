"""Mamba-2 in plain PyTorch against mamba-ssm's kernels, on a GPU.

Oracle of both: the plain code in float64, which `test_runner_mamba2` holds against loops. Errors
are relative norms, u is the unit round-off of what is rounded: FP16 2^-11, BF16 2^-8; in float32
2^-24 for the plain code, and 2^-10 for the kernels, whose products take TF32 (10 bits, cut off).

Outputs: a mixer rounds six times in a row, 0.4 u each, so 1 u; 4 u are allowed. Gradients: the
plain code measures 1 u, and 4 u where terms cancel (D); the kernels also round gradients of states
and scores; 16 u are allowed. In float32 without TF32, sums of hundreds of terms lose some 20 u;
200 u are allowed.

The kernels are compiled in one configuration each, the cheapest, instead of up to eleven: choosing
among them takes minutes, and each must give the same numbers.
"""

import copy
from typing import Any

import peft
import pytest
import tiny_mamba2
import torch
from mamba2_on_gpu import (
    _one_configuration_a_kernel,  # noqa: F401 - a fixture
    model_of,
)
from torch import Tensor, nn

from runner.models import mamba2_mixer, mamba_paths
from runner.models.mamba2_mixer import Mamba2Mixer
from runner.models.mamba2_scan import chunked_scan

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU"),
    pytest.mark.skipif(bool(mamba2_mixer.kernels_lacking()), reason=mamba2_mixer.kernels_lacking()),
    pytest.mark.filterwarnings("ignore"),  # of mamba-ssm, Triton and a torch newer than the pin
]

DTYPES = (torch.float32, torch.float16, torch.bfloat16)
PATHS = ("plain", "unfused", "fused")
UNITS = {torch.float16: 2**-11, torch.bfloat16: 2**-8}
LENGTH = 200
"""Three chunks and eight steps."""


def error(found: Tensor, expected: Tensor) -> float:
    return float((found.detach().double() - expected).norm() / expected.norm())


def allowed(path: str, dtype: torch.dtype, *, gradient: bool) -> float:
    if dtype == torch.float32 and path == "plain":
        return 200 * 2**-24
    return (16 if gradient else 4) * UNITS.get(dtype, 2**-10)


def set_path(model: nn.Module, path: Any) -> None:
    for module in model.modules():
        if isinstance(module, Mamba2Mixer):
            module.path = path


def normal(*shape: int, dtype: torch.dtype, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64).to(dtype).cuda()


def measured(mixer: nn.Module, hidden: Tensor, cotangent: Tensor) -> dict[str, Tensor]:
    """Output and gradients of a mixer."""
    hidden = hidden.detach().requires_grad_()
    output = mixer(hidden)
    named = {"hidden": hidden} | dict(mixer.named_parameters())
    taken = torch.autograd.grad(output, list(named.values()), cotangent.to(output.dtype))
    return {"output": output} | dict(zip(named, taken, strict=True))


def wrong_gradients() -> bool:
    """mamba-ssm before 2.2.3: those of A, and of the fused norm over several groups."""
    import mamba_ssm

    return tuple(int(part) for part in mamba_ssm.__version__.split(".")[:3]) < (2, 2, 3)


# -----------------------------------------------------------------------------
# Mixer and scan


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("path", PATHS)
def test_mixer_forward_and_gradients(path: str, dtype: torch.dtype, groups: int) -> None:
    mixer = model_of(dtype, ngroups=groups).backbone.layers[0].mixer
    hidden = normal(2, LENGTH, 256, dtype=dtype)
    cotangent = normal(2, LENGTH, 256, dtype=dtype, seed=1)
    exact = measured(copy.deepcopy(mixer).double(), hidden.double(), cotangent.double())
    mixer.path = path
    found = measured(mixer, hidden, cotangent)

    assert found["output"].dtype == dtype
    assert found.keys() == exact.keys()
    for name, expected in exact.items():
        if name != "output" and path != "plain" and wrong_gradients():
            continue
        limit = allowed(path, dtype, gradient=name != "output")
        assert error(found[name], expected) < limit, name


@pytest.mark.parametrize("dtype", DTYPES)
def test_scan_rounds_as_the_kernels_do(dtype: torch.dtype) -> None:
    """With a state before and after. In half precision both round the same operands, so that what
    is left between them is last bits that fall either way: less than half of u.
    """
    from mamba_ssm.ops.triton.ssd_combined import mamba_chunk_scan_combined

    x = normal(2, LENGTH, 8, 64, dtype=dtype)
    inward, outward = (normal(2, LENGTH, 2, 64, dtype=dtype, seed=seed) for seed in (1, 2))
    step = normal(2, LENGTH, 8, dtype=torch.float32, seed=3).exp() / 50
    decay = -normal(8, dtype=torch.float32, seed=4).exp()
    skip = normal(8, dtype=torch.float32, seed=5)
    initial = normal(2, 8, 64, 64, dtype=torch.float32, seed=6)
    inputs = (x, step, decay, inward, outward, skip)

    exact = chunked_scan(
        *(tensor.double() for tensor in inputs), initial=initial.double(), chunk=64
    )
    ours = chunked_scan(*inputs, initial=initial, chunk=64)
    theirs = mamba_chunk_scan_combined(
        x=x,
        dt=step,
        A=decay,
        B=inward,
        C=outward,
        chunk_size=64,
        D=skip,
        initial_states=initial,
        return_final_states=True,
    )

    for mine, kernel, expected in zip(ours, theirs, exact, strict=True):
        assert mine.dtype == kernel.dtype
        assert error(mine, expected) < allowed("plain", dtype, gradient=False)
        assert error(kernel, expected) < allowed("unfused", dtype, gradient=False)
        if dtype != torch.float32:
            assert error(mine, kernel.double()) < UNITS[dtype] / 2


# -----------------------------------------------------------------------------
# Model


@pytest.mark.parametrize("dtype", DTYPES)
def test_model_against_the_releases(dtype: torch.dtype) -> None:
    """The same weights in mamba-ssm's language model: parameters, dtypes, logits."""
    from mamba_ssm.models.config_mamba import MambaConfig
    from mamba_ssm.models.mixer_seq_simple import MambaLMHeadModel

    model, ids = model_of(dtype), tiny_mamba2.tokens(LENGTH).cuda()
    config = MambaConfig(**model.config.official())
    stock = MambaLMHeadModel(config, device="cuda", dtype=dtype)
    stock.load_state_dict(model.state_dict())
    dtypes = {name: weight.dtype for name, weight in stock.named_parameters()}
    assert dtypes == {name: weight.dtype for name, weight in model.named_parameters()}

    with torch.no_grad():
        exact = copy.deepcopy(model).double()(ids).logits
        logits = stock(ids).logits
        assert error(logits, exact) < allowed("fused", dtype, gradient=False)
        for path in PATHS:
            set_path(model, path)
            found = model(ids).logits
            assert found.dtype == logits.dtype == dtype
            assert error(found, exact) < allowed(path, dtype, gradient=False), path
            together = allowed("fused", dtype, gradient=False)
            assert error(found, logits.double()) < together, path


@pytest.mark.parametrize("path", PATHS)
def test_model_under_autocast(path: str) -> None:
    """FP32 weights and bf16=True, as the Trainer runs them."""
    model, ids = model_of(torch.float32), tiny_mamba2.tokens(LENGTH).cuda()
    with torch.no_grad():
        exact = copy.deepcopy(model).double()(ids).logits
        set_path(model, path)
        with torch.autocast("cuda", dtype=torch.bfloat16):
            found = model(ids).logits
    assert found.dtype == torch.bfloat16
    assert error(found, exact) < 4 * 2**-8


@pytest.mark.parametrize(("path", "learns"), [("plain", True), ("unfused", True), ("fused", False)])
def test_lora_on_out_proj_is_dead_in_the_fused_call_only(path: str, *, learns: bool) -> None:
    """The fused call is handed the weight of out_proj, which is the base layer's."""
    ids = tiny_mamba2.tokens(LENGTH).cuda()
    model = model_of(torch.float32)
    set_path(model, path)
    config = peft.LoraConfig(r=4, target_modules=["in_proj", "out_proj"])
    adapted = peft.get_peft_model(model, config)
    torch.manual_seed(0)
    for name, weight in adapted.named_parameters():
        if "lora_B" in name:
            nn.init.normal_(weight, std=0.1)

    adapted(input_ids=ids, labels=ids).loss.backward()

    for name, weight in adapted.named_parameters():
        if "lora_" in name:
            moved = weight.grad is not None and bool(weight.grad.abs().sum() > 0)
            assert moved == ("in_proj" in name or learns), name


def test_without_a_compiler_the_plain_path_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    model = model_of(torch.float16)
    assert mamba_paths.set_path(model, "kernels") == "fused"
    monkeypatch.setenv("CC", "no-such-compiler")
    assert mamba_paths.set_path(model, "kernels") == "plain"
    assert mamba_paths.lacking(model) == "Triton finds no C compiler (no-such-compiler)"
    assert {m.path for m in model.modules() if isinstance(m, Mamba2Mixer)} == {"plain"}
