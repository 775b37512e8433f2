"""Every model family from a state to a state: `continued`, `head`, `branch`, `states.size`.

Oracle: the model's own forward over the whole sequence, for pieces of it in a chain of states, for
rows of one prefix and for rows that were padded. For Mamba that is `slow_forward` of transformers.
The ways to start a scan from a state are held against one scan over both parts; stand-ins of the
kernels (`test_runner_mamba_paths`) run the code around them where there is no GPU.

Log-likelihoods are in nats. FP32: 1e-4 is allowed; pieces add up the same numbers in another order,
which measures 2e-6. float64: 1e-10; the families round to float32 in places, of equal numbers,
so that what is left measures 1e-14. Half precision: as a relative norm over all logits, 8 u for
attention (`test_runner_models` says why) and 8 u for a mixer (`test_runner_mamba_paths`).
"""

import copy
import sys
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import mamba_equations
import numpy as np
import peft
import pytest
import tiny_mamba2
import tiny_models
import torch
from mamba2_on_gpu import _one_configuration_a_kernel  # noqa: F401 - a fixture, which pytest finds here
from mamba2_on_gpu import model_of as mamba2_on_gpu
from mamba_equations import (
    _no_tf32,  # noqa: F401 - the same
    _stand_ins,  # noqa: F401 - the same
    gpu,
    run_by,
)
from saved_models import (
    ATTENTION,
    DTYPES,
    UNITS,
    Saved,
    error,
    job,
    load,
    modules_cache,  # noqa: F401 - the same
    saved_checkpoints,  # noqa: F401 - the same
)
from torch import Tensor
from torch.nn import functional
from transformers.models.mamba.modeling_mamba import MambaRMSNorm

from benchmarks.scan_starts import by_adding
from repro.schema.families import FAMILIES
from runner.evaluation import prefix_model
from runner.models import (
    mamba,
    mamba_paths,
    mamba_scan,
    mamba_scan_plain,
    mamba_scan_triton,
    precision,
    registry,
)
from runner.models.mamba2 import add_and_norm
from runner.models.mamba2_mixer import RMSNorm
from runner.models.mamba2_scan import stepwise_scan
from runner.models.mamba_paths import path_of, set_path
from runner.models.mamba_scan import ScanInputs, by_pseudo_steps
from runner.models.mamba_scan_triton import by_one_kernel
from runner.models.registry import MODELS

pytestmark = [
    pytest.mark.filterwarnings("ignore"),  # torch and transformers warn about each other
    pytest.mark.usefixtures("one_thread"),
]

WITH_KERNELS = [
    *((family, "eager") for family in MODELS),
    *((family, "sdpa") for family in ATTENTION[1:]),
]
IN_FLOAT64: dict[str, Any] = {
    "mamba": "eager",
    "mamba2": "eager",
    "gpt-neox": "eager",
    "olmo": "sdpa",
    "llama": "sdpa",
}
"""Without eager attention that takes its softmax in float32, over rows of another length. Of Phi
transformers 4.40.0 cannot make the mask in float64."""

CUTS = [(13,), (1, 12), (7, 6), (2, 3, 1, 1, 6), (12, 1)]
"""Of 13 tokens: within and behind a convolution of 4, within and at the end of a chunk of 8."""

STARTS = [by_pseudo_steps, by_adding]


def in_pieces(offered: Any, model: Any, ids: Tensor, cuts: tuple[int, ...]) -> Tensor:
    """Hidden states of the whole, by a chain of states."""
    state, hidden = None, []
    for piece in ids.split(cuts, dim=1):
        found, state = offered.continued(model, piece, state)
        assert not found.requires_grad
        hidden.append(found)
    return torch.cat(hidden, dim=1)


def logits_of(model: Any, ids: Tensor) -> Tensor:
    """Of the model's own forward."""
    with torch.no_grad():
        logits: Tensor = model(ids).logits
    return logits


def likelihoods(logits: Tensor, ids: Tensor) -> Tensor:
    """Of each token after the first, (batch, length - 1), in nats."""
    logs = logits[:, :-1].log_softmax(-1)
    return logs.gather(-1, ids[:, 1:, None])[..., 0]


def apart(found: Tensor, expected: Tensor, ids: Tensor) -> float:
    """The largest difference of two models' log-likelihoods."""
    return float((likelihoods(found, ids) - likelihoods(expected, ids)).abs().max())


# -----------------------------------------------------------------------------
# Pieces are the whole


