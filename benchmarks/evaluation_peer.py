"""The newest lm-eval beside the arms of `benchmarks.evaluation`, in an environment of its own.

`--peer PYTHON` is that environment's interpreter, or a program that acts as one. It gets the same
weights as a folder, the same rows of MMLU as files, and the batch size of stock lm-eval; what it
does is in `peer_lm_eval`. Its runs follow those of the other arms, and come at once: ratios are of
medians. Where it cannot run (a family that it has no code for, no vLLM) its last words are shown.
"""

import argparse
import json
import os
import statistics
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import evaluation_run
from repro import paths
from runner.models import kernels
from runner.models.mamba2_config import Mamba2Config

_SCRIPT = paths.ROOT / "benchmarks" / "peer_lm_eval.py"


def cases(
    arms: dict[str, Any],
    asked_here: list[dict[str, Any]],
    dtype: str,
    arguments: argparse.Namespace,
) -> Iterator[dict[str, Any]]:
    """Cases of MMLU as the peer answers them; one that says why where it does not."""
    lm = arms["ours"]
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        save_for_peer(lm.model, lm.tokenizer, folder / "model")
        asked = {
            "model": str(folder / "model"),
            "dtype": dtype,
            "device": str(kernels.device()),
            "batch_size": arms["stock"].batch_size,
            "rows": _rows(arguments, folder),
            "shots": [case["shots"] for case in asked_here],
            "limit": None,
            "repeats": min(len(case["ratios"]) for case in asked_here),
            "out": str(folder / "out.json"),
        }
        for backend in arguments.peer_backends:
            (folder / "asked.json").write_text(json.dumps({**asked, "backend": backend}))
            environment = {name: each for name, each in os.environ.items() if name != "PYTHONPATH"}
            done = subprocess.run(  # noqa: S603 - the interpreter that was asked for
                [arguments.peer, _SCRIPT, folder / "asked.json"],
                env=environment,
                capture_output=True,
                text=True,
                check=False,
            )
            if done.returncode:
                said = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
                yield {"peer": backend, "not_run": said[-1]}
                continue
            found = json.loads((folder / "out.json").read_text())
            for case in asked_here:
                yield {"peer": backend, **found["versions"], **beside_peer(case, found["runs"])}


def _rows(arguments: argparse.Namespace, folder: Path) -> dict[str, dict[str, str]]:
    """Files with the rows of each subject, by split."""
    found: dict[str, dict[str, str]] = {}
    for name, task in evaluation_run.tasks_of("mmlu", arguments.data, arguments.subjects).items():
        found[name] = {split: str(folder / f"{name}.{split}.jsonl") for split in ("test", "dev")}
        for split, file in found[name].items():
            lines = [json.dumps(row) for row in task.dataset[split]]
            Path(file).write_text("\n".join(lines), encoding="utf-8")
    return found


def save_for_peer(model: Any, tokenizer: Any, folder: Path) -> None:  # noqa: ANN401
    """A checkpoint that transformers loads; it has Mamba-2 under other names than the release."""
    weights = None
    if isinstance(model.config, Mamba2Config):
        weights = {
            name.replace("backbone.embedding.", "backbone.embeddings."): each
            for name, each in model.state_dict().items()
        }
    model.save_pretrained(folder, state_dict=weights, safe_serialization=True)
    tokenizer.save_pretrained(folder)
    if weights is not None:
        (folder / "config.json").write_text(json.dumps(mamba2_of_transformers(model)))


def mamba2_of_transformers(model: Any) -> dict[str, Any]:  # noqa: ANN401
    """config.json of our Mamba-2 in the words of transformers."""
    config, sizes = model.config, model.config.sizes
    return {
        "architectures": ["Mamba2ForCausalLM"],
        "model_type": "mamba2",
        "vocab_size": model.get_input_embeddings().num_embeddings,
        "hidden_size": config.d_model,
        "num_hidden_layers": config.n_layer,
        "state_size": sizes.d_state,
        "conv_kernel": sizes.d_conv,
        "expand": sizes.expand,
        "head_dim": sizes.headdim,
        "num_heads": sizes.expand * config.d_model // sizes.headdim,
        "n_groups": sizes.ngroups,
        "chunk_size": sizes.chunk_size,
        "residual_in_fp32": config.residual_in_fp32,
        "tie_word_embeddings": config.tie_embeddings,
        "layer_norm_epsilon": 1e-5,
    }


def beside_peer(case: dict[str, Any], runs: list[dict[str, Any]]) -> dict[str, Any]:
    """What a peer took and answered of a case, beside stock lm-eval and ours."""
    own = [run for run in runs if run["shots"] == case["shots"]]
    answers = {arm: run["answers"] for arm, run in case["runs"].items()}
    seconds = statistics.median(run["seconds"] for run in own)
    return {
        "task": case["task"],
        "shots": case["shots"],
        "seconds": [run["seconds"] for run in own],
        "peer_over_ours": seconds / statistics.median(case["ours"]["seconds"]),
        "stock_over_peer": statistics.median(case["stock"]["seconds"]) / seconds,
        "same_prompts": own[0]["prompts"] == case["runs"]["ours"]["prompts"],
        "questions": case["questions"],
    } | {
        f"other_answers_than_{arm}": sum(
            np.argmax(one) != np.argmax(two)
            for one, two in zip(own[0]["answers"], each, strict=True)
        ).item()
        for arm, each in answers.items()
    }


def row(case: dict[str, Any]) -> str:
    """A line about a peer."""
    name = f"peer, {case['peer']}: {case['shape']} {case['dtype']}"
    if "not_run" in case:
        return f"{name}: not run: {case['not_run']}"
    versions = f"lm-eval {case['lm_eval']}, transformers {case['transformers']}"
    return (
        f"{name} {case['shots']}-shot ({versions}, vLLM {case.get('vllm', 'not installed')}, "
        f"mamba-ssm {case.get('mamba_ssm', 'not installed')}): "
        f"{statistics.median(case['seconds']):.2f} s, {case['peer_over_ours']:.1f} times ours, "
        f"stock takes {case['stock_over_peer']:.1f} times as long; of {case['questions']} answers "
        f"{case['other_answers_than_ours']} other than ours, {case['other_answers_than_stock']} "
        f"than stock's; {'the same' if case['same_prompts'] else 'OTHER'} prompts"
    )
