"""Code that comes with a checkpoint. Oracle: what the pinned transformers really executes."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bundle_copies import copy_bundle
from safetensors.numpy import save_file

from repro import fileio, paths
from repro.cli import main
from repro.errors import EXIT_DONE, EXIT_INCOMPLETE, BadInputError
from repro.inputs import remote_code
from repro.inputs.locate import InputLocator
from repro.inputs.located import Located, Missing

REVISION = "step80000-tokens336B"
COMMIT = "0123456789abcdef" + "0" * 24
MAP = {
    "AutoConfig": "configuration_made.MadeConfig",
    "AutoModelForCausalLM": "modeling_made.MadeModel",
}
CODE = {
    "configuration_made.py": (
        "from transformers import PretrainedConfig\n"
        "class MadeConfig(PretrainedConfig):\n    model_type = 'made'\n"
    ),
    "modeling_made.py": (
        "import torch\nfrom transformers import PreTrainedModel\n"
        "from .configuration_made import MadeConfig\nfrom .layers_made import Layer\n"
        "class MadeModel(PreTrainedModel):\n"
        "    config_class = MadeConfig\n"
        "    def __init__(self, config):\n"
        "        super().__init__(config)\n        self.layer = Layer()\n"
    ),
    "layers_made.py": "import torch\nclass Layer(torch.nn.Linear):\n"
    "    def __init__(self):\n        super().__init__(2, 2)\n",
    "unrelated.py": "raise SystemExit('nothing names me')\n",
}


@pytest.fixture(name="edit_catalog", autouse=True)
def _edit_catalog(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str, dict[str, str]], None]:
    """A catalog in which olmo-1b is of no family that is written here; its revision and digests."""
    copy_bundle(tmp_path / "bundle")
    path = tmp_path / "bundle" / "catalog" / "checkpoints.json"

    def edit(revision: str, files: dict[str, str]) -> None:
        data = json.loads(path.read_text())
        entry = data["checkpoints"]["olmo-1b"]
        entry |= {"family": "own-code", "files": files}
        entry["source"] |= {"revision": revision, "remote_code": True}
        path.write_text(json.dumps(data))

    monkeypatch.setenv("REPRO_BUNDLE", str(tmp_path / "bundle"))
    edit(REVISION, {})
    return edit


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A checkpoint that brings its own code."""
    made = tmp_path / "made"
    made.mkdir()
    for name, text in CODE.items():
        (made / name).write_text(text)
    write_config(made, MAP)
    save_file(
        {"layer.weight": np.zeros((2, 2), np.float32)}, made / "model.safetensors", {"format": "pt"}
    )
    shutil.copy(paths.ROOT / "twins/gpt-neox-twin/tokenizer.json", made)
    return made


def write_config(folder: Path, mapping: object, model_type: str = "made") -> None:
    config = {"model_type": model_type, "auto_map": mapping}
    (folder / "config.json").write_text(json.dumps(config))


def locator(folder: Path, *, allow: bool = True, **options: Any) -> InputLocator:
    return InputLocator(substitutes={"olmo-1b": folder}, allow_remote_code=allow, **options)


def missing(locator: InputLocator) -> Missing:
    found = locator.checkpoint("olmo-1b")
    assert isinstance(found, Missing)
    assert found.download == 0
    return found


# -----------------------------------------------------------------------------
# Which files


def test_the_files_are_those_that_transformers_executes(folder: Path, tmp_path: Path) -> None:
    script = (
        "import sys; from transformers import AutoModelForCausalLM\n"
        "AutoModelForCausalLM.from_pretrained(sys.argv[1], trust_remote_code=True)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(folder)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "HF_MODULES_CACHE": str(tmp_path / "modules"), "HF_HUB_OFFLINE": "1"},
    )
    assert done.returncode == 0, done.stderr
    ran = {path.name for path in (tmp_path / "modules").rglob("*.py")} - {"__init__.py"}
    assert remote_code.code_digests(folder, "olmo-1b").keys() == ran
    assert ran == CODE.keys() - {"unrelated.py"}


