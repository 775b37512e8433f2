"""Tuned weights put onto a checkpoint.

Oracles: PEFT's own `from_pretrained` on the same folder; the tensors in the file; lm-eval's HFLM
against the model's own log-softmax.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import peft
import pytest
import tiny_tuning
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoTokenizer

from repro.errors import BadInputError
from runner.evaluation.offline import import_lm_eval, quiet
from runner.models import registry
from runner.models import tuned_weights as tuned_model
from runner.tuning import finetune

pytestmark = pytest.mark.usefixtures("one_thread")

Made = Callable[[str, str], Path]


@pytest.fixture(scope="module")
def tuned(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Folder of what a method made of a twin in two large steps."""
    made: dict[tuple[str, str], Path] = {}

    def folder(family: str, method: str) -> Path:
        if (family, method) not in made:
            work = tmp_path_factory.mktemp(f"{family}-{method}")
            lora = {} if method == "full" else {"lora_dropout": 0.5}
            asked = tiny_tuning.recipe(method=method, max_length=12, learning_rate=0.05, **lora)
            data = tiny_tuning.rows(work, 8)
            found = tiny_tuning.run(asked, data, work / "work", tiny_tuning.TWINS[family]).model
            assert found is not None
            made[family, method] = found
        return made[family, method]

    return folder


def fresh(family: str, dtype: torch.dtype = torch.float32) -> Any:
    """The twin as it was."""
    return registry.MODELS[family].load(
        tiny_tuning.TWINS[family], dtype, "eager", remote_code=False
    )


def logits(model: Any) -> torch.Tensor:
    ids = torch.arange(24).reshape(2, 12) * 7
    with torch.no_grad():
        found: torch.Tensor = model(input_ids=ids).logits
    return found


def by_peft(family: str, folder: Path) -> Any:
    """PEFT's way; a `device_map`, which the loader sets, would have it dispatch the model."""
    model = fresh(family)
    model.__dict__.pop("hf_device_map", None)
    return peft.PeftModel.from_pretrained(model, str(folder)).eval()


# -----------------------------------------------------------------------------
# Acting


@pytest.mark.parametrize(
    ("family", "method"),
    [("mamba", "lora-sll"), ("mamba2", "lora-w"), ("gpt-neox", "lora-sll")],
)
def test_adapters_act_as_peft_has_them_act(family: str, method: str, tuned: Made) -> None:
    folder = tuned(family, method)
    model = fresh(family)
    before = logits(model)
    found = tuned_model.attach(model, folder, mamba_path="slow")
    assert found is model
    assert not found.training
    assert torch.equal(logits(found), logits(by_peft(family, folder)))
    assert not torch.allclose(logits(found), before, atol=1e-2)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("family", tiny_tuning.TWINS)
def test_all_weights_are_cast_and_put_in_place(
    family: str, dtype: torch.dtype, tuned: Made
) -> None:
    stored = load_file(tuned(family, "full") / "model.safetensors")
    before = fresh(family, dtype)
    model = tuned_model.attach(fresh(family, dtype), tuned(family, "full"), mamba_path="slow")
    weights = dict(model.named_parameters())
    assert weights.keys() == stored.keys()
    for name, weight in weights.items():
        assert weight.dtype == dict(before.named_parameters())[name].dtype
        assert torch.equal(weight, stored[name].to(weight.dtype)), name
    assert not torch.allclose(logits(model), logits(before), atol=1e-2)


def test_adapters_take_the_dtype_of_the_model(tuned: Made) -> None:
    model = fresh("mamba", torch.bfloat16)
    tuned_model.attach(model, tuned("mamba", "lora-sll"), mamba_path="slow")
    adapters = [each for name, each in model.named_parameters() if ".lora_" in name]
    assert {each.dtype for each in adapters} == {torch.bfloat16}


@pytest.mark.parametrize(
    ("family", "method"), [("mamba", "lora-sll"), ("gpt-neox", "full"), ("mamba2", "lora-all")]
)
def test_lm_eval_takes_it_as_it_is(family: str, method: str, tuned: Made) -> None:
    """HFLM asks for device and config, ties weights and evaluates: the adapters still act."""
    import_lm_eval()
    from lm_eval.api.instance import Instance
    from lm_eval.models.huggingface import HFLM

    tokenizer = AutoTokenizer.from_pretrained(tiny_tuning.TWINS[family])
    model = tuned_model.attach(fresh(family), tuned(family, method), mamba_path="slow")
    context, continuation = "Count to", " 3 and"
    ids = tokenizer(context + continuation)["input_ids"]
    start = len(tokenizer(context)["input_ids"])
    with torch.no_grad():
        expected = [
            sum(
                one(input_ids=torch.tensor([ids])).logits.log_softmax(-1)[0, t - 1, ids[t]].item()
                for t in range(start, len(ids))
            )
            for one in (model, fresh(family))
        ]
    with quiet():
        harness = HFLM(model, tokenizer=tokenizer, batch_size=1)
        request = Instance("loglikelihood", {}, (context, continuation), 0)
        ((found, _),) = harness.loglikelihood([request], disable_tqdm=True)
    assert found == pytest.approx(expected[0], rel=1e-5)
    assert abs(found - expected[1]) > 0.01


