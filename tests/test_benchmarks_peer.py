"""What `benchmarks.evaluation --peer` hands over: weights that transformers has names for."""

import json
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from benchmarks import evaluation, evaluation_peer
from repro import paths
from repro.weights import mamba
from runner.models import registry


def test_mamba2_goes_to_transformers_names_and_comes_back_the_same(tmp_path: Path) -> None:
    """Oracle: `repro convert`, which makes the release's layout of transformers'."""
    model, _ = evaluation.model_of("mamba2-twin", "float32")
    tokenizer = evaluation.tokenizer_of("mamba2-twin", None)
    evaluation_peer.save_for_peer(model, tokenizer, tmp_path / "there")
    mamba.convert(tmp_path / "there" / "model.safetensors", tmp_path / "back", "mamba2")
    back = registry.MODELS["mamba2"].load(
        tmp_path / "back", torch.float32, "eager", remote_code=False
    )
    tokens = torch.arange(40).reshape(1, -1)
    assert torch.equal(back(tokens).logits, model(tokens).logits)


def test_other_models_are_saved_as_they_are(tmp_path: Path) -> None:
    model, _ = evaluation.model_of("gpt-neox-twin", "float32")
    evaluation_peer.save_for_peer(model, evaluation.tokenizer_of("gpt-neox-twin", None), tmp_path)
    saved = load_file(tmp_path / "model.safetensors")
    twin = load_file(paths.ROOT / "twins" / "gpt-neox-twin" / "model.safetensors")
    assert saved.keys() == twin.keys()
    assert all(torch.equal(saved[name], twin[name]) for name in twin)
    assert json.loads((tmp_path / "config.json").read_text())["model_type"] == "gpt_neox"


def case(answers: list[list[float]]) -> dict[str, object]:
    run = {"answers": answers, "prompts": "a"}
    times = {"seconds": [2.0, 4.0]}
    same = {"task": "mmlu", "shots": 5, "questions": 2, "ours": times, "stock": times}
    return same | {"runs": {"ours": run, "stock": run | {"answers": [[1.0, 0.0], [1.0, 0.0]]}}}


def test_a_peer_is_held_to_seconds_answers_and_prompts() -> None:
    here = case([[0.0, 1.0], [1.0, 0.0]])
    there = {"shots": 5, "seconds": 6.0, "answers": [[0.0, 2.0], [0.0, 3.0]], "prompts": "b"}
    found = evaluation_peer.beside_peer(here, [there | {"shots": 0, "seconds": 99.0}, there])
    assert found["seconds"] == [6.0]
    assert (found["peer_over_ours"], found["stock_over_peer"]) == (2.0, 0.5)
    assert (found["other_answers_than_ours"], found["other_answers_than_stock"]) == (1, 2)
    assert not found["same_prompts"]


def test_an_interpreter_without_lm_eval_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not run, in its last words; nothing else of the benchmark is lost."""
    bare = tmp_path / "bare"
    bare.write_text(f'#!/bin/sh\nexec {sys.executable} -I -S "$@"\n')
    bare.chmod(0o755)
    monkeypatch.setattr(evaluation_peer, "_rows", lambda *_: {})
    model, _ = evaluation.model_of("gpt-neox-twin", "float32")
    lm = type(
        "LM", (), {"model": model, "tokenizer": evaluation.tokenizer_of("gpt-neox-twin", None)}
    )
    asked = type("Asked", (), {"peer": str(bare), "peer_backends": ["hf", "vllm"]})
    arms = {"ours": lm, "stock": type("Stock", (), {"batch_size": 16})}
    cases = [case([[0.0, 1.0]]) | {"ratios": [1.0]}]
    found = [*evaluation_peer.cases(arms, cases, "float32", asked)]
    assert [each["peer"] for each in found] == ["hf", "vllm"]
    assert {each["not_run"] for each in found} == {"lm-eval is not installed in this environment"}