@pytest.mark.parametrize(("family", "attention"), WITH_KERNELS)
def test_pieces_are_the_whole(family: str, attention: Any, saved: Saved) -> None:
    offered, model = MODELS[family], load(saved(family)[0], attention=attention)
    ids = tiny_models.tokens(13)
    expected = logits_of(model, ids)
    for cuts in CUTS:
        found = offered.head(model, in_pieces(offered, model, ids, cuts))
        assert found.dtype == expected.dtype
        assert error(found, expected) < 32 * UNITS[torch.float32], cuts
        assert apart(found, expected, ids) < 1e-4, cuts
    forgotten = offered.head(model, offered.continued(model, ids[:, 7:], None)[0])
    assert error(forgotten, expected[:, 7:]) > 0.1


@pytest.mark.parametrize("family", IN_FLOAT64)
def test_pieces_in_float64(family: str, saved: Saved) -> None:
    """Own forwards narrow logits to float32: the output layer is called without that."""
    model = load(saved(family)[0], torch.float64, IN_FLOAT64[family])
    ids, layer = tiny_models.tokens(13), model.get_output_embeddings()
    with torch.no_grad():
        whole = model.base_model(ids)
        expected = layer(whole if family == "mamba2" else whole.last_hidden_state)
        for cuts in CUTS:
            found = layer(in_pieces(MODELS[family], model, ids, cuts))
            assert found.dtype == torch.float64
            assert apart(found, expected, ids) < 1e-10, cuts


@pytest.mark.parametrize("dtype", DTYPES[1:])
@pytest.mark.parametrize(("family", "attention"), WITH_KERNELS)
def test_pieces_in_half_precision(
    family: str, attention: Any, dtype: torch.dtype, saved: Saved
) -> None:
    offered, model = MODELS[family], load(saved(family)[0], dtype, attention)
    precision.apply_half_layer_norm(model, torch.device("cpu"))
    ids = tiny_models.tokens(13)
    expected = logits_of(model, ids)
    found = offered.head(model, in_pieces(offered, model, ids, (7, 6)))
    assert found.dtype == expected.dtype
    assert error(found, expected) < 8 * UNITS[dtype]


@pytest.mark.parametrize("family", MODELS)
def test_autocast_and_a_wide_head_act(family: str, saved: Saved) -> None:
    ids, offered = tiny_models.tokens(13), MODELS[family]
    model = load(saved(family)[0])
    with precision.apply(model, job(dtype="bfloat16", arm="autocast")):
        expected = logits_of(model, ids)
        found = offered.head(model, in_pieces(offered, model, ids, (7, 6)))
    assert found.dtype == expected.dtype
    assert error(found, expected) < 8 * UNITS[torch.bfloat16]
    if family == "own-code":
        return  # it has no output layer that it tells of
    model = load(saved(family)[0], torch.bfloat16)
    precision.apply(model, job(dtype="bfloat16", arm="float32-head"))
    found = offered.head(model, offered.continued(model, ids, None)[0])
    assert found.dtype == torch.float32
    assert not torch.equal(found, found.bfloat16().float())
    assert error(found, logits_of(model, ids)) < 8 * UNITS[torch.bfloat16]


# -----------------------------------------------------------------------------
# Rows


@pytest.mark.parametrize("rows", [(1, 0, 1, 1), (0, 0, 0)])
@pytest.mark.parametrize(("family", "attention"), WITH_KERNELS)
def test_one_prefix_serves_padded_rows(
    family: str, attention: Any, rows: tuple[int, ...], saved: Saved
) -> None:
    """Row i has i tokens less than the longest, and then padding."""
    offered, model = MODELS[family], load(saved(family)[0], attention=attention)
    prefixes, endings = tiny_models.tokens(9), tiny_models.tokens(6, len(rows)).flip(1)
    _, state = offered.continued(model, prefixes, None)
    kept = copy.deepcopy(state)
    branched = prefix_model.state_rows(state, torch.tensor(rows))
    padded = endings.clone()
    for place in range(len(rows)):
        padded[place, 6 - place :] = 3
    hidden, _ = offered.continued(model, padded, branched)
    found = offered.head(model, hidden)

    for place, row in enumerate(rows):
        whole = torch.cat([prefixes[row], endings[place]])[None]
        expected = logits_of(model, whole)[0, 9 : 15 - place]
        assert error(found[place, : 6 - place], expected) < 32 * UNITS[torch.float32]
    for before, after in zip(tensors(kept), tensors(state), strict=True):
        assert torch.equal(before, after)
    if len(set(rows)) == 1:
        assert prefix_model.state_bytes((state, branched)) == prefix_model.state_bytes(state)


