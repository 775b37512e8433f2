"""Which tensors are said to learn, and what merging adapters is said to change.

Oracles: what LoRA's algebra says of a first step (the gradient of one factor is a product with the
other, which starts at zero); a layer whose weight is read past its adapter; weights before.
"""

from typing import Any

import peft
import pytest
import torch
from merged_adapters import merged_difference
from torch import Tensor, nn
from torch.nn import functional
from transformers import GPTNeoXConfig, GPTNeoXForCausalLM

from runner.tuning.adapters import AdapterWatch, TensorLearning, tensors_not_learning

TARGETS = ["query_key_value", "dense", "dense_h_to_4h", "dense_4h_to_h", "embed_in"]
IDS = torch.randint(29, (2, 12), generator=torch.Generator().manual_seed(4))


def adapted(*, tied: bool = False, dropout: float = 0.0, acting: bool = False) -> Any:
    """A GPT-NeoX of one layer with LoRA everywhere; `acting`: no factor is zero."""
    torch.manual_seed(6)
    config = GPTNeoXConfig(
        vocab_size=29,
        hidden_size=8,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        initializer_range=0.3,
        tie_word_embeddings=tied,
    )
    lora = peft.LoraConfig(r=2, lora_alpha=4, lora_dropout=dropout, target_modules=TARGETS)
    model = peft.get_peft_model(GPTNeoXForCausalLM(config), lora)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if acting and "lora_" in name:
                weight.normal_(std=0.3)
    return model


def past_its_adapter(model: Any) -> Any:
    """The model with one layer's weight read, as a fused kernel would be handed it."""
    mlp = model.base_model.model.gpt_neox.layers[0].mlp
    layer = mlp.dense_h_to_4h
    mlp.forward = lambda hidden: mlp.dense_4h_to_h(
        functional.gelu(functional.linear(hidden, layer.weight, layer.bias))
    )
    return model


def watched(model: Any, *scales: float) -> list[TensorLearning]:
    """A step for each scale of the loss; one whose gradients are not finite is skipped."""
    watch = AdapterWatch(model)
    trained = [weight for weight in model.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-2, weight_decay=0)
    for scale in scales:
        (model(input_ids=IDS, labels=IDS).loss * scale).backward()
        if all(w.grad is None or bool(w.grad.isfinite().all()) for w in trained):
            optimizer.step()
        optimizer.zero_grad()
    return watch.result()


def starts_at_zero(tensor: TensorLearning) -> bool:
    """Whether this factor is the one that LoRA starts at zero, and so learns first."""
    return "lora_B" in tensor.name or "lora_embedding_A" in tensor.name


# -----------------------------------------------------------------------------
# Learning


def test_in_the_first_step_one_factor_learns_and_the_other_waits() -> None:
    learning = watched(adapted(), 1.0)
    assert len(learning) == 2 * len(TARGETS)
    for tensor in learning:
        first = starts_at_zero(tensor)
        assert (tensor.gradient, tensor.moved, tensor.waiting) == (first, first, not first)
    assert tensors_not_learning(learning) == []


def test_from_the_second_step_both_factors_learn() -> None:
    for tensor in watched(adapted(), 1.0, 1.0):
        assert (tensor.gradient, tensor.moved, tensor.waiting) == (True, True, False)


def test_only_both_factors_of_a_layer_read_by_its_weight_are_dead() -> None:
    learning = watched(past_its_adapter(adapted()), 1.0, 1.0)
    expected = [tensor.name for tensor in learning if "dense_h_to_4h" in tensor.name]
    assert tensors_not_learning(learning) == expected
    assert [tensor.name for tensor in learning if not tensor.moved] == expected
    assert [name.split(".")[-3] for name in expected] == ["lora_A", "lora_B"]
    assert not any(tensor.waiting for tensor in learning)


@pytest.mark.parametrize("scale", [float("inf"), float("nan")])
def test_a_skipped_step_teaches_nothing(scale: float) -> None:
    learning = watched(adapted(), scale, scale)
    assert not any(tensor.gradient or tensor.moved for tensor in learning)
    assert tensors_not_learning(learning) == [
        tensor.name for tensor in learning if starts_at_zero(tensor)
    ]


