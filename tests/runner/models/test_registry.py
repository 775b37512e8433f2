"""Every model family through `runner.models.registry`.

Oracles: the model that was saved; eager attention in float32, for the other kernels.
`test_runner_continued` has what a prefix leaves behind, `test_runner_evaluate` the stock program's
loading of the same folders.
Errors are relative norms over all logits, u the unit round-off of a dtype.

Two kernels add up the same float32 numbers in another order. Two blocks of some ten sums each lose
about u a sum, and independent errors add as a root: some 5 u. 32 u are allowed.

Attention in half precision rounds about twelve values a block, each by 0.4 u on average, so
0.4 u · √(12 · 2 + 3) = 2 u come together; 8 u are allowed, and more than u / 8 must be there, or
nothing was rounded. A mask, scale or head that is wrong costs more than 0.03 = 8 u of bfloat16.
"""

import copy
import shutil
from pathlib import Path
from typing import Literal

import evaluate_jobs
import pytest
import safetensors.torch
import tiny_models
import torch
from saved_models import (
    ATTENTION,
    DTYPES,
    UNITS,
    Saved,
    error,
    job,
    load,
    modules_cache,  # noqa: F401 - a fixture
    saved_checkpoints,  # noqa: F401 - a fixture
)
from torch import Tensor
from transformers.utils import is_flash_attn_2_available

from repro.errors import BadInputError, CannotRunError
from repro.schema.families import FAMILIES
from repro.schema.jobs import Attention, EvaluateJob
from runner.evaluation import loading
from runner.models import kernels, precision
from runner.models.registry import MODELS, family_of
from runner.models.transformers_model import attended

pytestmark = [
    pytest.mark.filterwarnings("ignore"),  # torch and transformers warn about each other
    pytest.mark.usefixtures("one_thread"),
]

WITH_SDPA = [(family, kernel) for family in ATTENTION[1:] for kernel in ("eager", "sdpa")]
"""transformers 4.40.0 has no SDPA for GPT-NeoX."""


@pytest.fixture
def own(modules_cache: None, tmp_path: Path) -> Path:  # noqa: ARG001
    """A checkpoint with its own code, for a test to change."""
    folder = tmp_path / "own"
    tiny_models.save("own-code", folder)
    return folder


# -----------------------------------------------------------------------------
# Which family


def test_there_is_code_for_every_family() -> None:
    assert MODELS.keys() == FAMILIES.keys()


@pytest.mark.parametrize("family", MODELS)
def test_a_folder_tells_its_family(family: str, saved: Saved) -> None:
    assert family_of(saved(family)[0]) == family


