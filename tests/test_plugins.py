"""A plug-in as another package brings it, on the path with its entry points (tests/plugin)."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from own_manifests import PLACE, manifest_of, save

from repro import paths

PLUGIN = Path(__file__).parent / "plugin"

BOUND = {
    "id": "halves",
    "kind": "bound",
    "statement": "what is missing to 1 is the last term",
    "place": PLACE,
    "quote": "the rest is what was added last",
    "depends_on": ["numpy"],
    "jobs": ["sums"],
    "arrays": ["over_bound"],
    "relation": "at-most",
    "limit": "1",
    "controls": [],
}


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    single = {"kind": "single", "id": "sums", "tiers": ["full"]}
    group = {**single, "job": {"kind": "halving", "terms": 20}}
    more = {"packages": {"numpy": "adds"}, "published": [], "jobs": [group], "claims": [BOUND]}
    return save(tmp_path / "mine", manifest_of("halves", **more))


def run(
    *words: object, cwd: Path, plugins: Path | None = PLUGIN
) -> "subprocess.CompletedProcess[str]":
    path = [str(paths.ROOT), *([str(plugins)] if plugins else [])]
    return subprocess.run(
        [sys.executable, *map(str, words)],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path), "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_kind_of_job_is_run_kept_and_judged(mine: Path, tmp_path: Path) -> None:
    done = run("-m", "repro", "run", mine, "--tier", "full", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (record,) = (tmp_path / "results" / "jobs").glob("*/record.json")
    code = json.loads(record.read_bytes())["code"]
    assert {
        "tiny_plugin/run.py",
        "tiny_plugin/kind.py",
    } <= code.keys()  # a change gives another key
    done = run("-m", "repro", "verify", "--json", cwd=tmp_path)
    (finding,) = json.loads(done.stdout)[0]["findings"]
    assert finding["causes"][0]["code"] == "held"  # as a sample holds a theorem
    done = run("-m", "repro", "report", "--out", "page", cwd=tmp_path)
    assert done.returncode == 3, done.stderr


def test_its_arrays_are_checked_by_its_own_rule(mine: Path, tmp_path: Path) -> None:
    """Oracle: a record whose value was changed, and whose digest was made again."""
    assert run("-m", "repro", "run", mine, "--tier", "full", cwd=tmp_path).returncode == 0
    script = (
        "import pathlib, sys\n"
        "from repro.store.record import Record\n"
        "path = next(pathlib.Path('results/jobs').glob('*/record.json'))\n"
        "found = Record.model_validate_json(path.read_bytes())\n"
        "found = found.model_copy(update={'values': {'worst': 0.5}})\n"
        "found = found.model_copy(update={'digest': found.digest_of_content()})\n"
        "path.write_text(found.model_dump_json(indent=1) + '\\n')\n"
    )
    assert run("-c", script, cwd=tmp_path).returncode == 0
    done = run("-m", "repro", "verify", "--json", cwd=tmp_path)
    assert done.returncode == 1, done.stderr
    assert json.loads(done.stdout)[0]["findings"][0]["outcome"] == "invalid"


def test_without_the_plug_in_its_kind_is_refused_by_name(mine: Path, tmp_path: Path) -> None:
    done = run("-m", "repro", "run", mine, cwd=tmp_path, plugins=None)
    assert done.returncode == 2
    assert "halving" in done.stderr


def test_a_plug_in_that_cannot_be_imported_is_named(mine: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken" / "broken_plugin-1.0.dist-info"
    broken.mkdir(parents=True)
    (broken / "METADATA").write_text("Metadata-Version: 2.1\nName: broken-plugin\nVersion: 1.0\n")
    (broken / "entry_points.txt").write_text("[repro.job_kinds]\nlost = nowhere:Job\n")
    done = run("-m", "repro", "plan", mine, cwd=tmp_path, plugins=tmp_path / "broken")
    assert done.returncode == 3
    assert "the plug-in lost (repro.job_kinds) of broken-plugin cannot be imported" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_family_of_models_is_loaded_and_continues(tmp_path: Path) -> None:
    """Oracle: transformers' own forward on the whole sequence."""
    script = (
        "import torch\n"
        "from transformers import MistralConfig, MistralForCausalLM\n"
        "from runner.models import registry\n"
        "from repro.schema.families import FAMILIES\n"
        "torch.manual_seed(0)\n"
        "sizes = dict(vocab_size=50, hidden_size=16, intermediate_size=32, num_hidden_layers=2)\n"
        "config = MistralConfig(num_attention_heads=2, num_key_value_heads=1, **sizes)\n"
        "made = MistralForCausalLM(config).eval()\n"
        "made.save_pretrained('tiny', safe_serialization=True)\n"
        "import pathlib\n"
        "name = registry.family_of(pathlib.Path('tiny'))\n"
        "code = registry.MODELS[name]\n"
        "model = code.load(pathlib.Path('tiny'), torch.float32, 'eager', remote_code=False)\n"
        "tokens = torch.randint(50, (2, 9))\n"
        "with torch.no_grad():\n"
        "    expected = made(tokens).logits\n"
        "    _, state = code.continued(model, tokens[:, :4], None)\n"
        "    hidden, _ = code.continued(model, tokens[:, 4:], state)\n"
        "    assert torch.allclose(code.head(model, hidden), expected[:, 4:], atol=1e-5)\n"
        "print(name, FAMILIES[name].state)\n"
    )
    done = run("-c", script, cwd=tmp_path)
    assert done.stdout == "mistral key-value cache\n", done.stderr[-2000:]
