"""Files that lie in checkpoint folders and that some library would read, unasked or when told to.

`NAMES` were collected from transformers 4.40.0, PEFT 0.10.0 and their successors: every name that
`from_pretrained` of a model, a configuration or a tokenizer looks for.
"""

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

ADAPTER = "adapter_config.json"
NAMES = (
    *("pytorch_model.bin", "pytorch_model.bin.index.json", "pytorch_model-00001-of-00001.bin"),
    *("pytorch_model.fp16.bin", "model.fp16.safetensors", "consolidated.safetensors"),
    *("consolidated.00.pth", "adapter_model.bin", "adapter_model.safetensors", "training_args.bin"),
    *("optimizer.pt", "rng_state.pth", "trainer_state.json", "scheduler.pt", "tf_model.h5"),
    *("tf_model.h5.index.json", "model.ckpt.index", "model.ckpt.meta", "flax_model.msgpack"),
    *("flax_model.msgpack.index.json", "model.onnx", "quantize_config.json", "quant_config.json"),
    *("preprocessor_config.json", "processor_config.json", "modelcard.json", "params.json"),
    *("chat_template.jinja", "chat_template.json", "tokenizer.4.0.0.json", "config.4.0.0.json"),
    *("vocab.txt", "vocab.pkl", "spiece.model", "sentencepiece.bpe.model", "spm.model"),
    *("source.spm", "bpe.codes", "dict.txt", "entity_vocab.json", "emoji.json", "vocab-src.json"),
    *("modeling.py", "configuration.py", "tokenization.py", "generate.py", "setup.py"),
    *("sub/model.safetensors", "custom_generate/generate.py", "1_Pooling/config.json"),
)
"""None of them is read; whoever adds a loader adds what it looks for."""


class _Touches:
    """Unpickled, it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (open, (str(self.path), "w"))


def plant(folder: Path, touched: Path) -> None:
    """Put every decoy into a checkpoint folder that has no file of that name.

    Args:
        folder: The checkpoint.
        touched: A file that appears if code of a decoy runs.
    """
    for name in NAMES:
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        if path.exists():
            continue
        if path.suffix == ".safetensors":
            save_file({"decoy": np.zeros(3, np.float32)}, path)
        elif path.suffix == ".json":
            path.write_text(json.dumps({"decoy": name, "weight_map": {"a": "decoy.bin"}}))
        elif path.suffix == ".py":
            path.write_text(f"open({str(touched)!r}, 'w')\n")
        else:
            path.write_bytes(pickle.dumps(_Touches(touched)))


def plant_adapter(folder: Path, base: Path, touched: Path) -> None:
    """An adapter, pickled, whose config names another folder as the model that it belongs to."""
    said = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": str(base),
        "r": 2,
        "target_modules": ["in_proj"],
    }
    (folder / ADAPTER).write_text(json.dumps(said))
    (folder / "adapter_model.bin").write_bytes(pickle.dumps(_Touches(touched)))
