"""Kinds of jobs and model families that other installed packages bring, by their entry points.

    [project.entry-points."repro.job_kinds"]
    halving = "halving.kind:HalvingJob"         a `repro.schema.kinds.base.KindOfJob`
    [project.entry-points."repro.record_kinds"]
    halving = "halving.record:KIND"             a `verify.records.checked_record.KindOfRecord`
    [project.entry-points."repro.model_families"]
    mistral = "mistral_family:FAMILY"           a `repro.schema.families.Family`
    [project.entry-points."repro.model_code"]
    mistral = "mistral_family.code:MODEL"       a `runner.models.registry.ModelFamily`

Only installed packages are asked: a bundle or a packet can bring no code along.
"""

from importlib import metadata
from typing import Any

from repro.errors import CannotRunError, first_line


def load(group: str) -> dict[str, Any]:
    """What is registered under a group, by name.

    Raises:
        CannotRunError: if a plug-in cannot be imported, or two have one name.
    """
    found: dict[str, Any] = {}
    for each in metadata.entry_points(group=group):
        package = each.dist.name if each.dist else "an installed package"
        told = f"the plug-in {each.name} ({group}) of {package}"
        if each.name in found:
            raise CannotRunError(f"{told} is there twice; uninstall one of the two")
        try:
            found[each.name] = each.load()
        except Exception as error:  # whatever its code does
            message = f"{told} cannot be imported: {first_line(error)}; mend or uninstall {package}"
            raise CannotRunError(message) from error
    return found
