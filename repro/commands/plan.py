"""`repro plan`: what a run would do, before anything starts."""

import argparse

from repro import report_graph, report_plan
from repro.commands import options, planning
from repro.errors import EXIT_DONE, EXIT_INCOMPLETE


def add(parser: argparse.ArgumentParser) -> None:
    """Arguments of `repro plan`."""
    options.add_manifests(parser)
    options.add_selection(parser)
    options.add_json(parser)
    parser.epilog = "Exits 0 if every job is done or can be run here, 3 if some cannot."


def run(arguments: argparse.Namespace) -> int:
    """Print the plan of each manifest, and what several come to together."""
    prepared = planning.prepare(arguments)
    plans = [prepared.chosen(manifest) for manifest in prepared.manifests]
    if arguments.json:
        together = report_graph.as_data(plans)
        data = [report_plan.as_data(each, prepared.undecidable(each)) for each in plans]
        print(options.as_json([each | {"together": together} for each in data]))
    else:
        for each in plans:
            following = report_plan.next_tier(
                each, prepared.tiers_of(each.manifest), prepared.files[each.manifest.id]
            )
            report_plan.show(each, following, prepared.undecidable(each))
        if len(plans) > 1:
            report_graph.show(plans)
    return EXIT_INCOMPLETE if any(each.stuck() for each in plans) else EXIT_DONE
