"""Finding what jobs read: checkpoints and data, on this machine, held to their pins.

Nothing is fetched here (`runner.inputs_fetch` does that); nothing is executed or unpickled. A
checkpoint whose loading would execute code is found only where the user allowed it and the code is
pinned.
"""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from pydantic import TypeAdapter

from repro import fileio, json_text, paths
from repro.errors import BadInputError, cannot_read
from repro.fileio import write_text
from repro.inputs import checkpoints, located, remote_code
from repro.inputs.data import Data, find_data_file, find_proofs
from repro.inputs.located import Located, Missing
from repro.schema import catalog
from repro.schema.base import Sha256
from repro.schema.catalog import Checkpoint
from repro.schema.jobs import Job, ProofJob
from repro.text import known_names
from repro.weights import checkpoint_files, foreign_json, loadable

Known = TypeVar("Known")

_PINS = TypeAdapter(dict[str, dict[str, Sha256]])

HUB = Path("hub")
"""`--data NAME=hub`: the hub's data set, which is remote code, instead of the wheel."""


@dataclass
class InputLocator:
    """Where to look: the catalog, the user's replacements and the pins of earlier runs."""

    substitutes: Mapping[str, Path] = field(default_factory=dict)
    """Checkpoint to the folder in its place, or to another checkpoint's name in the catalog."""
    data: Mapping[str, Path] = field(default_factory=dict)
    pins: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    allow_remote_code: bool = False
    _found: dict[str, Located | Missing] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.checkpoints = catalog.checkpoints()
        self.datasets: Mapping[str, Data] = {
            **catalog.datasets(),
            **catalog.benchmarks(),
            **catalog.instructions(),
        }
        for flag, given, known in (
            ("--substitute", self.substitutes, self.checkpoints),
            ("--data", self.data, self.datasets),
        ):
            for name in given:
                if name not in known:
                    expected = known_names(name, sorted(known))
                    raise BadInputError(
                        f"{flag} {name}=…: the catalog has no {name!r}, expected {expected}"
                    )
        self._others = located.named_checkpoints(self.substitutes, self.checkpoints)

    def names_read(self, name: str) -> list[str]:
        """A checkpoint's name, that of the one in its place, and so on to the one that is read."""
        return located.names_read(name, self._others)

    def entry(self, name: str) -> Checkpoint:
        """What the catalog says of the checkpoint that is read where one is named.

        Raises:
            BadInputError: if the catalog has none of that name.
        """
        _known(self.checkpoints, "checkpoint", name)
        return self.checkpoints[self.names_read(name)[-1]]

    def for_job(self, job: Job) -> dict[str, Located | Missing]:
        """What a job reads, by role (`checkpoint`, `data`); of a proof also what checks it."""
        needs: dict[str, Located | Missing] = {}
        if name := job.checkpoint_name():
            found = self.checkpoint(name)
            needs["checkpoint"] = self._with_tokenizer(found) if job.READS_TOKENIZER else found
        if name := job.data_name():
            needs["data"] = self.dataset(name)
        if isinstance(job, ProofJob):
            needs["data"] = find_proofs(job)
        return needs

    def checkpoint_of(self, job: Job) -> Checkpoint | None:
        """What the catalog says of the checkpoint that a job reads."""
        name = job.checkpoint_name()
        return self.entry(name) if name else None

    def data_of(self, job: Job) -> Data | None:
        """What the catalog says of the data that a job reads."""
        name = job.data_name()
        return _known(self.datasets, "data set", name) if name else None

    def checkpoint(self, name: str) -> Located | Missing:
        """A checkpoint by its catalog name; digested once.

        Raises:
            BadInputError: if the catalog has none of that name.
        """
        _known(self.checkpoints, "checkpoint", name)
        if name in self._others:
            found = self.checkpoint(self._others[name])
            return found.in_place_of(name) if isinstance(found, Located) else found
        if name not in self._found:
            self._found[name] = self._find_checkpoint(name)
        return self._found[name]

    def dataset(self, name: str) -> Located | Missing:
        """A data set by its catalog name; digested once."""
        if name not in self._found:
            known, given = self.datasets[name], self.data.get(name)
            from_hub = given == HUB and isinstance(known, catalog.Dataset)
            found = self._hub_dataset(name) if from_hub else find_data_file(name, known, given)
            self._found[name] = found
        return self._found[name]

    def forget(self, name: str) -> None:
        """Look again: something was fetched."""
        self._found.pop(name, None)

    def _find_checkpoint(self, name: str) -> Located | Missing:
        known = self.checkpoints[name]
        if name in self.substitutes:
            try:
                return self._identify(name, self.substitutes[name], given=True)
            except loadable.NotLoadableError as error:
                why = " ".join(str(error).split())  # in a cell of a table
                return Missing("checkpoint", name, f"a sound copy of {name}", why, 0)
        if isinstance(known.source, catalog.BundledSource):
            folder = paths.bundle().file(known.source.folder)
            if not folder.is_dir():
                remedy = f"restore {known.source.folder} from the repository"
                return Missing("checkpoint", name, f"the bundled checkpoint {name}", remedy, 0)
            return self._identify(name, folder, given=False)
        if isinstance(known.source, catalog.WheelSource):
            return self._made_of_wheel(name, known, known.source)
        cached = _in_hub_cache(known.source)
        if cached is not None:
            try:
                return self._identify(name, cached, given=False)
            except BadInputError as error:  # nobody gave it: the other checkpoints are sound
                return Missing("checkpoint", name, f"sound weights of {name}", str(error), 0)
        size = known.stored_bytes if self._may_fetch(known.source, known) else 0
        remedy = located.how_to_get_weights(name, known, known.source)
        return Missing("checkpoint", name, f"weights of {name}", remedy, size, hub=True)

    def _made_of_wheel(
        self, name: str, known: Checkpoint, source: catalog.WheelSource
    ) -> Located | Missing:
        folder = checkpoints.made(name, known)
        if folder is None:
            here = checkpoints.in_cache(source.wheel) is not None
            size = 0 if here else source.wheel.size
            remedy = located.how_to_get_weights(name, known, source)
            return Missing("checkpoint", name, f"weights of {name}", remedy, size, cached=here)
        try:
            found = self._identify(name, folder, given=False)
        except BadInputError as error:
            why = str(error)
        else:
            if isinstance(found, Missing) or not found.substituted:
                return found
            why = f"{folder} holds other files than the catalog pins"
        why += f"; delete {folder}: the next run makes it again"
        return Missing("checkpoint", name, f"sound weights of {name}", why, 0)

    def _may_fetch(self, source: catalog.HubSource, known: catalog.Checkpoint) -> bool:
        """Whether what the hub gives anybody could be used."""
        pinned = bool(known.files) or not source.is_unpinned
        return not source.remote_code or (self.allow_remote_code and pinned)

    def _identify(self, name: str, folder: Path, *, given: bool) -> Located | Missing:
        """Tell the checkpoint itself from a substitute, by digest; refuse what is neither."""
        known = self.checkpoints[name]
        files = checkpoints.checkpoint_digests(folder, name)
        checkpoint_files.check(folder, name, known.family)
        code: dict[str, str] = {}
        if isinstance(known.source, catalog.HubSource) and known.source.remote_code:
            code = remote_code.code_digests(folder, name)
        loadable.check(folder, [file for file in code if file.endswith(".py")])
        executes = {f"{name}/{file}": sha for file, sha in code.items()}
        files |= executes
        in_catalog = {f"{name}/{file}": sha for file, sha in known.files.items()}
        pinned = in_catalog or self.pins.get(name, {})
        same = bool(pinned) and checkpoints.matches_pins(files, pinned, folder)
        vocabulary = foreign_json.vocabulary_digest(folder / "tokenizer.json")
        if vocabulary and (gated := catalog.gated_tokenizers().get(known.tokenizer)):
            # Nothing pins the files of a gated tokenizer; what they say is known.
            same = same and vocabulary in gated.vocabularies
        if code:
            held = given or ((same or not pinned) and self._is_pinned(known, pinned, code))
            refused = self._refuse(name, folder, code, held=held)
            if refused:
                return refused
        # With other files, or no digest to hold a user's own copy to, it is not the checkpoint.
        substituted = not same and (bool(pinned) or given)
        first_use = not substituted and not in_catalog
        tokenizer = located.which_tokenizer(known, vocabulary)
        return Located(name, folder, files, substituted, first_use, executes, tokenizer)

    @staticmethod
    def _is_pinned(
        known: catalog.Checkpoint, pinned: Mapping[str, str], code: Mapping[str, str]
    ) -> bool:
        """Whether code of the hub is pinned, by a commit or by its digests."""
        by_commit = isinstance(known.source, catalog.HubSource) and not known.source.is_unpinned
        names = {file.partition("/")[2] for file in pinned}
        return by_commit or {file for file in code if file.endswith(".py")} <= names

    def _refuse(
        self, name: str, folder: Path, code: Mapping[str, str], *, held: bool
    ) -> Missing | None:
        """What is missing before code is executed, if anything is."""
        if not self.allow_remote_code:
            what, remedy = "leave to execute", located.how_to_allow_code(name, code)
        elif not held:
            what, remedy = "a pin for", located.how_to_pin_code(name, folder)
        else:
            return None
        return Missing("checkpoint", name, f"{what} the code of {name}", remedy, 0)

    def _with_tokenizer(self, found: Located | Missing) -> Located | Missing:
        """The same, or what to bring where a folder has no tokenizer."""
        if isinstance(found, Missing) or found.path is None:
            return found
        known = self.entry(found.name)
        if checkpoint_files.has_tokenizer(found.path, own=known.tokenizer == "own"):
            return found
        remedy = located.how_to_get_tokenizer(found.name, known, found.path)
        return Missing("checkpoint", found.name, f"tokenizer of {found.name}", remedy, 0)

    def _hub_dataset(self, name: str) -> Located:
        """The hub's data set instead of the wheel: lm-eval fetches it and runs its script."""
        source = self.datasets[name].hub
        assert source is not None  # noqa: S101  # a data set of lm-eval's is on the hub
        where = f"{source.repository} at {source.revision}"
        if not self.allow_remote_code:
            raise BadInputError(
                f"--data {name}=hub loads {where} from the model hub by running the Python file "
                "in that repository; add --allow-remote-code if that is meant"
            )
        # Its content is held to the catalog by the gold answers, when it is judged.
        files = {f"{name}/{source.repository}": fileio.digest_of_data(source)}
        return Located(name, None, files, substituted=True, first_use=False)


