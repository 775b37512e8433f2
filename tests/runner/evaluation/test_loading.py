"""Loading by other people's code: what it opens, told from outside, and what it makes of bad files.

Oracle of the first part: strace, which sees every file that the process opens, by whatever library.
Of the second: the twin's own model; equal bits are asked for where other bytes say the same.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import decoys
import loads_traced
import pytest
import tiny_models
import torch
from safetensors.torch import load_file, save_file

from repro import paths
from repro.errors import BadInputError, CannotRunError
from repro.weights import loadable
from runner.evaluation import loading
from runner.models import checkpoint_checks
from runner.models.registry import MODELS
from runner.stability import trained_layers

pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.usefixtures("one_thread")]
TESTS = paths.ROOT / "tests"
TWINS = {"mamba": "mamba-twin", "mamba2": "mamba2-twin", "gpt-neox": "gpt-neox-twin"}
WEIGHTS = "model.safetensors"

# -----------------------------------------------------------------------------
# What is opened


def _traces() -> bool:
    """Whether strace is here, and may watch a process."""
    strace = shutil.which("strace")
    return bool(strace) and not subprocess.call([str(strace), "-qq", "-o", os.devnull, "true"])


needs_strace = pytest.mark.skipif(
    not _traces(), reason="NOT HELD HERE: what loading opens; it takes strace, and leave to trace"
)
_OPENED = re.compile(r'^\w+\((?:\w+(?:<([^>]*)>)?, )?"([^"]*)".* = \d+<([^>]*)>$', re.MULTILINE)
"""A folder, a name in it, and the file that the kernel found there, links followed."""


def opened(root: Path, *options: str) -> set[Path]:
    """Every file under `root` that loading `root`/checkpoints opens, as named and as found."""
    traces = root / "traces"
    traces.mkdir()
    command = [
        "strace",
        "-ff",
        "-y",
        "--seccomp-bpf",
        "-qq",
        "-s",
        "4096",
        "-o",
        str(traces / "trace"),
    ]
    command += ["-e", "trace=open,openat,openat2,creat", sys.executable]
    (root / "private").mkdir()
    done = subprocess.run(
        [*command, str(TESTS / "loads_traced.py"), str(root / "checkpoints"), *options],
        capture_output=True,
        text=True,
        check=False,
        env={
            **os.environ,
            "TMPDIR": str(root / "private"),
            "PYTHONPATH": os.pathsep.join([str(paths.ROOT), str(TESTS)]),
            "HF_HUB_OFFLINE": "1",
            "OMP_NUM_THREADS": "1",
        },
    )
    found = set()
    for trace in traces.iterdir():
        for folder, name, real in _OPENED.findall(trace.read_text(errors="replace")):
            found |= {Path(folder, name), Path(real)}
    if not options:
        assert done.returncode == 0, done.stderr
        assert done.stdout.split() == sorted(each.name for each in (root / "checkpoints").iterdir())
    return {path for path in found if path.is_relative_to(root) and not path.is_dir()}


def not_digested(root: Path, paths: set[Path]) -> list[str]:
    """Those of the opened files that are no part of a job's key."""
    digested = {
        folder.name: {name.partition("/")[2] for name in loads_traced.digested(folder)}
        for folder in (root / "checkpoints").iterdir()
    }
    wrong = []
    for path in paths:
        parts = path.relative_to(root).parts
        if parts[0] == "checkpoints":
            family, rest = parts[1], "/".join(parts[2:])
        elif parts[0] == "private" and parts[1].startswith("repro-loading-"):
            if not parts[3:]:
                continue  # the folder itself, as it is removed
            family, rest = parts[2], "/".join(parts[3:])
        elif parts[0] == "private":
            # Copies of code, which transformers imports from a folder of its own.
            if not parts[1].startswith("own-code-") or path.suffix != ".py":
                continue
            family, rest = "own-code", path.name
            if rest == "__init__.py":
                continue
        else:
            family, rest = "", str(path)
        if rest not in digested.get(family, set()):
            wrong.append(str(path))
    return sorted(wrong)


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of every family, with every decoy beside it."""
    root = tmp_path_factory.mktemp("planted")
    for family in MODELS:
        folder = root / "checkpoints" / family
        folder.mkdir(parents=True)
        tiny_models.save(family, folder)
        decoys.plant(folder, root / "touched")
    return root


@needs_strace
@pytest.mark.timeout(300)
def test_loading_opens_nothing_that_is_not_digested(planted: Path) -> None:
    paths = opened(planted)
    assert not not_digested(planted, paths)
    for family in MODELS:  # the trace saw what had to be there, from outside and inside
        for folder in ("checkpoints", "private"):
            seen = {path.name for path in paths if family in path.parts and folder in path.parts}
            assert {"config.json", WEIGHTS, "tokenizer.json"} <= seen, (family, folder)
    assert not (planted / "touched").exists()


@needs_strace
@pytest.mark.timeout(300)
def test_the_trace_sees_a_decoy_that_is_let_through(tmp_path: Path) -> None:
    """Loading from the folder itself, as before: the adapter, its base, and its pickle."""
    folder = tmp_path / "checkpoints" / "mamba"
    folder.mkdir(parents=True)
    tiny_models.save("mamba", folder)
    shutil.copytree(folder, tmp_path / "base")
    decoys.plant(folder, tmp_path / "touched")
    decoys.plant_adapter(folder, tmp_path / "base", tmp_path / "touched")
    (folder / decoys.ADAPTER).rename(tmp_path / "adapter")
    (folder / "adapter_model.safetensors").unlink()
    real = loads_traced.digested(folder)
    (tmp_path / "adapter").rename(folder / decoys.ADAPTER)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loads_traced, "digested", lambda _: real)
        wrong = not_digested(tmp_path, opened(tmp_path, "--let-through"))
    assert str(folder / decoys.ADAPTER) in wrong


# -----------------------------------------------------------------------------
# What leads elsewhere


@pytest.fixture
def twin(tmp_path: Path) -> Callable[[str], Path]:
    def copy(family: str = "mamba", name: str = "copy") -> Path:
        folder = tmp_path / name
        shutil.copytree(paths.ROOT / "twins" / TWINS[family], folder)
        return folder

    return copy


def logits(folder: Path) -> torch.Tensor:
    """Of some tokens, by the model and the tokenizer that a job would load."""
    with torch.no_grad():
        loaded = loading.load(loads_traced.JOB, folder)
        ids = loaded.tok_encode("The sum of 3 and 4 is 7. Count again.")
        found: torch.Tensor = loaded.model(torch.tensor([ids])).logits
    return found


def refusal(folder: Path) -> str:
    """What a job says of a folder, which is named in it."""
    with pytest.raises((BadInputError, CannotRunError)) as caught:
        loading.load(loads_traced.JOB, folder)
    assert folder.name in str(caught.value)
    assert "repro-loading-" not in str(caught.value)
    return str(caught.value)


def shard(folder: Path, name: str) -> Path:
    """The weights of a folder as one shard that its index calls by a name."""
    weights = load_file(folder / WEIGHTS)
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    (folder / WEIGHTS).rename(path)
    index = {"metadata": {}, "weight_map": dict.fromkeys(weights, name)}
    (folder / loadable.INDEX).write_text(json.dumps(index))
    return path


@pytest.mark.parametrize("family", ["mamba", "mamba2"])
@pytest.mark.parametrize("where", ["sub/w.safetensors", "../w.safetensors", "absolute"])
def test_a_shard_elsewhere_is_refused(
    family: str, where: str, twin: Callable[..., Path], tmp_path: Path
) -> None:
    folder = twin(family)
    name = str(tmp_path / "w.safetensors") if where == "absolute" else where
    shard(folder, name)
    assert f"{folder}/{name}" in refusal(folder)
    if family == "mamba":
        with pytest.raises(BadInputError, match=r"w\.safetensors"):
            trained_layers.load_mamba_weights(folder)


@pytest.mark.parametrize("family", TWINS)
def test_a_shard_beside_its_index_and_a_link_into_a_cache_are_read(
    family: str, twin: Callable[..., Path], tmp_path: Path
) -> None:
    expected, folder = logits(paths.ROOT / "twins" / TWINS[family]), twin(family)
    (tmp_path / "blobs").mkdir()
    shard(folder, "model-00001-of-00001.safetensors")
    for number, path in enumerate(sorted(folder.iterdir())):  # as the hub's client lays it out
        path.rename(tmp_path / "blobs" / str(number))
        path.symlink_to(f"../blobs/{number}")
    assert torch.equal(logits(folder), expected)


def test_an_adapter_is_refused_and_its_pickle_is_not_opened(
    twin: Callable[..., Path], tmp_path: Path
) -> None:
    folder = twin()
    decoys.plant_adapter(folder, twin(name="base"), tmp_path / "touched")
    assert f"{folder / decoys.ADAPTER}\n    found:    an adapter" in refusal(folder)
    with pytest.raises(BadInputError, match="an adapter"):
        MODELS["mamba"].load(folder, torch.float32, "eager", remote_code=False)
    assert not (tmp_path / "touched").exists()


def other_tokenizer(folder: Path) -> str:
    """Path of a tokenizer that reads everything as other tokens."""
    path = folder.parent / "tokenizer.1.json"
    found = json.loads((folder / "tokenizer.json").read_text())
    found["model"]["merges"] = []
    path.write_text(json.dumps(found))
    return str(path)


@pytest.mark.parametrize(
    ("file", "field", "value"),
    [
        ("tokenizer_config.json", "tokenizer_file", other_tokenizer),
        ("tokenizer_config.json", "fast_tokenizer_files", lambda f: [other_tokenizer(f)]),
        ("tokenizer_config.json", "vocab_file", other_tokenizer),
        ("tokenizer_config.json", "init_inputs", lambda f: [other_tokenizer(f)]),
        ("tokenizer_config.json", "sp_model_kwargs", lambda f: {"model_file": other_tokenizer(f)}),
        ("tokenizer_config.json", "tokenizer_class", lambda _: "TransfoXLTokenizer"),
        ("special_tokens_map.json", "tokenizer_file", other_tokenizer),
        ("config.json", "configuration_files", lambda _: ["../x/config.4.0.0.json"]),
        ("config.json", "quantization_config", lambda _: {"quant_method": "gptq", "bits": 4}),
        ("config.json", "rope_parameters", lambda _: {"rope_theta": 1}),
        ("config.json", "pruned_heads", lambda _: {"0": [1]}),
        ("config.json", "tokenizer_class", lambda _: "RagTokenizer"),
        ("config.json", "return_dict", lambda _: False),
        ("config.json", "torchscript", lambda _: True),
        ("config.json", "num_labels", lambda _: 10**9),
    ],
)
def test_a_field_that_leads_elsewhere_is_refused(
    file: str, field: str, value: Callable[[Path], object], twin: Callable[..., Path]
) -> None:
    folder = twin("gpt-neox")
    tiny_models.edit(folder / file, lambda found: found.update({field: value(folder)}))
    assert f"{folder / file}: $.{field}\n" in refusal(folder)


@pytest.mark.parametrize(
    "said",
    [
        {"name_or_path": "someone/else", "special_tokens_map_file": "/root/x.json"},
        {"vocab_file": None},
    ],
)
def test_paths_that_nothing_opens_change_nothing(
    said: dict[str, Any], twin: Callable[..., Path]
) -> None:
    folder, expected = twin(), logits(paths.ROOT / "twins" / "mamba-twin")
    tiny_models.edit(folder / "tokenizer_config.json", lambda found: found.update(said))
    tiny_models.edit(folder / "config.json", lambda c: c.update(_name_or_path="someone/else"))
    assert torch.equal(logits(folder), expected)


# -----------------------------------------------------------------------------
# What others write


@pytest.mark.parametrize("family", TWINS)
@pytest.mark.parametrize("metadata", [None, {"format": "mlx"}, {"who": "x"}])
def test_weights_need_no_metadata(
    family: str, metadata: dict[str, str] | None, twin: Callable[..., Path]
) -> None:
    folder, expected = twin(family), logits(paths.ROOT / "twins" / TWINS[family])
    save_file(load_file(folder / WEIGHTS), folder / WEIGHTS, metadata)
    assert torch.equal(logits(folder), expected)
    shard(folder, "model-00001-of-00001.safetensors")
    assert torch.equal(logits(folder), expected)


def test_weights_of_another_framework_are_refused(twin: Callable[..., Path]) -> None:
    folder = twin()
    save_file(load_file(folder / WEIGHTS), folder / WEIGHTS, {"format": "flax"})
    assert "weights of another framework, flax" in refusal(folder)


def newer(folder: Path, change: Callable[[dict[str, Any]], object] = lambda _: None) -> None:
    """Write tokenizer.json as tokenizers 0.22.1 does: merges in pairs, and nothing else is new."""
    found = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    found["model"]["merges"] = [each.split(" ") for each in found["model"]["merges"]]
    change(found)
    (folder / "tokenizer.json").write_text(json.dumps(found), encoding="utf-8")


def test_a_newer_tokenizer_is_the_same(twin: Callable[..., Path]) -> None:
    folder, expected = twin(), logits(paths.ROOT / "twins" / "mamba-twin")
    newer(folder, lambda found: found.update(something_new=None))
    before = (folder / "tokenizer.json").read_bytes()
    assert torch.equal(logits(folder), expected)
    assert (folder / "tokenizer.json").read_bytes() == before


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t: t["model"]["merges"].append(["a b", "c"]), "a merge of tokens with a space"),
        (lambda t: t["model"]["merges"].append(["a"]), "a merge that is no pair"),
        (lambda t: t["model"]["merges"].append(3), "a merge that is no pair"),
        (lambda t: t["model"].update(vocab=[]), "cannot load the checkpoint"),
        (lambda t: t.update(something_new=[1]), "does not know: something_new"),
        (lambda t: t["model"].update(new=1), "$.model.new: not known to tokenizers"),
        (lambda t: t["pre_tokenizer"].update(new={"a": 1}), "$.pre_tokenizer.new: not known"),
        (lambda t: t.update(pre_tokenizer={"type": "New"}), "cannot load the checkpoint"),
        (lambda t: t.update(version="9.9"), "Unknown tokenizer version"),
    ],
)
def test_a_tokenizer_that_the_pins_cannot_say_is_refused(
    change: Callable[[Any], object], words: str, twin: Callable[..., Path]
) -> None:
    folder = twin()
    newer(folder, change)
    assert words in refusal(folder)


# -----------------------------------------------------------------------------
# What is stored and never used


@pytest.mark.parametrize("family", ["mamba", "gpt-neox"])
def test_an_output_layer_of_its_own_under_tied_embeddings_is_refused(
    family: str, twin: Callable[..., Path]
) -> None:
    folder, expected = twin(family), logits(paths.ROOT / "twins" / TWINS[family])
    weights = load_file(folder / WEIGHTS)
    head, embedding = {
        "mamba": ("lm_head.weight", "backbone.embeddings.weight"),
        "gpt-neox": ("embed_out.weight", "gpt_neox.embed_in.weight"),
    }[family]
    weights[head] = weights[embedding].clone()
    save_file(weights, folder / WEIGHTS, {"format": "pt"})
    assert torch.equal(logits(folder), expected)
    weights[head][3, 1] += 1
    save_file(weights, folder / WEIGHTS, {"format": "pt"})
    text = refusal(folder)
    assert head in text
    assert embedding in text
    assert "with different values" in text


@pytest.mark.parametrize("family", TWINS)
def test_layers_beyond_the_configs_number_are_refused(
    family: str, twin: Callable[..., Path]
) -> None:
    folder = twin(family)
    weights = load_file(folder / WEIGHTS)
    last = {name: each for name, each in weights.items() if "layers.1." in name}
    more = {name.replace(".1.", ".2.", 1): each.clone() for name, each in last.items()}
    save_file(weights | more, folder / WEIGHTS, {"format": "pt"})
    assert f"{len(more)} tensors unknown: {min(more)}" in refusal(folder)
    if family == "mamba":
        with pytest.raises(BadInputError, match="found 3 layers"):
            trained_layers.load_mamba_weights(folder)


def test_what_a_familys_file_names_is_passed_over(twin: Callable[..., Path]) -> None:
    """Pythia was published with the masks of attention among its weights."""
    folder, expected = twin("gpt-neox"), logits(paths.ROOT / "twins" / "gpt-neox-twin")
    weights = load_file(folder / WEIGHTS)
    prefix = "gpt_neox.layers.1.attention"
    weights |= {
        f"{prefix}.bias": torch.ones(1, 1, 8, 8, dtype=torch.bool),
        f"{prefix}.masked_bias": torch.tensor(-1e9),
        f"{prefix}.rotary_emb.inv_freq": torch.tensor([1.0, 0.01]),
    }
    save_file(weights, folder / WEIGHTS)
    assert torch.equal(logits(folder), expected)


def test_a_body_saved_alone_is_read(twin: Callable[..., Path]) -> None:
    """`MambaModel.save_pretrained`: no name has the prefix, and the output layer is tied."""
    folder, expected = twin(), logits(paths.ROOT / "twins" / "mamba-twin")
    weights = load_file(folder / WEIGHTS)
    bare = {name.removeprefix("backbone."): each for name, each in weights.items()}
    save_file(bare, folder / WEIGHTS)
    assert torch.equal(logits(folder), expected)


def test_own_code_is_held_to_what_is_stored(tmp_path: Path) -> None:
    tiny_models.save("own-code", tmp_path)
    weights = load_file(tmp_path / WEIGHTS) | {"more": torch.zeros(1)}
    save_file(weights, tmp_path / WEIGHTS)
    with pytest.raises(BadInputError, match="1 tensors unknown: more"):
        MODELS["own-code"].load(tmp_path, torch.float32, "eager", remote_code=True)


# -----------------------------------------------------------------------------
# Whatever libraries raise


HUGE = 10**9


@pytest.mark.parametrize("family", TWINS)
@pytest.mark.parametrize(
    "change",
    [
        {"hidden_size": -3, "d_model": -3},
        {"hidden_size": "x", "d_model": "x"},
        {"num_hidden_layers": HUGE, "n_layer": HUGE},
        {"num_hidden_layers": -1, "n_layer": -1},
        {"num_hidden_layers": "2", "n_layer": "2"},
        {"num_hidden_layers": 1, "n_layer": 1},
        {"vocab_size": 10**15},
        {"vocab_size": 8},
        {"vocab_size": None},
        {"hidden_size": 10**30, "d_model": 10**30},
        {"state_size": HUGE, "ssm_cfg": {"layer": "Mamba2", "d_state": HUGE}, "rotary_pct": []},
        {"time_step_rank": "none", "num_attention_heads": 0, "ssm_cfg": []},
        {"hidden_act": "no such", "pad_vocab_size_multiple": 0},
        {"max_position_embeddings": HUGE, "conv_kernel": 0, "n_layer": 0},
        {"num_labels": "x", "unknown": 1},
        {"to_dict": 1, "from_dict": 2, "model_type": None},
        {"intermediate_size": {}, "ssm_cfg": {"layer": "Mamba2", "expand": HUGE}},
    ],
    ids=str,
)
def test_a_config_that_is_absurd_is_a_message(
    family: str, change: dict[str, Any], twin: Callable[..., Path]
) -> None:
    folder = twin(family)
    tiny_models.edit(folder / "config.json", lambda found: found.update(change))
    refusal(folder)


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("config.json", b"[" * 100_000),
        ("config.json", b"\xff\xfe"),
        ("tokenizer.json", b"{}"),
        ("tokenizer.json", b"[" * 100_000),
        ("tokenizer_config.json", b"[1]"),
        ("tokenizer_config.json", b'{"added_tokens_decoder": [1]}'),
        ("tokenizer_config.json", b'{"added_tokens_decoder": {"a": 1}}'),
        ("tokenizer_config.json", b'{"tokenizer_object": "x"}'),
        ("special_tokens_map.json", b"3"),
        ("generation_config.json", b"[]"),
        (WEIGHTS, (2).to_bytes(8, "little") + b"{}"),
        (WEIGHTS, (1 << 60).to_bytes(8, "little") + b"{}"),
    ],
    ids=lambda each: str(each)[:40],
)
def test_a_file_that_no_library_expects_is_a_message(
    file: str, content: bytes, twin: Callable[..., Path]
) -> None:
    folder = twin("gpt-neox")
    (folder / file).write_bytes(content)
    refusal(folder)


@pytest.mark.parametrize("family", TWINS)
@pytest.mark.parametrize("dtype", ["F8_E4M3", "I32", "NOPE", "BOOL"])
def test_numbers_of_another_kind_are_refused(
    family: str, dtype: str, twin: Callable[..., Path]
) -> None:
    folder = twin(family)
    content = (folder / WEIGHTS).read_bytes()
    length = int.from_bytes(content[:8], "little")
    header = content[8 : 8 + length].replace(b'"F32"', f'"{dtype}"'.encode())
    (folder / WEIGHTS).write_bytes(
        len(header).to_bytes(8, "little") + header + content[8 + length :]
    )
    assert dtype in refusal(folder)


def test_a_tokenizer_beyond_the_embedding_is_refused_however_it_grew(
    twin: Callable[..., Path],
) -> None:
    folder = twin("gpt-neox")
    token = {"content": "<new>", "special": True}
    tiny_models.edit(
        folder / "tokenizer_config.json",
        lambda found: found["added_tokens_decoder"].update({"2048": token}),
    )
    assert "ids up to 2048 for an embedding of 2048 rows" in refusal(folder)


def test_a_panic_is_a_message_and_our_own_bugs_are_not() -> None:
    class PanicException(BaseException):  # as pyo3 names it
        pass

    PanicException.__module__ = "pyo3_runtime"
    with pytest.raises(BadInputError, match="PanicException: no such thing"):  # noqa: SIM117
        with checkpoint_checks.checkpoint_errors(Path("folder")):
            raise PanicException(*["no such thing"])
    for error in (KeyboardInterrupt, SystemExit, MemoryError):
        with pytest.raises(error), checkpoint_checks.checkpoint_errors(Path("folder")):
            raise error
    with (
        pytest.raises(RuntimeError, match="CUDA"),
        checkpoint_checks.checkpoint_errors(Path("folder")),
    ):
        raise RuntimeError(*["CUDA error: an illegal memory access was encountered"])
