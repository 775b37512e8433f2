"""Text of others, shown. Oracles: Unicode's categories, and the streams that a reader sees."""

import contextlib
import copy
import csv
import fcntl
import functools
import io
import json
import operator
import os
import pty
import re
import struct
import subprocess
import sys
import termios
import unicodedata
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import made_up_records as records
import made_up_report as made
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.progress import Task, TaskID

from repro import paths
from repro.audit import audit
from repro.cli import options
from repro.cli.main import main
from repro.errors import BadInputError, Problem
from repro.report import console as report_progress
from repro.report import console_audit, console_verdicts, markdown
from repro.report import page as report_page
from repro.report.console import Table, console
from repro.report.csv import as_csv
from repro.schema.causes import cause
from repro.store import run_file
from repro.store.commitments import commitments_of
from repro.store.run_file import RunFile
from repro.text import in_markdown, visible, visible_lines

PAINTS = "\x1b[1A\x1b[2K\r\x9b32mreproduced\x07\u202e\u2066\u200b\u2028\x7f\n"
FIELDS = ("statement", "published", "measured", "margin", "causes", "reading", "quote")
FOREIGN = st.text(
    st.characters(exclude_categories=["Cs"]) | st.sampled_from(PAINTS), min_size=1, max_size=20
)


def unseen(shown: str) -> set[str]:
    """Characters that drive a terminal or take no place; a line end is none."""
    return {
        each
        for each in set(shown) - {"\n"}
        if unicodedata.category(each) in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")
    }


@given(st.text())
def test_every_character_is_seen_and_what_is_seen_stays(text: str) -> None:
    shown = visible(text)
    assert not unseen(shown)
    assert "\n" not in shown
    assert visible(shown) == shown == visible_lines(shown)
    if not unseen(text) and "\n" not in text and text.isascii():
        assert shown == text


def test_escapes_are_python_s_and_words_of_every_language_stay() -> None:
    said = r"\x1b[1A\x1b[2K\r\x9b32mreproduced\x07\u202e\u2066\u200b\u2028\x7f\n"
    assert visible(PAINTS) == said
    assert visible("λ ≤ 0, 日本語 é — “x” \\n") == "λ ≤ 0, 日本語 é — “x” \\n"
    assert visible("\ud800\ufeff\U000e0041\u3164\ufe0f\u00ad") == (
        r"\ud800\ufeff\U000e0041\u3164\ufe0f\xad"
    )
    assert visible_lines("a\nb\r\n") == "a\nb\\r\n"


def test_markdown_has_one_line_and_no_markup_of_others() -> None:
    shown = in_markdown("a\n\n# b | `c` <b>&lt;\x1b[2J\u2028")
    assert shown == r"a # b \| \`c\` \<b\>\&lt;\\x1b\[2J\\u2028"


# -----------------------------------------------------------------------------
# What a reader sees of fields that others wrote


def hostile(text: str) -> Any:
    """A page's worth whose every field says the same."""
    one = made.finding(
        0,
        **dict.fromkeys(FIELDS, text),
        direction=cause("no-record", why=text),
        working=(text, cause("pinned-on-first-use", names=text)),
        place=made.Place(section=text, table=text, row=text, column=text),
    )
    waits = made.finding(1, "not-run", causes=text)
    claim = {"id": "P", "kind": "ambiguous", "statement": text, "depends_on": [], "readings": []}
    claim |= {"place": {"section": text, "row": text}, "missing": text}
    return made.seen(
        [records.manifest(jobs=[], title=text, claims=[claim])],
        runs=(made.run([one, waits], text, title=text, notes=(text,)),),
        machines=(made.machine(text),),
        pairs=(made.pair(text),),
    )


@contextmanager
def printed() -> Iterator[io.StringIO]:
    """What goes to both streams."""
    with redirect_stdout(io.StringIO()) as out, redirect_stderr(out):
        yield out


@settings(max_examples=40, deadline=None)
@given(FOREIGN)
def test_no_field_of_a_finding_reaches_a_reader_unseen(text: str) -> None:
    seen = hostile(text)
    with printed() as out:
        console_verdicts.show_verdicts([each.verdict for each in seen.runs] * 2)
        console_verdicts.show_failures({text: text})
    assert not unseen(out.getvalue())
    assert not unseen(markdown.render(seen))
    table = io.StringIO(as_csv(seen).removeprefix("\ufeff"), newline="")
    assert not unseen("".join(cell for row in csv.reader(table) for cell in row))


