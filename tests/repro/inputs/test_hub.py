"""`repro pin`. Oracle: the hub's own client, on a hub that is a folder here."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from bundle_copies import copy_bundle
from made_up_hub import COMMIT, Hub, serving

from repro import fileio, paths
from repro.inputs.checkpoints import checkpoint_digests, matches_pins
from repro.schema import catalog


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    root = tmp_path / "hub"
    twins = paths.ROOT / "twins"
    shutil.copytree(twins / "mamba-twin", root / "state-spaces/mamba-130m-hf")
    (root / "state-spaces/mamba-130m-hf/README.md").write_text("not read by anything")
    mamba2 = root / "state-spaces/mamba2-130m"
    mamba2.mkdir()
    shutil.copy(twins / "mamba2-twin/config.json", mamba2)
    torch.save({"a": torch.arange(3.0)}, mamba2 / "pytorch_model.bin")
    shutil.copytree(twins / "mamba2-twin", root / "EleutherAI/gpt-neox-20b")
    with serving(root) as server:
        yield server


@pytest.fixture
def known(tmp_path: Path) -> Path:
    """A copy of the catalog's file."""
    copy_bundle(tmp_path)
    return tmp_path / "catalog" / "checkpoints.json"


def pin(
    known: Path, *names: str, hub: Hub | None = None, json: bool = False
) -> subprocess.CompletedProcess[str]:
    """`repro pin --checkpoints`, on a copy of the catalog; says last what it imported."""
    arguments = ["pin", "--checkpoints", *names, *(["--json"] if json else [])]
    script = (
        "import sys; from repro.cli.main import main\n"
        f"code = main({arguments!r})\n"
        "print({'torch', 'transformers'} & set(sys.modules), file=sys.stderr)\n"
        "sys.exit(code)"
    )
    endpoint = hub.endpoint if hub else "http://127.0.0.1:9"
    environ = {name: value for name, value in os.environ.items() if name != "HF_HUB_OFFLINE"}
    environ |= {
        "HF_ENDPOINT": endpoint,
        "HF_HOME": str(known.parent),
        "REPRO_BUNDLE": str(known.parent.parent),
        "no_proxy": "127.0.0.1",
    }
    return subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=False,
        env={**environ, "PYTHONPATH": str(paths.ROOT)},
    )


def test_revision_and_digests_land_in_the_catalog(hub: Hub, known: Path) -> None:
    before = known.read_text()
    done = pin(known, "mamba-130m", hub=hub)
    assert done.returncode == 0, done.stderr
    assert done.stderr.splitlines()[-1] == "set()"
    folder = hub.root / "state-spaces/mamba-130m-hf"
    expected = catalog.checkpoints()["mamba-twin"].files  # the same files, pinned by hand
    found = catalog.checkpoints(known)["mamba-130m"]
    assert found.files == expected
    assert not found.source.is_unpinned  # type: ignore[union-attr]
    assert f"state-spaces/mamba-130m-hf at main is {COMMIT}" in done.stdout
    assert f"{len(expected)} files pinned now, 0 before" in done.stdout
    for file, sha in expected.items():
        assert f"sha256 {sha}  {file}" in done.stdout
    assert "model.safetensors" not in hub.served  # its digest is the hub's word
    assert matches_pins(
        checkpoint_digests(folder, "x"),
        {f"x/{file}": sha for file, sha in found.files.items()},
        folder,
    )
    # Every other line of the file stays as it was.
    old, new = before.splitlines(), known.read_text().splitlines()
    start = old.index('   "files": {},')
    assert new[start + len(expected) + 2 :] == old[start + 1 :]
    assert [a for a, b in zip(old[:start], new, strict=False) if a != b] == [
        '    "revision": "main",'
    ]


def test_pinned_again_nothing_changes(hub: Hub, known: Path) -> None:
    assert pin(known, "mamba-130m", hub=hub).returncode == 0
    before = known.read_bytes()
    done = pin(known, "mamba-130m", hub=hub, json=True)
    assert done.returncode == 0, done.stderr
    (found,) = json.loads(done.stdout)
    assert (found["revision"], found["added"]) == (COMMIT, [])
    assert known.read_bytes() == before


