"""The catalog: every checkpoint and data set that a manifest can name, with its pins."""

import json
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Final, Literal, TypeVar

from pydantic import Field, NonNegativeInt, PositiveInt

from repro import paths
from repro.errors import BadInputError
from repro.schema import reading
from repro.schema.base import Frozen, Repository, Sha256, Slug
from repro.schema.claim_base import Text
from repro.schema.families import FAMILIES
from repro.schema.reading import Wrong, path_key
from repro.text import known_names

MMLU: Final = "mmlu"
"""The one data set with subjects; every other task is a benchmark under lm-eval's own name."""

Output = Literal["multiple_choice", "loglikelihood"]
"""What is asked of a model, as lm-eval calls it: which of some choices, or how likely an end is."""

Metric = Literal["accuracy", "accuracy_norm", "perplexity"]
"""lm-eval's acc, acc_norm and perplexity."""


class HubSource(Frozen):
    """A repository on the model hub."""

    kind: Literal["hub"]
    repository: Repository
    revision: Text
    """Commit, tag or branch. A branch floats: the first fetch pins what it pointed to."""
    remote_code: bool
    """Whether loading it would execute code from the repository."""

    @property
    def is_unpinned(self) -> bool:
        """Whether the revision is a name, which may point elsewhere tomorrow, and no commit."""
        return re.fullmatch("[0-9a-f]{40}", self.revision) is None


class BundledSource(Frozen):
    """A folder of this bundle."""

    kind: Literal["bundled"]
    folder: str
    """Relative to the bundle."""


class Wheel(Frozen):
    """A file of the package index that holds data."""

    distribution: str
    version: str
    filename: str
    sha256: Sha256
    size: PositiveInt
    """Bytes."""


class WheelSource(Frozen):
    """A Llama in GGUF in a wheel of the package index; the cache gets a checkpoint folder of it."""

    kind: Literal["wheel"]
    wheel: Wheel
    file: Text
    """Name of the GGUF file in the wheel."""
    sha256: Sha256
    """Of that file."""


class Checkpoint(Frozen):
    """One set of weights with its tokenizer."""

    family: Slug
    """Key of `repro.schema.families.FAMILIES`."""
    source: Annotated[HubSource | BundledSource | WheelSource, Field(discriminator="kind")]
    stored_dtype: Literal["float32", "float16", "bfloat16"]
    """Dtype of the published weights: it decides which casts round and which are lossless."""
    tokenizer: Repository
    """Hub name of the tokenizer, or `own` where it lies beside the weights."""
    parameters: PositiveInt
    """Number of parameters, tied weights once."""
    hidden_size: PositiveInt
    blocks: PositiveInt
    heads: PositiveInt | None
    """Attention heads; null without attention."""
    vocabulary: PositiveInt | None = None
    """Rows of the embedding, padding left out; null where speed cannot be measured of its shape."""
    files: dict[str, Sha256]
    """Known digests by file name, a tokenizer from elsewhere included; empty until `repro pin`
    writes them. A `pytorch_model.bin` stands for the safetensors that `repro convert`
    makes of it. Of a wheel: of what is made of its file, never empty."""
    note: str

    @property
    def stored_bytes(self) -> int:
        """Size of the published weights."""
        return self.parameters * (4 if self.stored_dtype == "float32" else 2)


class GatedTokenizer(Frozen):
    """A tokenizer that the hub gives only to those who accepted a licence."""

    vocabularies: Annotated[frozenset[Sha256], Field(min_length=1)]
    """Digests of its vocabulary and merges, by `foreign_json.vocabulary_digest`; several where
    published copies order merges of equal rank otherwise."""
    public: Repository
    """A repository that anybody may fetch from and that is expected to bring the same one."""
    note: str
    """What the digests were taken from."""


class Subject(Frozen):
    """One subject of MMLU, described so that cost and gold answers can be checked without it."""

    category: str
    questions: PositiveInt
    """Rows of the test split."""
    question_characters: PositiveInt
    """Mean length of a zero-shot prompt, description included, in characters."""
    shot_characters: Annotated[tuple[NonNegativeInt, ...], Field(min_length=5, max_length=5)]
    """Characters added by the first 1, 2, … 5 solved examples, cumulative."""
    gold_sha256: Sha256
    """Digest of the canonical JSON list of gold answers (0 to 3) in row order."""
    rows_sha256: Sha256
    """Digest of the test rows: question, choices, answer."""


