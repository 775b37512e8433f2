"""A packet as a Process Run Crate: each record an action, with what it used and what it made.

    job kind, its code and libraries   SoftwareApplication, softwareVersion = digest of the code
    record                             CreateAction, object = job and inputs, result = its files
    input, weights left out            CreativeWork by SHA-256; the same digest is the same entity
    switches that change numbers       PropertyValue, as the action's environment

Reference: RO-Crate 1.1; Process Run Crate 0.5; rocrate 0.10.0.
Not covered: an agent (nobody says who ran a job, but of an import) and a licence (the bundle states
none).
"""

import datetime as dt
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from rocrate.model.contextentity import ContextEntity  # type: ignore[import-untyped]
from rocrate.rocrate import ROCrate  # type: ignore[import-untyped]

from repro import fileio, paths
from repro.packet.build import files_of
from repro.packet.layout import (
    Contents,
    Packed,
    UnpackedWeights,
    end_time,
    environments,
    software_of,
)
from repro.schema.kinds.imported import ImportedJob
from repro.store.record import Record

PROFILE = "https://w3id.org/ro/wfrun/process/0.5"
_RUN = "https://w3id.org/ro/terms/workflow-run#"
_TERMS = {"sha256": f"{_RUN}sha256", "environment": f"{_RUN}environment"}
"""Of the profile's vocabulary, not in RO-Crate's own context."""
_FORMATS = {
    ".json": "application/json",
    ".csv": "text/csv",
    ".html": "text/html",
    ".txt": "text/plain",
    ".safetensors": "application/octet-stream",  # no other name is registered
}
_TITLES = {
    "report.html": "Every claim with its verdict, for a reader",
    "findings.csv": "Every finding, for a spreadsheet: import its columns as text",
    "pinned-requirements.txt": "Every package that the runs are held to, with hashes",
    "pinned-kernels.txt": "The CUDA kernels that the runs are held to, with hashes",
    "paper.json": "What is claimed of: title, versions, authors",
}
_DESCRIPTION = (
    "Claims of {paper}, the records that they were held against, and what came of it. Dated by its "
    "newest record. SHA256SUMS lists every file; `repro verify` judges the records again."
)
_LICENCE = {
    "name": "No licence is stated",
    "description": "The bundle that made this packet states no licence: ask its authors before you "
    "hand it on. Checkpoints and data sets that are named here have licences of their own.",
}

Properties = dict[str, Any]


def write(contents: Contents, packet: Path, about: str) -> None:
    """Describe everything in a staged packet, in its `ro-crate-metadata.json`.

    Args:
        contents: Its records.
        packet: Its folder.
        about: What the claims are of, as it is called in a sentence.
    """
    crate = ROCrate()
    crate.metadata.extra_terms.update(_TERMS)
    profile = _add(crate, PROFILE, "CreativeWork", {"name": "Process Run Crate", "version": "0.5"})
    root = crate.root_dataset
    root["name"] = f"Reproducibility packet for {about}"
    root["description"] = _DESCRIPTION.format(paper=about)
    root["datePublished"] = contents.date
    root["license"] = _add(crate, "#licence", "CreativeWork", _LICENCE)
    root["conformsTo"] = profile
    for name in sorted(files_of(packet)):
        _file(crate, packet / name, name)
    tools = _instruments(crate, contents)
    for name, made in environments(contents).values():  # a bill of materials, and what ran there
        kinds = dict.fromkeys(map(_tool_of, made))
        crate.dereference(name)["about"] = _one_or_many(tools[each] for each in kinds)
    _add_unpacked_files(crate, contents.records)
    actions = [_action(crate, each, tools[_tool_of(each.record)]) for each in contents.records]
    if actions:
        root["mentions"] = _one_or_many(actions)
    crate.write(packet)  # the files are there already


def _add(crate: ROCrate, identifier: str, kind: str, properties: Properties) -> ContextEntity:
    return crate.add(ContextEntity(crate, identifier, {"@type": kind, **properties}))


def _one_or_many(entities: Iterable[ContextEntity]) -> Any:  # noqa: ANN401  # as rocrate takes it
    """One entity alone, several as a list: the compact form that RO-Crate asks for."""
    found = list(entities)
    return found[0] if len(found) == 1 else found


def _file(crate: ROCrate, path: Path, name: str) -> None:
    """One file of the packet, with its size, digest and format."""
    said = {
        "name": _title(name),
        "contentSize": str(path.stat().st_size),
        "sha256": fileio.digest_of_file(path),
        "encodingFormat": _FORMATS[path.suffix],
    }
    if name.endswith(".cdx.json"):
        said["encodingFormat"] = "application/vnd.cyclonedx+json"
    crate.add_file(path, name, properties=said)


def _title(name: str) -> str:
    path = Path(name)
    folder = path.parent.name
    if folder == "manifests":
        return f"Claims and published values of {path.stem}"
    if folder == "catalog":
        return f"What is known beside the claims: {path.stem}"
    if folder == "schemas":
        return f"JSON Schema of {path.name.partition('.')[0]} files"
    if folder == "runs":
        return f"What the run {path.stem} asked for, written before its first job"
    if path.name.endswith(".cdx.json"):
        return "Bill of materials of an environment that measured"
    if path.name in ("record.json", "arrays.safetensors"):
        what = "Record" if path.suffix == ".json" else "Arrays"
        return f"{what} of job {folder[:12]}"
    return _TITLES.get(path.name, path.name)


