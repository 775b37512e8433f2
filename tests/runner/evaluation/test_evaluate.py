"""MMLU by lm-eval, as a job.

Oracles: stock `lm_eval.simple_evaluate` on the same checkpoint and rows, and once the
real `lm_eval` command in its own process; a single forward pass of transformers for
left truncation. Equal means equal: every log-likelihood, bit for bit.
"""

import json
import os
import shutil
import subprocess
import sys
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import made_up_mmlu
import numpy as np
import pytest
import safetensors.torch
import tiny_models
import torch
from evaluate_jobs import SHORT, job
from transformers import dynamic_module_utils

from repro.errors import BadInputError, CannotRunError
from repro.schema.jobs import EvaluateJob
from runner.evaluation import data, evaluate, language_model
from runner.measurement import Inputs, Measurement
from runner.models import kernels, precision

pytestmark = pytest.mark.usefixtures("one_thread")

Tiny = Callable[[str], Inputs]
"""Inputs of a family's tiny checkpoint and the made-up wheel."""


def silent(done: int, total: int, note: str = "") -> None:
    """A progress that nobody looks at."""


def measure(job: EvaluateJob, inputs: Inputs) -> Measurement:
    """Run a job without watching it."""
    return evaluate.run(job, inputs, silent)


@pytest.fixture
def tiny(tiny_checkpoint: Callable[[str], Path], tiny_wheel: Path) -> Tiny:
    return lambda family: Inputs(checkpoint=tiny_checkpoint(family), data=tiny_wheel)


@pytest.fixture
def spoiled(tiny: Tiny, tmp_path: Path) -> Inputs:
    """A copy of a tiny checkpoint, for a test to break."""
    folder = tmp_path / "spoiled"
    shutil.copytree(folder_of(tiny("gpt-neox")), folder)
    return replace(tiny("gpt-neox"), checkpoint=folder)


def folder_of(inputs: Inputs) -> Path:
    """Folder of the checkpoint."""
    assert inputs.checkpoint is not None
    return inputs.checkpoint


# -----------------------------------------------------------------------------
# The stock program


STOCK_LAYER_NORM = torch.layer_norm


def layer_norm_in_float32(hidden: torch.Tensor, *rest: Any) -> torch.Tensor:
    """Lets the stock program do what torch 2.2.1 cannot in FP16, by another road than ours."""
    wide = tuple(each.float() if isinstance(each, torch.Tensor) else each for each in rest)
    return STOCK_LAYER_NORM(hidden.float(), *wide).to(hidden.dtype)


@pytest.fixture(scope="module")
def task_manager() -> Any:
    """lm-eval's index of its tasks, which takes seconds to build."""
    from lm_eval.tasks import TaskManager

    return TaskManager("ERROR")


@pytest.fixture
def stock(task_manager: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, Any]]:
    """Stock `simple_evaluate`; the hub's data set is served from the made-up rows."""
    import datasets
    import lm_eval
    import lm_eval.evaluator

    def load_dataset(path: str, name: str, **_: object) -> Any:
        assert path == "hails/mmlu_no_train"
        splits = made_up_mmlu.made_up_splits(name).items()
        return datasets.DatasetDict(
            {split: made_up_mmlu.as_dataset(rows) for split, rows in splits}
        )

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    for slow in ("add_env_info", "get_git_commit_hash"):
        monkeypatch.setattr(lm_eval.evaluator, slow, lambda *_: None)

    def run(checkpoint: Path, dtype: str, shots: int, more: str = "") -> dict[str, Any]:
        if (
            dtype == "float16"
            and kernels.device().type == "cpu"
            and precision.half_layer_norm_is_missing()
        ):
            monkeypatch.setattr(torch, "layer_norm", layer_norm_in_float32)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            results: dict[str, Any] = lm_eval.simple_evaluate(
                model="hf",
                model_args=f"pretrained={checkpoint},dtype={dtype}{more}",
                tasks=[f"mmlu_{subject}" for subject in SHORT],
                num_fewshot=shots,
                batch_size=4,
                device=kernels.device().type,
                bootstrap_iters=0,
                task_manager=task_manager,
                verbosity="ERROR",
            )
        return results

    return run


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("family", ["gpt-neox", "mamba"])
def test_equals_stock_lm_eval_exactly(
    family: str,
    dtype: str,
    tiny: Tiny,
    stock: Callable[..., dict[str, Any]],
) -> None:
    ours = measure(job(dtype, mamba_path="kernels"), tiny(family))  # where there are any
    for shots in (0, 5):
        assert_equal(ours, stock(folder_of(tiny(family)), dtype, shots), shots)


