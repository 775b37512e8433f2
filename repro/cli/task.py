"""`repro task`: the catalog's entry of a task of lm-eval, or why it cannot be asked."""

import argparse

from repro import paths
from repro.cli import options
from repro.errors import EXIT_DONE
from repro.inputs import entries


def add(parser: argparse.ArgumentParser) -> None:
    """Arguments of `repro task`."""
    parser.add_argument("task", metavar="TASK", help="lm-eval 0.4.2's name, e.g. arc_easy")
    parser.add_argument(
        "file",
        metavar="FILE",
        nargs="?",
        type=paths.path_argument,
        help="its rows: the split that is asked as .jsonl, .parquet or .arrow, or a zip file of "
        "several splits by their names; without it, what the task needs is told",
    )
    parser.add_argument(
        "--licence", default="unknown", metavar="TEXT", help="of the data (default: unknown)"
    )
    parser.epilog = (
        "Prints JSON for `benchmarks` of catalog/datasets.json. Any task of multiple choice or\n"
        "log-likelihood can be asked whose YAML calls no Python; the YAML is the source, and no\n"
        "code is written for it. Exits 0, or 2 with every reason if it cannot be asked.\n"
        "\n"
        "example:\n"
        "  repro task openbookqa mine/openbookqa.zip"
    )


def run(arguments: argparse.Namespace) -> int:
    """Print the entry, or what the task needs."""
    from runner.evaluation import task_files  # `repro` meets `runner` only here

    named = task_files.task_file(arguments.task)
    if arguments.file is None:
        asked, drawn = named.splits
        data = " ".join(
            str(named.says.get(each) or "") for each in ("dataset_path", "dataset_name")
        )
        options.print_line(f"{named.name}: {named.output}, {', '.join(named.metrics)}")
        options.print_line(f"    data set   {data.strip()}, as the hub has it")
        options.print_line(f"    asked      split {asked}; solved examples from {drawn}")
        return EXIT_DONE
    source = entries.data_source(arguments.file, arguments.licence)
    from runner.evaluation.describe_task import describe

    print(options.as_json({named.name: source | describe(named.name, arguments.file)}))
    if source["wheel"] is None and not entries.lies_in_bundle(arguments.file):
        line = (
            f"{arguments.file} lies outside the bundle: give it with every run, "
            f"--data {named.name}={arguments.file}"
        )
        options.print_line(line, error=True)
    return EXIT_DONE