@pytest.mark.parametrize("file", ["config.json", "model.safetensors"])
def test_a_file_that_changed_is_an_error_and_nothing_is_written(
    file: str, hub: Hub, known: Path
) -> None:
    assert pin(known, "mamba-130m", hub=hub).returncode == 0
    before = known.read_bytes()
    path = hub.root / "state-spaces/mamba-130m-hf" / file
    old = fileio.digest_of_file(path)
    path.write_bytes(path.read_bytes() + b"\n")
    done = pin(known, "mamba2-130m", "mamba-130m", hub=hub)
    assert done.returncode == 2
    assert "the hub's file changed, or is gone; nothing was written" in done.stderr
    assert f"sha256 {fileio.digest_of_file(path)}" in done.stderr
    assert f"sha256 {old}, as the catalog has it" in done.stderr
    path.unlink()
    assert "no such file" in pin(known, "mamba-130m", hub=hub).stderr
    assert known.read_bytes() == before


def test_a_pickle_is_pinned_with_the_tokenizer_from_elsewhere(hub: Hub, known: Path) -> None:
    done = pin(known, "mamba2-130m", hub=hub)
    assert done.returncode == 0, done.stderr
    files = catalog.checkpoints(known)["mamba2-130m"].files
    assert set(files) == {
        *("config.json", "pytorch_model.bin"),
        *("special_tokens_map.json", "tokenizer.json", "tokenizer_config.json"),
    }
    assert "pytorch_model.bin" not in hub.served


def test_a_gated_tokenizer_is_left_open_and_code_is_pinned(hub: Hub, known: Path) -> None:
    folder = hub.root / "apple/OpenELM-450M"
    shutil.copytree(hub.root / "state-spaces/mamba2-130m", folder)
    (folder / "pytorch_model.bin").rename(folder / "model.safetensors")
    config = {"model_type": "openelm", "auto_map": {"AutoConfig": "configuration_openelm.C"}}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "configuration_openelm.py").write_text("class C: ...\n")
    (folder / "generate_openelm.py").write_text("raise SystemExit\n")
    unread = json.loads(known.read_text())
    assert pin(known, "openelm-450m", hub=hub).returncode == 0
    assert set(catalog.checkpoints(known)["openelm-450m"].files) == {
        *("config.json", "model.safetensors")  # no code of it runs
    }
    unread["checkpoints"]["openelm-450m"]["source"]["remote_code"] = True
    known.write_text(json.dumps(unread, indent=1))
    done = pin(known, "openelm-450m", hub=hub)
    assert done.returncode == 0, done.stderr
    assert "its tokenizer, meta-llama/Llama-2-7b-hf, is gated and was not pinned" in done.stdout
    files = catalog.checkpoints(known)["openelm-450m"].files
    assert set(files) == {"config.json", "configuration_openelm.py", "model.safetensors"}


def test_all_or_none(hub: Hub, known: Path) -> None:
    before = known.read_bytes()
    done = pin(known, hub=hub)  # every checkpoint; this hub has two of them
    assert done.returncode == 3
    assert "did not give state-spaces/mamba-370m-hf at main" in done.stderr
    hub.gated = "state-spaces/mamba-130m-hf"
    done = pin(known, "mamba-130m", hub=hub)
    assert done.returncode == 3
    assert f"did not give config.json of state-spaces/mamba-130m-hf at {COMMIT}" in done.stderr
    assert known.read_bytes() == before


def test_no_hub_is_one_message(known: Path) -> None:
    before = known.read_bytes()
    done = pin(known)
    assert done.returncode == 3
    assert done.stdout == ""
    lines = done.stderr.splitlines()
    assert "the model hub at http://127.0.0.1:9 did not give" in lines[0]
    assert "it does not answer" in lines[0]
    assert len(lines) == 3  # what it imported is the last
    assert known.read_bytes() == before


@pytest.mark.parametrize("name", ["gpt-5", "mamba-twin"])
def test_a_name_that_the_hub_cannot_have_is_told(name: str, known: Path) -> None:
    done = pin(known, name)
    assert done.returncode == 2
    assert f"--checkpoints {name}: expected any of mamba-130m, " in done.stderr


def test_a_catalog_laid_out_otherwise_is_left_alone(hub: Hub, known: Path) -> None:
    known.write_text(json.dumps(json.loads(known.read_text())))
    before = known.read_bytes()
    done = pin(known, "mamba-130m", hub=hub)
    assert done.returncode == 2
    assert "is not laid out as the bundle's catalog is" in done.stderr
    assert known.read_bytes() == before
