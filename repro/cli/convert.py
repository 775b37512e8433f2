"""`repro convert`: a torch checkpoint as safetensors, not unpickled; or in another layout."""

import argparse
from dataclasses import asdict

from repro import paths
from repro.cli import options
from repro.errors import EXIT_DONE, BadInputError
from repro.report import console
from repro.text import first_few, plural
from repro.weights import convert, mamba, olmo
from repro.weights.convert import Converted
from repro.weights.torch_zip import printable

_MOST_SHOWN = 5


def add(parser: argparse.ArgumentParser) -> None:
    """Arguments of `repro convert`."""
    parser.add_argument(
        "file",
        metavar="FILE",
        type=paths.path_argument,
        help="pytorch_model.bin, one shard of it, or pytorch_model.bin.index.json for all shards: "
        "write the same weights as safetensors",
    )
    parser.add_argument(
        "--out",
        metavar="FOLDER",
        type=paths.folder_argument,
        help="folder to write to (default: the folder of FILE)",
    )
    parser.add_argument(
        "--layout",
        choices=("olmo", "mamba", "mamba2"),
        help="with model.safetensors (or its index) as FILE, and --out: the same weights in the "
        "layout that is loaded here, with config.json and tokenizer; hf_olmo's in that of "
        "transformers' own OLMo, so that loading them executes no code of the hub; the release's "
        "Mamba in transformers'; transformers' Mamba2 in the release's; in half precision the two "
        "models of a pair round differently",
    )
    options.add_json(parser)
    parser.epilog = (
        "Loading a pickle executes what it says, in torch 2.2.1 even with weights_only=True.\n"
        "Here the file is read as data: named tensors come out bit for bit, anything else is\n"
        "refused by name. No file is overwritten. Exits 0 if the safetensors are there, 2 if FILE\n"
        "was refused or they could not be written; then nothing was.\n"
        "\n"
        "example:\n"
        "  repro convert FOLDER/pytorch_model.bin"
    )


def run(arguments: argparse.Namespace) -> int:
    """Print what was read and written, with digests."""
    if arguments.layout:
        return _lay_out(arguments)
    with console.bytes_bar(quiet=arguments.json) as progress:
        made = convert.convert(arguments.file, arguments.out, progress)
    if arguments.json:
        print(options.as_json([asdict(each) for each in made]))
    else:
        for each in made:
            _show(each)
    return EXIT_DONE


def _lay_out(arguments: argparse.Namespace) -> int:
    """Write a checkpoint in another layout."""
    if arguments.out is None:
        layout = f"--layout {arguments.layout}"
        message = f"{layout}: expected --out FOLDER with it, another folder than that of FILE"
        raise BadInputError(message)
    if arguments.layout == "olmo":
        made = olmo.convert(arguments.file, arguments.out)
    else:
        made = mamba.convert(arguments.file, arguments.out, arguments.layout)
    if arguments.json:
        print(options.as_json([asdict(each) for each in made]))
    else:
        for each in made:
            options.print_line(f"{each.path}: {each.size:,} bytes, sha256 {each.sha256}")
    return EXIT_DONE


def _show(made: Converted) -> None:
    state = "" if made.written else " (was there already, the same to the byte)"
    options.print_line(f"{made.target}: {plural(made.tensors, 'tensor')}{state}")
    options.print_line(f"    read     {made.source_bytes:>16,} bytes, sha256 {made.source_sha256}")
    options.print_line(f"    written  {made.target_bytes:>16,} bytes, sha256 {made.target_sha256}")
    for names in made.shared[:_MOST_SHOWN]:
        several = first_few([printable(name) for name in names], _MOST_SHOWN)
        options.print_line(f"    one storage, written in full under each name: {several}")
    if made.shared[_MOST_SHOWN:]:
        options.print_line(
            f"    and {plural(len(made.shared) - _MOST_SHOWN, 'more shared storage')}"
        )
