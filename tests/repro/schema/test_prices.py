"""Prices of jobs make sense beside each other, and say what they are extrapolated from."""

import copy
import math
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Any, TypeVar

import evaluate_jobs
import pytest

from repro import paths
from repro.environment.machine import capture
from repro.inputs.locate import InputLocator
from repro.planning import cost
from repro.schema import catalog, slots, validate
from repro.schema.jobs import BenchmarkJob, EvaluateJob, ThroughputJob, TuningJob
from repro.schema.kinds import rates
from repro.schema.kinds.base import Data, Estimate

J = TypeVar("J", TuningJob, ThroughputJob, BenchmarkJob)
KNOWN, MMLU = catalog.checkpoints(), catalog.datasets()["mmlu"]
ALPACA, HELLASWAG = catalog.instructions()["alpaca"], catalog.benchmarks()["hellaswag"]
DTYPES = ("float32", "float16", "bfloat16")
HALF = {"float16", "bfloat16"}


def _first(manifest: str, kind: type[J]) -> J:
    asked = validate.load_manifest(paths.MANIFESTS / f"{manifest}.json")
    every = (slot.job for slot in slots.slots(asked, "full", KNOWN))
    return next(job for job in every if isinstance(job, kind))


TUNING, THROUGHPUT = _first("figure1", TuningJob), _first("figure2", ThroughputJob)
BENCHMARK = _first("figure3", BenchmarkJob)
MAMBA2 = sorted(
    (each for name, each in KNOWN.items() if name.startswith("mamba2-") and "twin" not in name),
    key=lambda each: each.parameters,
)


def _mmlu(engine: str, path: str) -> Callable[[str, str], Estimate]:
    checked = {"checked": ("anatomy",), "checked_shots": (0,)} if engine == "prefix" else {}
    fields = {"subjects": tuple(sorted(MMLU.subjects)), "engine": engine, "mamba_path": path}

    def price(name: str, dtype: str) -> Estimate:
        job: EvaluateJob = evaluate_jobs.job(dtype, checkpoint=name, **fields, **checked)
        return job.estimate(KNOWN[name], MMLU)

    return price


def _benchmark(name: str, dtype: str, data: catalog.Benchmark = HELLASWAG) -> Estimate:
    job = BENCHMARK.model_copy(update={"checkpoint": name, "dtype": dtype})
    return job.estimate(KNOWN[name], data)


def _tuning(
    name: str, dtype: str, method: str = "lora-all", data: Data = ALPACA, length: int = 2048
) -> Estimate:
    said = {"precision": dtype, "method": method, "max_length": length}
    recipe = TUNING.recipe.model_copy(update=said)
    job = TUNING.model_copy(update={"checkpoint": name, "recipe": recipe})
    return job.estimate(KNOWN[name], data)


def _full(name: str, dtype: str) -> Estimate:
    return _tuning(name, dtype, "full")


def _throughput(name: str, dtype: str) -> Estimate:
    said = {"checkpoint": name, "precision": dtype, "method": "lora-all"}
    return THROUGHPUT.model_copy(update=said).estimate(KNOWN[name], None)


EVALUATIONS = {
    "by the engine prefix": _mmlu("prefix", "kernels"),
    "by lm-eval": _mmlu("lm-eval", "kernels"),
    "of a benchmark": _benchmark,
}
SLOW = {"plain scan": _mmlu("prefix", "slow"), "plain scan, lm-eval": _mmlu("lm-eval", "slow")}
TUNINGS = {"adapters": _tuning, "full": _full}
KINDS = {**EVALUATIONS, **SLOW, **TUNINGS, "throughput": _throughput}


