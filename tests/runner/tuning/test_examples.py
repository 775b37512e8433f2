"""Rows as tokens, labels and batches.

Oracles: TRL 0.8.1's SFTTrainer on the same texts (its tokens, its batches, its order); the
loss of each row computed alone; rows decoded again; sums done by hand.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerFast

from repro import paths
from repro.errors import BadInputError
from runner.evaluation.offline import quiet
from runner.tuning import examples as tuning_examples
from runner.tuning import instructions
from runner.tuning.instructions import Row

pytestmark = pytest.mark.usefixtures("one_thread")

SHARED = Path(__file__).parents[4] / "shared"
TWINS = paths.ROOT / "twins"
END = "<|endoftext|>"

ROWS = (
    Row("Add the two numbers.", "1, 2", "3"),
    Row("Say a greeting twice.", "", "  good day \n\n good\tday  "),
    Row("Go on.", "", "Cafe\u0301 \U0001f600\U0001f600 ends.\n", (("Begin.", "\nBegun."),)),
    Row("Count.", "", "one two three four five six seven eight nine ten " * 9),
)
"""One with an input, blanks at both ends, two turns with what NFC changes, a long one."""


@pytest.fixture(scope="session")
def twins() -> Any:
    """The twins' tokenizer, which pads with its end of sequence."""
    return AutoTokenizer.from_pretrained(TWINS / "mamba-twin")


@pytest.fixture(params=["twins", "gpt-neox-20b"])
def tokenizer(request: pytest.FixtureRequest) -> Any:
    """The twins' and the paper's."""
    if request.param == "twins":
        return request.getfixturevalue("twins")
    file = SHARED / "tokenizers" / "gpt-neox-20b" / "tokenizer.json"
    if not file.is_file():
        pytest.skip("the tokenizer is not here")
    special = dict.fromkeys(("bos_token", "eos_token", "unk_token"), END)
    return PreTrainedTokenizerFast(tokenizer_file=str(file), **special)


def made(tokenizer: Any, max_length: int = 512, **changes: Any) -> tuple[Any, ...]:
    options = {"append_eos": True, "loss": "all"} | changes
    return tuning_examples.tokenise(ROWS, tokenizer, max_length, **options).examples


def stock(tokenizer: Any, folder: Path, rows: tuple[Row, ...] = ROWS, **options: Any) -> Any:
    """TRL's trainer of a twin on the rows' texts, with everything by default that can be."""
    from datasets import Dataset
    from transformers import TrainingArguments
    from trl import SFTTrainer

    texts = [instructions.render(row, append_eos=True, eos=END).text for row in rows]
    length, dtype = options.pop("max_seq_length", 512), options.pop("dtype", torch.float32)
    with quiet():
        return SFTTrainer(
            model=AutoModelForCausalLM.from_pretrained(TWINS / "gpt-neox-twin", torch_dtype=dtype),
            args=TrainingArguments(
                output_dir=str(folder), use_cpu=True, report_to=[], save_strategy="no", **options
            ),
            train_dataset=Dataset.from_dict({"text": texts}),
            dataset_text_field="text",
            tokenizer=tokenizer,
            max_seq_length=length,
        )


# -----------------------------------------------------------------------------
# Tokens


@pytest.mark.parametrize("max_length", [60, 512])
def test_tokens_are_trls(twins: Any, tmp_path: Path, max_length: int) -> None:
    trainer = stock(twins, tmp_path, max_seq_length=max_length)
    found = made(twins, max_length)
    assert [each.ids.tolist() for each in found] == trainer.train_dataset["input_ids"]
    assert [each.labels.tolist() for each in found] == trainer.train_dataset["input_ids"]


def test_what_does_not_fit_is_cut_and_counted(tokenizer: Any) -> None:
    whole = made(tokenizer)
    assert not any(each.truncated for each in whole)
    assert {each.ids[-1] for each in whole} == {tokenizer.eos_token_id}
    length = whole[0].ids.size
    for max_length, cut in ((length, False), (length - 1, True)):
        first = made(tokenizer, max_length)[0]
        assert first.ids.tolist() == whole[0].ids[:max_length].tolist()
        assert first.truncated == cut
    bare = made(tokenizer, append_eos=False)
    assert [each.ids.tolist() for each in bare[:2]] == [
        each.ids[:-1].tolist() for each in whole[:2]
    ]


