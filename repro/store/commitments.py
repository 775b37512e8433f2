"""What a run is held to: digests of everything in a manifest that decides an outcome.

Margins, readings and settings are fixed before any number is known. Sentences about them (what a
claim says in our words, its quote, its standing) decide nothing and may be mended afterwards, and
a claim may come to depend on more packages; for fewer, records would be judged that were not.
"""

import functools
from collections.abc import Iterator
from pathlib import Path

from pydantic import Field, JsonValue

from repro import fileio
from repro import paths as bundle
from repro.schema import reading
from repro.schema.base import Frozen, Sha256, Slug
from repro.schema.claim_base import Published
from repro.schema.claims import Claim, ModelClaim
from repro.schema.manifest import Manifest


class Commitments(Frozen):
    """Digests of everything in a manifest that decides an outcome, and of nothing else."""

    claims: dict[Slug, Sha256]
    """Digest of what decides each claim: margins and readings, and no sentence (`_WORDS`)."""
    depends_on: dict[Slug, tuple[str, ...]] = Field(default_factory=dict)
    """Packages whose drift keeps each claim from being decided; more may be added later."""
    printed: dict[Slug, Sha256]
    """Digest of each published value, digits and unit."""
    plan: Sha256
    """Digest of the job groups and settings, and of how many numbers are tested elsewhere."""


def commitments_of(manifest: Manifest) -> Commitments:
    """What a run of this manifest is held to."""
    return Commitments(
        claims={claim.id: _what_decides(claim) for claim in manifest.claims},
        depends_on={claim.id: claim.depends_on for claim in manifest.claims},
        printed={value.id: _digits(value) for value in manifest.published},
        plan=fileio.digest_of_data(_plan(manifest)),
    )


def _plan(manifest: Manifest) -> dict[str, JsonValue]:
    """Groups as the file says them: a field that they come to have later changes none of these."""
    plan: dict[str, JsonValue] = {
        "jobs": [group.model_dump(mode="json", exclude_unset=True) for group in manifest.jobs],
        "settings": [setting.model_dump(mode="json") for setting in manifest.settings],
    }
    if manifest.numbers_elsewhere:  # left out where there are none, as before it was asked
        plan["numbers_elsewhere"] = manifest.numbers_elsewhere
    return plan


_WORDS = frozenset(
    (
        *("statement", "quote", "standing", "place", "reading", "condition", "conditions"),
        *("missing", "origin", "what", "note", "differs", "depends_on", "answers"),
    )
)
"""Fields of a claim, at any depth, that decide nothing: they may be mended after a run."""


def _what_decides(claim: Claim) -> str:
    """Digest without words, and without what is left at its default.

    So a field that claims come to have later changes none of those that say nothing of it.
    """
    return fileio.digest_of_data(
        _without_words(claim.model_dump(mode="json", exclude_defaults=True))
    )


def _without_words(data: JsonValue) -> JsonValue:
    if isinstance(data, dict):
        return {name: _without_words(one) for name, one in data.items() if name not in _WORDS}
    return [_without_words(one) for one in data] if isinstance(data, list) else data


def _digits(value: Published) -> str:
    return fileio.digest_of_data({"text": value.text, "unit": value.unit})


# -----------------------------------------------------------------------------
# Run files of version 1 commit to whole claims, words included. Since the words of the bundle's
# claims were mended, what such a digest stood for is looked up in `catalog/commitments-v1.json`,
# made of the manifests as they were on the last day of version 1.


VERSION_1 = "commitments-v1.json"
"""In a bundle's catalog."""


class _Decided(Frozen):
    """What a claim of version 1 committed to, as version 2 says it."""

    claim: Sha256
    depends_on: tuple[str, ...]


class _Version1(Frozen):
    """Digests of version 1, and what each stands for."""

    claims: dict[Sha256, _Decided]
    printed: dict[Sha256, Sha256]


@functools.cache
def _version_1(path: Path) -> _Version1:
    if not path.is_file():
        return _Version1(claims={}, printed={})
    advice = "No run file of version 1 can be judged without it."
    return reading.load(path, "table of commitments", _Version1, advice)


def of_version_1(then: Commitments, manifest: Manifest) -> Commitments:
    """Commitments of version 1 as those of version 2; what is not known stays, and so differs."""
    known = _version_1(bundle.bundle().catalog / VERSION_1)
    now = commitments_of(manifest)
    same = {(one.id, _whole(one)) for one in manifest.claims}
    same_printed = {(one.id, _whole(one)) for one in manifest.published}
    claims, depends_on = dict(then.claims), dict[str, tuple[str, ...]]()
    for name, digest in then.claims.items():
        if (name, digest) in same:
            claims[name], depends_on[name] = now.claims[name], now.depends_on[name]
        elif digest in known.claims:
            one = known.claims[digest]
            claims[name], depends_on[name] = one.claim, one.depends_on
    printed = {
        name: now.printed[name]
        if (name, digest) in same_printed
        else known.printed.get(digest, digest)
        for name, digest in then.printed.items()
    }
    return Commitments(claims=claims, depends_on=depends_on, printed=printed, plan=then.plan)


def _whole(one: Claim | Published) -> str:
    """Digest of version 1: of everything that it could say."""
    return fileio.digest_of_data(
        one.model_dump(mode="json", exclude={"standing", "quote", "conditions", "answers"})
    )


def changes(then: Commitments, manifest: Manifest) -> dict[str, str]:
    """What was changed since a run that committed to this, by claim; the empty key: all claims.

    Returns:
        Claim id to what changed; a claim is also changed if a printed value that it
        names is, or a cell that it counts or compares.
    """
    now = commitments_of(manifest)
    if now.plan != then.plan:
        return {"": "the settings or jobs of the manifest were changed after the run"}
    changed = {claim.id: what for claim in manifest.claims for what in _changed(claim, then, now)}
    for name in then.claims:
        if name not in now.claims:
            changed[name] = "the claim was removed after the run"
    for claim in manifest.claims:
        other = next((name for name in _cells_of(claim) if name in changed), None)
        if other is not None:
            changed.setdefault(claim.id, f"{other}, which it names, was changed after the run")
    return changed


def _changed(claim: Claim, then: Commitments, now: Commitments) -> Iterator[str]:
    """What was changed of one claim, the last being the most telling."""
    names = {getattr(claim, "published", None), getattr(claim, "out_of", None)}
    if any(then.printed.get(name) != now.printed.get(name) for name in names if name):
        yield "its printed value was changed after the run"
    if lost := set(then.depends_on.get(claim.id, ())) - set(claim.depends_on):
        yield f"it depended on {', '.join(sorted(lost))} when it ran, and does no longer"
    if claim.id not in then.claims:
        yield "the claim was added after the run"
    elif then.claims[claim.id] != now.claims[claim.id]:
        yield "the claim or its margin was changed after the run"


def _cells_of(claim: Claim) -> tuple[str, ...]:
    """Cells of the manifest that a measured claim is about."""
    if not isinstance(claim, ModelClaim) or claim.basis != "measured":
        return ()
    return tuple(name for field in ("of", "left", "right") for name in getattr(claim, field, ()))