def tensors(state: Any) -> Iterator[Tensor]:
    return (each for each in torch.utils._pytree.tree_leaves(state))


@pytest.mark.parametrize("family", MODELS)
def test_hidden_states_alone(family: str, saved: Saved) -> None:
    """To the bit what `continued` gives, from nothing and behind a state."""
    offered, model = MODELS[family], load(saved(family)[0])
    first, second = tiny_models.tokens(17).split([9, 8], dim=1)
    whole, state = offered.continued(model, first, None)
    assert torch.equal(registry.hidden(offered, model, first, None), whole)
    expected, _ = offered.continued(model, second, state)
    assert torch.equal(registry.hidden(offered, model, second, state), expected)


@pytest.mark.parametrize("family", MODELS)
def test_what_a_state_holds(family: str, saved: Saved) -> None:
    """Nothing of the tokens that a recurrent state has passed."""
    offered, model = MODELS[family], load(saved(family)[0])
    sizes = [
        prefix_model.state_bytes(offered.continued(model, tiny_models.tokens(length), None)[1])
        for length in (10, 20)
    ]
    grows = FAMILIES[family].state == "key-value cache"
    assert sizes[1] == sizes[0] * (2 if grows else 1)
    if family == "mamba":  # blocks, rows, channels: three inputs and four states, of 4 bytes each
        assert sizes[0] == 2 * 2 * 64 * (3 + 4) * 4
    if family == "llama":  # blocks, keys and values, rows, tokens, width of its one head
        assert sizes[0] == 2 * 2 * 2 * 10 * 16 * 4


def test_size_counts_memory_once() -> None:
    tensor = torch.zeros(3, 5)
    assert (
        prefix_model.state_bytes({"a": tensor, "b": (tensor[:1].expand(9, 5), [tensor.double()])})
        == 60 + 120
    )


@pytest.mark.parametrize("family", ["mamba", "mamba2", "gpt-neox", "llama"])
def test_adapters_act(family: str, saved: Saved) -> None:
    offered, model = MODELS[family], load(saved(family)[0])
    ids = tiny_models.tokens(13)
    without = logits_of(model, ids)
    (known,) = FAMILIES[family].layouts.values()
    embedding = known.embedding.split(".")[-2]
    config = peft.LoraConfig(r=2, target_modules=[*known.lora_all, embedding])
    peft.inject_adapter_in_model(config, model)
    torch.manual_seed(0)
    for name, weight in model.named_parameters():
        if ".lora_" in name:
            torch.nn.init.normal_(weight, std=0.1)
    model.eval()
    expected = logits_of(model, ids)
    found = offered.head(model, in_pieces(offered, model, ids, (7, 6)))
    assert error(found, expected) < 32 * UNITS[torch.float32]
    assert error(without, expected) > 0.01


# -----------------------------------------------------------------------------
# Mamba's scan


def sizes_of_a_scan(length: int, dtype: torch.dtype = torch.float64) -> ScanInputs:
    """Two rows, six channels, five states; decays from 1 to none of the state left in a step."""
    generator = torch.Generator().manual_seed(4)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64).to(dtype)

    return ScanInputs(
        u=normal(2, 6, length),
        delta=(normal(2, 6, length) * 3 - 3).exp(),
        A=-normal(6, 5).exp() * 10,
        B=normal(2, 5, length),
        C=normal(2, 5, length),
        D=normal(6),
        z=normal(2, 6, length),
    )


def scan(**given: Any) -> tuple[Tensor, Tensor]:
    """What `selective_scan_fn` computes, step by step in numpy's float64, from 0."""
    assert given.pop("return_last_state")
    dtype = given["u"].dtype
    made = {name: x if x is None else x.double().numpy() for name, x in given.items()}
    u, delta, gate = made["u"], made["delta"], made["z"]
    state, outputs = np.zeros((*u.shape[:2], made["A"].shape[1])), []
    for t in range(u.shape[2]):
        decay = np.exp(delta[:, :, t, None] * made["A"])
        state = decay * state + (delta * u)[:, :, t, None] * made["B"][:, None, :, t]
        outputs.append((state * made["C"][:, None, :, t]).sum(-1) + made["D"] * u[:, :, t])
    y = np.stack(outputs, -1)
    gated = y if gate is None else y * gate / (1 + np.exp(-gate))
    return torch.from_numpy(gated).to(dtype), torch.from_numpy(state)


