r"""The text that a row of instruction data becomes: Alpaca's prompt, the answer, and its end.

One exchange is `prompt + "\n" + output`, which is the data set's own `text` column; with
`append_eos` the end-of-sequence token follows. With earlier exchanges (LIMA) the opening
sentence stands once, in front of the first; after it each user turn is a prompt and each
answer ends as one alone does; a blank line stands between exchanges.

Source: tatsu-lab/stanford_alpaca (prompt with and without input) and its data set's card; paper
v2, section 5.1, which names the data and no prompt. How v3 of the paper joined LIMA's turns is
unknown.
Not covered: chat templates; a literal end-of-sequence token inside a row, which tokenizers
read as the token itself.
"""

from dataclasses import dataclass

from runner.instruction_data import Row

WITH_INPUT = (
    "Below is an instruction that describes a task, paired with an input that provides further "
    "context. Write a response that appropriately completes the request."
)
WITHOUT_INPUT = (
    "Below is an instruction that describes a task. "
    "Write a response that appropriately completes the request."
)


@dataclass(frozen=True)
class Text:
    """A row as text, with the places of its answers."""

    text: str
    answers: tuple[tuple[int, int], ...]
    """First character and the one after the last of each answer, its end token included."""


def prompt(instruction: str, given: str) -> str:
    """Alpaca's prompt up to `### Response:`; `given` is the input, empty without one."""
    return f"{WITH_INPUT if given else WITHOUT_INPUT}\n\n{_sections(instruction, given)}"


def render(row: Row, *, append_eos: bool, eos: str) -> Text:
    """A row as the text to learn.

    Args:
        row: Its exchanges.
        append_eos: Whether each answer is followed by `eos`.
        eos: The tokenizer's end-of-sequence token.
    """
    exchanges = [(user, "", reply) for user, reply in row.earlier]
    text, answers = "", []
    for user, given, reply in [*exchanges, (row.instruction, row.input, row.output)]:
        text += f"\n\n{_sections(user, given)}" if text else prompt(user, given)
        text += "\n"
        start = len(text)
        text += reply + eos * append_eos
        answers.append((start, len(text)))
    return Text(text, tuple(answers))


def _sections(instruction: str, given: str) -> str:
    middle = f"\n\n### Input:\n{given}" if given else ""
    return f"### Instruction:\n{instruction}{middle}\n\n### Response:"