def _known(catalogued: Mapping[str, Known], what: str, name: str) -> Known:
    """The catalog's entry of something that a manifest names."""
    if name not in catalogued:
        raise BadInputError(f"the catalog has no {what} {name!r}")
    return catalogued[name]


def begun_mark(source: catalog.HubSource) -> Path:
    """A file that is there from the first byte of a fetch to the last file of it.

    The hub's cache shows each file as soon as that is whole, and not whether any is still to come.
    """
    return hub_cache() / f"models--{source.repository.replace('/', '--')}" / ".repro-fetch-begun"


def hub_cache() -> Path:
    """The folder of the hub's own cache, by the hub's own client where that is installed."""
    try:
        from huggingface_hub import constants
    except ImportError:
        home = os.environ.get("HF_HOME")
        return (Path(home) if home else paths.home() / ".cache" / "huggingface") / "hub"
    return Path(constants.HF_HUB_CACHE)


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
    if begun_mark(source).exists():
        return None
    return path if any(path.glob("*.safetensors")) else None


def load_first_use_pins(out: Path) -> dict[str, dict[str, str]]:
    """What earlier runs pinned on first use, by checkpoint."""
    path = out / "pins.json"
    if not path.exists():
        return {}
    try:
        return json_text.load_model(path, _PINS.validate_json)
    except PermissionError as error:
        raise BadInputError(cannot_read(path, error)) from error
    except (OSError, ValueError) as error:
        why = json_text.explain_error(error)
        message = f"{path} is damaged ({why}); it holds what later runs are held to"
        raise BadInputError(message) from error


def save_first_use_pins(
    out: Path, known: Mapping[str, Mapping[str, str]], found: Sequence[Located]
) -> None:
    """Write down what was pinned on first use: what the file has, what is known, what was found."""
    first = {each.name: each.files for each in reversed(found) if each.first_use}
    pins = {name: dict(files) for name, files in {**first, **known}.items()}
    pins |= load_first_use_pins(out)
    if pins:
        write_text(out / "pins.json", json.dumps(pins, indent=1, sort_keys=True) + "\n")
