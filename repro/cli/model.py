"""`repro model`: the catalog's entry of a model of one's own."""

import argparse

from repro import paths
from repro.cli import options
from repro.errors import EXIT_DONE
from repro.inputs import entries


def add(parser: argparse.ArgumentParser) -> None:
    """Arguments of `repro model`."""
    parser.add_argument(
        "folder",
        metavar="DIR",
        type=paths.path_argument,
        help="folder with config.json, safetensors and tokenizer, of a family that is known here",
    )
    parser.add_argument("--name", metavar="NAME", help="in the catalog (default: the folder's)")
    parser.epilog = (
        "Prints JSON for `checkpoints` of catalog/checkpoints.json: family, sizes, parameters\n"
        "(tied weights once) and the digest of every file that loading reads. Nothing is executed\n"
        "or written; a pickle is converted first (`repro convert`). Exits 0,\n"
        "or 2 if it cannot be read.\n"
        "\n"
        "example:\n"
        "  repro model my-mamba"
    )


def run(arguments: argparse.Namespace) -> int:
    """Print the entry."""
    name = arguments.name or entries.name_of(arguments.folder)
    print(options.as_json({name: entries.model_entry(arguments.folder, name)}))
    if not entries.lies_in_bundle(arguments.folder):
        line = (
            f"{arguments.folder} lies outside the bundle: give it with every run, "
            f"--substitute {name}={arguments.folder}; by its digests it is the model itself"
        )
        options.print_line(line, error=True)
    return EXIT_DONE