@pytest.mark.parametrize("append_eos", [True, False])
def test_only_the_answers_are_learned(tokenizer: Any, *, append_eos: bool) -> None:
    """Decoded, the learned tokens are the answers; without the mask nothing else differs."""
    found = made(tokenizer, append_eos=append_eos, loss="answer")
    everything = made(tokenizer, append_eos=append_eos)
    for row, each, other in zip(ROWS, found, everything, strict=True):
        assert each.ids.tolist() == other.ids.tolist()
        learned = each.labels != tuning_examples.IGNORED
        assert (each.labels == each.ids)[learned].all()
        answers = [reply for _, reply in row.earlier] + [row.output]
        expected = "".join(answer + END * append_eos for answer in answers)
        normal = tokenizer.backend_tokenizer.normalizer.normalize_str(expected)
        assert tokenizer.decode(each.ids[learned]) == normal


def test_a_row_cut_before_its_answer_is_left_out(twins: Any) -> None:
    """Its loss would be the mean of nothing, which is not a number."""
    first = [(*row.earlier, (row.instruction, ""))[0][0] for row in ROWS]
    prompts = [
        len(twins(instructions.prompt(asked, row.input) + "\n")["input_ids"])
        for asked, row in zip(first, ROWS, strict=True)
    ]
    length = prompts[0]
    assert max(prompts[1:]) < length
    found = tuning_examples.tokenise(ROWS, twins, length, append_eos=True, loss="answer")
    assert [each.row for each in found.left_out] == [0]
    assert len(found.examples) == 3
    whole = tuning_examples.tokenise(ROWS, twins, length + 1, append_eos=True, loss="answer")
    assert (len(whole.examples), whole.left_out) == (4, ())
    with pytest.raises(BadInputError, match="a length that answers fit in"):
        tuning_examples.tokenise(ROWS, twins, min(prompts), append_eos=True, loss="answer")


def test_real_rows_are_learned_from_their_first_answer_on(tokenizer: Any) -> None:
    path = SHARED / "data" / "alpaca" / "alpaca_data.json.xz"
    if not path.is_file():
        pytest.skip("Alpaca is not here")
    rows = instructions.read(path, "alpaca").rows[::250]
    found = tuning_examples.tokenise(rows, tokenizer, 4096, append_eos=True, loss="answer")
    normal = tokenizer.backend_tokenizer.normalizer.normalize_str
    for row, each in zip(rows, found.examples, strict=True):
        kept = each.labels[each.labels >= 0]
        learned = tokenizer.decode(kept, clean_up_tokenization_spaces=False)
        assert learned == normal(row.output) + END


# -----------------------------------------------------------------------------
# Padding


def test_the_end_is_learned_where_it_pads_and_stock_does_not_learn_it(
    twins: Any, tmp_path: Path
) -> None:
    trainer = stock(twins, tmp_path)
    features = [trainer.train_dataset[number] for number in range(len(ROWS))]
    theirs = trainer.data_collator(features)
    examples = made(twins)
    pad = tuning_examples.pad(twins)
    assert pad == tuning_examples.Pad(END, twins.eos_token_id, "eos")
    ours = tuning_examples.Collator(pad.id, attention_mask=True)(examples)
    assert torch.equal(ours["input_ids"], theirs["input_ids"])
    assert torch.equal(ours["attention_mask"], theirs["attention_mask"])
    last = torch.tensor([each.ids.size - 1 for each in examples])
    rows = torch.arange(len(ROWS))
    assert (theirs["labels"][rows, last] == -100).all()
    assert (ours["labels"][rows, last] == twins.eos_token_id).all()
    # Elsewhere they agree: stock loses the ends, the one inside two turns among them.
    differ = (ours["labels"] != theirs["labels"]).nonzero()
    assert (ours["input_ids"][tuple(differ.T)] == twins.eos_token_id).all()
    assert len(differ) == len(ROWS) + 1


def test_padding_is_on_the_right_to_the_longest_row(twins: Any) -> None:
    examples = made(twins)[:2]
    batch = tuning_examples.Collator(7, attention_mask=False)(examples)
    assert set(batch) == {"input_ids", "labels"}
    longest = max(each.ids.size for each in examples)
    for each, ids, labels in zip(examples, batch["input_ids"], batch["labels"], strict=True):
        missing = longest - each.ids.size
        assert ids.tolist() == [*each.ids, *[7] * missing]
        assert labels.tolist() == [*each.labels, *[-100] * missing]
        assert ids.dtype == labels.dtype == torch.int64


@pytest.mark.parametrize("family", ["gpt-neox", "mamba"])
def test_padding_changes_no_loss(family: str, twins: Any) -> None:
    """The batch's loss is the mean over the learned tokens of its rows, each run alone."""
    model = AutoModelForCausalLM.from_pretrained(TWINS / f"{family}-twin").eval().double()
    examples = made(twins)
    collate = tuning_examples.Collator(twins.eos_token_id, attention_mask=family == "gpt-neox")

    def loss(batch: dict[str, Tensor]) -> float:
        with torch.no_grad():
            return float(model(**batch).loss)

    counts = [each.ids.size - 1 for each in examples]
    alone = [loss(collate([each])) for each in examples]
    assert np.isclose(loss(collate(examples)), np.average(alone, weights=counts), rtol=1e-6)


