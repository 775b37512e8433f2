"""The text of a row.

Oracles: digests of two texts as the data set's card and its first row print them; texts
written out by hand.
"""

import hashlib
from pathlib import Path

import pytest

from runner.tuning import instructions
from runner.tuning.instructions import Row

ALPACA = Path(__file__).parents[4] / "shared" / "data" / "alpaca" / "alpaca_data.json.xz"

EXAMPLE = 15_844
"""Row of the example on the data set's card."""


@pytest.fixture(scope="module")
def alpaca() -> tuple[Row, ...]:
    if not ALPACA.is_file():
        pytest.skip("Alpaca is not here")
    return instructions.read(ALPACA, "alpaca").rows


@pytest.mark.parametrize(
    ("number", "printed"),
    [
        (0, "3e59e2cb9e44cbe719308d353feb88994077c5bd81a7d219ffe1a83e6dd5908e"),
        (EXAMPLE, "1ae997ada7526f206ade34bfc64896fb5c9cdcb726c5ad6d744916b91fb9f79d"),
    ],
)
def test_the_text_is_the_data_sets_own(alpaca: tuple[Row, ...], number: int, printed: str) -> None:
    """The text column of tatsu-lab/alpaca: one row without an input, one with."""
    text = instructions.render(alpaca[number], append_eos=False, eos="</s>").text
    assert hashlib.sha256(text.encode()).hexdigest() == printed


def test_every_real_row_can_be_taken_apart_again(alpaca: tuple[Row, ...]) -> None:
    """The template loses nothing: instruction, input and output stand in it, and in order."""
    for row in alpaca[::50]:
        rendered = instructions.render(row, append_eos=True, eos="</s>")
        (start, stop), text = rendered.answers[0], rendered.text
        assert (text[start:stop], stop) == (f"{row.output}</s>", len(text))
        asked = text[:start].split("### Instruction:\n", 1)[1].removesuffix("\n\n### Response:\n")
        given = f"\n\n### Input:\n{row.input}" if row.input else ""
        assert asked == row.instruction + given
        assert ("paired with an input" in text[:start]) == bool(row.input)


@pytest.mark.parametrize("given", ["1, 2", "Noinput", " "])
def test_a_prompt_with_an_input(given: str) -> None:
    """Whatever is not empty is an input, as in Alpaca's own code."""
    assert instructions.prompt("Add.", given) == (
        "Below is an instruction that describes a task, paired with an input that provides "
        "further context. Write a response that appropriately completes the request.\n"
        f"\n### Instruction:\nAdd.\n\n### Input:\n{given}\n\n### Response:"
    )


@pytest.mark.parametrize(("append_eos", "end"), [(False, ""), (True, "<|endoftext|>")])
def test_turns_follow_each_other(end: str, *, append_eos: bool) -> None:
    row = Row("Why?", "Two words.", "Because so.", (("Is it?", "Yes.\n"), ("Sure?", "Quite.")))
    rendered = instructions.render(row, append_eos=append_eos, eos="<|endoftext|>")
    assert rendered.text == (
        "Below is an instruction that describes a task. Write a response that appropriately "
        "completes the request.\n"
        f"\n### Instruction:\nIs it?\n\n### Response:\nYes.\n{end}\n"
        f"\n### Instruction:\nSure?\n\n### Response:\nQuite.{end}\n"
        "\n### Instruction:\nWhy?\n\n### Input:\nTwo words.\n"
        f"\n### Response:\nBecause so.{end}"
    )
    answers = [rendered.text[start:stop] for start, stop in rendered.answers]
    assert answers == [f"Yes.\n{end}", f"Quite.{end}", f"Because so.{end}"]