class Changes(Frozen):
    """Answers whose correctness a dtype was seen to change, of one model: what to expect of others.

    A plan takes it where no run of a model tells its own.
    """

    of: Slug
    """The checkpoint."""
    questions: PositiveInt
    dtypes: dict[str, dict[NonNegativeInt, NonNegativeInt]]
    """Dtype to number of shots to answers, gained and lost, the most under any setting."""

    def expected(self, dtype: str, shots: int) -> float:
        """Share of answers: as at the next number of shots that was measured, or the last."""
        known = self.dtypes.get(dtype, {})
        later = [each for each in sorted(known) if each >= shots]
        at = later[0] if later else max(known, default=None)
        return known[at] / self.questions if at is not None else 0.0


class Dataset(Frozen):
    """One benchmark."""

    wheel: Wheel
    hub: HubSource
    licence: str
    subjects: dict[Slug, Subject]
    changes: Changes | None = None
    """What a plan expects of models that were not run."""

    def subject(self, name: str) -> Subject:
        """A subject that a manifest names.

        Raises:
            BadInputError: if there is none of that name.
        """
        if name not in self.subjects:
            message = (
                f"the catalog has no subject {name!r}; the keys of `subjects` in "
                "catalog/datasets.json are what it has"
            )
            raise BadInputError(message)
        return self.subjects[name]


class OneFile(Frozen):
    """Data of one file, from the package index, the hub or this bundle."""

    wheel: Wheel | None
    """Null where only the hub or this bundle has it."""
    file: str
    """File of the hub's repository that `--data` may give a copy of, or of this bundle; empty for
    a benchmark from the wheel."""
    known: dict[str, Sha256]
    """Files that are known to hold just this, by name: any other is a substitute."""
    licence: str


class Benchmark(OneFile):
    """One of lm-eval's tasks beside MMLU, at the split that it scores; `repro task` prints one."""

    hub: HubSource | None
    """Null for a file of this bundle."""
    output: Output
    metrics: Annotated[tuple[Metric, ...], Field(min_length=1)]
    """What lm-eval reports of it."""
    questions: PositiveInt
    choices: PositiveInt
    question_characters: PositiveInt
    """Mean length of a zero-shot prompt with one choice, in characters."""
    shot_characters: NonNegativeInt
    """Characters that a solved example adds, on average; 0 where none is shown."""
    gold_sha256: Sha256
    """Digest of the canonical JSON list of gold answers in row order."""


class Instructions(OneFile):
    """Instruction data that models are fine-tuned on; a wheel's is made of a training split."""

    hub: HubSource | None
    """Null with the wheel, and for a file of this bundle."""
    rows: PositiveInt
    row_characters: PositiveInt
    """Mean length of a row with its prompt, in characters."""
    note: str


class _Checkpoints(Frozen):
    checkpoints: dict[Slug, Checkpoint]
    gated_tokenizers: dict[Repository, GatedTokenizer] = Field(default_factory=dict)


class _Datasets(Frozen):
    datasets: dict[Slug, Dataset] = Field(default_factory=dict)
    benchmarks: dict[Slug, Benchmark] = Field(default_factory=dict)
    instructions: dict[Slug, Instructions] = Field(default_factory=dict)


def checkpoints(path: Path | None = None) -> Mapping[str, Checkpoint]:
    """Every checkpoint by name, from `catalog/checkpoints.json`: the bundle's before the tool's."""
    return {name: each for one in _checkpoints(path) for name, each in one.checkpoints.items()}


def gated_tokenizers() -> Mapping[str, GatedTokenizer]:
    """Every gated tokenizer by its name on the hub, from the same."""
    return {name: each for one in _checkpoints() for name, each in one.gated_tokenizers.items()}


def _checkpoints(path: Path | None = None) -> list[_Checkpoints]:
    files = [path] if path else _files("checkpoints.json")
    return [_load(each, _Checkpoints, _wrong_checkpoints) for each in files]