def test_no_statement_paints_over_a_row() -> None:
    """No line but those of a report, whatever a statement says."""
    with printed() as plain:
        console_verdicts.show_verdicts([hostile("x").runs[0].verdict])
    with printed() as out:
        console_verdicts.show_verdicts([hostile("x\n" * 9).runs[0].verdict])
    assert visible("x\n") in out.getvalue()
    assert not re.search("^x", out.getvalue(), re.MULTILINE)
    assert plain.getvalue().count("reproduced") == out.getvalue().count("reproduced")


def test_a_page_shows_what_is_unseen() -> None:
    page = report_page.render(hostile(PAINTS))
    assert not unseen(page)
    assert visible(PAINTS).removesuffix("\\n") in page


def test_progress_takes_no_markup_and_no_escapes() -> None:
    with printed() as out, report_progress.progress_bars(quiet=False) as bars:
        bars.say(f"[bold]:smile: {PAINTS}")
    assert "".join(out.getvalue().split()) == f"[bold]:smile:{visible(PAINTS)}"
    task = Task(TaskID(0), f"[red]{PAINTS}", None, 0, _get_time=float)
    assert report_progress._Words("{task.description}").render(task).plain == (
        f"[red]{visible(PAINTS)}"
    )


def test_json_is_the_data_and_drives_nothing() -> None:
    text = options.as_json({"x": PAINTS, "y": "λ"})
    assert not unseen(text)
    assert text.isascii()
    assert json.loads(text) == {"x": PAINTS, "y": "λ"}


def test_problems_are_lines_of_ours() -> None:
    said = str(BadInputError("bad", [Problem(PAINTS, PAINTS, PAINTS)]))
    assert len(said.splitlines()) == 4
    assert not unseen(said)


# -----------------------------------------------------------------------------
# The command line


def leaves(tree: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where the strings and keys of a document stand."""
    if isinstance(tree, str):
        yield at
    pairs: Any = enumerate(tree) if isinstance(tree, list) else ()
    for key, value in tree.items() if isinstance(tree, dict) else pairs:
        yield from leaves(value, (*at, key))


def one_of_each(tree: Any) -> list[tuple[Any, ...]]:
    """The first of all places that differ in a position alone."""
    found: dict[tuple[Any, ...], tuple[Any, ...]] = {}
    for at in leaves(tree):
        found.setdefault(tuple("" if isinstance(key, int) else key for key in at), at)
    return list(found.values())


def changed(tree: Any, at: tuple[Any, ...], text: str) -> Any:
    """The document with something put into one string."""
    new = copy.deepcopy(tree)
    place = functools.reduce(operator.getitem, at[:-1], new)
    place[at[-1]] = text + place[at[-1]]
    return new


RECORD = min(each.name for each in (paths.ROOT / "evidence/cpu/jobs").iterdir())[:6]
TABLE2 = json.loads((paths.MANIFESTS / "table2.json").read_bytes())


@pytest.mark.parametrize("at", one_of_each(TABLE2), ids=lambda at: ".".join(map(str, at)))
def test_no_string_of_a_manifest_drives_a_terminal(
    at: tuple[Any, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "table2.json"
    path.write_text(json.dumps(changed(TABLE2, at, PAINTS)), encoding="utf-8")
    code = main(["plan", str(path), "--offline", "--out", str(tmp_path)])
    out, err = capsys.readouterr()
    assert code in (0, 2)
    assert not unseen(out + err)


@pytest.mark.parametrize(
    "arguments",
    [
        ["verify", PAINTS],
        ["plan", PAINTS, "--offline"],
        ["plan", "manifests/table1.json", "--offline", "--only", PAINTS],
        ["plan", "manifests/table1.json", "--offline", "--substitute", PAINTS],
        ["list", f"--{PAINTS}"],
        ["list", "--out", PAINTS, "--coverage", "--text", PAINTS],
        ["audit", "--against", PAINTS],
        ["results", "show", PAINTS],
        ["export", PAINTS, "--format", "csv", "--out", "x"],
        ["pin", f"{PAINTS}.bin"],
        [PAINTS],
    ],
    ids=lambda arguments: " ".join(arguments[:1]),
)
def test_no_argument_drives_a_terminal(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with contextlib.suppress(SystemExit):
        assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert not unseen(out + err)
    assert out + err


def test_a_run_file_adds_no_line_to_a_message(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made_up = records.manifest(jobs=[], id="mine")
    said = {"schema_version": 1, "manifest": "mine", "tier": "full"}
    said |= {"started": "2026-01-01T00:00:00+00:00"}
    said |= {"file": "gone\nrepro verify: 53 reproduced", "substitutions": {}, "jobs": {}}
    said |= {"committed": commitments_of(made_up), "missing": {}}
    run_file.save(tmp_path, RunFile.model_validate(said))
    assert main(["verify", str(tmp_path)]) == 2
    assert len(re.findall("^repro", capsys.readouterr().err, re.MULTILINE)) == 1


# -----------------------------------------------------------------------------
# Widths


WORDS = st.text(st.sampled_from("ab é日"), max_size=70)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 8).flatmap(
        lambda count: st.lists(
            st.lists(WORDS, min_size=count, max_size=count), min_size=1, max_size=4
        )
    ),
    st.integers(36, 130),
    st.integers(0, 8),
)
def test_a_table_of_any_width_keeps_every_character(
    rows: list[list[str]], width: int, whole: int
) -> None:
    table = Table()
    for number in range(len(rows[0])):
        table.add_column(f"c{number}", no_wrap=number == whole)
    for row in rows:
        table.add_row(*row)
    with pytest.MonkeyPatch.context() as patch, printed() as out:
        patch.setenv("COLUMNS", str(width))
        console().print(table)
    said = out.getvalue()
    assert max(map(cell_len, said.splitlines())) <= width
    assert not Counter("".join(map("".join, rows))) - Counter(said + " " * 10_000)


def in_terminal(columns: int, *arguments: str, **environ: str) -> str:
    """What a command prints to a terminal that is so wide, styles left out."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    asked = {name: value for name, value in os.environ.items() if name != "COLUMNS"}
    with subprocess.Popen(
        [sys.executable, "-m", "repro.cli.main", *arguments],
        cwd=paths.ROOT,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env={**asked, "TERM": "xterm", **environ},
    ):
        os.close(theirs)
        read = bytearray()
        with contextlib.suppress(OSError):  # what a terminal says at its end
            while piece := os.read(ours, 65536):
                read += piece
        os.close(ours)
    assert b"\x1b[" in read  # it took it for a terminal
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]|\r", "", read.decode())


