"""`repro results`: what lies in a results folder, one record, and what may go."""

import argparse

from repro import report_results, results_entries, results_gc
from repro.commands import options, verify
from repro.store import Store


def add(parser: argparse.ArgumentParser) -> None:
    """Arguments of `repro results`."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    every = actions.add_parser("list", help="every record: what, when, size, sound or broken")
    one = actions.add_parser("show", help="one record: values, environment, path, warnings, files")
    one.add_argument("key", metavar="KEY", help="the first digits of its key are enough")
    gc = actions.add_parser("gc", help="what nobody needs any more, and how many bytes it takes")
    gc.add_argument("--yes", action="store_true", help="remove it")
    for action in (every, one, gc):
        options.add_out(action)
        options.add_json(action)
    parser.epilog = (
        "gc finds records and work that no run file refers to, what killed runs left half\n"
        "written, and work of finished jobs; what a running job holds is left alone. Records are\n"
        "checked as `repro verify` loads them. Exits 0; 2 for a key that is none or several; 3\n"
        "if a run file is damaged, 2 then for gc, which removes nothing."
    )


def run(arguments: argparse.Namespace) -> int:
    """List, show or clear up."""
    store = Store(arguments.out)
    if arguments.action == "list":
        entries = results_entries.entries(store)
        if arguments.json:
            print(options.as_json([report_results.as_data(each) for each in entries]))
        else:
            report_results.show_list(entries)
    elif arguments.action == "show":
        entry = results_entries.find(store, arguments.key)
        if arguments.json:
            print(options.as_json(report_results.as_data(entry)))
        else:
            report_results.show_one(entry)
    else:
        _clear_up(store, yes=arguments.yes, as_json=arguments.json)
    return verify.left_out(results_entries.unread(store))


def _clear_up(store: Store, *, yes: bool, as_json: bool) -> None:
    garbage = results_gc.found(store)
    freed = results_gc.remove(store, garbage) if yes else None
    if as_json:
        print(options.as_json(report_results.garbage_as_data(garbage, freed)))
    else:
        report_results.show_garbage(garbage, freed)