def unpinned_checkpoints(known: Mapping[str, Checkpoint]) -> tuple[str, ...]:
    """Checkpoints that nothing pins yet: a floating revision and no digest of a file."""
    return tuple(
        name
        for name, each in known.items()
        if isinstance(each.source, HubSource) and each.source.is_unpinned and not each.files
    )


def datasets(path: Path | None = None) -> Mapping[str, Dataset]:
    """Every data set by name, from `catalog/datasets.json`."""
    return _datasets(path).datasets


def benchmarks() -> Mapping[str, Benchmark]:
    """Every benchmark beside MMLU by lm-eval's name, from `catalog/datasets.json`."""
    return _datasets().benchmarks


def question_sets() -> Mapping[str, Dataset | Benchmark]:
    """Everything that models are asked, MMLU and the benchmarks, in one reading of the file."""
    found = _datasets()
    return {**found.datasets, **found.benchmarks}


def instructions() -> Mapping[str, Instructions]:
    """All instruction data by name, from `catalog/datasets.json`."""
    return _datasets().instructions


FILES = ("checkpoints.json", "datasets.json")
"""Of a catalog folder, what is looked up by name."""
SCHEMAS: Mapping[str, type[Frozen]] = {"checkpoints": _Checkpoints, "datasets": _Datasets}
"""What each of them may hold."""


def entries(names: Collection[str]) -> dict[str, str]:
    """The two files with the entries of some names alone, the bundle's and the tool's together."""
    known = _datasets()
    fields = {field: getattr(known, field) for field in _Datasets.model_fields}
    of = {
        each.changes.of for name, each in known.datasets.items() if name in names and each.changes
    }
    chosen: tuple[tuple[str, Mapping[str, Mapping[str, Frozen]]], ...] = (
        (FILES[0], {"checkpoints": checkpoints()}),
        (FILES[1], fields),
    )
    return {
        f"catalog/{file}": json.dumps(
            {
                field: {
                    name: each.model_dump(mode="json")
                    for name, each in every.items()
                    if name in names or name in of
                }
                for field, every in content.items()
            },
            indent=1,
            ensure_ascii=False,
        )
        + "\n"
        for file, content in chosen
    }


_Catalog = TypeVar("_Catalog", _Checkpoints, _Datasets)


def _datasets(path: Path | None = None) -> _Datasets:
    files = [path] if path else _files("datasets.json")
    found = [_load(each, _Datasets, _wrong_datasets) for each in files]
    fields = {
        field: {name: each for one in found for name, each in getattr(one, field).items()}
        for field in _Datasets.model_fields
    }
    return _Datasets(**fields)


def _files(name: str) -> list[Path]:
    """A file of the tool's catalog, then the bundle's of that name, whose entries win."""
    every = (paths.CATALOG / name, paths.bundle().catalog / name)
    return [each for each in dict.fromkeys(every) if each == every[0] or each.is_file()]


def _wrong_checkpoints(found: _Checkpoints) -> Iterator[Wrong]:
    """Families that there are not, and files that nothing could be held to."""
    for name, each in found.checkpoints.items():
        if isinstance(each.source, WheelSource) and not each.files:
            expected = "the digests of the files that are made of the wheel's"
            yield f"checkpoints{path_key(name)}.files", "none", expected
        if each.family not in FAMILIES:
            expected = f"{known_names(each.family, FAMILIES)}; repro/schema/families.py has them"
            found_there = f"{each.family!r}, which is no known family"
            yield f"checkpoints{path_key(name)}.family", found_there, expected


def _wrong_datasets(found: _Datasets) -> Iterator[Wrong]:
    """Data sets that no job can ask, and names that stand for two things."""
    for name in found.datasets:
        if name != MMLU:
            yield f"datasets{path_key(name)}", f"{name!r}, which no job asks", MMLU
    for name, times in Counter([*found.datasets, *found.benchmarks, *found.instructions]).items():
        if times > 1:
            yield f"instructions{path_key(name)}", f"{name!r} {times} times", "each name once"


def _load(
    path: Path, model: type[_Catalog], senseless: Callable[[_Catalog], Iterator[Wrong]]
) -> _Catalog:
    """One file of the catalog.

    Raises:
        BadInputError: with every problem of the file, if it cannot be used.
    """
    advice = "Nothing was run or written; docs/researcher.md shows an entry of each kind."
    return reading.load(path, "catalog", model, advice, senseless)
