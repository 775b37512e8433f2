"""lm-eval's `ConfigurableTask`, each row read and rendered once.

lm-eval 0.4.2 renders every solved example anew for every question that it stands before, and
reads and renders a question anew for every number of examples. What a template makes of a row
depends on the row alone, so it is kept. Prompts are the same, and their order.

Reference: lm-eval 0.4.2, `ConfigurableTask.doc_to_text` and its neighbours, `Task.doc_iterator`.
Not covered: sampling and joining examples, which stay lm-eval's.
"""

import itertools
from collections.abc import Callable, Iterator
from typing import Any

from runner.lm_eval_offline import import_lm_eval

import_lm_eval()  # the import below fails offline without it

from lm_eval.api.task import ConfigurableTask  # noqa: E402

Row = dict[str, Any]


class RenderedOnce(ConfigurableTask):  # type: ignore[misc]
    """One of lm-eval's tasks that remembers its rows, and what it made of them."""

    def __init__(self, config: dict[str, Any]) -> None:
        self._asked: list[Row] = []
        self._made: dict[tuple[str, int], tuple[Row, Any]] = {}
        super().__init__(config=config)

    def doc_iterator(
        self, *, rank: int = 0, limit: int | None = None, world_size: int = 1
    ) -> Iterator[tuple[int, Row]]:
        """As lm-eval has it, over rows that are read once, no more than are asked for."""
        last = min(int(limit) if limit else len(self.eval_docs), len(self.eval_docs))
        if len(self._asked) < last:
            self._asked += itertools.islice(self.eval_docs, len(self._asked), last)
        return itertools.islice(enumerate(self._asked), int(rank), last, int(world_size))

    def doc_to_text(self, doc: Row) -> Any:  # noqa: ANN401 - a string, or a place among choices
        """As lm-eval has it."""
        return self._once("text", doc, super().doc_to_text)

    def doc_to_target(self, doc: Row) -> Any:  # noqa: ANN401 - the same, or a list
        """As lm-eval has it."""
        return self._once("target", doc, super().doc_to_target)

    def doc_to_choice(self, doc: Row) -> Any:  # noqa: ANN401 - a list, which nobody changes
        """As lm-eval has it."""
        return self._once("choice", doc, super().doc_to_choice)

    def _once(self, what: str, doc: Row, make: Callable[[Row], Any]) -> Any:  # noqa: ANN401
        """Rows are told apart by identity; the row is kept, so that no other takes its place."""
        known = self._made.get((what, id(doc)))
        if known is None:
            known = self._made[what, id(doc)] = doc, make(doc)
        return known[1]
