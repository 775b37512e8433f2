import re
import tomllib
from pathlib import Path

import pytest

from repro import paths
from repro.environment import pins
from repro.errors import EXIT_BAD_INPUT, BadInputError

SHA = "ab" * 32
ALL_LOCKS = (pins.LOCK, pins.KERNELS, pins.DEVELOPMENT)


def write(folder: Path, text: str) -> Path:
    path = folder / "lock.txt"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_lock_is_read_with_normalised_names_versions_and_all_hashes(tmp_path: Path) -> None:
    other = "cd" * 32
    text = f"""# a comment
    fsspec[http]==2024.5.0 \\
        --hash=sha256:{SHA} \\
        --hash=sha256:{other}
        # via datasets
    Flash_Attn==2.5.7 --hash=sha256:{SHA}  # a trailing comment
    """
    found = pins.read(write(tmp_path, text))
    assert list(found) == ["fsspec", "flash-attn"]
    assert found["fsspec"].version == "2024.5.0"
    assert found["fsspec"].hashes == (SHA, other)


@pytest.mark.parametrize(
    "line",
    [
        "torch==2.2.1",
        f"torch>=2.2.1 --hash=sha256:{SHA}",
        f"torch==2.2.* --hash=sha256:{SHA}",
        f"torch==2.2.1 --hash=md5:{SHA[:32]}",
        f"torch==2.2.1 --hash=sha256:{SHA[:-1]}",
        f"torch==2.2.1; python_version > '3' --hash=sha256:{SHA}",
        "--index-url somewhere",
        "-r other.txt",
    ],
)
def test_what_is_not_pinned_with_a_hash_is_refused(tmp_path: Path, line: str) -> None:
    with pytest.raises(BadInputError, match="not a lock file") as caught:
        pins.read(write(tmp_path, f"a==1 --hash=sha256:{SHA}\n{line}\n"))
    assert caught.value.exit_code == EXIT_BAD_INPUT
    (problem,) = caught.value.problems
    assert problem.where.endswith("line 2")
    assert problem.found == line[:80]
    assert "name==version --hash=sha256:" in problem.expected


def test_every_bad_line_is_reported_at_once(tmp_path: Path) -> None:
    text = f"a==1\nb==2 --hash=sha256:{SHA}\nB==3 --hash=sha256:{SHA}\nc\n"
    with pytest.raises(BadInputError) as caught:
        pins.read(write(tmp_path, text))
    lines = [problem.where.rpartition("line ")[2] for problem in caught.value.problems]
    assert lines == ["1", "3", "4"]


def test_an_empty_lock_is_no_lock(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match="at least one pinned package"):
        pins.read(write(tmp_path, "# nothing\n"))


def test_a_missing_lock_is_bad_input(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match="cannot be read"):
        pins.read(tmp_path / "absent.txt")


@pytest.mark.parametrize("path", ALL_LOCKS, ids=lambda path: path.name)
def test_the_bundles_own_locks_have_hashes_and_name_no_host(path: Path) -> None:
    assert pins.read(path)
    assert not re.search(r"https?:|file:|--index-url|--find-links", path.read_text("utf-8"))


def test_the_locks_header_names_the_command_that_wrote_it() -> None:
    header = "\n".join(pins.LOCK.read_text("utf-8").splitlines()[:3])
    command = "uv pip compile requirements.in --exclude-newer 2024-07-05T00:00:00Z"
    assert command in header
    assert "--generate-hashes" in header
    assert pins.python_version(pins.LOCK) == "3.11"


def test_every_direct_requirement_is_in_the_lock_and_has_a_reason() -> None:
    lock = pins.read(pins.LOCK)
    text = (paths.ROOT / "requirements.in").read_text("utf-8")
    for line in (line for line in text.splitlines() if line and not line.startswith("#")):
        requirement, _, reason = line.partition("#")
        name, _, version = requirement.strip().partition("==")
        assert reason.strip(), f"{requirement} has no reason"
        pin = lock[pins.normalise(re.split(r"[\[<]", name)[0])]
        assert not version or pin.version == version


@pytest.mark.parametrize("other", [pins.KERNELS, pins.DEVELOPMENT], ids=lambda path: path.name)
def test_other_lists_change_no_locked_version(other: Path) -> None:
    lock, beside = pins.read(pins.LOCK), pins.read(other)
    shared = lock.keys() & beside.keys()
    assert "packaging" in shared
    assert {name: beside[name] for name in shared} == {name: lock[name] for name in shared}


def test_every_version_of_the_paper_is_our_pin_or_says_why_not() -> None:
    ours, paper = pins.versions(), pins.paper()
    for name, pin in paper.items():
        assert pin.stands_in or ours[name] == pin.version, name
    assert [name for name, pin in paper.items() if pin.stands_in] == [
        "transformers",
        "causal-conv1d",
    ]
    assert ours["transformers"] == "4.40.0"


def test_a_printed_version_loses_only_its_v_and_its_build_label() -> None:
    paper = pins.paper()
    assert (paper["torch"].printed, paper["torch"].version) == ("2.2.1+cu121", "2.2.1")
    assert (paper["mamba-ssm"].printed, paper["mamba-ssm"].version) == ("v2.2.2", "2.2.2")
    assert (paper["causal-conv1d"].printed, paper["causal-conv1d"].version) == (None, None)


def test_the_project_lists_every_folder_of_its_packages() -> None:
    project = tomllib.loads((paths.ROOT / "pyproject.toml").read_text("utf-8"))
    listed = project["tool"]["setuptools"]["packages"]
    tops = ("repro", "runner", "verify")
    inits = (path for top in tops for path in (paths.ROOT / top).rglob("*.py"))
    folders = {".".join(path.parent.relative_to(paths.ROOT).parts) for path in inits}
    assert set(listed) == {*folders, "lyapunov_repro_data"}


def test_the_project_bounds_only_the_light_parts() -> None:
    project = tomllib.loads((paths.ROOT / "pyproject.toml").read_text("utf-8"))
    names = {re.split(r"[<>=]", each)[0] for each in project["project"]["dependencies"]}
    plots = {"jinja2", "matplotlib"}
    assert names == {"numpy", "pydantic", "rich", "safetensors", "scipy", *plots}
    assert names <= pins.read(pins.LOCK).keys()
