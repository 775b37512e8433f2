"""A catalog file with a mistake: refused in the words of a manifest's mistakes, all at once.

Oracle: the words, written by hand, of one change to the bundle's own files, which load.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from bundle_copies import copy_bundle

from repro import paths
from repro.cli.main import main
from repro.errors import BadInputError
from repro.schema import catalog

Data = dict[str, Any]


def problems(path: Path) -> list[str]:
    load = catalog.checkpoints if path.name == "checkpoints.json" else catalog.datasets
    with pytest.raises(BadInputError) as caught:
        load(path)
    assert caught.value.exit_code == 2
    assert str(caught.value).startswith(f"{path} is not a valid catalog: ")
    assert "docs/researcher.md shows an entry of each kind" in str(caught.value)
    return [
        f"{each.where.removeprefix(f'{path}')} | {each.found} | {each.expected}"
        for each in caught.value.problems
    ]


def changed(folder: Path, name: str, change: Callable[[Data], Any]) -> Path:
    """A file of the catalog with a change."""
    data = json.loads((paths.CATALOG / name).read_bytes())
    change(data)
    path = folder / name
    path.write_text(json.dumps(data))
    return path


def phi(data: Data) -> Data:
    found: Data = data["checkpoints"]["phi-1.5"]
    return found


AT = ": $.checkpoints"
DIGEST = "a SHA-256 digest: 64 digits, 0 to 9 and a to f"
FAMILIES = "olmo, phi, openelm … (8 in all); repro/schema/families.py has them"
MADE = "the digests of the files that are made of the wheel's"
FIELDS = "only fields of the schema"
HUB_NAME = "a name on the model hub, e.g. owner/model"
SLUG = "text that matches ^[A-Za-z0-9][A-Za-z0-9._-]*$"


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda _: None, []),
        (
            lambda d: phi(d).update(parameters="1418270720"),
            [f'{AT}["phi-1.5"].parameters | "1418270720" (str) | a valid integer'],
        ),
        (
            lambda d: phi(d).update(tokeniser=phi(d).pop("tokenizer")),
            [
                f"{AT}[\"phi-1.5\"].tokenizer | nothing | the field 'tokenizer'",
                f"{AT}[\"phi-1.5\"].tokeniser | the unknown field 'tokeniser' | {FIELDS}",
            ],
        ),
        (
            lambda d: phi(d)["files"].update({"model.safetensors": "abc"}),
            [f'{AT}["phi-1.5"].files["model.safetensors"] | "abc" (str) | {DIGEST}'],
        ),
        (
            lambda d: phi(d).update(source={"kind": "folder", "folder": "x"}),
            [f"{AT}[\"phi-1.5\"].source.kind | \"folder\" | one of 'hub', 'bundled', 'wheel'"],
        ),
        (
            lambda d: d["checkpoints"]["smollm2-135m-instruct"].update(files={}),
            [
                f"{AT}.smollm2-135m-instruct.files | none | {MADE}",
            ],
        ),
        (
            lambda d: phi(d)["source"].pop("kind"),
            [f"{AT}[\"phi-1.5\"].source | nothing | the field 'kind'"],
        ),
        (
            lambda d: phi(d)["source"].update(revision=3),
            [f'{AT}["phi-1.5"].source.revision | 3 (int) | text in quotes, e.g. "0.03"'],
        ),
        (
            lambda d: phi(d).update(family="gpt_neox"),
            [
                (
                    f"{AT}[\"phi-1.5\"].family | 'gpt_neox', which is no known family | "
                    f"one of gpt-neox, mamba, mamba2, {FAMILIES}"
                )
            ],
        ),
        (
            lambda d: [phi(d).update(family="gpt2"), d["checkpoints"].update(gpt2=phi(d))],
            [
                f"{at}.family | 'gpt2', which is no known family | "
                f"one of mamba, mamba2, gpt-neox, {FAMILIES}"
                for at in (f'{AT}["phi-1.5"]', f"{AT}.gpt2")
            ],
        ),
        (
            lambda d: phi(d)["source"].update(repository="../.."),
            [f'{AT}["phi-1.5"].source.repository | "../.." (str) | {HUB_NAME}'],
        ),
        (
            lambda d: d["checkpoints"].update({"my model": phi(d)}),
            [f'{AT}["my model"] | "my model" (str) | {SLUG}'],
        ),
    ],
)
def test_mistakes_in_checkpoints(
    tmp_path: Path, change: Callable[[Data], Any], expected: list[str]
) -> None:
    path = changed(tmp_path, "checkpoints.json", change)
    if expected:
        assert problems(path) == expected
    else:
        assert catalog.checkpoints(path) == catalog.checkpoints()


def test_mistakes_in_data(tmp_path: Path) -> None:
    def change(data: Data) -> None:
        data["instructions"]["alpaca"]["known"] = {"x.json": "0" * 63}
        data["benchmarks"]["piqa"]["questions"] = 0

    assert problems(changed(tmp_path, "datasets.json", change)) == [
        ": $.benchmarks.piqa.questions | 0 (int) | greater than 0",
        f': $.instructions.alpaca.known["x.json"] | "{"0" * 63}" (str) | {DIGEST}',
    ]


def test_data_that_nothing_can_ask_or_tell_apart(tmp_path: Path) -> None:
    def change(data: Data) -> None:
        data["datasets"]["mmlu-pro"] = data["datasets"]["mmlu"]
        data["instructions"]["mmlu"] = data["instructions"]["alpaca"]

    assert problems(changed(tmp_path, "datasets.json", change)) == [
        ": $.datasets.mmlu-pro | 'mmlu-pro', which no job asks | mmlu",
        ": $.instructions.mmlu | 'mmlu' 2 times | each name once",
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ": $ | Invalid JSON: EOF while parsing a value at line 1 column 0 | a JSON document"),
        ("[]", ": $ | [] (list) | an object"),
        ('{"checkpoints": {}, "checkpoints": {}}', " | the key 'checkpoints' twice in one object"),
    ],
)
def test_what_is_no_catalog(tmp_path: Path, text: str, expected: str) -> None:
    path = tmp_path / "checkpoints.json"
    path.write_text(text)
    (found,) = problems(path)
    assert found.startswith(expected)


def test_a_mistake_of_the_catalog_is_told_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """However many manifests name something of it."""
    copy_bundle(tmp_path)
    changed(tmp_path / "catalog", "checkpoints.json", lambda d: phi(d).update(family="gpt2"))
    monkeypatch.setenv("REPRO_BUNDLE", str(tmp_path))
    (tmp_path / "empty.json").write_text("{")
    every = [str(path) for path in sorted(paths.MANIFESTS.glob("*.json"))]
    for arguments in (["list"], ["plan", *every, str(tmp_path / "empty.json")]):
        assert main(arguments) == 2
        told = capsys.readouterr().err
        assert told.count("'gpt2', which is no known family") == 1
        assert ("empty.json is not a valid manifest" in told) == ("plan" in arguments)


def test_the_command_line_shows_no_words_of_a_library(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    copy_bundle(tmp_path)
    path = changed(tmp_path / "catalog", "checkpoints.json", lambda d: phi(d).update(blocks="24"))
    monkeypatch.setenv("REPRO_BUNDLE", str(tmp_path))
    assert main(["plan", str(paths.MANIFESTS / "table1.json"), "--offline"]) == 2
    assert capsys.readouterr().err == (
        f"repro plan: {path} is not a valid catalog: 1 problem. Nothing was run or written; "
        "docs/researcher.md shows an entry of each kind.\n"
        f'{path}: $.checkpoints["phi-1.5"].blocks\n'
        '    found:    "24" (str)\n'
        "    expected: a valid integer\n"
    )