@pytest.mark.filterwarnings("ignore")  # transformers imports a checkpoint's code the old way
@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("family", ["olmo", "phi", "llama", "openelm"])
def test_other_families_equal_stock_lm_eval_exactly(
    family: str,
    dtype: str,
    tiny_wheel: Path,
    stock: Callable[..., dict[str, Any]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """transformers takes SDPA of itself where a family has it, and OpenELM's class from ours."""
    monkeypatch.setattr(dynamic_module_utils, "HF_MODULES_CACHE", str(tmp_path / "modules"))
    monkeypatch.setattr(sys, "path", [*sys.path])
    folder = tmp_path / f"{family}-{dtype}"  # a name that no other test imports code under
    tiny_models.save(family, folder)
    inputs = Inputs(checkpoint=folder, data=tiny_wheel, remote_code=True)
    setting = {"attention_float32": "sdpa", "attention_half": "sdpa"}
    ours = measure(job(dtype, shots=(5,), **setting), inputs)
    begins = ",add_bos_token=True" if family == "openelm" else ""
    assert_equal(ours, stock(folder, dtype, 5, begins), 5)


def assert_equal(ours: Measurement, theirs: dict[str, Any], shots: int) -> None:
    """Our numbers are stock lm-eval's, every one."""
    samples = [sample for name in SHORT for sample in theirs["samples"][f"mmlu_{name}"]]
    expected = [[value for value, _ in sample["filtered_resps"]] for sample in samples]
    assert ours.arrays[f"shots{shots}/log_likelihood"].tolist() == expected
    assert ours.arrays[f"shots{shots}/gold"].tolist() == [each["target"] for each in samples]
    right = ours.arrays[f"shots{shots}/prediction"] == ours.arrays[f"shots{shots}/gold"]
    assert right.tolist() == [each["acc"] == 1.0 for each in samples]
    for place, name in enumerate(SHORT):
        accuracy = theirs["results"][f"mmlu_{name}"]["acc,none"]
        assert right[ours.arrays["subject"] == place].mean() == accuracy
    assert ours.values[f"shots{shots}/accuracy"] == right.mean()


EXACT_MATCH = """
import datasets
import evaluate

class ExactMatch(evaluate.Metric):
    def _info(self):
        text = datasets.Value("string")
        features = datasets.Features({"predictions": text, "references": text})
        return evaluate.MetricInfo(description="", citation="", features=features)
"""


def test_equals_the_lm_eval_command(tiny: Tiny, tmp_path: Path) -> None:
    """The command finds data set and metric, which it would ask the hub for, in its folder."""
    data = tmp_path / "hails" / "mmlu_no_train"
    configs = []
    for subject in SHORT:
        files = []
        for split, rows in made_up_mmlu.made_up_splits(subject).items():
            (data / subject).mkdir(parents=True, exist_ok=True)
            made_up_mmlu.as_dataset(rows).data.table.to_pandas().to_json(
                data / subject / f"{split}.jsonl", orient="records", lines=True
            )
            files.append({"split": split, "path": f"{subject}/{split}.jsonl"})
        configs.append({"config_name": subject, "data_files": files})
    (data / "README.md").write_text(f"---\nconfigs: {json.dumps(configs)}\n---\n")
    (tmp_path / "exact_match").mkdir()
    (tmp_path / "exact_match" / "exact_match.py").write_text(EXACT_MATCH)
    checkpoint = folder_of(tiny("gpt-neox"))

    command = [sys.executable, "-m", "lm_eval", "--model", "hf"]
    command += ["--device", kernels.device().type]
    command += ["--model_args", f"pretrained={checkpoint},dtype=bfloat16", "--batch_size", "4"]
    command += ["--tasks", ",".join(f"mmlu_{subject}" for subject in SHORT), "--num_fewshot", "5"]
    command += ["--log_samples", "--output_path", "out"]
    environment = {"HF_HOME": str(tmp_path / "home"), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        command,
        cwd=tmp_path,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]

    ours = measure(job("bfloat16", shots=(5,)), tiny("gpt-neox"))
    expected = []
    for subject in SHORT:
        (written,) = (tmp_path / "out").rglob(f"*mmlu_{subject}.jsonl")
        samples = sorted(json.loads(written.read_text()), key=lambda sample: sample["doc_id"])
        expected += [[float(value) for value, _ in each["filtered_resps"]] for each in samples]
    assert ours.arrays["shots5/log_likelihood"].tolist() == expected


# -----------------------------------------------------------------------------
# Arrays, values, progress


def test_arrays_have_one_row_a_question(tiny: Tiny, tiny_wheel: Path) -> None:
    measured = measure(job(), tiny("mamba"))
    sizes = [len(made_up_mmlu.made_up_splits(subject)["test"]) for subject in SHORT]
    questions = sum(sizes)
    tables = [data.read_mmlu(tiny_wheel, subject, "test") for subject in sorted(SHORT)]
    asked = [row for table in tables for row in table.to_pylist()]
    arrays, values = measured.arrays, measured.values

    assert arrays["subject"].tolist() == [0] * sizes[0] + [1] * sizes[1]
    assert arrays["question"].tolist() == [*range(sizes[0]), *range(sizes[1])]
    for shots in (0, 5):
        log_likelihood = arrays[f"shots{shots}/log_likelihood"]
        assert log_likelihood.shape == (questions, 4)
        assert log_likelihood.dtype == np.float64
        prediction = arrays[f"shots{shots}/prediction"]
        assert prediction.tolist() == [row.index(max(row)) for row in log_likelihood.tolist()]
        gold = arrays[f"shots{shots}/gold"]
        assert gold.tolist() == [row["answer"] for row in asked]
        assert values[f"shots{shots}/accuracy"] == sum(prediction == gold) / questions
        letters = [values[f"shots{shots}/predicted_{letter}"] for letter in "ABCD"]
        assert letters == [prediction.tolist().count(place) for place in range(4)]
        assert values[f"shots{shots}/non_finite"] == values[f"shots{shots}/truncated"] == 0
    assert {array.dtype.name for array in arrays.values()} == {"float64", "int64"}
    assert values["questions"] == questions
    assert values["test_sha256"] == data.mmlu_digest(asked)


def test_progress_rises_to_the_total(tiny: Tiny) -> None:
    seen: list[tuple[int, int, str]] = []

    def progress(done: int, total: int, note: str = "") -> None:
        seen.append((done, total, note))

    measured = evaluate.run(job(), tiny("mamba"), progress)
    questions = int(measured.values["questions"])
    done = [each for each, _, _ in seen]
    assert done == sorted(done)
    assert (done[0], done[-1]) == (0, 2 * questions)
    assert {total for _, total, _ in seen} == {2 * questions}
    assert {note for _, _, note in seen} == {"loading the model", "0-shot", "5-shot"}


def test_nothing_is_printed(tiny: Tiny, capfd: pytest.CaptureFixture[str]) -> None:
    inputs = tiny("gpt-neox")
    capfd.readouterr()
    measure(job(shots=(0,)), inputs)
    assert capfd.readouterr() == ("", "")


def test_a_tie_is_counted_and_goes_to_the_first_letter() -> None:
    """Values made here: a tie at the maximum, a tie below it, none, and a NaN."""
    rows = [[-2.0, -1.0, -1.0, -3.0], [-3.0, -3.0, -1.0, -2.0], [-1.0, -2.0, -3.0, -4.0]]
    log_likelihood = np.array([*rows, [np.nan, -1.0, -1.0, -1.0]])
    arrays = {
        "shots1/log_likelihood": log_likelihood,
        "shots1/prediction": log_likelihood.argmax(axis=1),
        "shots1/gold": np.array([1, 0, 0, 3]),
        "shots1/tokens": np.array([10, 2049, 2048, 5000]),
    }
    assert evaluate._summary(arrays, 1, 2048) == {
        "shots1/accuracy": 0.5,
        "shots1/ties": 1,
        "shots1/truncated": 2,
        "shots1/tokens": 10 + 3 * 2048,
        "shots1/non_finite": 1,
        "shots1/predicted_A": 2,
        "shots1/predicted_B": 1,
        "shots1/predicted_C": 1,
        "shots1/predicted_D": 0,
    }


def test_nan_is_kept_and_reported(spoiled: Inputs) -> None:
    weights = folder_of(spoiled) / "model.safetensors"
    tensors = safetensors.torch.load_file(weights)
    tensors["gpt_neox.final_layer_norm.weight"].fill_(float("nan"))
    safetensors.torch.save_file(tensors, weights, {"format": "pt"})

    measured = measure(job(shots=(0,)), spoiled)
    assert np.isnan(measured.arrays["shots0/log_likelihood"]).all()
    assert measured.values["shots0/non_finite"] == measured.values["questions"]
    assert "NaN" in measured.warnings[-1]


# -----------------------------------------------------------------------------
# Settings


@pytest.mark.parametrize("family", ["gpt-neox", "mamba"])
def test_order_and_batch_size_change_nothing_but_rounding(
    family: str, tiny: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    widths: list[int] = []
    model_call = language_model.HFLM._model_call

    def watched(self: Any, inps: torch.Tensor, *args: Any, **options: Any) -> Any:
        widths.append(inps.shape[1])
        return model_call(self, inps, *args, **options)

    monkeypatch.setattr(language_model.HFLM, "_model_call", watched)
    results = []
    for order, batch_size in (
        ("length-descending", 4),
        ("length-ascending", 4),
        ("length-descending", 1),
        ("length-ascending", 7),
    ):
        widths.clear()
        setting = {"order": order, "batch_size": batch_size, "shots": (1,)}
        measured = measure(job(**setting), tiny(family))
        results.append(measured.arrays["shots1/log_likelihood"])
        assert widths == sorted(widths, reverse=order == "length-descending")
        assert len(widths) == -(-int(measured.values["questions"]) // batch_size)
        assert measured.path["order"] == order
        assert measured.path["batch_size"] == str(batch_size)
    for other in results[1:]:
        np.testing.assert_allclose(other, results[0], rtol=0, atol=2e-5)


@pytest.mark.parametrize("family", ["gpt-neox", "mamba"])
def test_long_prompts_lose_their_left_end(
    family: str, tiny: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Oracle: one forward pass over the last 2,048 tokens of the prompt, tokenised here."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    checkpoint = folder_of(tiny(family))
    long = job(subjects=(made_up_mmlu.LONG,), shots=(0,), batch_size=1)
    read: list[list[int]] = []
    model_call = language_model.HFLM._model_call

    def watched(self: Any, inps: torch.Tensor, *args: Any, **options: Any) -> Any:
        read.extend(inps.tolist())
        return model_call(self, inps, *args, **options)

    monkeypatch.setattr(language_model.HFLM, "_model_call", watched)
    measured = measure(long, tiny(family))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = AutoModelForCausalLM.from_pretrained(checkpoint).eval().to(kernels.device())
        tokenizer = AutoTokenizer.from_pretrained(checkpoint)
        row = made_up_mmlu.made_up_splits(made_up_mmlu.LONG)["test"][-1]
        choices = [f"{letter}. {row['choices'][place]}" for place, letter in enumerate("ABCD")]
        end = "\n".join([row["question"].strip(), *choices, "Answer:"])
        tokens = tokenizer.encode(end)[-2048:]
    letters = [tokenizer.encode(end + f" {letter}")[-1] for letter in "ABCD"]
    with torch.no_grad():
        logits = model(torch.tensor([tokens], device=kernels.device())).logits[0, -1]
    expected = torch.log_softmax(logits, dim=-1)[letters].double().cpu().numpy()

    assert len(tokens) == 2048
    assert read[0] == tokens  # the longest comes first
    assert measured.path["max_length"] == "2048"
    assert measured.values["shots0/truncated"] == 1
    assert measured.arrays["shots0/tokens"][-1] > 2048
    np.testing.assert_allclose(
        measured.arrays["shots0/log_likelihood"][-1], expected, rtol=0, atol=1e-4
    )


@pytest.mark.skipif(torch.cuda.is_available(), reason="says what a machine without a GPU does")
@pytest.mark.parametrize(
    ("family", "dtype", "setting", "warning"),
    [
        ("gpt-neox", "bfloat16", {"attention_half": "flash_attention_2"}, "flash"),
        ("gpt-neox", "bfloat16", {"attention_float32": "flash_attention_2"}, ""),
        ("gpt-neox", "float32", {"attention_float32": "sdpa"}, "sdpa"),
        ("mamba", "float32", {"attention_float32": "sdpa"}, ""),
        (
            "mamba",
            "float32",
            {"mamba_path": "kernels"},
            "Mamba scan kernels, this run took slow: the model is not on a GPU",
        ),
    ],
)
def test_the_record_says_what_really_ran(
    family: str, dtype: str, setting: dict[str, str], warning: str, tiny: Tiny
) -> None:
    one = {"subjects": SHORT[1:], "shots": (0,)}
    measured = measure(job(dtype, **one, **setting), tiny(family))
    ran = measured.path["attention"], measured.path["mamba_scan"]
    assert ran == (("none", "slow") if family == "mamba" else ("eager", "none"))
    assert measured.path["device"] == "cpu"
    assert measured.path["weights_dtype"] == dtype
    assert measured.path["threads"] == str(torch.get_num_threads())
    assert bool(measured.warnings) == bool(warning)
    assert warning in "".join(measured.warnings)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_mamba_kernels_and_the_loop_agree(tiny: Tiny) -> None:
    pytest.importorskip("mamba_ssm")
    pytest.importorskip("causal_conv1d")
    fast = measure(job(mamba_path="kernels"), tiny("mamba"))
    slow = measure(job(mamba_path="slow"), tiny("mamba"))
    assert (fast.path["mamba_scan"], slow.path["mamba_scan"]) == ("kernels", "slow")
    assert fast.warnings == slow.warnings == ()
    name = "shots5/log_likelihood"
    np.testing.assert_allclose(fast.arrays[name], slow.arrays[name], rtol=0, atol=5e-3)


def test_half_precision_paths(tiny: Tiny) -> None:
    """GPT-NeoX returns half logits, Mamba widens its own; FP16 LayerNorm is named."""
    one = {"subjects": SHORT[1:], "shots": (0,)}
    neox = measure(job("float16", **one), tiny("gpt-neox")).path
    mamba = measure(job("float16", **one), tiny("mamba")).path
    on_cpu = neox["device"] == "cpu" and precision.half_layer_norm_is_missing()
    assert neox["layer_norm"] == (precision.HALF_LAYER_NORM if on_cpu else "stock")
    assert (neox["logits_dtype"], mamba["logits_dtype"]) == ("float16", "float32")
    assert (mamba["layer_norm"], mamba["attention"]) == ("none", "none")


# -----------------------------------------------------------------------------
# What can be wrong


@pytest.mark.usefixtures("no_network")
def test_the_hub_offline_is_a_message(
    tiny: Tiny, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path))
    with pytest.raises(CannotRunError, match="give the data wheel"):
        measure(job(), replace(tiny("mamba"), data=None))


def test_weights_that_are_not_there_are_not_made_up(spoiled: Inputs) -> None:
    weights = folder_of(spoiled) / "model.safetensors"
    tensors = safetensors.torch.load_file(weights)
    del tensors["gpt_neox.layers.1.attention.dense.weight"]
    safetensors.torch.save_file(tensors, weights, {"format": "pt"})
    with pytest.raises(BadInputError, match=r"layers\.1\.attention\.dense\.weight"):
        measure(job(), spoiled)


def test_weights_of_another_shape(spoiled: Inputs) -> None:
    weights = folder_of(spoiled) / "model.safetensors"
    tensors = safetensors.torch.load_file(weights)
    tensors["embed_out.weight"] = tensors["embed_out.weight"][:-1].clone()
    safetensors.torch.save_file(tensors, weights, {"format": "pt"})
    with pytest.raises(BadInputError, match="cannot load the checkpoint"):
        measure(job(), spoiled)


def test_a_checkpoint_cut_short(spoiled: Inputs) -> None:
    weights = folder_of(spoiled) / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(BadInputError, match="cannot load the checkpoint"):
        measure(job(), spoiled)


def test_a_pickled_checkpoint_is_never_opened(
    spoiled: Inputs, monkeypatch: pytest.MonkeyPatch
) -> None:
    def opened(*_: object, **__: object) -> None:
        pytest.fail("a pickle was opened")

    monkeypatch.setattr(torch, "load", opened)
    folder = folder_of(spoiled)
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(BadInputError, match=r"found: *no safetensors"):
        measure(job(), spoiled)


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json"])
def test_a_checkpoint_without_one_of_its_files(name: str, spoiled: Inputs) -> None:
    (folder_of(spoiled) / name).unlink()
    with pytest.raises(BadInputError, match="cannot load the checkpoint"):
        measure(job(), spoiled)


def test_a_job_without_a_checkpoint(tiny: Tiny) -> None:
    with pytest.raises(BadInputError, match="tiny"):
        measure(job(), replace(tiny("mamba"), checkpoint=None))
