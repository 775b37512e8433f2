"""Records changed and sealed again: what somebody who edits results would do.

A digest that is computed anew hides a slip from the first check of the verifier. The key is not
computed anew: whoever does that has made another record, which no verifier can tell.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

from fuzz import json_trees
from fuzz.choices import Choices
from fuzz.json_trees import Members, Raw
from repro.store.record import Record

_DTYPES = (*("F64", "F32", "F16", "BF16", "F8_E4M3", "F8_E5M2", "I64", "I32", "U8", "BOOL", "U64"),)
_SHAPES = (
    *("[]", "[0]", "[1]", "[-1]", "[0,0]", "[1e3]", f"[{2**62},0]", f"[{2**40},{2**40}]", "[1.5]"),
    *(f"[{2**64}]", "[4611686018427387904,4]", "[" + "1," * 70 + "1]", "null", "[0,4]", "[65,4]"),
)


def seal(text: bytes) -> bytes:
    """A record with the digest of its content; as it is where it is no record."""
    try:
        record = Record.model_validate_json(text, strict=True)
        digest = record.digest_of_content()
        data = json_trees.parse(text)
    except Exception:  # noqa: BLE001  # whatever is wrong with it, the command line has to say
        return text
    for pair in data:
        if pair[0] == "digest":
            pair[1] = digest
    return json_trees.dump(data).encode("utf-8", "surrogatepass")


def with_arrays(text: bytes, arrays: bytes) -> bytes:
    """A record that names the digest of other arrays, sealed."""
    data = json.loads(text)
    data["arrays"]["sha256"] = hashlib.sha256(arrays).hexdigest()
    data["arrays"]["size"] = len(arrays)
    return seal(json.dumps(data).encode())


def damaged_arrays(content: bytes, choices: Choices) -> bytes:
    """A safetensors file with another header, other numbers, or neither."""
    length = int.from_bytes(content[:8], "little")
    header, data = content[8 : 8 + length], bytearray(content[8 + length :])
    how = choices.below(8)
    if how == 0:
        sizes = (0, 1, 2**20, 2**32, 2**63, 2**64 - 1, length - 1, length + 1)
        return choices.of(sizes).to_bytes(8, "little") + content[8:]
    if how == 1:
        return content[: choices.below(len(content) + 1)]
    if how >= 5:  # noqa: PLR2004  # three in eight
        for _ in range(1 + choices.below(4)):
            at = choices.below(len(data))
            data[at] = choices.of((0, 1, 0x7F, 0x80, 0xF0, 0xFF, data[at] ^ 1))
        return content[: 8 + length] + bytes(data)
    tree = json_trees.parse(header)
    _retype(tree, choices) if how > 2 else json_trees.mutate(tree, choices)  # noqa: PLR2004
    text = json_trees.text_of(tree, choices)
    return len(text).to_bytes(8, "little") + text + bytes(data)


def _retype(tree: Members, choices: Choices) -> None:
    """Arrays of another dtype or shape, or without entries; offsets that fit, or not."""
    for _ in range(1 + choices.below(3)):
        pair = choices.of(tree)
        fields: dict[str, Any] = dict(pair[1]) if isinstance(pair[1], Members) else {}
        how = choices.below(4)
        if how == 0:
            fields["dtype"] = choices.of(_DTYPES)
        elif how == 1:
            fields["shape"] = Raw(choices.of(_SHAPES))
        else:
            if how == 2:  # noqa: PLR2004  # whatever the dtype, nothing is no entry of it
                fields["dtype"] = choices.of(_DTYPES)
            fields |= {"shape": Raw(choices.of(_SHAPES)), "data_offsets": Raw("[0,0]")}
        pair[1] = Members([key, value] for key, value in fields.items())


def folder_of(record: Path) -> Path:
    """The arrays beside a record."""
    return record.parent / "arrays.safetensors"