def test_code_of_a_tokenizer_and_imports_of_imports_count(folder: Path) -> None:
    (folder / "words_made.py").write_text("from . import deeper_made\n")
    (folder / "deeper_made.py").write_text("from .words_made import x\n")  # a ring ends, too
    mapping = {"AutoTokenizer": ["words_made.Words", None]}
    (folder / "tokenizer_config.json").write_text(json.dumps({"auto_map": mapping}))
    found = remote_code.code_digests(folder, "olmo-1b")
    assert found["deeper_made.py"] == fileio.digest_of_file(folder / "deeper_made.py")
    assert set(found) == {*CODE, "words_made.py", "deeper_made.py"} - {"unrelated.py"}


def test_code_that_nothing_names_is_none_and_the_family_is_another(folder: Path) -> None:
    write_config(folder, {})
    assert remote_code.code_digests(folder, "olmo-1b") == {}
    with pytest.raises(BadInputError, match="auto_map with code that loads it"):
        locator(folder).checkpoint("olmo-1b")


def test_what_is_written_here_runs_no_code(folder: Path, tmp_path: Path) -> None:
    """OLMo as published: its stubs beside it are neither named nor run."""
    write_config(folder, MAP, "hf_olmo")
    shutil.copy(paths.ROOT / "catalog/checkpoints.json", tmp_path / "bundle" / "catalog")
    found = locator(folder, allow=False).checkpoint("olmo-1b")
    assert isinstance(found, Located)
    assert not found.executes


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ("else/where--modeling_made.MadeModel", "code of another repository"),
        ("gone.MadeModel", "the module 'gone', without a file"),
        ("../made.Model", "expected: module.Class"),
        ("modeling_made", "expected: module.Class"),
    ],
)
def test_code_from_elsewhere_is_refused(entry: str, words: str, folder: Path) -> None:
    write_config(folder, MAP | {"AutoModelForCausalLM": entry})
    with pytest.raises(BadInputError) as caught:
        locator(folder).checkpoint("olmo-1b")
    assert words in str(caught.value)
    assert f"{folder}/config.json: $.auto_map" in str(caught.value)


def test_a_file_that_an_import_needs_and_one_that_is_no_python_are_named(folder: Path) -> None:
    (folder / "layers_made.py").unlink()
    (folder / "configuration_made.py").write_text("class (")
    with pytest.raises(BadInputError) as caught:
        locator(folder).checkpoint("olmo-1b")
    assert "the module 'layers_made', without a file" in str(caught.value)
    assert "configuration_made.py\n    found:    no Python" in str(caught.value)


# -----------------------------------------------------------------------------
# Permission and pins


def test_without_the_flag_the_files_are_named_with_their_digests(folder: Path) -> None:
    found = missing(locator(folder, allow=False))
    assert found.what == "leave to execute the code of olmo-1b"
    for name in CODE.keys() - {"unrelated.py"}:
        assert f"{name} (sha256 {fileio.digest_of_file(folder / name)})" in found.remedy
    assert "unrelated" not in found.remedy
    assert "--allow-remote-code" in found.remedy


def test_with_the_flag_a_folder_is_held_to_its_digests(folder: Path) -> None:
    found = locator(folder).checkpoint("olmo-1b")
    assert isinstance(found, Located)
    assert found.substituted
    named = {f"olmo-1b/{name}" for name in CODE.keys() - {"unrelated.py"}}
    assert found.executes.keys() == named
    assert found.executes.items() <= found.files.items()  # part of the job's key
    (folder / "layers_made.py").write_text(CODE["layers_made.py"] + "\n")
    changed = locator(folder).checkpoint("olmo-1b")
    assert isinstance(changed, Located)
    assert changed.files != found.files


def test_a_checkpoint_that_needs_no_code_never_executes_any(folder: Path) -> None:
    shutil.copytree(paths.ROOT / "twins/gpt-neox-twin", folder, dirs_exist_ok=True)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"auto_map": MAP}))
    found = InputLocator(substitutes={"pythia-160m": folder}).checkpoint("pythia-160m")
    assert isinstance(found, Located)
    assert not found.executes
    assert not any(file.endswith(".py") for file in found.files)