# -----------------------------------------------------------------------------
# Files


def test_the_files_are_those_that_peft_writes(tuned: Made, tmp_path: Path) -> None:
    folder = tuned("mamba", "lora-sll")
    theirs = by_peft("mamba", folder)
    theirs.save_pretrained(tmp_path, save_embedding_layers=False)
    ours, written = (load_file(each / "adapter_model.safetensors") for each in (folder, tmp_path))
    assert ours.keys() == written.keys()
    assert all(torch.equal(ours[name], written[name]) for name in ours)
    configs = [
        json.loads((each / "adapter_config.json").read_text()) for each in (folder, tmp_path)
    ]
    for config in configs:
        config["base_model_name_or_path"] = None
        config["target_modules"] = sorted(config["target_modules"])
    assert configs[0] == configs[1]


def test_files_say_nothing_of_the_machine(tuned: Made) -> None:
    text = (tuned("mamba", "lora-sll") / "adapter_config.json").read_text()
    assert str(tiny_tuning.TWINS["mamba"]) not in text
    assert "/" not in text


def test_tied_weights_are_stored_once(tuned: Made) -> None:
    stored = load_file(tuned("gpt-neox", "full") / "model.safetensors")
    assert "gpt_neox.embed_in.weight" in stored
    assert "embed_out.weight" not in stored


# -----------------------------------------------------------------------------
# What is refused


def changed(folder: Path, to: Path, change: Callable[[dict[str, torch.Tensor]], object]) -> Path:
    """A copy of a folder with other tensors."""
    for path in folder.iterdir():
        if path.suffix == ".safetensors":
            tensors = load_file(path)
            change(tensors)
            save_file(tensors, to / path.name)
        else:
            (to / path.name).write_bytes(path.read_bytes())
    return to


@pytest.mark.parametrize("method", ["full", "lora-all"])
@pytest.mark.parametrize(
    ("change", "found"),
    [
        (lambda tensors: tensors.popitem(), "1 missing"),
        (lambda tensors: tensors.update(extra=torch.ones(1)), "1 unknown: extra"),
        (
            lambda tensors: tensors.update({next(iter(tensors)): torch.ones(3, 5)}),
            r"1 of another shape: .*\(3, 5\)",
        ),
    ],
)
def test_other_weights_are_refused(
    method: str, change: Any, found: str, tuned: Made, tmp_path: Path
) -> None:
    folder = changed(tuned("gpt-neox", method), tmp_path, change)
    model = fresh("gpt-neox")
    before = {name: each.clone() for name, each in model.state_dict().items()}
    with pytest.raises(BadInputError, match=found):
        tuned_model.attach(model, folder, mamba_path="slow")
    if method == "full":
        assert all(torch.equal(before[name], each) for name, each in model.state_dict().items())


def test_a_pickle_is_not_opened(tmp_path: Path, tuned: Made) -> None:
    config = (tuned("gpt-neox", "lora-all") / "adapter_config.json").read_text()
    (tmp_path / "adapter_config.json").write_text(config)
    (tmp_path / "adapter_model.bin").write_bytes(b"\x80\x04N.")
    with pytest.raises(BadInputError, match=r"adapter_model\.safetensors"):
        tuned_model.attach(fresh("gpt-neox"), tmp_path, mamba_path="slow")


@pytest.mark.parametrize(
    "said", ["{", "[]", '{"peft_type": "IA3"}', '{"peft_type": "LORA", "q": 1}']
)
def test_a_config_that_is_not_of_lora_is_refused(said: str, tmp_path: Path, tuned: Made) -> None:
    stored = tuned("gpt-neox", "lora-all") / "adapter_model.safetensors"
    (tmp_path / stored.name).write_bytes(stored.read_bytes())
    (tmp_path / "adapter_config.json").write_text(said)
    with pytest.raises(BadInputError, match=r"adapter_config\.json[\s\S]*PEFT's config of LoRA"):
        tuned_model.attach(fresh("gpt-neox"), tmp_path, mamba_path="slow")


def test_a_recipe_of_lora_needs_its_numbers() -> None:
    asked = tiny_tuning.recipe(method="lora-all", rank=None)
    with pytest.raises(BadInputError, match="needs rank"):
        finetune.adapted(fresh("gpt-neox"), asked)
