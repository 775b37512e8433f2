"""`repro fetch`: everything that a run will need, brought here before it."""

import argparse
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict

from repro.cli import options
from repro.cli import plan as planning
from repro.cli.plan import PreparedPlans
from repro.errors import EXIT_DONE, EXIT_INCOMPLETE, EXIT_INTERRUPTED, INTERRUPTED, CannotRunError
from repro.inputs import locate, sources
from repro.inputs.located import Located, Missing
from repro.planning import needed
from repro.planning.needed import NeededInput
from repro.planning.plan import Plan
from repro.report import console, console_lists
from repro.schema import paper
from repro.text import plural

Say = Callable[[str], None]
"""Told what is being fetched."""


def add(parser: argparse.ArgumentParser) -> None:
    """Arguments of `repro fetch`."""
    options.add_manifests(parser)
    options.add_inputs(parser)
    options.add_json(parser)
    parser.set_defaults(
        engine=None, fresh=False, set="", stop_when_decided=False
    )  # what is read hangs on none
    parser.epilog = (
        "Sizes and licences first, as far as the catalog knows them: checkpoints with their\n"
        "tokenizers, data sets, and archives of pinned code that a fact is read from. What is\n"
        "here is held to its digest and not fetched again. A killed fetch goes on where it was,\n"
        "but for a file of the package index, which comes whole or not at all. What nothing pins\n"
        "yet is pinned in --out, as a run does it. A pickle is turned into safetensors and not\n"
        "executed. Exits 0 if everything is here, 3 if something could not be had, with what to\n"
        "do about it.\n"
        "\n"
        "example:\n"
        f"  repro fetch {paper.start()} --tier full"
    )


def run(arguments: argparse.Namespace) -> int:
    """Print what is needed, bring what is missing, and say what could not be had."""
    prepared = planning.prepare(arguments)
    plans, _ = prepared.plans()
    locator, sources_of = prepared.planner.locator, prepared.planner.fetch_sources
    if not arguments.json:
        console_lists.show_needed(plans, _needed(plans, prepared, {}))
    inputs = needed.inputs_of(plans, locator).values()
    missing = [each for each in inputs if isinstance(each, Missing) and sources_of.can_fetch(each)]
    if any(each.hub or each.role == "checkpoint" for each in missing):
        options.check_installed("repro fetch", ("huggingface_hub",))
    if short := needed.short_of_space(missing, locator):
        raise CannotRunError("nothing was fetched\n    " + "\n    ".join(short))
    failed = fetch_inputs(missing, prepared, _say) | fetch_archives(prepared, _say)
    _pin_first_use(plans, prepared)
    found = _needed(plans, prepared, failed)
    if arguments.json:
        tiers = {plan.manifest.id: plan.tier for plan in plans}
        print(options.as_json({"tiers": tiers, "needed": [asdict(each) for each in found]}))
    else:
        _show_end(plans, prepared, found, failed)
    return EXIT_DONE if all(each.state == "here" for each in found) else EXIT_INCOMPLETE


def _needed(
    plans: Sequence[Plan], prepared: PreparedPlans, failed: dict[str, str]
) -> list[NeededInput]:
    archives = sources.missing_archives(prepared.manifests)
    planner = prepared.planner
    return needed.needed_inputs(plans, archives, planner.locator, planner.fetch_sources, failed)


def _say(text: str) -> None:
    options.print_line(text, error=True)


def _show_end(
    plans: Sequence[Plan],
    prepared: PreparedPlans,
    found: Sequence[NeededInput],
    failed: dict[str, str],
) -> None:
    """What could not be had; else the command that goes on from here."""
    for why in failed.values():
        options.print_line(why)
    lacking = [each.what for each in found if each.state != "here"]
    count = plural(len(found), "input")
    if lacking:
        options.print_line(f"{count}, {len(lacking)} not here: {', '.join(lacking)}")
        options.print_line(
            "the others are kept; the table says where each comes from, `repro doctor` whether the "
            "model hub answers here, and the same command goes on"
        )
        return
    options.print_line(f"{count}, all here" if found else "nothing that a run would read")
    for plan in plans:
        file = prepared.files[plan.manifest.id]
        options.print_line(f"next: repro run {file} --tier {plan.tier} --offline")


def _pin_first_use(plans: Sequence[Plan], prepared: PreparedPlans) -> None:
    """Hold later runs on this folder to what came, where the catalog has no digest of it."""
    locator, store = prepared.planner.locator, prepared.planner.store
    inputs = needed.inputs_of(plans, locator).values()
    found = [each for each in inputs if isinstance(each, Located)]
    if any(each.first_use for each in found):
        with store.lock("runs"):
            locate.save_first_use_pins(store.root, locator.pins, found)


# -----------------------------------------------------------------------------
# Fetching, as `repro run` does it too.


def fetch_inputs(wanted: Iterable[Missing], prepared: PreparedPlans, say: Say) -> dict[str, str]:
    """Fetch what can be fetched of jobs' inputs; what failed, by name."""
    from runner import inputs_fetch  # `repro` meets `runner` only here, and late

    failed = dict[str, str]()
    locator = prepared.planner.locator
    for missing in wanted:
        name = missing.name
        if missing.role == "data":
            locator.forget(name)
            if isinstance(locator.dataset(name), Located):  # it came with another of the same file
                continue
        size = "from the cache" if missing.cached else f"{missing.download / 1e6:,.0f} MB"
        say(f"fetching {missing.what} ({size})")
        try:
            with _ended_by_an_interrupt():
                if missing.role == "data":
                    inputs_fetch.fetch_data(locator.datasets[name])
                else:
                    inputs_fetch.fetch_checkpoint(
                        name, locator.checkpoints[name], allow_remote_code=locator.allow_remote_code
                    )
        except CannotRunError as error:
            failed[name] = str(error)
        locator.forget(name)
    return failed


@contextmanager
def _ended_by_an_interrupt() -> Iterator[None]:
    """Let an interrupt end this process at once, with nothing lost: a fetch goes on where it was.

    The hub's client would first wait for every file that it has begun, for hours.
    """

    def end(*_: object) -> None:
        console.console(stderr=True).show_cursor()
        options.print_line("", error=True)
        options.print_line(INTERRUPTED, error=True)
        os._exit(EXIT_INTERRUPTED)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def fetch_archives(prepared: PreparedPlans, say: Say) -> dict[str, str]:
    """Fetch the archives that facts are read from; what failed, by name."""
    from runner import inputs_fetch

    failed = dict[str, str]()
    if not prepared.planner.fetch_sources.index:
        return failed
    for pin in sources.missing_archives(prepared.manifests):
        name = f"{pin.name} {pin.version}"
        say(f"fetching the archive of {name}, which a fact is read from")
        try:
            inputs_fetch.fetch_source(pin)
        except CannotRunError as error:
            failed[name] = str(error)
    return failed