def test_the_plan_shows_whole_digests_before_anything_runs(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["plan", str(paths.MANIFESTS / "table1.json"), "--tier", "full", "--offline"]
    arguments += ["--only", "model=olmo-1b", "--substitute", f"olmo-1b={folder}"]
    arguments += ["--out", str(tmp_path / "out")]
    for more in ([], ["--allow-remote-code"]):
        assert main.main([*arguments, *more]) in (EXIT_DONE, EXIT_INCOMPLETE)
        shown = "".join(capsys.readouterr().out.split())
        for name in CODE.keys() - {"unrelated.py"}:
            assert fileio.digest_of_file(folder / name) in shown
        assert "unrelated" not in shown
        assert bool(more) == ("executesolmo-1b/layers_made.py" in shown)


@pytest.fixture
def cached(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same folder where the hub's own cache has the catalog's revision."""
    repository = tmp_path / "hub" / "models--allenai--OLMo-1B"
    snapshot = repository / "snapshots" / COMMIT
    shutil.copytree(folder, snapshot)
    (repository / "refs").mkdir()
    (repository / "refs" / REVISION).write_text(COMMIT)
    name = "huggingface_hub._snapshot_download.HF_HUB_CACHE"
    monkeypatch.setattr(name, str(tmp_path / "hub"))
    return snapshot


def from_cache(*, allow: bool = True, **options: Any) -> Located | Missing:
    return InputLocator(allow_remote_code=allow, **options).checkpoint("olmo-1b")


def test_code_of_the_hub_at_a_floating_revision_is_not_executed(cached: Path) -> None:
    found = from_cache()
    assert isinstance(found, Missing)
    assert found.what == "a pin for the code of olmo-1b"
    assert str(cached) in found.remedy
    assert "repro pin --checkpoints olmo-1b" in found.remedy


def test_a_commit_or_digests_pin_it(
    cached: Path, edit_catalog: Callable[[str, dict[str, str]], None]
) -> None:
    edit_catalog(COMMIT, {})
    found = from_cache()
    assert isinstance(found, Located)
    assert found.first_use
    assert not found.substituted
    assert isinstance(from_cache(allow=False), Missing)
    digest = {file.partition("/")[2]: sha for file, sha in found.files.items()}
    edit_catalog(REVISION, digest)
    held = from_cache()
    assert isinstance(held, Located)
    assert (held.first_use, held.substituted) == (False, False)
    del digest["layers_made.py"]
    edit_catalog(REVISION, digest)  # pinned, but not all that would be executed
    assert isinstance(from_cache(), Missing)
    edit_catalog(COMMIT, digest | {"layers_made.py": "0" * 64})
    assert isinstance(from_cache(), Missing)
    assert cached.is_dir()


def test_digests_of_an_earlier_run_pin_it(cached: Path) -> None:
    files = {
        f"olmo-1b/{path.name}": fileio.digest_of_file(path)
        for path in cached.iterdir()
        if path.name != "unrelated.py"
    }
    found = from_cache(pins={"olmo-1b": files})
    assert isinstance(found, Located)
    assert found.first_use
    (cached / "layers_made.py").write_text("import os\n")
    assert isinstance(from_cache(pins={"olmo-1b": files}), Missing)


def test_what_is_not_here_is_named_with_its_revision(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    edit_catalog: Callable[[str, dict[str, str]], None],
) -> None:
    monkeypatch.setattr("huggingface_hub._snapshot_download.HF_HUB_CACHE", str(tmp_path / "hub"))
    found = from_cache()
    assert isinstance(found, Missing)
    assert f"allenai/OLMo-1B at {REVISION}" in found.remedy
    assert "executes Python files of that repository" in found.remedy
    assert found.download == 0  # code that nothing pins is not fetched either
    edit_catalog(COMMIT, {})
    for allow in (False, True):
        pinned = from_cache(allow=allow)
        assert isinstance(pinned, Missing)
        assert bool(pinned.download) == allow
