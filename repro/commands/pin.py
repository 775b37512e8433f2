"""`repro pin`: digests into the catalog; or a torch checkpoint as safetensors, not unpickled."""

import argparse
from dataclasses import asdict

from repro import convert_weights, given_paths, olmo_layout, pin_checkpoints, report_progress
from repro.commands import options
from repro.convert_weights import Converted
from repro.errors import EXIT_DONE, BadInputError
from repro.pin_checkpoints import Pinned
from repro.plural import counted
from repro.torch_refusal import shown

_MOST_SHOWN = 5


def add(parser: argparse.ArgumentParser) -> None:
    """Arguments of `repro pin`."""
    parser.add_argument(
        "file",
        metavar="FILE",
        nargs="?",
        type=given_paths.path,
        help="pytorch_model.bin, one shard of it, or pytorch_model.bin.index.json for all shards: "
        "write the same weights as safetensors",
    )
    parser.add_argument(
        "--checkpoints",
        metavar="NAME",
        nargs="*",
        help="without FILE: pin these checkpoints of catalog/checkpoints.json, e.g. --checkpoints "
        "olmo-1b phi-1.5 (default: every one that the model hub has)",
    )
    parser.add_argument(
        "--out",
        metavar="FOLDER",
        type=given_paths.folder,
        help="with FILE: folder to write to (default: the folder of FILE)",
    )
    parser.add_argument(
        "--layout",
        choices=("olmo",),
        help="with FILE, hf_olmo's model.safetensors, and --out: the same weights in the layout of "
        "transformers' own OLMo, with config.json and tokenizer, so that loading them executes no "
        "code of the hub; in half precision the two models round differently",
    )
    options.add_json(parser)
    parser.epilog = (
        "Without FILE: asks the model hub ($HF_ENDPOINT) which commit each revision is and which\n"
        "SHA-256 each file has that loading reads, and writes both into catalog/checkpoints.json;\n"
        "later runs are held to them. Nothing is executed and no weights are fetched. A digest\n"
        "that is there already is never replaced: another one at the hub is an error, and nothing\n"
        "is written. Where a repository has only a pickle, its digest is pinned; safetensors then\n"
        "count as the checkpoint if the pickle lies beside them and they are what `repro pin`\n"
        "FILE makes of it. Exits 0, 2 if a file changed, 3 if the hub does not answer.\n"
        "\n"
        "With FILE: loading a pickle executes what it says, in torch 2.2.1 even with\n"
        "weights_only=True. Here the file is read as data: named tensors come out bit for bit,\n"
        "anything else is refused by name. No file is overwritten. Exits 0 if the safetensors are\n"
        "there, 2 if FILE was refused or they could not be written; then nothing was."
    )


def run(arguments: argparse.Namespace) -> int:
    """Print what was read, pinned and written, with digests."""
    if arguments.file is None:
        return _pin(arguments)
    if arguments.checkpoints is not None:
        message = f"{arguments.file} and --checkpoints: expected one of the two"
        raise BadInputError(message)
    if arguments.layout:
        return _lay_out(arguments)
    with report_progress.bytes_bar(quiet=arguments.json) as progress:
        made = convert_weights.convert(arguments.file, arguments.out, progress)
    if arguments.json:
        print(options.as_json([asdict(each) for each in made]))
    else:
        for each in made:
            _show(each)
    return EXIT_DONE


def _lay_out(arguments: argparse.Namespace) -> int:
    """Write a checkpoint in another layout."""
    if arguments.out is None:
        message = "--layout olmo: expected --out FOLDER with it, another folder than that of FILE"
        raise BadInputError(message)
    made = olmo_layout.convert(arguments.file, arguments.out)
    if arguments.json:
        print(options.as_json([asdict(each) for each in made]))
    else:
        for each in made:
            print(f"{each.path}: {each.size:,} bytes, sha256 {each.sha256}")
    return EXIT_DONE


def _pin(arguments: argparse.Namespace) -> int:
    """Pin checkpoints of the catalog."""
    if arguments.out is not None or arguments.layout:
        given = f"--out {arguments.out}" if arguments.out else f"--layout {arguments.layout}"
        message = f"{given}: expected a FILE with it; the catalog is where it is"
        raise BadInputError(message)
    found = pin_checkpoints.pin(arguments.checkpoints or [])
    if arguments.json:
        print(options.as_json([asdict(each) for each in found]))
    else:
        for each in found:
            _show_pinned(each)
    return EXIT_DONE


def _show_pinned(pinned: Pinned) -> None:
    known = len(pinned.files) - len(pinned.added)
    print(f"{pinned.name}: {pinned.repository} at {pinned.revision} is {pinned.commit}")
    print(f"    {counted(len(pinned.added), 'file')} pinned now, {known} before")
    for file, sha in pinned.files.items():
        print(f"    sha256 {sha}  {file}")
    if pinned.note:
        print(f"    {pinned.note}")


def _show(made: Converted) -> None:
    state = "" if made.written else " (was there already, the same to the byte)"
    print(f"{made.target}: {counted(made.tensors, 'tensor')}{state}")
    print(f"    read     {made.source_bytes:>16,} bytes, sha256 {made.source_sha256}")
    print(f"    written  {made.target_bytes:>16,} bytes, sha256 {made.target_sha256}")
    for names in made.shared[:_MOST_SHOWN]:
        listed = ", ".join(shown(name) for name in names[:_MOST_SHOWN])
        more = f" and {len(names) - _MOST_SHOWN} more" if names[_MOST_SHOWN:] else ""
        print(f"    one storage, written in full under each name: {listed}{more}")
    if made.shared[_MOST_SHOWN:]:
        print(f"    and {counted(len(made.shared) - _MOST_SHOWN, 'more shared storage')}")