def test_a_factor_waits_for_the_first_step_that_was_not_skipped() -> None:
    assert tensors_not_learning(watched(adapted(), float("inf"), 1.0)) == []
    assert all(tensor.gradient for tensor in watched(adapted(), float("inf"), 1.0, 1.0))


def test_outside_lora_zeros_are_no_gradient_and_frozen_weights_are_not_asked() -> None:
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3, bias=False))
    model[1].requires_grad_(requires_grad=False)
    watch = AdapterWatch(model)
    (model(torch.ones(2, 3)) * 0).sum().backward()
    learning = watch.result()
    assert [tensor.name for tensor in learning] == ["0.weight", "0.bias"]
    assert tensors_not_learning(learning) == ["0.weight", "0.bias"]


def test_the_watch_ends_with_its_result() -> None:
    model = nn.Linear(3, 3)
    watch = AdapterWatch(model)
    before = watch.result()
    model(torch.ones(2, 3)).sum().backward()
    assert watch.result() == before


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@pytest.mark.filterwarnings("ignore")  # of a torch newer than the pin
def test_a_step_that_the_gradient_scaler_skips_teaches_nothing() -> None:
    model, ids = adapted().cuda(), IDS.cuda()
    optimizer = torch.optim.AdamW([w for w in model.parameters() if w.requires_grad], lr=1e-2)
    scaler = torch.cuda.amp.GradScaler(init_scale=256)

    def watched_steps(*factors: float) -> list[TensorLearning]:
        watch = AdapterWatch(model)
        for factor in factors:
            with torch.autocast("cuda", dtype=torch.float16):
                loss = model(input_ids=ids, labels=ids).loss
            scaler.scale(loss * factor).backward()
            scaler.step(optimizer)
            scaler.update()
            optimizer.zero_grad()
        return watch.result()

    assert not any(tensor.gradient or tensor.moved for tensor in watched_steps(1e38))
    assert scaler.get_scale() == 128  # halved: the step was skipped
    assert all(tensor.gradient and tensor.moved for tensor in watched_steps(1.0, 1.0))


# -----------------------------------------------------------------------------
# Acting


def logits(model: Any) -> Tensor:
    with torch.no_grad():
        found: Tensor = model(input_ids=IDS).logits
    return found


@pytest.mark.parametrize("training", [True, False])
def test_adapters_that_act_are_the_same_merged(*, training: bool) -> None:
    """Dropout would differ from one call to the next; it is on again afterwards."""
    model = adapted(dropout=0.5, acting=True).train(training)
    found = merged_difference(model, IDS)
    assert (found.why, found.ignored, found.shared) == ("", (), ())
    assert found.largest < 1e-5
    drops = [module for module in model.modules() if isinstance(module, nn.Dropout)]
    assert drops
    assert all(module.training == training for module in model.modules())


def test_a_layer_read_by_its_weight_acts_only_when_merged() -> None:
    model = past_its_adapter(adapted(acting=True).eval())
    found = merged_difference(model, IDS)
    [name] = found.ignored
    assert name.endswith("mlp.dense_h_to_4h")
    assert name in found.why
    expected = logits(model.merge_and_unload()) - logits(past_its_adapter(adapted(acting=True)))
    assert found.largest == pytest.approx(float(expected.abs().max()), abs=1e-5)
    assert found.largest > 1e-2


def test_merging_into_a_tied_embedding_changes_the_output_layer_too() -> None:
    found = merged_difference(adapted(tied=True, acting=True).eval(), IDS)
    [name] = found.shared
    assert name.endswith("embed_in")
    assert name in found.why
    assert found.largest > 1e-2
    assert found.ignored == ()


@pytest.mark.parametrize("tied", [True, False])
def test_comparing_leaves_weights_and_adapters_as_they_were(*, tied: bool) -> None:
    model = adapted(tied=tied, acting=True).eval()
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    first = logits(model)
    merged_difference(model, IDS)
    assert all(torch.equal(weight, before[name]) for name, weight in model.state_dict().items())
    assert torch.equal(logits(model), first)
    inner = model.base_model.model
    assert (inner.embed_out.weight is inner.gpt_neox.embed_in.weight) == tied
