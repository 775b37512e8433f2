"""Answers of an evaluation that somebody else ran: what is said of it, and unknown for the rest.

No manifest asks for it and nothing here runs it. It may fill the slot of an evaluation that it
does not contradict; what it leaves unknown keeps every claim on it `inconclusive`.
"""

from typing import ClassVar, Literal

from pydantic import PositiveInt

from repro.schema.base import Slug
from repro.schema.kinds.base import MODELS, KindOfJob
from repro.schema.kinds.benchmark import BenchmarkJob
from repro.schema.kinds.evaluation import KindOfEvaluation

UNKNOWN: Literal["unknown"] = "unknown"
"""What nobody said."""

SETTINGS = ("batch_size", "order", "attention_float32", "attention_half", "mamba_path")
"""Of a setting, all that can move a digit."""


class ImportedJob(KindOfJob):
    """One checkpoint in one dtype, over all shots of a task, as its files and its owner say."""

    ENTRY: ClassVar = ""
    LIBRARIES: ClassVar = (*MODELS, "lm-eval")

    kind: Literal["imported"]
    by: str
    """Who ran it, as whoever imported it says."""
    source: str
    """What wrote the answers down, e.g. `lm-eval 0.4.13`."""
    checkpoint: Slug
    """Its name in `catalog/checkpoints.json`, or one of its own; by no digest."""
    dtype: Literal["float32", "float16", "bfloat16", "unknown"]
    arm: str
    """How the dtype was applied, or unknown."""
    task: str
    subjects: tuple[Slug, ...]
    """Whole subjects of MMLU, sorted; none of another task."""
    questions: PositiveInt | None
    """Of another task only the first so many; null for all."""
    seed: str
    """Of the sampler of solved examples, or unknown."""
    shots: tuple[int, ...]
    setting: dict[str, str]
    """Each of `SETTINGS`, or unknown."""

    @property
    def tuned(self) -> None:
        """An import stands for a checkpoint as it is: which tuning it had, no digest would say."""
        return

    def checkpoint_name(self) -> str:
        """As `KindOfJob` says."""
        return self.checkpoint

    def data_name(self) -> str:
        """As `KindOfJob` says."""
        return self.task

    def unknown(self) -> tuple[str, ...]:
        """What nobody said, and what no file of answers can say."""
        said = {"dtype": self.dtype, "arm": self.arm, **self.setting}
        if not self.subjects:
            said["seed"] = self.seed
        return (*(name for name, value in said.items() if value == UNKNOWN), *_NEVER_SAID)

    def why_not(self, asked: KindOfEvaluation) -> str:
        """In what it is not what was asked for, in a few words; empty if it may be."""
        if asked.tuned is not None or asked.engine != "lm-eval":
            return "it is of a model as it was, by lm-eval"
        said = self.setting | {"dtype": self.dtype, "arm": self.arm}
        wanted = {name: str(getattr(asked.setting, name)) for name in SETTINGS}
        wanted |= {"dtype": asked.dtype, "arm": asked.arm}
        if asked.setting.batch_size is None:
            del wanted["batch_size"]
        if isinstance(asked, BenchmarkJob):
            said["seed"], wanted["seed"] = self.seed, str(asked.seed)
        for name, value in wanted.items():
            if said[name] not in (value, UNKNOWN):
                return f"{name} {said[name]}, asked is {value}"
        names = ("checkpoint", "task", "shots", "subjects", "questions")
        absent = {"subjects": (), "questions": None}  # a kind lacks one of them
        for name in names:
            if getattr(self, name) != getattr(asked, name, absent.get(name)):
                return f"other {name}"
        return ""


_NEVER_SAID = ("weights by digest", "machine", "code")
"""What no file of answers says."""
