"""A checkpoint in every layout that is met loads to the logits of the plain one, bit for bit.

Oracle: the plain checkpoint, of which the others are written by hand (`written_layouts`); of
weights in half precision, the plain one with those weights. What is not loaded says what to do.
OLMo's layouts and OpenELM have tests of their own.
"""

import json
import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import tiny_models
import torch
import written_layouts as layouts
from safetensors.torch import load_file
from torch import Tensor

from repro.cli import main
from repro.errors import BadInputError
from repro.weights import checkpoint_files
from runner.models.registry import MODELS, family_of

pytestmark = [
    pytest.mark.filterwarnings("ignore"),  # torch and transformers warn about each other
    pytest.mark.usefixtures("one_thread"),
]

WITH_ATTENTION = ("gpt-neox", "phi", "llama")
ALL = ("mamba", "mamba2", *WITH_ATTENTION)
Change = Callable[[Path], object]


def logits(folder: Path, dtype: torch.dtype = torch.float32) -> Tensor:
    model = MODELS[family_of(folder)].load(folder, dtype, "eager", remote_code=False)
    with torch.no_grad():
        found: Tensor = model(tiny_models.tokens(13)).logits
    return found


@pytest.fixture
def plain(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Of the family that a test is parametrised with."""
    folder = tmp_path / "plain"
    layouts.saved(request.getfixturevalue("family"), folder)
    return folder


def refusal(folder: Path) -> str:
    with pytest.raises(BadInputError) as caught:
        logits(folder)
    return str(caught.value)


def every(*changes: Change) -> Change:
    def change(folder: Path) -> None:
        for each in changes:
            each(folder)

    return change


FILES = {
    "shards": layouts.sharded,
    "pickle": every(layouts.pickled, layouts.converted),
    "pickled shards": every(layouts.pickled_shards, layouts.converted),
    "no metadata": partial(layouts.change, edit=lambda _: None),
}
NAMES = {
    ("mamba", "older names"): layouts.older_mamba,
    ("mamba", "older names in shards"): every(layouts.older_mamba, layouts.sharded),
    ("mamba", "release"): every(layouts.released_mamba, partial(layouts.laid_out, "mamba")),
    ("mamba", "pickled release"): every(
        layouts.released_mamba,
        layouts.pickled,
        layouts.converted,
        partial(layouts.laid_out, "mamba"),
    ),
    ("mamba2", "transformers"): every(
        layouts.transformers_mamba2, partial(layouts.laid_out, "mamba2")
    ),
    ("mamba2", "transformers in shards"): every(
        layouts.transformers_mamba2, layouts.sharded, partial(layouts.laid_out, "mamba2")
    ),
    ("gpt-neox", "masks"): layouts.with_masks,
    **{(family, "angles"): layouts.with_angles for family in WITH_ATTENTION},
    **{(family, "half angles"): partial(layouts.with_angles, half=True) for family in ("llama",)},
}
LAYOUTS = [(family, name, change) for family in ALL for name, change in FILES.items()]
LAYOUTS += [(*both, change) for both, change in NAMES.items()]


@pytest.mark.parametrize(("family", "name", "change"), LAYOUTS)
def test_every_layout_gives_the_same_logits(
    family: str, name: str, change: Change, plain: Path
) -> None:
    expected = logits(plain)
    change(plain)
    assert torch.equal(logits(plain), expected)
    checkpoint_files.check(plain, name, family)


@pytest.mark.parametrize("stored", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("family", ALL)
def test_weights_saved_in_half_precision_are_widened(
    family: str, stored: torch.dtype, plain: Path, tmp_path: Path
) -> None:
    """To float32 exactly; some of them stay float32, as programs leave norms."""
    whole = logits(plain)
    layouts.saved(family, tmp_path / "rounded")

    def rounded(weights: layouts.Tensors, back: bool = False) -> None:  # noqa: FBT001, FBT002
        for name in [each for each in weights if "norm" not in each]:
            narrow = weights[name].to(stored)
            weights[name] = narrow.float() if back else narrow

    layouts.change(plain, rounded)
    layouts.change(tmp_path / "rounded", partial(rounded, back=True))
    assert {each.dtype for each in load_file(plain / layouts.WEIGHTS).values()} == {
        stored,
        torch.float32,
    }
    found = logits(plain)
    assert torch.equal(found, logits(tmp_path / "rounded"))
    assert not torch.equal(found, whole)
    if stored == torch.bfloat16:
        assert torch.equal(logits(plain, stored), logits(tmp_path / "rounded", stored))


# -----------------------------------------------------------------------------
# Heads


@pytest.mark.parametrize("family", ALL)
def test_heads_tied_and_not(family: str, tmp_path: Path) -> None:
    """Tied, the head may be stored or not; with other values than the embedding it is refused."""
    tie = "tie_embeddings" if family == "mamba2" else "tie_word_embeddings"
    head, words = layouts.head(family), layouts.embedding(family)
    ids = tiny_models.tokens(13)
    for tied in (True, False):
        folder = tmp_path / str(tied)
        model = layouts.saved(family, folder, **{tie: tied})
        with torch.no_grad():
            expected = model(ids).logits
        assert (head in load_file(folder / layouts.WEIGHTS)) != tied
        assert torch.equal(logits(folder), expected)
    tied = tmp_path / "True"
    layouts.change(tied, lambda weights: weights.update({head: weights[words]}))
    with_head = logits(tied)
    layouts.change(tied, lambda weights: weights.pop(head))
    assert torch.equal(logits(tied), with_head)
    layouts.change(tied, lambda weights: weights.update({head: weights[words] + 1}))
    assert "different values" in refusal(tied)
    layouts.change(tmp_path / "False", lambda weights: weights.pop(head))
    assert f"missing: {head}" in refusal(tmp_path / "False")


# -----------------------------------------------------------------------------
# Refused, with what to do


@pytest.mark.parametrize(
    ("family", "change", "said"),
    [
        ("mamba", layouts.released_mamba, "model.safetensors --layout mamba --out"),
        (
            "mamba2",
            every(layouts.transformers_mamba2, layouts.sharded),
            "model.safetensors.index.json --layout mamba2 --out",
        ),
    ],
)
def test_a_layout_that_is_not_loaded_names_the_command(
    family: str, change: Change, said: str, plain: Path
) -> None:
    change(plain)
    for refused in (refusal(plain), planned(plain, family)):
        assert f"repro convert {plain}/{said} NEW-FOLDER" in refused


def planned(folder: Path, family: str) -> str:
    """What the plan says, before anything is loaded."""
    with pytest.raises(BadInputError) as caught:
        checkpoint_files.check(folder, "named", family)
    return str(caught.value)


@pytest.mark.parametrize("family", WITH_ATTENTION)
def test_angles_of_another_base_are_refused(family: str, plain: Path) -> None:
    """They were read once; the model would now compute its own, and other logits."""
    del family
    layouts.with_angles(plain, base=1_000_000.0)
    assert "inv_freq with other angles than the base 10000 gives" in refusal(plain)


@pytest.mark.parametrize("family", ALL)
def test_what_no_version_stored_is_refused(family: str, plain: Path) -> None:
    del family
    layouts.change(plain, lambda weights: weights.update({"model.extra": torch.ones(2)}))
    assert "model.extra" in (said := refusal(plain))
    assert "take a copy without them" in said


@pytest.mark.parametrize("family", ["mamba"])
def test_two_embeddings_are_refused(family: str, plain: Path) -> None:
    del family
    layouts.change(
        plain,
        lambda weights: weights.update(
            {"backbone.embedding.weight": weights["backbone.embeddings.weight"] + 1}
        ),
    )
    assert "unknown: backbone.embedding.weight" in refusal(plain)


# -----------------------------------------------------------------------------
# `repro convert --layout`


def edited(folder: Path, **fields: Any) -> None:
    tiny_models.edit(folder / layouts.CONFIG, lambda config: config.update(fields))


@pytest.mark.parametrize(
    ("family", "fields", "said"),
    [
        ("mamba", {"rms_norm": False}, "$.rms_norm"),
        ("mamba", {"attn_layer_idx": [3]}, "$.attn_layer_idx"),
        ("mamba", {"ssm_cfg": {"layer": "Mamba2"}}, "the release's Mamba"),
        ("mamba", {"ssm_cfg": {"d_stat": 4}}, "$.ssm_cfg.d_stat"),
        ("mamba", {"d_model": 0}, "$.d_model"),
        ("mamba2", {"n_groups": 2}, "$.n_groups"),
        ("mamba2", {"use_bias": True}, "$.use_bias"),
        ("mamba2", {"time_step_limit": [0.0, 0.1]}, "$.time_step_limit"),
        ("mamba2", {"layer_norm_epsilon": 1e-6}, "$.layer_norm_epsilon"),
        ("mamba2", {"num_heads": 7}, "$.num_heads"),
        ("mamba2", {"model_type": "mamba"}, "transformers' Mamba2"),
    ],
)
def test_what_the_other_layout_has_no_word_for_is_refused(
    family: str,
    fields: dict[str, Any],
    said: str,
    plain: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (layouts.released_mamba if family == "mamba" else layouts.transformers_mamba2)(plain)
    edited(plain, **fields)
    out = plain.with_name("out")
    file = str(plain / layouts.WEIGHTS)
    assert main.main(["convert", file, "--layout", family, "--out", str(out)]) == 2
    assert said in capsys.readouterr().err
    assert not out.exists()


@pytest.mark.parametrize("family", ["mamba2"])
def test_half_a_file_is_not_laid_out(
    family: str, plain: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    layouts.transformers_mamba2(plain)
    file = plain / layouts.WEIGHTS
    file.write_bytes(file.read_bytes()[:-4])
    out = str(plain.with_name("out"))
    assert main.main(["convert", str(file), "--layout", family, "--out", out]) == 2
    assert "the header promises" in capsys.readouterr().err
    assert not plain.with_name("out").exists()


@pytest.mark.parametrize("family", ["mamba"])
def test_a_padded_vocabulary(family: str, plain: Path) -> None:
    """The release pads its weights to a multiple of 8 and writes the number before."""
    del family
    rows = json.loads((plain / layouts.CONFIG).read_text())["vocab_size"]
    layouts.released_mamba(plain)
    padded = math.ceil(rows / 8) * 8
    more = torch.zeros(padded - rows, 32)

    def pad(weights: layouts.Tensors) -> None:
        for name in ("backbone.embedding.weight", "lm_head.weight"):
            weights[name] = torch.cat([weights[name], more])

    layouts.change(plain, pad)
    edited(plain, pad_vocab_size_multiple=8)
    layouts.laid_out("mamba", plain)
    assert logits(plain).shape[-1] == padded