@pytest.mark.parametrize(
    "arguments",
    [
        ("list",),
        ("verify", "evidence/cpu"),
        ("plan", "manifests/table1.json", "manifests/figure1.json", "--offline", "--out", "none"),
    ],
    ids=lambda arguments: arguments[0],
)
@pytest.mark.parametrize("columns", [80, 60])
def test_a_terminal_s_lines_are_no_wider_than_it_is(
    columns: int, arguments: tuple[str, ...]
) -> None:
    said = in_terminal(columns, *arguments)
    assert max(map(cell_len, said.splitlines())) <= columns
    assert "…" not in said.replace("repro run …", "").replace("=…/", "").replace(" … ", "")


def test_columns_says_how_wide_a_line_is() -> None:
    said = in_terminal(200, "list", COLUMNS="72")
    assert 60 < max(map(cell_len, said.splitlines())) <= 72


@pytest.mark.parametrize("width", [60, 80])
@pytest.mark.parametrize(
    "arguments",
    [
        ["list", "--coverage"],
        ["verify", "--paper"],
        ["results", "list", "--out", "evidence/cpu"],
        ["results", "show", RECORD, "--out", "evidence/cpu"],
        ["results", "gc", "--out", "evidence/cpu"],
    ],
    ids=" ".join,
)
def test_every_table_fits_where_columns_says_so(
    arguments: list[str], width: int, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.chdir(paths.ROOT)
    main(arguments)
    lines = capsys.readouterr().out.splitlines()
    assert 0 < max(map(cell_len, lines)) <= width


def test_an_audit_fits_where_columns_says_so(capsys: Any, monkeypatch: Any) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    console_audit.show(audit.audit(search=[]))
    said = capsys.readouterr().out
    assert max(map(cell_len, said.splitlines())) <= 60
    assert re.search(r"\ntransformers *\n    paper 4.40.0.dev0 · bundle 4.40.0 · installed —", said)


def test_what_is_no_terminal_gets_whole_rows(capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    main(["list"])
    assert max(map(cell_len, capsys.readouterr().out.splitlines())) == 110
