"""`repro results`: what lies in a results folder, one record, and what may go."""

import argparse

from repro.cli import options, verify
from repro.report import console_lists
from repro.store import contents
from repro.store.store import Store


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
        "if a run file is damaged, 2 then for gc, which removes nothing.\n"
        "\n"
        "example:\n"
        "  repro results list"
    )


def run(arguments: argparse.Namespace) -> int:
    """List, show or clear up."""
    store = Store(arguments.out)
    if arguments.action == "list":
        entries = contents.entries(store)
        if arguments.json:
            print(options.as_json([console_lists.record_as_data(each) for each in entries]))
        else:
            console_lists.show_records(entries)
    elif arguments.action == "show":
        entry = contents.find_record(store, arguments.key)
        if arguments.json:
            print(options.as_json(console_lists.record_as_data(entry)))
        else:
            console_lists.show_record(entry)
    else:
        _clear_up(store, yes=arguments.yes, as_json=arguments.json)
    return verify.report_unread(contents.unreadable_run_files(store))


def _clear_up(store: Store, *, yes: bool, as_json: bool) -> None:
    garbage = contents.garbage(store)
    freed = contents.remove_garbage(store, garbage) if yes else None
    if as_json:
        print(options.as_json(console_lists.garbage_as_data(garbage, freed)))
    else:
        console_lists.show_garbage(garbage, freed)
