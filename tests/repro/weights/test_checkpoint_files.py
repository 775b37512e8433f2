"""Checkpoints that are not what they say, told from their files alone."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import evaluate_jobs
import numpy as np
import pytest
from safetensors.numpy import save_file

from repro import paths
from repro.cli import main
from repro.errors import BadInputError
from repro.fileio import digest_of_file
from repro.inputs.locate import InputLocator
from repro.inputs.located import Located, Missing
from repro.schema import catalog
from repro.schema.families import FAMILIES
from repro.schema.jobs import EvaluateJob, StabilityJob
from repro.weights import checkpoint_files, foreign_json

TWIN = paths.ROOT / "twins" / "gpt-neox-twin"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    copy = tmp_path / "copy"
    shutil.copytree(TWIN, copy)
    return copy


def problem(folder: Path, family: str = "gpt-neox") -> str:
    with pytest.raises(BadInputError) as caught:
        checkpoint_files.check(folder, "pythia-160m", family)
    return str(caught.value)


@pytest.mark.parametrize(
    ("name", "family"), [("mamba-twin", "mamba"), ("gpt-neox-twin", "gpt-neox")]
)
def test_the_twins_are_what_they_say(name: str, family: str) -> None:
    checkpoint_files.check(paths.ROOT / "twins" / name, name, family)


def test_every_checkpoint_of_the_catalog_is_of_a_known_family() -> None:
    assert {each.family for each in catalog.checkpoints().values()} <= FAMILIES.keys()


def test_a_file_cut_short_anywhere_is_told(folder: Path) -> None:
    path = folder / "model.safetensors"
    whole = path.read_bytes()
    for length in (0, 5, 8, 100, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        assert "expected: a whole safetensors file" in problem(folder)
    path.write_bytes(whole[: len(whole) - 1])
    assert f"{len(whole) - 1:,} bytes where the header promises {len(whole):,}" in problem(folder)
    path.write_bytes(whole + b"\0")
    assert f"{len(whole) + 1:,} bytes where" in problem(folder)


def test_another_architecture_is_told(folder: Path) -> None:
    text = problem(folder, "mamba")
    assert "checkpoint pythia-160m cannot be used as one of the family mamba" in text
    assert "config.json: $.model_type" in text
    assert "'gpt_neox'" in text
    assert "one of mamba" in text
    assert "$.ssm_cfg.layer" in problem(folder, "mamba2")


def test_a_tokenizer_beyond_the_embedding_is_told(folder: Path) -> None:
    path = folder / "tokenizer.json"
    tokenizer = json.loads(path.read_text(encoding="utf-8"))
    tokenizer["added_tokens"].append({**tokenizer["added_tokens"][0], "id": 2048})
    path.write_text(json.dumps(tokenizer), encoding="utf-8")
    text = problem(folder)
    assert "ids up to 2048 for an embedding of 2048 rows" in text
    assert "ids below 2048" in text


def test_a_shard_that_is_missing_is_told(folder: Path) -> None:
    weights = {"a": np.zeros(3, np.float32)}
    (folder / "model.safetensors").unlink()
    save_file(weights, folder / "model-00001-of-00002.safetensors")
    index = {"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002", "c": ""}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index), encoding="utf-8")
    assert "2 tensors in no shard: b, c" in problem(folder)
    (folder / "model.safetensors.index.json").write_text("[]", encoding="utf-8")
    assert "a JSON object with weight_map" in problem(folder)


@pytest.mark.parametrize("text", ["", "[1]", "{", '{"model_type": 3}', '{"ssm_cfg": "Mamba2"}'])
def test_a_config_that_says_nothing_is_told(folder: Path, text: str) -> None:
    (folder / "config.json").write_text(text, encoding="utf-8")
    assert "config.json" in problem(folder)


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (b"abcd", "a header that is no JSON"),
        (b"[1]", "a header without the place of every tensor"),
        (b'{"a": {"shape": [1]}}', "a header without the place of every tensor"),
    ],
)
def test_a_header_that_is_none_is_told(folder: Path, header: bytes, expected: str) -> None:
    (folder / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header)
    assert expected in problem(folder)


# -----------------------------------------------------------------------------
# Tokenizers that come from elsewhere


def evaluation(checkpoint: str) -> EvaluateJob:
    return evaluate_jobs.job(checkpoint=checkpoint, subjects=("anatomy",), shots=(0,))


def located(name: str, folder: Path) -> Located | Missing:
    locator = InputLocator(substitutes={name: folder}, allow_remote_code=True)
    return locator.for_job(evaluation(name))["checkpoint"]


def test_a_folder_without_the_tokenizer_from_elsewhere_is_told(tmp_path: Path) -> None:
    folder = tmp_path / "mamba2"
    shutil.copytree(paths.ROOT / "twins/mamba2-twin", folder)
    assert isinstance(located("mamba2-130m", folder), Located)
    (folder / "tokenizer_config.json").unlink()  # no config.json says which class reads it
    found = located("mamba2-130m", folder)
    assert isinstance(found, Missing)
    assert found.what == "tokenizer of mamba2-130m"
    assert found.remedy == (
        "put tokenizer.json, tokenizer_config.json, special_tokens_map.json of "
        f"EleutherAI/gpt-neox-20b into a folder with the files of {folder}; then --substitute "
        "mamba2-130m=FOLDER"
    )


def test_the_gated_tokenizer_is_named_as_such(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()
    (folder / "config.json").write_text('{"model_type": "openelm"}', encoding="utf-8")
    found = located("openelm-450m", folder)
    assert isinstance(found, Missing)
    words = "of meta-llama/Llama-2-7b-hf, which is gated: it takes an accepted licence and a token"
    assert words in found.remedy
    absent = InputLocator().checkpoint("openelm-1.1b")
    assert isinstance(absent, Missing)
    assert words in absent.remedy
    assert absent.download == catalog.checkpoints()["openelm-1.1b"].stored_bytes
    for remedy in (found.remedy, absent.remedy):
        assert "of TinyLlama/TinyLlama-1.1B-intermediate-step-240k-503b, expected to" in remedy


def edited(folder: Path, change: Callable[[dict[str, Any]], object]) -> str:
    """The digest of a tokenizer's vocabulary and merges once its file was changed."""
    path = folder / "tokenizer.json"
    said = json.loads(path.read_text())
    change(said)
    path.write_text(json.dumps(said))
    return foreign_json.vocabulary_digest(path)


