"""JSON of a checkpoint: read whole or refused, and never allowed to send a library elsewhere.

transformers takes any field of tokenizer_config.json or special_tokens_map.json as an argument of
the tokenizer's class, a path among them, and lets config.json change what a model returns. A
tokenizer.json that newer tokenizers wrote is brought to the form that the pinned version reads,
where both say the same.

Reference: transformers 4.40.0, `PretrainedConfig` and `PreTrainedTokenizerBase._from_pretrained`;
tokenizers 0.19.1 and 0.22.1, `models/bpe/serialization.rs`; ai2-olmo 0.3.0 for its tokenizer.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from repro import fileio, json_text
from repro.errors import BadInputError, Problem

Json = dict[str, Any]

CLASSES = frozenset(
    {
        "PreTrainedTokenizerFast",
        *("GPTNeoXTokenizer", "GPTNeoXTokenizerFast", "GPT2Tokenizer", "GPT2TokenizerFast"),
        *("CodeGenTokenizer", "CodeGenTokenizerFast", "LlamaTokenizer", "LlamaTokenizerFast"),
    }
)
"""Tokenizers of the families, in transformers; they read the files of `loadable.TOKENIZER`."""

_DERIVED = dict.fromkeys(("OLMoTokenizer", "OLMoTokenizerFast"), "PreTrainedTokenizerFast")
"""Tokenizers of a hub that add nothing to the class of transformers that they derive from."""

_NEVER_OPENED = ("special_tokens_map_file", "added_tokens_file", "tokenizer_config_file")
"""Paths that older versions left behind and none reads."""

_TOP = (
    *("version", "truncation", "padding", "added_tokens", "normalizer", "pre_tokenizer"),
    *("post_processor", "decoder", "model"),
)
"""Fields of tokenizer.json; the pinned version stops at any other."""

_MOST_LABELS = 1000
"""transformers makes names for as many classes as config.json says, before anything else."""


def read(path: Path) -> Json:
    """A JSON object.

    Raises:
        BadInputError: there is none.
    """
    try:
        return parse(fileio.read_bytes(path))
    except (OSError, ValueError) as error:
        problem = Problem(str(path), json_text.explain_error(error), "a JSON object")
        raise BadInputError("cannot load the checkpoint", [problem]) from error


def parse(content: bytes) -> Json:
    """A JSON object.

    Raises:
        ValueError: saying what it is instead.
    """
    try:
        found = json_text.parse(content)
    except ValueError as error:
        raise ValueError(f"no JSON ({error})") from error
    if not isinstance(found, dict):
        raise ValueError(f"a {type(found).__name__}")  # noqa: TRY004  # what a damaged file is
    return found


def file_of(data: object) -> bytes:
    """JSON as a small file of a checkpoint that is written here."""
    return (json.dumps(data, indent=2, ensure_ascii=False) + "\n").encode()


# -----------------------------------------------------------------------------
# What may not be said


def forbidden_settings(path: Path, *, own_code: bool) -> Iterator[Problem]:
    """What a file of a checkpoint says that loading may not follow.

    Args:
        path: Any file of `loadable`'s list; most say nothing of the kind.
        own_code: Whether the checkpoint's own code loads it, which is pinned.
    """
    check = _CHECKS.get(path.name)
    if check is None:
        return
    try:
        found = parse(fileio.read_bytes(path))
    except ValueError as error:
        yield Problem(str(path), f"{error}", "a JSON object")
        return
    for field, what, expected in check(found, own_code):
        yield Problem(f"{path}: $.{field}", what, expected)


Fault = tuple[str, str, str]
"""A field, what was found, what was expected."""


def _config(found: Json, own_code: bool) -> Iterator[Fault]:  # noqa: FBT001  # one signature
    if "ssm_cfg" in found:  # the loader of Mamba-2 knows every field
        return
    for field, expected in (
        ("quantization_config", "nothing: quantised weights are not those that are measured"),
        ("configuration_files", "nothing: this file is the configuration"),
        ("rope_parameters", "rope_theta and rope_scaling, as transformers 4.40.0 reads them"),
        ("pruned_heads", "nothing: a model with all its heads"),
    ):
        if found.get(field):
            yield field, _short(found[field]), expected
    for field, usual in (("return_dict", True), ("torchscript", False)):
        if found.get(field, usual) is not usual:
            yield field, _short(found[field]), f"{usual}, or no such field"
    labels = found.get("num_labels", 0)
    if type(labels) is not int or labels > _MOST_LABELS:
        yield "num_labels", _short(labels), "no such field: the model has no classes"
    yield from _tokenizer_class(found, own_code)


def _tokenizer_settings(found: Json, own_code: bool) -> Iterator[Fault]:  # noqa: FBT001
    """Of tokenizer_config.json and special_tokens_map.json, which transformers merges."""
    for field, value in found.items():
        path = field.endswith(("_file", "_files")) and field not in _NEVER_OPENED
        if path and value not in (None, [], ["tokenizer.json"]):
            yield field, _short(value), "no such field: the tokenizer is the one in this folder"
    if found.get("init_inputs"):
        yield "init_inputs", _short(found["init_inputs"]), "no such field"
    options = found.get("sp_model_kwargs") or {}
    values = options.values() if isinstance(options, dict) else ["?"]
    if not all(isinstance(each, int | float) for each in values):
        yield "sp_model_kwargs", _short(options), "numbers, or no such field"
    yield from _tokenizer_class(found, own_code)


def _tokenizer_class(found: Json, own_code: bool) -> Iterator[Fault]:  # noqa: FBT001
    named = found.get("tokenizer_class")
    if named is not None and not own_code and named not in {*CLASSES, *_DERIVED}:
        yield "tokenizer_class", _short(named), f"one of {', '.join(sorted(CLASSES))}"


_CHECKS: Mapping[str, Callable[[Json, bool], Iterator[Fault]]] = {
    "config.json": _config,
    "tokenizer_config.json": _tokenizer_settings,
    "special_tokens_map.json": _tokenizer_settings,
}


def _short(value: object) -> str:
    """A value that is not ours, as one printable line."""
    text = ascii(value)
    return text if len(text) <= 100 else text[:100] + "…"  # noqa: PLR2004


# -----------------------------------------------------------------------------
# tokenizer.json and tokenizer_config.json


def tokenizer_settings(content: bytes) -> bytes:
    """The same settings by a class of transformers; the same bytes where they name none other.

    Raises:
        ValueError: they are no JSON object.
    """
    found = parse(content)
    if found.get("tokenizer_class") not in _DERIVED:
        return content
    found.pop("auto_map", None)
    found["tokenizer_class"] = _DERIVED[found["tokenizer_class"]]
    return file_of(found)


def tokenizer(content: bytes) -> bytes:
    """The same tokenizer as the pinned tokenizers reads it; the same bytes where it does.

    Newer versions write merges of BPE as pairs, ["a", "b"], and not as "a b".

    Raises:
        ValueError: the older form cannot say it, or the pinned version does not know a field.
    """
    found = parse(content)
    unknown = [field for field in found if field not in _TOP]
    if said := [field for field in unknown if found[field] not in (None, [], {})]:
        raise ValueError(f"a field that tokenizers 0.19.1 does not know: {', '.join(said)}")
    model = found.get("model")
    merges = model.get("merges") if isinstance(model, dict) else None
    pairs = isinstance(merges, list) and any(not isinstance(each, str) for each in merges)
    if not unknown and not pairs:
        return content
    for field in unknown:
        del found[field]
    if isinstance(merges, list):
        found["model"]["merges"] = [_merge(each) for each in merges]
    return json.dumps(found, ensure_ascii=False).encode()


def vocabulary_digest(path: Path) -> str:
    """SHA-256 of what a tokenizer.json splits text into: every token with its id, and the merges.

    Two files say the same wherever they were written, in whichever form and order of tokens; what
    else they say (normalising, special tokens to add) is left out. "" where there is no such file.
    """
    try:
        found = parse(fileio.read_bytes(path))
        model = found["model"]
        added = {each["content"]: each["id"] for each in found.get("added_tokens") or []}
        merges = [_merge(each).split(" ") for each in model.get("merges") or []]
        return fileio.digest_of_data({"vocab": {**model["vocab"], **added}, "merges": merges})
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return ""  # another kind of tokenizer, or none: the checks above tell of it


def _merge(each: object) -> str:
    """A pair in the older form."""
    if isinstance(each, str):
        return each
    if not isinstance(each, list) or [type(part) for part in each] != [str, str]:
        raise ValueError(f"a merge that is no pair of tokens: {_short(each)}")
    if any(" " in part for part in each):
        message = f"a merge of tokens with a space, which tokenizers 0.19.1 cannot read: {each!a}"
        raise ValueError(message)
    return " ".join(each)
