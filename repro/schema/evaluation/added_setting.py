"""One more setting for a manifest, without a copy of it: `run --set batch_size=12,seed=3`.

What is not named stays as under the first setting that a group runs at a tier. A setting of a
tuning group is a setting of its evaluations with a seed of its tuning, so that `seed` is of those
groups alone. The run file keeps what was set: whoever judges the run gets the manifest that it ran.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import ValidationError, create_model

from repro.errors import BadInputError, Problem
from repro.schema.base import Count, Frozen
from repro.schema.groups import EvaluationGroup, Group, TuningGroup
from repro.schema.jobs import Setting
from repro.schema.manifest import Manifest
from repro.text import known_names

SEED = "seed"
_taken: dict[str, Any] = {
    name: (field.annotation, None) for name, field in Setting.model_fields.items() if name != "id"
}
_Fields = create_model("_Fields", __base__=Frozen, **_taken, seed=(Count, None))
FIELDS = tuple(_Fields.model_fields)

Added = Mapping[str, int | str]
"""Field to value."""


def check(added: Added) -> Added:
    """What is added, if it is fields of a setting with values that they take.

    Raises:
        ValidationError: with every one that is not.
    """
    _Fields.model_validate(added, strict=True)
    return added


def read(text: str) -> dict[str, int | str]:
    """`batch_size=12,seed=3` as fields and values; empty for an empty text.

    Raises:
        BadInputError: with every part that is none.
    """
    found, problems = dict[str, int | str](), list[Problem]()
    for part in filter(None, text.split(",")):
        name, separator, value = part.partition("=")
        if not (separator and value):
            problems.append(Problem(f"--set {part}", "no value", "FIELD=VALUE"))
        elif name in found:
            problems.append(Problem(f"--set {part}", f"{name} again", "each field once"))
        else:
            found[name] = int(value) if value.isascii() and value.isdecimal() else value
    problems += _refused(found)
    if problems:
        raise BadInputError("no setting can be made of this", problems)
    return found


def with_setting(manifest: Manifest, added: Added) -> Manifest:
    """The manifest with one more setting at every tier of every group that has settings.

    Raises:
        BadInputError: the setting is there already, or nothing of it would be run.
    """
    if not added:
        return manifest
    known = {each.id: each for each in manifest.settings}
    made = dict[str, Setting]()
    jobs = [_with(group, known, added, made, manifest.id) for group in manifest.jobs]
    if not made:
        what = "no group that has settings" if SEED not in added else "no group that tunes"
        problem = Problem(f"--set {in_words(added)}", f"{what} in {manifest.id}", "one that does")
        raise BadInputError("nothing would be run under this setting", [problem])
    settings = (*manifest.settings, *made.values())
    return manifest.model_copy(update={"jobs": tuple(jobs), "settings": settings})


def _with(
    group: Group,
    known: Mapping[str, Setting],
    added: Added,
    made: dict[str, Setting],
    manifest: str,
) -> Group:
    """A group with the setting; `made` gets it."""
    if not isinstance(group, EvaluationGroup | TuningGroup):
        return group
    if SEED in added and not isinstance(group, TuningGroup):
        return group
    tiers: dict[str, Any] = {}
    for tier, spec in group.tiers.items():
        first = known[spec.settings[0]]
        setting = _made(first, added, [known[each] for each in spec.settings], manifest)
        made[setting.id] = setting
        update: dict[str, Any] = {"settings": (*spec.settings, setting.id)}
        if isinstance(group, TuningGroup):
            seeds = group.tiers[tier].seeds
            update["seeds"] = (*seeds, added.get(SEED, seeds[0]))
        tiers[tier] = spec.model_copy(update=update)
    return group.model_copy(update={"tiers": tiers})


def _made(first: Setting, added: Added, others: Sequence[Setting], manifest: str) -> Setting:
    """The setting, called by what differs and from which one it does."""
    name = f"{first.id}.{'.'.join(f'{field}-{value}' for field, value in added.items())}"
    said = {**first.model_dump(), **added, "id": name[:80]}
    made = Setting.model_validate({name: said[name] for name in Setting.model_fields})
    alike = (each.id for each in others if _numbers(each) == _numbers(made))
    if SEED not in added and (same := next(alike, None)):
        found = f"the setting {same} of {manifest}"
        problem = Problem(f"--set {in_words(added)}", found, "another")
        raise BadInputError("the manifest has this setting", [problem])
    return made


def _refused(found: Added) -> Iterator[Problem]:
    """Fields that a setting has not, and values that its fields do not take."""
    try:
        check(found)
    except ValidationError as error:
        for each in error.errors():
            name = str(each["loc"][0])
            expected = each["msg"].removeprefix("Input should be ")
            if name in FIELDS:
                yield Problem(f"--set {name}={found[name]}", repr(found[name]), expected)
            else:
                yield Problem(f"--set {name}={found[name]}", repr(name), known_names(name, FIELDS))


def _numbers(setting: Setting) -> dict[str, Any]:
    return setting.model_dump(exclude={"id"})


def in_words(added: Added) -> str:
    """As `--set` takes it."""
    return ",".join(f"{name}={value}" for name, value in added.items())
