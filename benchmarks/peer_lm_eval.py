"""One evaluation of MMLU by the newest lm-eval, in the environment of another interpreter.

`benchmarks.evaluation --peer PYTHON` starts it there: `PYTHON benchmarks/peer_lm_eval.py ASKED`,
where ASKED is a JSON file that `evaluation_peer.cases` wrote. It imports nothing of this project.
Tasks are lm-eval's own YAML files of MMLU with another place of the rows: JSON lines. The model is
loaded by lm-eval from the folder, by transformers or by vLLM. The clock runs over
`lm_eval.evaluate`, as in the other arms: requests built, answered and scored; rows and weights are
read before it starts. Twenty questions of each subject at most and least examples come first.

Not covered: families that neither has code for; several GPUs.
"""

import argparse
import hashlib
import importlib.util
import json
import os
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

os.environ |= {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "true"}

BACKENDS = {"hf": "lm_eval.models.huggingface:HFLM", "vllm": "lm_eval.models.vllm_causallms:VLLM"}


def model_of(asked: dict[str, Any]) -> Any:  # noqa: ANN401 - an lm-eval model
    """The model, as lm-eval loads it from a folder."""
    module, _, name = BACKENDS[asked["backend"]].partition(":")
    made = getattr(importlib.import_module(module), name)
    options = {"pretrained": asked["model"], "dtype": asked["dtype"]}
    if asked["backend"] == "hf":
        return made(**options, device=asked["device"], batch_size=asked["batch_size"])
    return made(**options, max_model_len=2048, gpu_memory_utilization=0.5, batch_size="auto")


def tasks_of(asked: dict[str, Any], shots: int) -> dict[str, Any]:
    """lm-eval's own tasks of the subjects, their rows from files."""
    import lm_eval.tasks
    from lm_eval.api.task import ConfigurableTask
    from lm_eval.tasks._yaml_loader import load_yaml

    own, found = Path(lm_eval.tasks.__file__).parent / "mmlu" / "default", {}
    for subject, files in asked["rows"].items():
        config = load_yaml(own / f"mmlu_{subject}.yaml")
        config.pop("tag")
        config |= {"dataset_path": "json", "dataset_kwargs": {"data_files": files}}
        config |= {"dataset_name": None, "num_fewshot": shots}
        # 0.4.2 drops the last line break of a description, 0.4.13 does not: other prompts
        config["description"] = config["description"].removesuffix("\n")
        found[f"mmlu_{subject}"] = ConfigurableTask(config=config)
    return found


def evaluated(lm: Any, asked: dict[str, Any], shots: int, limit: int | None) -> dict[str, Any]:  # noqa: ANN401
    """Seconds of one evaluation, and answers and prompts of each question in order."""
    import lm_eval

    tasks = tasks_of(asked, shots)
    began = time.perf_counter()
    found = lm_eval.evaluate(lm, tasks, limit=limit, bootstrap_iters=0, verbosity="ERROR")
    seconds = time.perf_counter() - began
    samples = [
        sample
        for subject in asked["rows"]
        for sample in sorted(found["samples"][f"mmlu_{subject}"], key=lambda each: each["doc_id"])
    ]
    prompts = [sample["arguments"] for sample in samples]
    return {
        "shots": shots,
        "seconds": seconds,
        "answers": [[float(each[0]) for each in one["filtered_resps"]] for one in samples],
        "prompts": hashlib.sha256(
            json.dumps([_texts(each) for each in prompts]).encode()
        ).hexdigest(),
    }


def _texts(arguments: Any) -> list[list[str]]:  # noqa: ANN401 - as a sample has them
    """Context and continuation of each request of a question."""
    every = arguments.values() if isinstance(arguments, dict) else arguments
    return [[*(each.values() if isinstance(each, dict) else each)][:2] for each in every]


def main() -> None:
    """Answer what is asked, and write it into the file that it names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("asked", metavar="ASKED", type=Path)
    asked = json.loads(parser.parse_args().asked.read_text())
    if importlib.util.find_spec("lm_eval") is None:
        raise SystemExit("lm-eval is not installed in this environment")
    if asked["backend"] == "vllm" and importlib.util.find_spec("vllm") is None:
        raise SystemExit("vLLM is not installed in this environment")
    names = ("lm_eval", "transformers", "torch", "vllm", "mamba_ssm", "causal_conv1d")
    lm = model_of(asked)
    for shots in (min(asked["shots"]), max(asked["shots"])):
        evaluated(lm, asked, shots, 20)
    runs = [
        evaluated(lm, asked, shots, asked["limit"])
        for _ in range(asked["repeats"])
        for shots in asked["shots"]
    ]
    versions = {name: version(name) for name in names if importlib.util.find_spec(name)}
    Path(asked["out"]).write_text(json.dumps({"versions": versions, "runs": runs}))


if __name__ == "__main__":
    main()
