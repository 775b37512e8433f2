"""A few hundred inputs of the fuzzer, drawn by hypothesis and the same each time; `make fuzz` runs
100,000. Then bugs are planted, each of which has to be reported."""

import json
import os
import random
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fuzz import guard, json_trees, run, sealed, stand
from fuzz.choices import Choices
from fuzz.guard import Failure
from fuzz.honest import Results
from fuzz.inputs import placed
from fuzz.targets import Targets
from repro import paths
from repro.cli import main
from repro.cli import plan as planning
from repro.schema import reading
from repro.store import run_file

EACH = {"manifest": 12, "record": 25, "claims": 30, "arrays": 20, "run-file": 20, "pins": 20}
FEW = settings(
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@pytest.fixture(scope="module")
def targets(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Targets]:
    with pytest.MonkeyPatch.context() as patch:
        yield Targets(stand.build(tmp_path_factory.mktemp("fuzz"), patch.setattr))


def test_every_target_is_run_by_make_fuzz(targets: Targets) -> None:
    assert targets.names.keys() == run.SHARES.keys()
    assert sum(run.SHARES.values()) >= 100_000


@pytest.mark.parametrize("name", run.SHARES)
def test_what_must_hold_holds(targets: Targets, name: str) -> None:
    @settings(FEW, max_examples=EACH.get(name, 20))
    @given(st.binary(min_size=4, max_size=48))
    def once(data: bytes) -> None:
        targets.names[name](Choices(data))

    once()


def test_honest_results_have_outcomes_that_could_be_lost(targets: Targets) -> None:
    for each in targets.stand.results:
        found = set(each.outcomes.values())
        if (
            each.root.name == "tuned"
        ):  # what a recipe leaves open decides nothing: none may be gained
            assert found == {"inconclusive"}
        else:
            assert {"reproduced", "contradicted"} <= found, each.root.name


def test_an_honest_record_is_as_sealed(targets: Targets) -> None:
    for each in targets.stand.results:
        text = each.files[each.records()[0]]
        assert json.loads(sealed.seal(text)) == json.loads(text)


@settings(FEW, max_examples=150)
@given(st.binary(max_size=64))
def test_trees_are_changed_and_end(data: bytes) -> None:
    tree = json_trees.parse('{"a": [1, {"b": "x"}, null], "c": {"d": 2.5, "e": []}}')
    before = json_trees.dump(tree)
    assert json.loads(before) == {"a": [1, {"b": "x"}, None], "c": {"d": 2.5, "e": []}}
    json_trees.mutate(tree, Choices(data))
    assert len(json_trees.dump(tree)) < 1_000_000


# -----------------------------------------------------------------------------
# Planted bugs


def raises() -> int:
    message = "planted"
    raise KeyError(message)


def writes_elsewhere(folder: Path) -> int:
    (folder / "escaped").write_text("x", encoding="utf-8")
    return 0


def makes_a_link(folder: Path) -> int:
    (folder / "inside" / "link").symlink_to(folder)
    return writes_elsewhere(folder / "inside" / "link")


def starts_a_process(_: Path) -> int:
    subprocess.run([sys.executable, "-c", ""], check=True)
    return 0


def opens_a_socket(_: Path) -> int:
    socket.socket().close()
    return 0


def waits(folder: Path) -> int:
    os.mkfifo(folder / "pipe")
    (folder / "pipe").read_bytes()
    return 0


def paints(_: Path) -> int:
    sys.stdout.write("\x1b[1A\x1b[2Kreproduced")
    return 0


def computes(_: Path) -> int:
    return sum(range(10_000_000)) * 0


@pytest.mark.parametrize(
    ("planted", "kind"),
    [
        (lambda _: raises(), "bug"),
        (lambda _: 9, "exit code"),
        (lambda _: 2, "message"),
        (writes_elsewhere, "side effect"),
        (makes_a_link, "side effect"),
        (starts_a_process, "side effect"),
        (opens_a_socket, "side effect"),
        (waits, "hang"),
        (computes, "slow"),
        (paints, "unseen"),
    ],
)
def test_a_planted_bug_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, planted: Callable[[Path], int], kind: str
) -> None:
    (tmp_path / "inside").mkdir()
    monkeypatch.setattr(guard, "HANGS", 1)
    monkeypatch.setattr(guard, "SLOW", 0.05)
    monkeypatch.setattr(planning, "run", lambda _: planted(tmp_path))
    with pytest.raises(Failure) as failure:
        guard.run(["plan", "x"], allowed=tmp_path / "inside")
    assert failure.value.kind == kind


def test_an_input_finds_a_planted_bug(targets: Targets, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a function that only damaged manifests lead to."""
    monkeypatch.setattr(reading, "_where", lambda *_: raises())

    def hundred() -> None:
        for number in range(100):
            targets.manifest(Choices(bytes([number]) * 16))

    with pytest.raises(Failure, match=r"^bug: .*KeyError: 'planted'"):
        hundred()


def change_of(folder: Results, field: str, value: str) -> bytes:
    """A manifest whose first claim has another value."""
    data: dict[str, Any] = json.loads(folder.manifest.read_bytes())
    data["claims"][0][field] = value
    return json.dumps(data).encode()


@pytest.mark.parametrize("planted", ["name", "encoding"])
def test_a_name_finds_a_planted_bug(
    targets: Targets, monkeypatch: pytest.MonkeyPatch, planted: str
) -> None:
    """Paths that nobody looks at first; an output that cannot hold every character."""
    if planted == "name":
        monkeypatch.setattr(main, "_OF_THE_SYSTEM", set())
        for name in ("path_argument", "folder_argument", "new_path_argument"):
            monkeypatch.setattr(paths, name, Path)
    else:
        monkeypatch.setattr(main, "make_streams_safe", lambda: None)

    def many() -> None:
        draw = random.Random(0)  # of the same inputs each time
        for _ in range(400):
            targets.paths(Choices(draw.randbytes(8)))

    with pytest.raises(Failure, match=r"^bug: "):
        many()


def test_a_verdict_that_is_made_up_is_reported(
    targets: Targets, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A verifier that does not look whether claims were changed after the run."""
    layers = next(each for each in targets.stand.results if each.root.name == "layers")
    assert layers.outcomes["bound"] == "inconclusive"
    text, quiet = change_of(layers, "limit", "0.5"), Choices(b"")
    with placed(layers.manifest, text, quiet):
        targets.verify(layers, quiet)
        monkeypatch.setattr(run_file, "changes", lambda *_: {})
        with pytest.raises(Failure, match="verdict: bound inconclusive -> contradicted"):
            targets.verify(layers, quiet)


def test_a_verifier_that_recomputes_nothing_is_reported(
    targets: Targets, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Arrays in which every answer is another, sealed again."""
    from verify.records import mmlu

    results = targets.stand.results[0]
    record = results.records()[0]
    arrays = sealed.folder_of(record)
    content = bytearray(results.files[arrays])
    start = 8 + int.from_bytes(content[:8], "little")
    content[start:] = bytes(len(content) - start)
    quiet = Choices(b"")
    again = sealed.with_arrays(results.files[record], bytes(content))

    def outcomes() -> set[str]:
        done = guard.run(["verify", results.root, "--json"])
        assert done.out, done
        verdicts = json.loads(done.out)
        return {each["outcome"] for each in verdicts[0]["findings"]}

    with placed(arrays, bytes(content), quiet), placed(record, again, quiet):
        assert "invalid" in outcomes()
        monkeypatch.setattr(mmlu, "check", lambda *_: None)
        assert "invalid" not in outcomes()