def test_a_vocabulary_is_told_by_what_it_says_and_not_by_its_file(folder: Path) -> None:
    path = folder / "tokenizer.json"
    before = foreign_json.vocabulary_digest(path)
    assert before == foreign_json.vocabulary_digest(TWIN / "tokenizer.json") != ""

    def in_another_form(said: dict[str, Any]) -> None:
        said["model"]["vocab"] = dict(reversed(said["model"]["vocab"].items()))
        said["model"]["merges"] = [each.split(" ") for each in said["model"]["merges"]]
        said["post_processor"] = None

    def swap(said: dict[str, Any]) -> None:
        merges = said["model"]["merges"]
        merges[0], merges[1] = merges[1], merges[0]

    def renumber(said: dict[str, Any]) -> None:
        said["model"]["vocab"]["never"] = 10**6

    def add(said: dict[str, Any]) -> None:
        said["added_tokens"].append({"id": 10**6 + 1, "content": "<more>"})

    assert edited(folder, in_another_form) == before
    found = [before, *(edited(folder, change) for change in (swap, renumber, add))]
    assert len(set(found)) == len(found)
    path.write_text("[]")
    assert foreign_json.vocabulary_digest(path) == ""
    path.unlink()
    assert foreign_json.vocabulary_digest(path) == ""


def test_a_gated_tokenizer_is_known_by_its_vocabulary(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where weights are pinned and a gated tokenizer is not, only the same vocabulary will do."""
    (folder / "config.json").write_text('{"model_type": "openelm"}')
    name, vocabulary = "openelm-270m", foreign_json.vocabulary_digest(folder / "tokenizer.json")
    other = located(name, folder)
    assert isinstance(other, Located)
    gated = "meta-llama/Llama-2-7b-hf"
    assert other.tokenizer == f"not {gated}: other vocabulary or merges, sha256 {vocabulary}"
    files = ("config.json", "model.safetensors")
    pins = {name: {f"{name}/{file}": digest_of_file(folder / file) for file in files}}

    def pinned() -> Located | Missing:
        return InputLocator(substitutes={name: folder}, pins=pins).checkpoint(name)

    found = pinned()
    assert isinstance(found, Located)
    assert found.substituted
    known = catalog.gated_tokenizers()[gated]
    known = known.model_copy(update={"vocabularies": frozenset({vocabulary})})
    monkeypatch.setattr(catalog, "gated_tokenizers", lambda: {gated: known})
    same = pinned()
    assert isinstance(same, Located)
    assert not same.substituted
    assert same.tokenizer == f"the vocabulary and merges of {gated}"

    arguments = ["plan", str(paths.MANIFESTS / "figure4.json"), "--tier", "full", "--offline"]
    arguments += ["--only", f"model={name}", "--substitute", f"{name}={folder}"]
    main.main([*arguments, "--all", "--out", str(folder / "out")])
    said = "".join(capsys.readouterr().out.split())
    assert f"tokenizerof{name}:thevocabularyandmergesof{gated}" in said


def test_a_copy_without_its_own_tokenizer_is_told(folder: Path) -> None:
    assert isinstance(located("pythia-160m", folder), Located)
    (folder / "tokenizer.json").unlink()
    found = located("pythia-160m", folder)
    assert isinstance(found, Missing)
    assert "has neither tokenizer.json nor tokenizer.model" in found.remedy


def test_layers_are_measured_without_a_tokenizer(tmp_path: Path) -> None:
    folder = tmp_path / "mamba"
    shutil.copytree(paths.ROOT / "twins/mamba-twin", folder)
    (folder / "tokenizer.json").unlink()
    job = StabilityJob(
        kind="stability",
        family="mamba-euler",
        checkpoint="mamba-130m",
        layers=1,
        channels=1,
        state_size=1,
        steps=1,
        epsilon=1e-3,
        sweep=(),
        sweep_layers=0,
        precisions=(),
        seed=0,
    )
    locator = InputLocator(substitutes={"mamba-130m": folder})
    assert isinstance(locator.for_job(job)["checkpoint"], Located)
