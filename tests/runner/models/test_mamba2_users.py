"""Mamba-2 in plain PyTorch as a model of transformers, under PEFT, the Trainer and lm-eval.

Oracles: the model in numpy loops, finite differences of the loss, the unmerged adapters,
log-softmax of the model's own logits.
"""

import copy
from pathlib import Path
from typing import Any

import made_up_mmlu
import peft
import pytest
import tiny_mamba2
import torch
import transformers

from runner.evaluation.offline import import_lm_eval, quiet
from runner.models.mamba2 import Mamba2ForCausalLM


def test_the_attention_mask_changes_nothing() -> None:
    model, ids = tiny_mamba2.model(), tiny_mamba2.tokens(9)
    mask = torch.ones_like(ids)
    mask[:, 6:] = 0
    assert torch.equal(model(ids, attention_mask=mask).logits, model(ids).logits)


def test_loss_is_the_mean_over_labelled_tokens() -> None:
    model, ids = tiny_mamba2.model().double(), tiny_mamba2.tokens(9)
    labels = ids.clone()
    labels[0, :4] = -100
    log_probabilities = tiny_mamba2.batch_logits(model, ids).log_softmax(-1)
    taken = [
        -log_probabilities[row, t - 1, ids[row, t]]
        for row in range(2)
        for t in range(1, 9)
        if labels[row, t] != -100
    ]
    assert model(ids, labels=labels).loss.item() == pytest.approx(sum(taken) / len(taken))


def test_generates_the_most_likely_tokens() -> None:
    model, ids = tiny_mamba2.model(), tiny_mamba2.tokens(4)
    expected = ids
    for _ in range(3):
        following = tiny_mamba2.batch_logits(model, expected)[:, -1:].argmax(-1)
        expected = torch.cat([expected, following], dim=1)
    found = model.generate(ids, max_new_tokens=3, do_sample=False, pad_token_id=0)
    assert torch.equal(found, expected)


@pytest.mark.parametrize("asked", [{"use_cache": True}, {"inputs_embeds": torch.ones(2, 9, 12)}])
def test_refuses_what_it_does_not_have(asked: dict[str, Any]) -> None:
    with pytest.raises(TypeError, match=next(iter(asked))):
        tiny_mamba2.model()(tiny_mamba2.tokens(9), **asked)


def test_copies_share_no_weights() -> None:
    model = tiny_mamba2.model()
    other = copy.deepcopy(model)
    assert other.lm_head.weight is other.backbone.embedding.weight
    assert other.lm_head.weight is not model.lm_head.weight


# -----------------------------------------------------------------------------
# PEFT, Trainer, lm-eval


def with_adapters(task_type: str | None) -> Any:
    """LoRA of rank 2 on both projections, B drawn at random so that A learns too."""
    torch.manual_seed(5)
    config = peft.LoraConfig(
        r=2, lora_alpha=4, target_modules=["in_proj", "out_proj"], task_type=task_type
    )
    adapted = peft.get_peft_model(tiny_mamba2.model(), config)
    with torch.no_grad():
        for name, weight in adapted.named_parameters():
            if "lora_B" in name:
                weight.normal_(std=0.1)
    return adapted.eval()


def loss(model: Any) -> torch.Tensor:
    ids = tiny_mamba2.tokens(20)
    found: torch.Tensor = model(input_ids=ids, labels=ids).loss
    return found


@pytest.mark.parametrize("task_type", [None, "CAUSAL_LM"])
def test_every_adapter_gets_the_gradient_of_the_loss(task_type: str | None) -> None:
    adapted = with_adapters(task_type).double()
    loss(adapted).backward()
    adapters = [(name, w) for name, w in adapted.named_parameters() if w.requires_grad]
    assert len(adapters) == 2 * 2 * 2  # layers, projections, A and B
    for name, weight in adapters:
        assert "lora_" in name
        direction = torch.randn_like(weight)
        with torch.no_grad():
            values = []
            for sign in (1, -1):
                weight.add_(direction, alpha=sign * 1e-5)
                values.append(loss(adapted))
                weight.sub_(direction, alpha=sign * 1e-5)
        slope = float(values[0] - values[1]) / 2e-5
        assert weight.grad is not None, name
        assert (weight.grad * direction).sum().item() == pytest.approx(slope, rel=1e-5), name
        assert abs(slope) > 1e-6, name


def test_merged_adapters_act_as_they_did() -> None:
    adapted = with_adapters("CAUSAL_LM")
    ids = tiny_mamba2.tokens(20)
    with torch.no_grad():
        before = adapted(input_ids=ids).logits
        plain = tiny_mamba2.model()(ids).logits
        merged = adapted.merge_and_unload()
        after = merged(ids).logits
    assert isinstance(merged, Mamba2ForCausalLM)
    assert torch.allclose(before, after, atol=1e-5)
    assert not torch.allclose(before, plain, atol=1e-2)


def test_the_trainer_trains_it(tmp_path: Path) -> None:
    model = tiny_mamba2.model()
    before = copy.deepcopy(model)
    rows = [{"input_ids": row, "labels": row} for row in tiny_mamba2.tokens(16, batch=4)]
    arguments = transformers.TrainingArguments(
        output_dir=str(tmp_path),
        max_steps=20,
        learning_rate=1e-2,
        per_device_train_batch_size=4,
        report_to=[],
        disable_tqdm=True,
        use_cpu=True,
        save_strategy="no",
        logging_strategy="no",
    )
    transformers.Trainer(model, arguments, train_dataset=rows).train()
    assert loss(model).isfinite()
    ids = torch.stack([row["input_ids"] for row in rows])
    with torch.no_grad():
        assert model(ids, labels=ids).loss < before(ids, labels=ids).loss / 2


def test_lm_eval_takes_it_as_it_is(tmp_path: Path) -> None:
    """Log-likelihoods of a continuation: the sum over its tokens, each after all before it."""
    import_lm_eval()
    from lm_eval.api.instance import Instance
    from lm_eval.models.huggingface import HFLM

    size = made_up_mmlu.save_tokenizer(tmp_path)
    tokenizer = transformers.PreTrainedTokenizerFast.from_pretrained(tmp_path)
    model = tiny_mamba2.model(vocab_size=size)
    texts = [("In anatomy, what is 9 and 4?\nAnswer:", " A"), ("Count again.", " 12 and B")]
    requests = [Instance("loglikelihood", {}, text, number) for number, text in enumerate(texts)]
    with quiet():
        found = HFLM(model, tokenizer=tokenizer, batch_size=2).loglikelihood(requests)

    for (context, continuation), (log_likelihood, _) in zip(texts, found, strict=True):
        ids = tokenizer(context + continuation)["input_ids"]
        start = len(tokenizer(context)["input_ids"])
        with torch.no_grad():
            log_probabilities = model(torch.tensor([ids])).logits.log_softmax(-1)[0]
        expected = sum(log_probabilities[t - 1, ids[t]].item() for t in range(start, len(ids)))
        assert log_likelihood == pytest.approx(expected, rel=1e-5)
