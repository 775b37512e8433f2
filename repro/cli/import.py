"""`repro import`: answers that somebody else measured, as records that say so."""

import argparse
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

import numpy as np

from repro import fileio, paths
from repro.cli import options
from repro.errors import EXIT_DONE, BadInputError, Problem
from repro.inputs import foreign_answers, lm_eval_samples
from repro.inputs.foreign_answers import Answers, Source
from repro.schema import catalog, validate
from repro.schema.base import Slug
from repro.schema.catalog import Benchmark, Dataset
from repro.schema.jobs import CastMode, Setting
from repro.schema.kinds.imported import SETTINGS, UNKNOWN, ImportedJob
from repro.store import imported as records
from repro.store import run_file
from repro.store.imported import Draft
from repro.store.run_file import RunFile
from repro.store.store import Store
from repro.text import first_few, known_names, plural

_LONGEST = 200
"""Characters of a name of who ran it."""


def add(parser: argparse.ArgumentParser) -> None:
    """Arguments of `repro import`."""
    parser.add_argument(
        "files",
        metavar="FILE",
        nargs="+",
        type=paths.path_argument,
        help="what `lm_eval --log_samples` wrote (0.4.2 to 0.4.13; results beside it are read), or "
        "a CSV with the columns task, question, gold, answer; of one model in one dtype",
    )
    parser.add_argument(
        "--model", required=True, metavar="NAME", help="the model, as the catalog names it"
    )
    parser.add_argument("--by", required=True, metavar="WHO", help="who ran it")
    parser.add_argument(
        "--dtype",
        choices=("float32", "float16", "bfloat16"),
        help="of the model, where no results say it",
    )
    parser.add_argument(
        "--shots", type=int, metavar="N", help="solved examples, where no results say it"
    )
    parser.add_argument(
        "--questions",
        type=int,
        metavar="N",
        help="the files have the first N questions of a benchmark on purpose",
    )
    parser.add_argument(
        "--set",
        default="",
        metavar="KEY=VALUE,…",
        help=f"settings that are known; keys: {', '.join(_allowed())}",
    )
    parser.add_argument(
        "--manifest",
        metavar="MANIFEST",
        type=paths.manifest_argument,
        help="count them as what a manifest asks for, at --tier",
    )
    parser.add_argument("--tier", choices=("smoke", "subset", "full"), default="full")
    parser.add_argument(
        "--out",
        type=paths.folder_argument,
        default=Path("imported"),
        metavar="DIR",
        help="folder of records and run files (default: imported)",
    )
    options.add_json(parser)
    parser.epilog = (
        "What nobody says is written down as unknown, and a claim that such a record bears on\n"
        "stays inconclusive; every finding, list, packet and comparison says that it is imported.\n"
        "No text of a question is kept. Nothing is written unless every file can be used.\n"
        "Exits 0, or 2 for a file that is damaged or not the data set's.\n"
        "\n"
        "example:\n"
        "  repro import out/samples_*.jsonl --model NAME --by 'A. Reader' --dtype float16"
    )


def run(arguments: argparse.Namespace) -> int:
    """Read everything, hold it to the data sets, and only then write."""
    declared = _declared(arguments)
    tasks = catalog.question_sets()
    sources = lm_eval_samples.read(arguments.files, tasks, arguments.shots)
    drafts = list(_drafts(sources, arguments, declared, tasks))
    claimed = validate.load_manifest(arguments.manifest) if arguments.manifest else None
    store = Store(arguments.out)
    planned = None
    if claimed:
        file, made = arguments.manifest, [each.record for each in drafts]
        planned = records.fill_slots(claimed, file, arguments.tier, made, store.root)
    for each in drafts:
        with store.lock(each.record.key):
            store.save(each.arrays, each.finished)
    if planned:
        run_file.save(store.root, planned)
    _show(drafts, planned, arguments)
    return EXIT_DONE


# -----------------------------------------------------------------------------
# What is known