@pytest.fixture
def by_law(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The rows that were measured, with numbers of a law in place of theirs.

    A computing card and no launching: seconds go with parameters, float32 takes four times as
    long as half, full training half as long again as adapters. What was measured is no law: small
    models take what Python takes to launch them, which goes with blocks, and is the same or less
    in float32.
    """
    made: dict[str, Any] = copy.deepcopy(dict(rates.measured()))
    for each in made["passes"]:
        seconds = each["parameters"] * (4 if each["dtype"] == "float32" else 1) * 1e-14
        each |= {name: 1 / seconds for name in ("from_zero", "behind", "stock") if name in each}
        each |= {name: 1e-9 for name in ("call", "behind_call", "stock_call") if name in each}
    for each in made["steps"]:
        seconds = each["parameters"] * (4 if each["dtype"] == "float32" else 1) * 1e-14
        each["token"] = seconds * (1.5 if each["method"] == "full" else 1)
        each |= {name: 1e-9 for name in ("least",) if name in each}
    monkeypatch.setattr(rates, "measured", lambda: made)
    _forget()
    yield
    monkeypatch.undo()
    _forget()


def _forget() -> None:
    for cached in (rates._rows, rates._of_family):
        cached.cache_clear()


lawful = pytest.mark.usefixtures("by_law")
each_kind = pytest.mark.parametrize("kind", KINDS)
each_dtype = pytest.mark.parametrize("dtype", DTYPES)


def rising(prices: Sequence[float]) -> bool:
    """Whether none is below the one before, but for a last bit of its logarithm."""
    return all(one <= two * (1 + 1e-12) for one, two in pairwise(prices))


@each_kind
@each_dtype
def test_every_model_has_a_price_in_every_kind_of_job(kind: str, dtype: str) -> None:
    for name in KNOWN:
        found = KINDS[kind](name, dtype)
        assert 0 < found.gpu_seconds < math.inf, name
        assert kind == "throughput" or 0 < found.on_card <= found.gpu_seconds, name


@lawful
@pytest.mark.parametrize("kind", [name for name in KINDS if name != "throughput"])
@each_dtype
@pytest.mark.parametrize("family", sorted({each.family for each in KNOWN.values()}))
def test_a_bigger_model_never_costs_less(family: str, kind: str, dtype: str) -> None:
    """Of a throughput job fewer rows fit a bigger model: a step over as many tokens is held.

    Without twins, whose tokenizers make more tokens of the same text.
    """
    every = sorted((each.parameters, name) for name, each in KNOWN.items() if each.family == family)
    prices = [KINDS[kind](name, dtype).gpu_seconds for _, name in every if "twin" not in name]
    assert rising(prices)
    for method in ("full", "lora-all"):
        steps = [rates.step(KNOWN[name], method, dtype, 4096).seconds for _, name in every]
        assert rising(steps)


@each_dtype
@pytest.mark.parametrize("name", KNOWN)
def test_a_longer_sequence_never_costs_less(name: str, dtype: str) -> None:
    long = ALPACA.model_copy(update={"row_characters": 10 * ALPACA.row_characters})
    for method in ("full", "lora-all"):
        lengths = [
            _tuning(name, dtype, method, long, tokens).gpu_seconds for tokens in (64, 128, 2048)
        ]
        assert lengths == sorted(lengths)
        assert lengths[0] < lengths[-1]
        assert _tuning(name, dtype, method).gpu_seconds < lengths[-1]
        one, two = (rates.step(KNOWN[name], method, dtype, each).seconds for each in (512, 1024))
        assert one < two
    asked = HELLASWAG.model_copy(
        update={"question_characters": 4 * HELLASWAG.question_characters},
    )
    assert _benchmark(name, dtype).gpu_seconds < _benchmark(name, dtype, asked).gpu_seconds


@lawful
@pytest.mark.parametrize("name", KNOWN)
def test_float32_never_costs_less_than_half_precision(name: str) -> None:
    known = KNOWN[name]
    for half in HALF:
        for speed in ("from_zero", "behind", "stock"):
            single, faster = (
                rates.token(known, each, speed, "kernels") for each in ("float32", half)
            )
            assert faster.seconds <= single.seconds
        for kind in ("adapters", "full"):
            assert KINDS[kind](name, half).gpu_seconds <= KINDS[kind](name, "float32").gpu_seconds


@lawful
@pytest.mark.parametrize("kind", [*EVALUATIONS, *TUNINGS])
@pytest.mark.parametrize("known", MAMBA2, ids=lambda each: str(each.parameters))
def test_mamba2_of_which_one_precision_was_measured_keeps_their_order(
    known: catalog.Checkpoint, kind: str
) -> None:
    (name,) = (name for name, each in KNOWN.items() if each is known)
    single = KINDS[kind](name, "float32").gpu_seconds
    assert all(KINDS[kind](name, half).gpu_seconds <= single for half in HALF)


@each_dtype
def test_mamba2_of_which_adapters_alone_were_measured_trains_in_full_no_faster(dtype: str) -> None:
    for known in MAMBA2:
        full, adapters = (rates.step(known, way, dtype, 1000) for way in ("full", "lora-all"))
        assert full.seconds >= adapters.seconds


def test_one_measured_shape_is_scaled_by_parameters() -> None:
    """Oracle: BF16 with adapters is 0.000472 s a token at 2.7B, the only row of Mamba-2."""
    for known in MAMBA2:
        found = rates.step(known, "lora-all", "bfloat16", 1000).seconds
        # Mamba 130M, the smallest shape of any family, is 0.1 % larger than Mamba-2 130M.
        assert found == pytest.approx(0.472 * known.parameters / 2702599680, rel=2e-3)


@lawful
@each_dtype
@pytest.mark.parametrize(("method", "way"), [("full", "full"), ("lora-sll", "lora")])
def test_what_was_not_measured_goes_by_pythia_in_the_same_dtype_and_way(
    method: str, way: str, dtype: str
) -> None:
    measured = "float32" if dtype == "float32" else "bfloat16"
    rows = [
        each
        for each in rates.measured()["steps"]
        if (each["family"], each["dtype"], each["method"]) == ("gpt-neox", measured, way)
    ]
    points = [(each["parameters"], each["token"]) for each in rows]
    for name in ("tinyllama-1.1b", "phi-1.5"):
        found, known = rates.step(KNOWN[name], method, dtype, 1000), KNOWN[name]
        at = rates.interpolated(points, known.parameters)
        assert found.seconds == pytest.approx(1000 * at)
        assert {each.shape for each in found.stand_ins} == {each["shape"] for each in rows}


@each_kind
@each_dtype
@pytest.mark.parametrize("name", [name for name in KNOWN if "twin" not in name])
def test_a_price_says_what_it_is_extrapolated_from(name: str, kind: str, dtype: str) -> None:
    """What the file has of the model itself in every field of its price needs no saying."""
    known, found = KNOWN[name], KINDS[kind](name, dtype)
    trains = kind in TUNINGS or kind == "throughput"
    path = "slow" if kind in SLOW and known.family == "mamba" else "kernels"
    way = ("method", "full" if kind == "full" else "lora") if trains else ("path", path)
    alike = {dtype} if dtype == "float32" else HALF
    own = [
        each
        for each in rates.measured()["steps" if trains else "passes"]
        if each["shape"] == name and each["dtype"] in alike and each[way[0]] == way[1]
    ]
    fields = {"token"} if trains else {"from_zero", "behind", "behind_call", "stock", "stock_call"}
    if any(each.keys() >= fields for each in own):
        assert not found.stand_ins
    if not own and known.family not in ("mamba", "gpt-neox"):
        assert found.stand_ins
    for each in found.stand_ins:
        assert (each.family, each.dtype) == (known.family, dtype)


def test_a_plan_says_what_training_is_priced_by() -> None:
    jobs = [
        TUNING.model_copy(
            update={
                "checkpoint": name,
                "recipe": TUNING.recipe.model_copy(update={"precision": dtype, "method": method}),
            }
        )
        for name, dtype, method in (
            ("mamba2-130m", "bfloat16", "lora-all"),
            ("mamba2-2.7b", "bfloat16", "lora-all"),
            ("mamba2-2.7b", "float32", "full"),
            ("mamba-370m", "float32", "full"),
            ("olmo-1b", "float16", "full"),
            ("phi-1.5", "float16", "full"),
            ("tinyllama-1.1b", "float16", "full"),
        )
    ]
    locator, machine = InputLocator(), capture()
    costs = [cost.estimate_cost(each, locator, machine) for each in jobs]
    assert cost.price_of_this_machine(costs, "") == (
        "full training of llama, phi in float16 by pythia-1.4b, pythia-160m, pythia-410m; "
        "full training of mamba2 in float32 by mamba2-2.7b in bfloat16 with adapters; "
        "training of adapters of mamba2 in bfloat16 by mamba2-2.7b"
    )


@pytest.mark.parametrize(
    ("name", "card"),
    [
        ("NVIDIA H200", "H200"),
        ("NVIDIA H200 NVL", "H200 NVL"),
        ("NVIDIA H100 80GB HBM3", "H100"),
        ("NVIDIA H100 PCIe", "H100 PCIe"),
        ("NVIDIA H100 NVL", "H100 NVL"),
        ("NVIDIA A100-SXM4-80GB", "A100"),
        ("NVIDIA A100-SXM4-40GB", "A100 40GB"),
        ("NVIDIA A100-PCIE-40GB", "A100 40GB"),
        ("NVIDIA A100 80GB PCIe", "A100 80GB PCIe"),
        ("NVIDIA A10G", "A10G"),
        ("NVIDIA L40S", "L40S"),
        ("NVIDIA L4", "L4"),
        ("Tesla V100-SXM2-16GB", "V100"),
        ("Tesla T4", "T4"),
        ("NVIDIA GH200 480GB", None),
        ("NVIDIA L40", None),
        ("NVIDIA RTX A1000", None),
        ("NVIDIA T400 4GB", None),
        ("NVIDIA A10", None),
        ("NVIDIA RTX A6000", None),
        ("NVIDIA GeForce RTX 4090", None),
        ("Tesla V100S-PCIE-32GB", None),
        ("NVIDIA H100 80GB HBM3 MIG 1g.10gb", None),
        ("NVIDIA H200 MIG 7g.141gb", None),
        ("NVIDIA A100-SXM4-40GB MIG 3g.20gb", None),
        ("GRID A100-4C", None),
        ("NVIDIA A10G-24Q", None),
        ("NVIDIA", None),
        ("", None),
    ],
)
def test_a_card_is_known_by_all_words_of_its_name(name: str, card: str | None) -> None:
    assert rates.known_card(name) == card
    assert rates.is_h200(name) == (card == "H200")
    assert (rates.slower(name, "float32") is None) == (card is None)
    said = cost.price_of_this_machine((), name)
    assert said.endswith("nothing is known of it, priced as an H200") == bool(name and not card)