def test_the_token_to_pad_with(tokenizer: Any, twins: Any) -> None:
    if len(tokenizer) > 50_000:
        assert tuning_examples.pad(tokenizer) == tuning_examples.Pad("<|padding|>", 1, "padding")
    other = PreTrainedTokenizerFast(tokenizer_object=twins.backend_tokenizer)
    with pytest.raises(BadInputError, match="no token to pad with"):
        tuning_examples.pad(other)
    with pytest.raises(BadInputError, match=r"eos_token[^$]*found: +none"):
        tuning_examples.tokenise(ROWS, other, 512, append_eos=True, loss="all")
    other.eos_token, other.unk_token = END, "a"
    assert tuning_examples.pad(other) == tuning_examples.Pad("a", other.vocab["a"], "unk")


# -----------------------------------------------------------------------------
# Order and summary


class Seen:
    """A collator that notes which rows pass, each told by its number of tokens."""

    def __init__(self, collator: Any) -> None:
        self.collator, self.lengths = collator, list[int]()

    def __call__(self, features: list[Any]) -> Any:
        self.lengths += [len(each["input_ids"]) for each in features]
        return self.collator(features)


def test_the_order_is_trainers_and_the_same_in_every_dtype(twins: Any, tmp_path: Path) -> None:
    """What the real trainer reads in three epochs.

    `data_seed` changes nothing in it, and `torch.manual_seed` before training does.
    """
    rows = tuple(Row("Count.", "", "a" + " a" * number) for number in range(7))
    runs = {}
    for run, options in {
        "float32": {"dtype": torch.float32},
        "bfloat16": {"dtype": torch.bfloat16},
        "data_seed": {"dtype": torch.float32, "data_seed": 5},
        "seeded again": {"dtype": torch.float32},
    }.items():
        chosen = {"seed": 43, "num_train_epochs": 3, "per_device_train_batch_size": 2} | options
        trainer = stock(twins, tmp_path, rows, **chosen)
        lengths = [len(ids) for ids in trainer.train_dataset["input_ids"]]
        trainer.data_collator = seen = Seen(trainer.data_collator)
        if run == "seeded again":
            torch.manual_seed(7)
        with quiet():
            trainer.train()
        runs[run] = [lengths.index(length) for length in seen.lengths]
    expected, other = (
        [row for epoch in range(3) for row in tuning_examples.epoch_order(7, seed, epoch)]
        for seed in (43, 7)
    )
    assert runs["float32"] == runs["bfloat16"] == runs["data_seed"] == expected
    assert runs["seeded again"] == other != expected


def test_the_order_is_a_permutation_of_its_own() -> None:
    torch.manual_seed(1)
    first = tuning_examples.epoch_order(100, 42, 0)
    torch.manual_seed(2)
    assert tuning_examples.epoch_order(100, 42, 0) == first
    assert sorted(first) == list(range(100))
    assert (
        first != tuning_examples.epoch_order(100, 42, 1) != tuning_examples.epoch_order(100, 43, 1)
    )


@pytest.mark.parametrize("loss", ["all", "answer"])
def test_the_summary_adds_up(loss: Any, twins: Any) -> None:
    """A model's loss shifts labels by one, so the first of each row counts for nothing."""
    made_up = tuning_examples.tokenise(ROWS, twins, 150, append_eos=True, loss=loss)
    examples = made_up.examples
    found = tuning_examples.summary(made_up, 5, seed=42, epochs=2, batch_size=3)
    collate = tuning_examples.Collator(0, attention_mask=True)
    for epoch in range(2):
        order = tuning_examples.epoch_order(len(examples), 42, epoch)
        batches = [order[first : first + 3] for first in range(0, len(order), 3)]
        padded = [collate([examples[row] for row in batch]) for batch in batches]
        total = sum(batch["input_ids"].numel() for batch in padded)
        assert found.pop(f"padded_tokens_epoch_{epoch}") == total
        assert found["tokens"] == sum(int(batch["attention_mask"].sum()) for batch in padded)
        assert found["learned_tokens"] == sum(
            int((batch["labels"][:, 1:] != -100).sum()) for batch in padded
        )
    tokens = found.pop("tokens")
    del found["learned_tokens"]
    texts = [instructions.render(row, append_eos=True, eos=END) for row in ROWS]
    whole = sum(len(twins(text.text)["input_ids"]) for text in texts)
    assert found.pop("cut_tokens") == whole - tokens > 0
    assert found == {"rows": 4, "malformed": 5, "left_out": 0, "truncated": 1}
    assert all(type(value) is int for value in found.values())