@pytest.mark.parametrize(
    ("config", "found"),
    [
        ('{"model_type": "bert"}', "'bert'"),
        ('{"model_type": "hf_olmo2"}', "'hf_olmo2'"),
        ('{"model_type": "mamba", "ssm_cfg": {}}', "ssm_cfg {}"),
        ('{"ssm_cfg": {"layer": "Mamba1"}}', "Mamba1"),
        ("{}", "no model_type"),
        ("[]", "a list"),
        ("{", "no JSON"),
    ],
)
def test_a_folder_of_no_family_is_told(config: str, found: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(config)
    with pytest.raises(BadInputError) as caught:
        family_of(tmp_path)
    assert found in str(caught.value)
    assert str(tmp_path / "config.json") in str(caught.value)


# -----------------------------------------------------------------------------
# Loading


@pytest.mark.parametrize("family", MODELS)
def test_what_was_saved_is_loaded(family: str, saved: Saved) -> None:
    folder, model = saved(family)
    ids = tiny_models.tokens(13)
    loaded = load(folder)
    assert not loaded.training
    with torch.no_grad():
        assert torch.equal(loaded(ids).logits, model(ids).logits)


@pytest.mark.parametrize("dtype", DTYPES[1:])
@pytest.mark.parametrize("family", MODELS)
def test_a_cast_rounds_all_weights_but_those_that_the_family_keeps(
    family: str, dtype: torch.dtype, saved: Saved
) -> None:
    folder, model = saved(family)
    stored = dict(model.named_parameters())
    for name, weight in load(folder, dtype).named_parameters():
        kept = family == "mamba2" and name.endswith(FAMILIES[family].layouts["Mamba2"].kept_wide)
        expected = stored[name] if kept else stored[name].to(dtype)
        assert torch.equal(weight.float(), expected.float()), name


@pytest.mark.parametrize("family", MODELS)
def test_weights_that_are_not_there_are_not_made_up(
    family: str, saved: Saved, tmp_path: Path
) -> None:
    folder, _ = saved(family)
    for path in folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    weights = safetensors.torch.load_file(folder / "model.safetensors")
    lost = max(weights)
    del weights[lost]
    safetensors.torch.save_file(weights, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(BadInputError, match=lost.replace(".", r"\.")):
        load(tmp_path)


# -----------------------------------------------------------------------------
# Code that a checkpoint brings along


def test_code_does_not_run_unless_allowed(own: Path) -> None:
    (own / "modeling_tiny.py").write_text("raise SystemExit('it ran')\n" + tiny_models.CODE)
    with pytest.raises(BadInputError, match="--allow-remote-code"):
        MODELS["own-code"].load(own, torch.float32, "eager", remote_code=False)
    with pytest.raises(BadInputError, match="--allow-remote-code"):
        loading.load(job(), own)
    with pytest.raises(SystemExit, match="it ran"):
        load(own)


@pytest.mark.parametrize("file", ["config.json", "tokenizer_config.json"])
def test_code_of_another_repository_is_refused(own: Path, file: str) -> None:
    there = {"AutoModelForCausalLM": "someone/else--modeling_tiny.TinyForCausalLM"}
    tiny_models.edit(own / file, lambda config: config.update(auto_map=there))
    with pytest.raises(BadInputError, match="another repository"):
        load(own)


def test_code_beside_a_model_of_transformers_is_left_alone(tmp_path: Path) -> None:
    model = tiny_models.save("phi", tmp_path)
    (tmp_path / "modeling_tiny.py").write_text("raise SystemExit('it ran')")
    tiny_models.edit(
        tmp_path / "config.json", lambda config: config.update(auto_map=tiny_models.AUTO_MAP)
    )
    assert type(load(tmp_path)) is type(model)
    assert type(loading.load(job(), tmp_path, remote_code=True).model) is type(model)


def test_a_package_that_the_code_lacks_is_named(own: Path) -> None:
    code = tiny_models.CODE + "\nimport no_such_package\n"
    (own / "modeling_tiny.py").write_text(code)
    with pytest.raises(CannotRunError, match=r"not found in your environment: no_such_package$"):
        load(own)


def test_the_record_says_whose_code_ran(own: Path) -> None:
    model = loading.load(job(), own, remote_code=True)
    assert model.path()["attention"] == "own code"
    assert any("took own code" in warning for warning in model.warnings())


def test_openelm_has_sdpa_alone_and_its_prompts_begin_with_bos(saved: Saved) -> None:
    folder = saved("openelm")[0]
    for asked in ("eager", "sdpa"):
        model = loading.load(job(attention_float32=asked), folder)
        assert model.path()["attention"] == "sdpa"
        assert any("attention" in each for each in model.warnings()) == (asked == "eager")
    assert model.tok_encode("Count again.")[0] == model.tokenizer.bos_token_id


@pytest.mark.parametrize("family", ATTENTION)
def test_the_record_says_which_attention_transformers_took(family: str, saved: Saved) -> None:
    model = loading.load(job(), saved(family)[0], remote_code=True)
    assert model.path()["attention"] == ("eager" if family == "gpt-neox" else "sdpa")
    assert model.tok_encode("Count again.")[0] != model.tokenizer.bos_token_id


def test_a_head_that_is_the_embedding_cannot_be_widened(own: Path) -> None:
    wide = job(dtype="bfloat16", arm="float32-head")
    with pytest.raises(CannotRunError, match="TinyForCausalLM has no output layer"):
        loading.load(wide, own, remote_code=True)


# -----------------------------------------------------------------------------
# Attention kernels


def attention_logits(family: str, kernel: str, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Logits by a kernel in a dtype; those by eager attention in float32, of the same weights."""
    rounded = tiny_models.model(family).to(dtype)
    if kernel == "eager":
        model = rounded
    else:
        model = tiny_models.model(family, kernel, torch_dtype=dtype).to(dtype)
    precision.apply_half_layer_norm(model, torch.device("cpu"))
    ids = tiny_models.tokens(40)
    with torch.no_grad():
        found = model(ids).logits
        reference = tiny_models.model(family)
        reference.load_state_dict({name: w.float() for name, w in rounded.state_dict().items()})
        return found, reference(ids).logits


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("family", "kernel"), [("gpt-neox", "eager"), *WITH_SDPA])
def test_attention_kernels_agree(family: str, kernel: Attention, dtype: torch.dtype) -> None:
    config = tiny_models.CONFIGS[family]
    assert kernels.possible_attention(config, kernel, dtype) == kernel
    found, expected = attention_logits(family, kernel, dtype)
    if dtype == torch.float32:
        assert error(found, expected) < 32 * UNITS[dtype]
    else:
        assert UNITS[dtype] / 8 < error(found, expected) < 8 * UNITS[dtype]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("before", [0, 9])
def test_a_block_that_waits_for_no_gpu_gives_the_same_bits(before: int, dtype: torch.dtype) -> None:
    """Oracle: transformers' own `_attn`."""
    block = tiny_models.model("gpt-neox").gpt_neox.layers[0].attention
    query, key, value = torch.randn(3, 2, block.num_attention_heads, 16, 8).to(dtype)
    given = query[:, :, before:], key, value
    for found, expected in zip(attended(block, *given), block._attn(*given), strict=True):
        assert torch.equal(found, expected)
    hidden = torch.zeros(2, 1, 1, 16, dtype=dtype)
    hidden[..., -1] = torch.finfo(dtype).min
    masked = *given, hidden  # what only transformers does
    assert torch.equal(attended(block, *masked)[0], block._attn(*masked)[0])


needs_flash = pytest.mark.skipif(
    not (torch.cuda.is_available() and is_flash_attn_2_available()),
    reason="needs a CUDA device and flash-attn",
)
KERNELS = {
    family: ("eager", "flash_attention_2", *(["sdpa"] if family != "gpt-neox" else []))
    for family in ATTENTION
}


@pytest.mark.gpu
@needs_flash
@pytest.mark.parametrize("width", [16, 64, 80, 128, 256])
@pytest.mark.parametrize("dtype", DTYPES[1:])
@pytest.mark.parametrize("family", ATTENTION)
def test_flash_attention_agrees(family: str, dtype: torch.dtype, width: int) -> None:
    """Heads of 64 to 256 in Pythia, 80 in Phi-2, 128 in OLMo and Llama: a kernel for each width.

    Two kernels, each within 8 u of float32, and their errors independent: √2 · 8 u apart.
    """
    ids = tiny_models.tokens(300).cuda()
    found = {}
    for kernel in KERNELS[family]:
        sizes = {"hidden_size": 2 * width, "torch_dtype": dtype}
        model = tiny_models.model(family, kernel, **sizes).to("cuda", dtype)
        assert kernels.taken_attention(model) == kernel
        reference = tiny_models.model(family, hidden_size=2 * width).cuda()
        reference.load_state_dict({name: w.float() for name, w in model.state_dict().items()})
        with torch.no_grad():
            found[kernel] = model(ids).logits
            expected = reference(ids).logits
        assert UNITS[dtype] / 8 < error(found[kernel], expected) < 8 * UNITS[dtype], kernel
    for kernel, logits in found.items():
        assert error(found["flash_attention_2"], logits) < 2**0.5 * 8 * UNITS[dtype], kernel


@pytest.mark.gpu
@needs_flash
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("family", ATTENTION)
def test_flash_attention_gives_the_log_likelihoods(
    family: str, dtype: Literal["float16", "bfloat16"], saved: Saved, tmp_path: Path
) -> None:
    """By `runner.evaluation.loading`, in padded batches, of weights that every dtype has exactly.

    Oracle: float32, eager. A sum of log-probabilities is as exact as the logits it comes from.
    """
    folder, model = saved(family)
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    copy.deepcopy(model).bfloat16().float().save_pretrained(tmp_path)
    rows = tiny_models.tokens(60, batch=8).tolist()
    requests = [(("", ""), row[: 50 - 5 * n], row[-1 - n :]) for n, row in enumerate(rows)]
    unit = UNITS[getattr(torch, dtype)]

    def likelihoods(asked: EvaluateJob, kernel: str) -> Tensor:
        loaded = loading.load(asked, tmp_path)
        assert loaded.path()["attention"] == kernel
        answers = loaded._loglikelihood_tokens(requests, disable_tqdm=True)
        return torch.tensor([sum_of_logs for sum_of_logs, _ in answers])

    single = evaluate_jobs.job(subjects=("anatomy",), shots=(0,), attention_float32="eager")
    expected = likelihoods(single, "eager")
    found = {}
    for kernel in KERNELS[family]:
        asked = evaluate_jobs.job(
            dtype, arm="weight-cast", subjects=("anatomy",), shots=(0,), attention_half=kernel
        )
        found[kernel] = likelihoods(asked, kernel)
        assert error(found[kernel], expected) < 8 * unit, kernel
    for kernel, answers in found.items():
        assert error(found["flash_attention_2"], answers) < 2**0.5 * 8 * unit, kernel