def _allowed() -> dict[str, tuple[str, ...]]:
    """Settings that may be declared, and their values; none for a whole number."""
    fields = Setting.model_fields
    found = {
        name: tuple(each for each in get_args(fields[name].annotation) if isinstance(each, str))
        for name in SETTINGS
    }
    return found | {"arm": get_args(CastMode), "seed": ()}


def _declared(arguments: argparse.Namespace) -> dict[str, str]:
    """`--set` and `--dtype`, held to what they may be, as are the names."""
    allowed, found, problems = _allowed(), dict[str, str](), list[Problem]()
    for part in filter(None, arguments.set.split(",")):
        name, _, value = part.partition("=")
        values = allowed.get(name, ())
        if name not in allowed:
            problems.append(Problem(f"--set {part}", repr(name), known_names(name, allowed)))
        elif value not in values and (values or not value.isdecimal()):
            expected = known_names(value, values) if values else "a whole number"
            problems.append(Problem(f"--set {part}", repr(value), expected))
        found[name] = value
    problems += _wrong_names(arguments)
    if problems:
        raise BadInputError("cannot be imported; nothing was written", problems)
    return found | ({"dtype": arguments.dtype} if arguments.dtype else {})


def _wrong_names(arguments: argparse.Namespace) -> Iterator[Problem]:
    who = arguments.by.strip()
    if not 0 < len(who) <= _LONGEST:
        expected = f"a name of 1 to {_LONGEST} characters"
        yield Problem("--by", plural(len(who), "character"), expected)
    for name in ("shots", "questions"):
        number = getattr(arguments, name)
        if number is not None and number < (name == "questions"):
            yield Problem(f"--{name}", str(number), "a whole number")
    if not _is_slug(arguments.model):
        yield Problem("--model", arguments.model, "letters, digits, `.`, `-`, `_`")


def _is_slug(text: str) -> bool:
    from pydantic import TypeAdapter, ValidationError

    try:
        TypeAdapter(Slug).validate_python(text)
    except ValidationError:
        return False
    return True


def _one(name: str, found: Mapping[str, str]) -> str:
    """What several say of one thing, by who says it; unknown where nobody does.

    Raises:
        BadInputError: if they say different things.
    """
    if len(set(found.values())) > 1:
        said = "; ".join(f"{value} by {who}" for who, value in found.items())
        message = f"{name}: found {said}; expected one model in one setting: import them apart"
        raise BadInputError(message)
    return next(iter(found.values()), UNKNOWN)


# -----------------------------------------------------------------------------
# Records


def _drafts(
    sources: Sequence[Source],
    arguments: argparse.Namespace,
    declared: Mapping[str, str],
    tasks: Mapping[str, Dataset | Benchmark],
) -> Iterator[Draft]:
    """One record for each question set, over all its shots."""
    by_task: dict[str, list[Source]] = {}
    for source in sources:
        for each in source.answers:
            several = by_task.setdefault(each.task, [])
            several += [] if source in several else [source]
    for task, several in by_task.items():
        parts: dict[tuple[int, str], Answers] = {}
        for source in several:
            for each in source.answers:
                if each.task == task and (each.shots, each.subject) in parts:
                    what = f"{each.subject or task} at {plural(each.shots, 'shot')}"
                    raise BadInputError(f"{source.path}: found {what} again, expected it once")
                if each.task == task:
                    parts[each.shots, each.subject] = each
        yield _draft(task, parts, several, arguments, declared, tasks[task])


