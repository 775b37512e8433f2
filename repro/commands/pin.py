"""`repro pin`: the weights of a torch checkpoint as safetensors, without unpickling them."""

import argparse
from dataclasses import asdict
from pathlib import Path

from repro import convert_weights, report_progress
from repro.commands import options
from repro.convert_weights import Converted
from repro.errors import EXIT_DONE
from repro.torch_refusal import shown

_MOST_SHOWN = 5


def add(parser: argparse.ArgumentParser) -> None:
    """Arguments of `repro pin`."""
    parser.add_argument(
        "file",
        metavar="FILE",
        type=Path,
        help="pytorch_model.bin, one shard of it, or pytorch_model.bin.index.json for all shards",
    )
    parser.add_argument(
        "--out",
        metavar="FOLDER",
        type=Path,
        help="folder to write to (default: the folder of FILE)",
    )
    options.add_json(parser)
    parser.epilog = (
        "Loading a pickle executes what it says, in torch 2.2.1 even with weights_only=True. Here\n"
        "the file is read as data: named tensors come out bit for bit, anything else is refused\n"
        "by name. No file is overwritten. Exits 0 if the safetensors are there, 2 if FILE was\n"
        "refused or they could not be written; then nothing was."
    )


def run(arguments: argparse.Namespace) -> int:
    """Print what was read and what was written, with digests."""
    with report_progress.bytes_bar(quiet=arguments.json) as progress:
        made = convert_weights.convert(arguments.file, arguments.out, progress)
    if arguments.json:
        print(options.as_json([asdict(each) for each in made]))
    else:
        for each in made:
            _show(each)
    return EXIT_DONE


def _show(made: Converted) -> None:
    state = "" if made.written else " (was there already, the same to the byte)"
    print(f"{made.target}: {made.tensors:,} tensors{state}")
    print(f"    read     {made.source_bytes:>16,} bytes, sha256 {made.source_sha256}")
    print(f"    written  {made.target_bytes:>16,} bytes, sha256 {made.target_sha256}")
    for names in made.shared[:_MOST_SHOWN]:
        listed = ", ".join(shown(name) for name in names[:_MOST_SHOWN])
        more = f" and {len(names) - _MOST_SHOWN} more" if names[_MOST_SHOWN:] else ""
        print(f"    one storage, written in full under each name: {listed}{more}")
    if made.shared[_MOST_SHOWN:]:
        print(f"    and {len(made.shared) - _MOST_SHOWN} more shared storages")