def part(inputs: ScanInputs, steps: slice) -> ScanInputs:
    by_time = ("u", "delta", "B", "C", "z")
    return inputs._replace(**{name: getattr(inputs, name)[..., steps] for name in by_time})


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("start", STARTS)
def test_a_scan_starts_from_a_state(start: Any, dtype: torch.dtype) -> None:
    """bfloat16 as the kernels have it: Δ, A and D stay float32. The scan itself rounds nothing."""
    inputs = sizes_of_a_scan(40, torch.float32 if dtype == torch.bfloat16 else dtype)
    if dtype == torch.bfloat16:
        inputs = inputs._replace(**{name: getattr(inputs, name).to(dtype) for name in "uBCz"})
    expected, last = scan(**inputs._asdict(), return_last_state=True)
    _, state = scan(**part(inputs, slice(0, 3))._asdict(), return_last_state=True)
    wide = torch.float64 if dtype == torch.float64 else torch.float32
    found, after = start(scan, part(inputs, slice(3, None)), state.to(wide))
    assert found.dtype == dtype
    u = {torch.float64: 2**-53, torch.float32: 2**-24}.get(dtype, 2**-8)
    assert error(found, expected[..., 3:]) < 16 * u
    assert error(after, last) < 16 * (2**-53 if dtype == torch.float64 else 2**-24)
    begun = scan(**part(inputs, slice(3, None))._asdict(), return_last_state=True)[0]
    assert error(begun, expected[..., 3:]) > 0.1