def _draft(
    task: str,
    parts: Mapping[tuple[int, str], Answers],
    sources: Sequence[Source],
    arguments: argparse.Namespace,
    declared: Mapping[str, str],
    known: Dataset | Benchmark,
) -> Draft:
    from verify.errors import InvalidError
    from verify.records import imported

    shots = sorted({at for at, _ in parts})
    subjects = sorted({subject for _, subject in parts} - {""})
    for at in shots:
        absent = [each for each in subjects if (at, each) not in parts]
        if absent:
            message = f"found no {first_few(absent)} at {plural(at, 'shot')}, expected all subjects"
            raise BadInputError(f"{message} at every number of shots: import them apart")
    said = {
        name: _one(
            name,
            {str(each.path): each.said[name] for each in sources if name in each.said}
            | ({"the command": declared[name]} if name in declared else {}),
        )
        for name in (*SETTINGS, "arm", "dtype", "seed", "limit")
    }
    limited = arguments.questions or (int(said["limit"]) if said["limit"].isdecimal() else None)
    whole = not isinstance(known, Benchmark) or limited is None or limited >= known.questions
    job = ImportedJob.model_validate(
        {
            "kind": "imported",
            "by": arguments.by.strip(),
            "source": ", ".join(dict.fromkeys(each.layout for each in sources)),
            "checkpoint": arguments.model,
            "task": task,
            "subjects": tuple(subjects),
            "questions": None if whole else limited,
            "shots": tuple(shots),
            "setting": {name: said[name] for name in SETTINGS},
            **{name: said[name] for name in ("dtype", "arm", "seed")},
        }
    )
    arrays, values = _arrays(parts, job)
    files = {each for source in sources for each in (source.path, source.results) if each}
    packages = {
        name: _one(name, {str(e.path): e.packages[name] for e in sources if name in e.packages})
        for name in sorted({name for each in sources for name in each.packages})
    }
    record = records.make(job, sorted(files), packages, values)
    try:
        found = imported.recomputed(record, job, arrays, {task: known})
    except InvalidError as error:
        names = first_few([each.path.name for each in sources])
        why = str(error).removeprefix(f"record {record.key[:12]}: ")
        raise BadInputError(f"{names}: {why}; nothing was written") from error
    several = ((f"shots{at}/{name}", each) for at, of in found.items() for name, each in of.items())
    return Draft(record.model_copy(update={"values": values | dict(several)}), arrays)


def _arrays(
    parts: Mapping[tuple[int, str], Answers], job: ImportedJob
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Arrays as a record of ours has them, as far as they are known, and digests of prompts."""
    arrays: dict[str, Any] = {}
    values: dict[str, Any] = {}
    names = job.subjects or ("",)
    if job.subjects:
        sizes = [len(parts[job.shots[0], name].questions) for name in names]
        arrays["subject"] = np.repeat(np.arange(len(sizes)), sizes).astype(np.int64)
        arrays["question"] = np.concatenate([np.arange(size) for size in sizes]).astype(np.int64)
    for shots in job.shots:
        asked = [each for name in names for each in parts[shots, name].questions]
        for name, array in foreign_answers.arrays_of(asked).items():
            arrays[f"shots{shots}/{name}"] = array
        if all(each.prompts for each in asked):
            prompts = fileio.digest_of_data([each.prompts for each in asked])
            values[f"shots{shots}/prompts_sha256"] = prompts
    return arrays, values


def _show(drafts: Sequence[Draft], planned: RunFile | None, arguments: argparse.Namespace) -> None:
    places = {key: slot for slot, key in planned.jobs.items()} if planned else {}
    if arguments.json:
        rows = [
            {
                "key": each.record.key,
                "slot": places.get(each.record.key),
                "job": each.record.job,
                "values": each.record.values,
            }
            for each in drafts
        ]
        print(options.as_json(rows))
        return
    for each in drafts:
        record, job = each.record, each.record.job
        assert isinstance(job, ImportedJob)  # noqa: S101  # made above
        for shots in job.shots:
            score = 100 * float(record.values[f"shots{shots}/accuracy"])
            options.print_line(
                f"{job.checkpoint}, {job.task}, {plural(shots, 'shot')}: accuracy {score:.2f} %"
            )
        options.print_line(f"  record {arguments.out}/jobs/{record.key[:12]}, imported: {job.by}")
        options.print_line(f"  unknown: {', '.join(job.unknown())}")
        if place := places.get(record.key):
            options.print_line(f"  counts as {place} of {arguments.manifest}; {_JUDGE}")


_JUDGE = "`repro verify` judges it, and nothing is decided by it alone"