# -----------------------------------------------------------------------------
# What ran


def _tool_of(record: Record) -> str:
    """Digest of the code and software that a job of one kind ran with."""
    return fileio.digest_of_data([record.job.kind, record.code, software_of(record.environment)])


def _instruments(crate: ROCrate, contents: Contents) -> dict[str, ContextEntity]:
    """One application for each kind of job, code and environment."""
    found: dict[str, ContextEntity] = {}
    for packed in contents.records:
        record, digest = packed.record, _tool_of(packed.record)
        if digest in found:
            continue
        packages = record.environment.packages
        used = {name: packages[name] for name in record.job.LIBRARIES if name in packages}
        python = record.environment.implementation, record.environment.python
        needs = [_library(crate, "generic", *python)]
        needs += [_library(crate, "pypi", *each) for each in used.items()]
        found[digest] = _add(
            crate,
            f"#runner-{record.job.kind}-{digest[:12]}",
            "SoftwareApplication",
            _tool(record),
        )
        found[digest]["softwareRequirements"] = _one_or_many(needs)
    return found


def _tool(record: Record) -> Properties:
    """What ran a job: code of ours, or what an import says."""
    if isinstance(record.job, ImportedJob):
        return {
            "name": f"{record.job.source}, run by somebody else",
            "softwareVersion": "unknown",
            "description": "Its answers were imported: machine, code and weights are unknown",
        }
    return {
        "name": f"runner of {paths.DISTRIBUTION}, {record.job.kind} jobs",
        "softwareVersion": f"sha256:{fileio.digest_of_data(record.code)}",
        "description": "The version is the digest of the modules that the job's code reaches, each "
        "of which record.json names with its own",
    }


def _library(crate: ROCrate, kind: str, name: str, version: str) -> ContextEntity:
    """A package, by its package URL."""
    purl = f"pkg:{kind}/{name}@{version}"
    said = {"name": name, "softwareVersion": version}
    return crate.dereference(purl) or _add(crate, purl, "SoftwareApplication", said)


# -----------------------------------------------------------------------------
# What was done


def _add_unpacked_files(crate: ROCrate, records: Iterable[Packed]) -> None:
    """Everything that a job read or made and that is not packed, once for each digest."""
    names: dict[str, set[str]] = {}
    left: dict[str, UnpackedWeights] = {}
    for packed in records:
        for name, sha256 in packed.record.inputs.items():
            names.setdefault(sha256, set()).add(name)
        for each in packed.left_out:
            names.setdefault(each.sha256, set()).add(each.name)
            left[each.sha256] = each
    for sha256, called in sorted(names.items()):
        said: Properties = {"name": ", ".join(sorted(called)), "sha256": sha256}
        said["description"] = "Not in this packet: read by a job"
        if sha256 in left:
            size = left[sha256].size
            known = "of unknown size" if size is None else f"{size} bytes"
            said["description"] = f"Left out of this packet: weights that a job made, {known}"
            said |= {} if size is None else {"size": f"{size} B"}
        _add(crate, f"#sha256-{sha256}", "CreativeWork", said)


def _action(crate: ROCrate, packed: Packed, tool: ContextEntity) -> ContextEntity:
    """One job that was run."""
    record, short = packed.record, packed.record.key[:12]
    environment = record.environment
    started = dt.datetime.fromisoformat(record.started)
    action = _add(
        crate,
        f"#{packed.place}",
        "CreateAction",
        {
            "name": f"{record.job.kind} job {short}",
            "description": f"{', '.join(packed.asked)}; on {environment.hardware_class}",
            "startTime": started.isoformat(timespec="milliseconds"),
            "endTime": end_time(record).isoformat(timespec="milliseconds"),
            "actionStatus": "http://schema.org/CompletedActionStatus",
        },
    )
    if isinstance(record.job, ImportedJob):
        who = f"#agent-{fileio.digest_of_data(record.job.by)[:16]}"
        said = {"name": record.job.by}
        action["agent"] = crate.dereference(who) or _add(crate, who, "Person", said)
        action["description"] = f"{', '.join(packed.asked)}; imported, run by somebody else"
    asked = _property(crate, "job", fileio.canonical(record.job).decode())
    read = [f"#sha256-{sha256}" for sha256 in sorted(set(record.inputs.values()))]
    made = [*packed.files(), *(f"#sha256-{each.sha256}" for each in packed.left_out)]
    action["instrument"] = tool
    action["object"] = _one_or_many([asked, *map(crate.dereference, read)])
    action["result"] = _one_or_many(map(crate.dereference, dict.fromkeys(made)))
    if environment.flags:
        switches = [_property(crate, *each) for each in sorted(environment.flags.items())]
        action["environment"] = _one_or_many(switches)
    return action


def _property(crate: ROCrate, name: str, value: str) -> ContextEntity:
    """A name and its value; the same pair is the same entity."""
    identifier = f"#{name}-{fileio.digest_of_data([name, value])[:16]}"
    said = {"name": name, "value": value}
    return crate.dereference(identifier) or _add(crate, identifier, "PropertyValue", said)