@pytest.mark.parametrize("chunk", [1, 7 * 60, 2**20])
def test_our_scan_is_the_loop(chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A step, seven steps and all of them at once. u and B are rounded as `slow_forward` does."""
    monkeypatch.setitem(mamba_scan.CHUNK, "cpu", chunk)
    inputs = sizes_of_a_scan(40)
    rounded = inputs._replace(u=inputs.u.float().double(), B=inputs.B.float().double())
    whole = rounded._replace(D=torch.zeros(6, dtype=torch.float64))._asdict() | {"z": None}
    expected, last = scan(**whole, return_last_state=True)
    u, delta, inward, outward = (
        tensor.transpose(1, 2) for tensor in (inputs.u, inputs.delta, inputs.B, inputs.C)
    )
    state, outputs = torch.zeros(2, 5, 6, dtype=torch.float64), []
    for steps in (slice(0, 9), slice(9, None)):
        kept = state.clone()
        arguments = (tensor[:, steps] for tensor in (inward, outward))
        y, after = mamba_scan.scan_from_state(
            u[:, steps], delta[:, steps], inputs.A.T, *arguments, state
        )
        assert torch.equal(state, kept)
        outputs.append(y)
        state = after
    assert error(torch.cat(outputs, 1).transpose(1, 2), expected) < 1e-14
    assert error(state.transpose(1, 2), last) < 1e-14


@pytest.mark.usefixtures("_stand_ins")
@pytest.mark.parametrize("start", STARTS)
@pytest.mark.parametrize("path", ["kernels", "live"])
def test_kernels_from_a_state_by_stand_ins(
    path: Any, start: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Oracle: the slow path; on path kernels dt_proj's adapter is passed by."""
    model, ids = mamba_equations.tiny(), tiny_mamba2.tokens(20)
    config = peft.LoraConfig(r=2, target_modules=mamba_equations.PROJECTIONS)
    peft.inject_adapter_in_model(config, model)
    torch.manual_seed(0)
    for name, weight in model.named_parameters():
        if ".lora_" in name:
            torch.nn.init.normal_(weight, std=0.1)
            if path == "kernels" and "dt_proj" in name:
                weight.data *= 10
    model.eval()
    silenced = copy.deepcopy(model)
    for name, weight in silenced.named_parameters():
        if path == "kernels" and "dt_proj.lora_B" in name:
            weight.data.zero_()
    expected = logits_of(silenced, ids)

    monkeypatch.setattr(mamba, "FROM_STATE", start)
    monkeypatch.setattr(mamba, "path_of", lambda _: path)
    interface = sys.modules["mamba_ssm.ops.selective_scan_interface"]
    monkeypatch.setattr(interface, "selective_scan_fn", whichever)
    for cuts in ((20,), (1, 19), (8, 2, 10)):
        found = MODELS["mamba"].head(model, in_pieces(MODELS["mamba"], model, ids, cuts))
        assert error(found, expected) < 200 * UNITS[torch.float32]


def whichever(**given: Any) -> tuple[Tensor, Tensor]:
    """Stand-in of selective_scan_fn with and without a bias of Δ and a gate."""
    if "delta_bias" in given:
        return mamba_equations.scan(**given)
    assert {x.dtype for x in given.values() if isinstance(x, Tensor)} == {torch.float32}
    y, last = scan(**given)
    return y, last.float()


def test_the_path_of_a_mixer(monkeypatch: pytest.MonkeyPatch) -> None:
    """What `set_path` set; without kernels all are the slow path."""
    mixer = mamba_equations.tiny().backbone.layers[0].mixer
    assert path_of(mixer) == "slow"
    set_path(mixer, "slow")
    assert path_of(mixer) == "slow"
    run_by(mixer, mamba_paths.live)
    assert path_of(mixer) == "live"
    stock = sys.modules[type(mixer).__module__]
    monkeypatch.setattr(stock, "is_fast_path_available", True)
    assert path_of(mixer) == "live"


@pytest.mark.parametrize(
    ("starts", "on_gpu", "half", "states", "expected"),
    [
        (by_one_kernel, True, True, 16, True),
        (by_pseudo_steps, True, True, 16, False),
        (by_one_kernel, False, True, 16, False),
        (by_one_kernel, True, False, 16, False),
        (by_one_kernel, True, True, 5, False),
    ],
)
def test_what_the_kernel_of_the_slow_path_takes(
    *, starts: Any, on_gpu: bool, half: bool, states: int, expected: bool, monkeypatch: Any
) -> None:
    """Half precision on a GPU where Triton compiles, of N that is a power of 2."""
    monkeypatch.setattr(mamba, "FROM_STATE", starts)
    weight = SimpleNamespace(is_cuda=on_gpu)
    mixer = SimpleNamespace(ssm_state_size=states, in_proj=SimpleNamespace(weight=weight))
    assert mamba.slow_by_our_kernel(mixer, half=half) is expected


# -----------------------------------------------------------------------------
# On a GPU


@gpu
@pytest.mark.parametrize("start", [*STARTS, by_one_kernel])
@pytest.mark.parametrize("dtype", UNITS)
@pytest.mark.parametrize("path", ["slow", "kernels", "live"])
def test_mamba_on_a_gpu(
    path: Any, dtype: torch.dtype, start: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Oracle: the equations in float64 over the whole sequence."""
    model, ids = mamba_equations.on_gpu().to(dtype), mamba_equations.gpu_tokens()
    copied = mamba_equations.exact(model)
    with torch.no_grad():
        expected = copied.lm_head(copied.backbone(ids, use_cache=False).last_hidden_state)
    assert set_path(model, path) == path
    assert path_of(model.backbone.layers[0].mixer) == path
    monkeypatch.setattr(mamba, "FROM_STATE", start)
    own = logits_of(model, ids)
    monkeypatch.setattr(mamba, "FEW", 0 if dtype == torch.bfloat16 else mamba.FEW)
    for cuts in ((200,), (1, 199), (63, 9, 128)):
        found = MODELS["mamba"].head(model, in_pieces(MODELS["mamba"], model, ids, cuts))
        assert found.dtype == own.dtype
        assert error(found, expected) < mamba_equations.allowed("logits", dtype), cuts


@gpu
@pytest.mark.timeout(600)
@pytest.mark.parametrize("dtype", UNITS)
@pytest.mark.parametrize("path", ["plain", "unfused", "fused", "released"])
def test_mamba2_on_a_gpu(path: Any, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    """Oracle: plain code in float64. TF32 in the kernels' products: 2^-10 in FP32.

    Unfused and fused go on by our kernels; once more by mamba-ssm's, which take any sizes.
    """
    if path == "released":
        monkeypatch.setattr(mamba_scan_triton, "scans", lambda *_: False)
        path = "unfused"
    model, ids = mamba2_on_gpu(dtype), tiny_mamba2.tokens(200).cuda()
    with torch.no_grad():
        expected = copy.deepcopy(model).double()(ids).logits
    for layer in model.backbone.layers:
        layer.mixer.path = path
    limit = 200 * 2**-24 if (path, dtype) == ("plain", torch.float32) else 4 * UNITS[dtype]
    if path != "plain" and dtype == torch.float32:
        limit = 4 * 2**-10
    for cuts in ((200,), (1, 199), (63, 9, 128)):
        found = MODELS["mamba2"].head(model, in_pieces(MODELS["mamba2"], model, ids, cuts))
        assert found.dtype == dtype
        assert error(found, expected) < limit, cuts


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kernel", ["eager", "sdpa", "flash_attention_2"])
@pytest.mark.parametrize("family", ATTENTION)
def test_attention_on_a_gpu(family: str, kernel: str, dtype: torch.dtype) -> None:
    """Oracle: eager attention in float32 over the whole sequence, with the same rounded weights."""
    if kernel == "sdpa" and family == "gpt-neox":
        pytest.skip("transformers 4.40.0 has no SDPA for GPT-NeoX")
    if kernel == "flash_attention_2" and (dtype == torch.float32 or not _flash()):
        pytest.skip("needs flash-attn and half precision")
    model = tiny_models.model(family, kernel, torch_dtype=dtype).to("cuda", dtype)
    reference = tiny_models.model(family)
    reference.load_state_dict({name: w.float() for name, w in model.state_dict().items()})
    ids = tiny_models.tokens(40).cuda()
    expected = logits_of(reference.cuda(), ids)
    found = MODELS[family].head(model, in_pieces(MODELS[family], model, ids, (1, 22, 17)))
    limit = 32 if dtype == torch.float32 else 8
    assert error(found, expected) < limit * UNITS[dtype]


def _flash() -> bool:
    from transformers.utils import is_flash_attn_2_available

    return bool(is_flash_attn_2_available())


@gpu
@pytest.mark.parametrize("length", [1, 7, 300])
@pytest.mark.parametrize("dtype", UNITS)
def test_one_kernel_is_the_loop(dtype: torch.dtype, length: int) -> None:
    """Oracle: the recurrence in float64. Channels that fill no block; either order in memory."""
    torch.manual_seed(0)
    rows, inner, states = 3, 200, 16
    u, gate = torch.randn(2, rows, inner, length, device="cuda").to(dtype)
    inward, outward = torch.randn(2, rows, length, states, device="cuda").to(dtype)
    step = torch.rand(rows, length, inner, device="cuda")
    decay, skip = -torch.rand(inner, states, device="cuda") - 0.1, torch.randn(inner, device="cuda")
    state = torch.randn(rows, states, inner, device="cuda")
    by_channel = ScanInputs(
        u=u,
        delta=step.transpose(1, 2),
        A=decay,
        B=inward.transpose(1, 2),
        C=outward.transpose(1, 2),
        D=skip,
        z=gate,
    )
    wide = [x.double() for x in (u.transpose(1, 2), step, decay.T, inward, outward, state)]
    y, last = mamba_scan.scan_from_state(*wide)
    expected = (y + wide[0] * skip.double()) * functional.silu(gate.transpose(1, 2).double())
    found, after = by_one_kernel(None, by_channel, state.transpose(1, 2))
    assert found.dtype == dtype
    assert error(found.transpose(1, 2), expected) < 8 * UNITS[dtype]
    assert error(after.transpose(1, 2), last) < 64 * 2**-24


def unit(values: Tensor) -> Tensor:
    """The unit in the last place of FP16 or BF16 numbers, float64."""
    bits = {torch.float16: 11, torch.bfloat16: 8}[values.dtype]
    exponents = torch.frexp(values.double()).exponent - bits
    smallest = torch.finfo(values.dtype).tiny * 2.0 ** (1 - bits)
    return torch.ldexp(torch.ones_like(values.double()), exponents).clamp(min=smallest)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@pytest.mark.parametrize("length", [1, 7, 300])
@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize("dtype", mamba.HALF)
def test_the_plain_scan_rounds_as_the_loop(dtype: torch.dtype, wide: bool, length: int) -> None:  # noqa: FBT001
    """Oracles: what `slow_forward` does to each token, and our loop.

    Beside the first the states have the same bits, and the sums behind y are at most 3 (N - 1)
    2^-24 of their terms' sizes apart (`mamba_scan_plain`). Rounded, they differ by one unit where a
    boundary lies between them, of which the chance is their distance over a unit.

    Our loop feeds Δ u B, rounded twice otherwise: 4 * 2^-24 |Δ u B| apart. It rounds the sum of
    both once where the kernel rounds a product and a sum: with H_t = exp(ΔA) H_{t-1} + |Δ u B|, the
    most that h can be, another 2^-24 (exp(ΔA) H_{t-1} + 2 H_t). That is at most 6 * 2^-24 H_t in
    all. Of each h that C reads, rounding may then take the neighbour.
    """
    torch.manual_seed(0)
    rows, inner, states = 3, 200, 16
    u = torch.randn(rows, inner, length, device="cuda").to(dtype).mT
    inward, outward = torch.randn(rows, length, 2 * states, device="cuda").to(dtype).chunk(2, -1)
    raw = torch.randn(rows, length, inner, device="cuda") - 3
    step = functional.softplus(raw).to(torch.float32 if wide else dtype)
    decay = -16 * torch.rand(inner, states, device="cuda").T
    state = torch.randn(1, states, inner, device="cuda").expand(rows, -1, -1)
    found, after = mamba_scan_plain.plain_scan(u, step, decay, inward, outward, state)

    h, size, moved = state, state.abs().double(), torch.zeros_like(state, dtype=torch.float64)
    outputs, sums, reads = [], [], []
    for t in range(length):
        decayed = torch.exp(decay * step[:, t, None])
        fed = step[:, t, None] * inward[:, t, :, None].float() * u[:, t, None].float()
        h = decayed * h + fed
        read = h.to(dtype)
        outputs.append(torch.matmul(read.mT, outward[:, t, :, None])[..., 0])
        size = decayed * size + fed.abs()
        moved = decayed * moved + 6 * 2**-24 * size
        terms = outward[:, t, :, None].abs().double()
        sums.append((terms * read.abs()).sum(1))
        reads.append((terms * (unit(read) + moved)).sum(1))
    expected = torch.stack(outputs, 1)
    assert found.dtype == expected.dtype == dtype
    assert torch.equal(after, h)
    apart = (found.double() - expected.double()).abs()
    reach = 3 * (states - 1) * 2**-24 * torch.stack(sums, 1)
    units = torch.maximum(unit(found), unit(expected))
    assert bool((apart <= units + reach).all())
    assert float((apart > 0).double().mean()) <= float((reach / units).clamp(max=1).mean())

    y, last = mamba_scan.scan_from_state(u, step, decay, inward, outward, state)
    assert bool(((after - last).abs() <= moved).all())
    apart = (found.double() - y.double()).abs()
    assert bool(
        (apart <= torch.maximum(unit(found), unit(y)) + reach + torch.stack(reads, 1)).all()
    )


@gpu
@pytest.mark.parametrize("arm", ["weight-cast", "autocast"])
@pytest.mark.parametrize("dtype", UNITS)
def test_the_scan_of_the_slow_path_is_the_one_that_is_named(
    dtype: torch.dtype, arm: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Autocast leaves weights in FP32, and products are of the dtype."""
    model = mamba_equations.on_gpu().to(torch.float32 if arm == "autocast" else dtype)
    assert set_path(model, "slow") == "slow"
    called: list[str] = []
    for home, name in ((mamba_scan_plain, "plain_scan"), (mamba, "scan_from_state")):
        scanned = getattr(home, name)

        def seen(*given: Any, _name: str = name, _scanned: Any = scanned) -> Any:
            called.append(_name)
            return _scanned(*given)

        monkeypatch.setattr(home, name, seen)
    half = dtype != torch.float32
    with torch.autocast("cuda", dtype, enabled=half and arm == "autocast"):
        MODELS["mamba"].continued(model, mamba_equations.gpu_tokens(), None)
    named = prefix_model.from_state(model, arm if half else "weight-cast")
    assert named == ("plain_scan" if half else "slow")
    assert set(called) == {"plain_scan" if half else "scan_from_state"}


@gpu
@pytest.mark.parametrize("length", [1, 31, 64, 200])
@pytest.mark.parametrize("started", [True, False])
@pytest.mark.parametrize("dtype", UNITS)
def test_chunk_scan_is_the_recurrence(dtype: torch.dtype, started: bool, length: int) -> None:  # noqa: FBT001
    """Oracle: `stepwise_scan` in float64. One state for all rows.

    Float32's limits are those of TF32, which `tl.dot` takes as in mamba-ssm's own kernels. Triton
    2.2 hands float32 to the tensor cores as it is, and they leave the last 13 of 23 bits out: an
    operand loses of its size what is uniform in [0, 2^-10 / m], m in [1, 2) its mantissa, 2^-11 / m
    in the mean and always towards 0, so that losses of operands add up. An output is a product of
    four (C and B, then their score and x): 4 * 2^-11; a state of two (B by its weight, and x):
    2 * 2^-11. Of normal inputs, where 1 / m is 0.72 in the mean, the first is 1.4e-3 and what
    scatters about it 0.4e-3, together 1.5e-3; float32 cut so in NumPy gives 1.47e-3 and 0.76e-3.
    """
    cut = 2**-11 if dtype == torch.float32 else 0.0
    torch.manual_seed(0)
    rows, heads, groups, width, states = 3, 4, 2, 64, 128
    x = torch.randn(rows, length, heads, width, device="cuda").to(dtype)
    into, out = torch.randn(2, rows, length, groups, states, device="cuda").to(dtype)
    raw = torch.randn(rows, length, heads + 5, device="cuda").to(dtype)[..., 5:] - 3
    rates, skip, bias = torch.randn(3, heads, device="cuda")
    state = torch.randn(1, heads, width, states, device="cuda").expand(rows, -1, -1, -1)
    found, after = mamba_scan_triton.chunk_scan(
        x, raw, rates.to(dtype), into, out, skip, bias.to(dtype), state if started else None
    )
    step = functional.softplus(raw.double() + bias.to(dtype).double())
    decay = -rates.to(dtype).double().exp()
    wide = (x.double(), step, decay, into.double(), out.double(), skip.double())
    expected, last = stepwise_scan(*wide, initial=state.double() if started else None)
    assert found.dtype == dtype
    assert error(found.view_as(x), expected) < 4 * max(UNITS[dtype], cut)
    assert error(after, last) < 2 * max(UNITS[dtype], cut)


@gpu
@pytest.mark.parametrize("length", [1, 2, 3, 50])
@pytest.mark.parametrize("before", [None, 1, 4])
@pytest.mark.parametrize("dtype", UNITS)
def test_our_convolution_goes_on(dtype: torch.dtype, before: int | None, length: int) -> None:
    """Oracle: torch's in float64; channels that fill no block, cut out of more."""
    torch.manual_seed(0)
    layer = torch.nn.Conv1d(200, 200, 4, groups=200, device="cuda", dtype=dtype)
    driven = torch.randn(4, length, 450, device="cuda").to(dtype)[..., 30:230]
    state = torch.randn(before or 4, 200, 3, device="cuda").to(dtype).mT.expand(4, -1, -1)
    seen = torch.cat([torch.zeros_like(state) if before is None else state, driven], dim=1)
    found, left = mamba_scan_triton.convolved(layer, driven, None if before is None else state)
    exact = copy.deepcopy(layer).double()
    expected = functional.silu(exact(seen.double().mT)).mT
    assert error(found, expected) < 4 * UNITS[dtype]
    assert torch.equal(left, seen[:, -3:])


@gpu
@pytest.mark.parametrize("width", [64, 1000, 2560])
@pytest.mark.parametrize("dtype", UNITS)
def test_our_norms_are_the_modules(dtype: torch.dtype, width: int) -> None:
    """Oracles: transformers' norm, ours, and ours behind a gate, of the sum that torch adds up."""
    torch.manual_seed(0)
    stream, x = torch.randn(2, 3, 7, width, device="cuda")
    x, gate = x.to(dtype), torch.randn(3, 7, width + 8, device="cuda").to(dtype)[..., 8:]
    stock, later = MambaRMSNorm(width), RMSNorm(width)
    for norm in (stock, later):
        torch.nn.init.normal_(norm.weight)
        norm.to("cuda", dtype)
    joined = mamba_scan_triton.added_and_normed
    with torch.no_grad():
        found, total = joined(
            stock, x, eps=1e-6, stream=stream, kept=torch.float32, rounded=(True, True)
        )
        assert torch.equal(total, stream + x)
        assert found.dtype == dtype
        assert error(found, stock(total.to(dtype))) < UNITS[dtype] + 2**-22
        config = tiny_mamba2.config()
        found, total = joined(later, x, eps=later.eps, stream=stream, kept=torch.float32)
        expected, summed = add_and_norm(x, stream, later, config)
        assert torch.equal(total, summed)
        assert error(found, expected) < UNITS[dtype] + 2**-22
        found, _ = joined(later, x, eps=later.eps, gate=gate)
        expected = later(x.float() * functional.silu(gate.float()))
        assert error(found, expected) < UNITS[dtype] + 2**-21


@gpu
def test_functional_softplus_is_the_kernels() -> None:
    """Above 20 both pass Δ on as it is, so that a scan from a state takes the Δ of one from 0."""
    raw = torch.linspace(-30, 30, 1001, device="cuda")
    exact = torch.log1p(torch.exp(raw.double()))
    assert float((functional.softplus(raw) / exact - 1).abs().max()) < 8 * 2**-24
