"""The catalog: every checkpoint and data set that a manifest can name, with its pins."""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, TypeVar, get_args

from pydantic import Field, NonNegativeInt, PositiveInt

from repro import paths
from repro.errors import BadInputError
from repro.schema import reading
from repro.schema.base import Frozen, Repository, Sha256, Slug
from repro.schema.claim_base import Text
from repro.schema.families import FAMILIES
from repro.schema.reading import Wrong, path_key
from repro.text import known_names


@dataclass(frozen=True)
class GatedTokenizer:
    """A tokenizer that the hub gives only to those who accepted a licence."""

    vocabularies: frozenset[str]
    """Digests of its vocabulary and merges, by `foreign_json.vocabulary_digest`."""
    public: str
    """A repository that anybody may fetch from and that is expected to bring the same one."""


GATED: Mapping[str, GatedTokenizer] = {
    # 32,000 tokens and 61,249 merges, made of the public tokenizer.model (SHA-256 9e556afd…) by the
    # rule of transformers' converter; the first digest is also that of a tokenizer.json that was
    # published with LLaMA. Newer converters order the merges of runs of spaces otherwise.
    "meta-llama/Llama-2-7b-hf": GatedTokenizer(
        vocabularies=frozenset(
            {
                "09c09cf2c995cd95d8cb14dda638f32417c38cc14450a6f835828738e0896c3d",
                "35f90befe336634a5fc4aab1928a762db38d499cbe998db7b7ef826a7886a699",
            }
        ),
        public="TinyLlama/TinyLlama-1.1B-intermediate-step-240k-503b",
    )
}
"""By the hub's name."""

MMLU = ("mmlu",)
"""What a data set with subjects may be called: what evaluations ask."""

BenchmarkTask = Literal[
    "hellaswag", "piqa", "arc_easy", "arc_challenge", "winogrande", "lambada_openai"
]
"""What every other benchmark may be called: lm-eval's names."""


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
    files: dict[str, Sha256]
    """Known digests by file name, a tokenizer from elsewhere included; empty until `repro pin`
    writes them. A `pytorch_model.bin` stands for the safetensors that `repro convert`
    makes of it. Of a wheel: of what is made of its file, never empty."""
    note: str

    @property
    def stored_bytes(self) -> int:
        """Size of the published weights."""
        return self.parameters * (4 if self.stored_dtype == "float32" else 2)


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
    """One of lm-eval's benchmarks beside MMLU, at the split that it scores."""

    hub: HubSource
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


class _Datasets(Frozen):
    datasets: dict[Slug, Dataset]
    benchmarks: dict[Slug, Benchmark]
    instructions: dict[Slug, Instructions]


def checkpoints(path: Path | None = None) -> Mapping[str, Checkpoint]:
    """Every checkpoint by name, from `catalog/checkpoints.json`."""
    path = path or paths.CATALOG / "checkpoints.json"
    return _load(path, _Checkpoints, _wrong_checkpoints).checkpoints


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


_Catalog = TypeVar("_Catalog", _Checkpoints, _Datasets)


def _datasets(path: Path | None = None) -> _Datasets:
    path = path or paths.CATALOG / "datasets.json"
    return _load(path, _Datasets, _wrong_datasets)


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
    """Benchmarks that no job can ask, and names that stand for two things."""
    named = {"datasets": MMLU, "benchmarks": get_args(BenchmarkTask)}
    for field, known in named.items():
        for name in getattr(found, field):
            if name not in known:
                expected = f"{known_names(name, known)}; repro/schema/catalog.py has them"
                yield f"{field}{path_key(name)}", f"{name!r}, which no job asks", expected
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
