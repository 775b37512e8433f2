"""The image against a real engine: `make test-container`, outside the normal suite.

Oracles: the engine's own account of what it built and ran, CycloneDX's schema, and the host's
environment, whose numbers have to come out of the image bit for bit.

Needs Debian's root: where there is no engine it installs and starts one, and where no
registry can be reached it makes the base itself (`container_engine`). An hour on two cores and
30 GB at most. `check_cuda` has the other target.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from container_engine import (
    SAFE,
    base,  # noqa: F401 - a fixture
    build,
    call,
    engine,  # noqa: F401 - a fixture
    repro,
)
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from repro import paths
from repro.store.store import Store

pytestmark = pytest.mark.timeout(3600)

IMAGE = "repro-check"
RUNS = (("stability", "full"), ("table1", "smoke"), ("theorem3", "full"))


# -----------------------------------------------------------------------------
# An image


@pytest.fixture(scope="session")
def image(engine: Any, base: str) -> Any:
    """The cpu target, built by `repro container build` from this checkout."""
    done = build("cpu", IMAGE, {"BASE": base})
    assert done.returncode == 0, done.stderr[-3000:]
    assert "Step 1/" in done.stderr  # progress is streamed
    found = engine.images.get(IMAGE)
    assert f"{IMAGE}: {found.id}," in done.stdout
    return found


# -----------------------------------------------------------------------------
# What was built


def test_labels_user_and_entry_point(image: Any, base: str) -> None:
    config = image.attrs["Config"]
    assert config["Entrypoint"] == ["repro"]
    assert config["User"] == "10001:10001"
    assert config["WorkingDir"] == "/bundle"
    assert config["StopSignal"] == "SIGINT"
    assert set(config["Volumes"]) == {"/bundle/results", "/tmp"}
    labels = config["Labels"]
    commit = call("git", "rev-parse", "HEAD").stdout.strip()
    assert labels["org.opencontainers.image.revision"].removesuffix("-changed") == commit
    assert labels["org.opencontainers.image.base.name"] == base
    assert labels["repro.target"] == "cpu"
    assert not any("PIP" in each for each in config["Env"])


@pytest.mark.usefixtures("image")
def test_the_runtime_has_no_compiler_and_nothing_that_others_may_write() -> None:
    script = (
        "for each in gcc cc g++ clang tcc git curl wget nvcc; do "
        "command -v $each && echo found $each; done; id -u; "
        "find / -xdev -type f -perm -0002 2>/dev/null; "
        "find / -xdev -perm /6000 -user root -path '/opt/*' 2>/dev/null"
    )
    done = call("docker", "run", *SAFE, "--entrypoint", "sh", IMAGE, "-c", script)
    assert done.stdout.split() == ["10001"]


@pytest.mark.usefixtures("image")
def test_it_starts_within_a_second_and_a_half() -> None:
    seconds = []
    for _ in range(5):
        started = time.perf_counter()
        done = call("docker", "run", *SAFE, IMAGE, "--help")
        seconds.append(time.perf_counter() - started)
        assert done.returncode == 0
        assert "repro" in done.stdout
    assert min(seconds) < 1.5, seconds


# -----------------------------------------------------------------------------
# What comes out of it


@pytest.fixture(scope="session")
def runs(image: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Results of the same manifests by plain `docker run` and by the host's environment."""
    inside, outside = (tmp_path_factory.mktemp(name) for name in ("inside", "outside"))
    inside.chmod(0o777)
    for name, tier in RUNS:
        arguments = ["run", f"manifests/{name}.json", "--tier", tier, "--offline"]
        mount = f"{inside}:/bundle/results"
        told = f"REPRO_IMAGE={image.id}"
        done = call("docker", "run", *SAFE, "-e", told, "-v", mount, IMAGE, *arguments)
        here = repro(*arguments, "--out", str(outside))
        assert done.returncode == here.returncode, done.stdout + done.stderr
        assert done.returncode in (0, 3)
    return inside, outside


@pytest.mark.parametrize(("name", "tier"), RUNS)
def test_its_numbers_are_the_hosts_bit_for_bit(
    runs: tuple[Path, Path], name: str, tier: str
) -> None:
    one, other = (records(folder, name, tier) for folder in runs)
    assert one.keys() == other.keys()
    assert one
    for slot in one:
        (first, arrays), (second, others) = one[slot], other[slot]
        assert first.code == second.code
        assert first.inputs == second.inputs
        assert measured(first.values) == measured(second.values), slot
        assert arrays.keys() == others.keys()
        for array in arrays:
            assert arrays[array].tobytes() == others[array].tobytes(), f"{slot} {array}"
        # Another patch release of Python is another key, and says why the record is another.
        assert (first.key == second.key) == (first.environment.python == second.environment.python)


def measured(values: dict[str, Any]) -> dict[str, Any]:
    """Values without those of a clock."""
    return {name: value for name, value in values.items() if not name.endswith("seconds")}


def records(folder: Path, name: str, tier: str) -> dict[str, Any]:
    """Records and arrays by slot, as verify reads them."""
    run = json.loads((folder / "runs" / f"{name}.{tier}.json").read_text())
    return {slot: Store(folder).load(key) for slot, key in run["jobs"].items()}


def test_the_images_digest_is_in_every_record(runs: tuple[Path, Path], image: Any) -> None:
    files = list((runs[0] / "jobs").glob("*/record.json"))
    assert files
    for file in files:
        assert json.loads(file.read_text())["environment"]["flags"]["REPRO_IMAGE"] == image.id


def test_container_run_is_shut_in_and_belongs_to_the_caller(
    engine: Any, image: Any, tmp_path: Path
) -> None:
    """Oracle: the engine's own description of the container, taken while it runs."""
    out = tmp_path / "out:ro"  # a colon, which `-v` would take for the end of the name
    command = ["container", "run", "--image", IMAGE, "manifests/stability.json", "--offline"]
    process = subprocess.Popen(
        [sys.executable, "-m", "repro.cli.main", *command, "--out", str(out)],
        cwd=paths.ROOT,
        env={**os.environ, "PYTHONPATH": str(paths.ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    container = running(engine, image)
    host = container.attrs["HostConfig"]
    assert host["NetworkMode"] == "none"
    assert host["ReadonlyRootfs"] is True
    assert host["CapDrop"] == ["ALL"]
    assert host["SecurityOpt"] == ["no-new-privileges"]
    assert host["Privileged"] is False
    assert not host["Binds"]
    assert host["Mounts"] == [{"Type": "bind", "Source": str(out), "Target": "/bundle/results"}]
    assert container.attrs["Config"]["User"] == f"{os.getuid()}:{os.getgid()}"
    assert container.attrs["Image"] == image.id
    time.sleep(15)  # into the run
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert "finished jobs are kept" in said
    assert engine.containers.list(all=True, filters={"ancestor": image.id}) == []
    assert {path.stat().st_uid for path in out.rglob("*")} == {os.getuid()}


def running(engine: Any, image: Any) -> Any:
    for _ in range(300):
        found = engine.containers.list(filters={"ancestor": image.id})
        if found:
            found[0].reload()
            return found[0]
        time.sleep(0.1)
    pytest.fail("no container started")


@pytest.mark.usefixtures("image")
def test_exit_codes_pass_through_and_errors_are_one_line(tmp_path: Path) -> None:
    def run(*arguments: str) -> tuple[int, str]:
        done = repro("container", "run", "--image", IMAGE, *arguments, "--out", str(tmp_path / "o"))
        return done.returncode, done.stderr

    code, said = run("manifests/table1.json", "--offline", "--only", "model=gpt-5")
    assert (code, "expected one of" in said) == (2, True)
    code, said = run("manifests/table1.json", "--offline", "--tier", "full")
    assert code == 3  # no weights
    code, said = run("manifests/table1.json", "--image", "no-such-image")
    assert (code, said.count("\n")) == (3, 1)
    assert "make it with `repro container build`" in said


def test_an_arbitrary_user_may_write_where_results_go(image: Any) -> None:
    script = "touch /bundle/results/a /tmp/a && ! touch /bundle/a && ! touch /opt/a && id -u"
    done = call("docker", "run", *SAFE, "--user", "4321:99", "--entrypoint", "sh", image.id,
                "-c", script)  # fmt: skip
    assert done.stdout.split() == ["4321"], done.stderr


@pytest.mark.usefixtures("image")
def test_two_names_of_one_folder_and_another_engine_arrive(tmp_path: Path) -> None:
    twin = shutil.copytree(paths.ROOT / "twins" / "mamba-twin", tmp_path / "a:b")
    done = repro(
        *["container", "run", "--image", IMAGE, "manifests/table1.json", "--offline", "--json"],
        *["--tier", "full", "--only", "dtype=float32,setting=batch-16", "--engine", "prefix"],
        *["--substitute", f"mamba-130m={twin}", "--substitute", f"mamba-370m={twin}"],
        *["--substitute", "mamba-790m=/no/where", "--out", str(tmp_path / "out")],
    )
    assert done.returncode == 2
    assert "/no/where: there is no such file or folder" in done.stderr
    done = repro(
        *["container", "run", "--image", IMAGE, "manifests/table1.json", "--offline"],
        *["--tier", "smoke", "--only", "model=mamba-130m,dtype=float32,setting=batch-16"],
        *["--engine", "prefix", "--out", str(tmp_path / "out")],
        *["--substitute", f"mamba-twin={twin}", "--substitute", f"mamba-130m={twin}"],
    )
    assert done.returncode == 0, done.stderr
    run = json.loads((tmp_path / "out" / "runs" / "table1.smoke.json").read_text())
    assert (run["engine"], run["substitutions"]) == ("prefix", {})


def test_a_user_whom_nobody_knows_verifies_reports_and_runs(image: Any, tmp_path: Path) -> None:
    """Without a home, in ASCII, writing to one folder and nothing else: not even `/tmp`."""
    tmp_path.chmod(0o777)
    shut = ["docker", "run", "--rm", "--network=none", "--read-only", "--user=12345:12345"]
    shut += [
        "-v",
        f"{tmp_path}:/out",
        "-v",
        f"{tmp_path}:/bundle/results",
        "-v",
        f"{tmp_path}/t:/tmp:ro",
    ]
    shut += [
        "--entrypoint",
        "sh",
        image.id,
        "-c",
        'umask 077; unset HOME; LANG=C exec repro "$@"',
        "sh",
    ]
    (tmp_path / "t").mkdir()
    one = "model=mamba-130m,dtype=float32,setting=batch-16"
    for code, arguments in (
        (1, ["verify", "evidence/cpu"]),
        (1, ["report", "evidence/cpu", "--out", "/out/page"]),
        (
            0,
            [
                "run",
                "manifests/table1.json",
                "--tier",
                "smoke",
                "--offline",
                "--only",
                one,
                "--out",
                "/out/r",
            ],
        ),
    ):
        done = call(*shut, *arguments)
        assert done.returncode == code, done.stderr
    assert (tmp_path / "page" / "report.html").is_file()
    assert len(list((tmp_path / "r" / "jobs").glob("*/record.json"))) == 1


# -----------------------------------------------------------------------------
# The audit


@pytest.mark.usefixtures("image")
def test_it_is_as_pinned_and_its_bill_of_materials_is_valid() -> None:
    done = repro("container", "audit", "--image", IMAGE, "--json")
    audit = json.loads(done.stdout)
    assert (done.returncode, audit["problems"]) == (0, [])
    assert audit["image"]["target"] == "cpu"
    assert audit["image"]["os_packages"]["libc6:amd64"]
    assert audit["image"]["probe"]["mamba-twin float32 mamba_scan"] == "slow"
    done = repro("container", "audit", "--image", IMAGE, "--format", "cyclonedx")
    assert done.returncode == 0
    names = {each["name"] for each in json.loads(done.stdout)["components"]}
    assert {"torch", "libc6"} <= names
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(done.stdout) is None


SWAP = """
import base64, hashlib, pathlib, re, tqdm
module = pathlib.Path(tqdm.__file__).parent / "utils.py"
module.write_bytes(module.read_bytes() + b"# swapped\\n")
(record,) = module.parent.parent.glob("tqdm-*.dist-info/RECORD")
digest = base64.urlsafe_b64encode(hashlib.sha256(module.read_bytes()).digest()).decode().rstrip("=")
line = f"tqdm/utils.py,sha256={digest},{module.stat().st_size}"
record.write_text(re.sub("^tqdm/utils.py,.*$", line, record.read_text(), flags=re.M))
"""


def test_a_wheel_that_was_swapped_after_the_build_is_found(engine: Any, image: Any) -> None:
    """The same version, every file as its RECORD says: only the image's own lock knows."""
    container = engine.containers.create(
        image.id, ["-c", SWAP], entrypoint="python", user="0", network_mode="none"
    )
    try:
        container.start()
        assert container.wait()["StatusCode"] == 0, container.logs()
        container.commit(f"{IMAGE}-swapped", conf={"Entrypoint": ["repro"], "User": "10001:10001"})
        done = repro("container", "audit", "--image", f"{IMAGE}-swapped", "--json")
        assert done.returncode == 4
        (problem,) = json.loads(done.stdout)["problems"]
        assert problem.startswith("tqdm: another wheel than the image was built with")
    finally:
        container.remove(force=True)
        engine.images.remove(f"{IMAGE}-swapped", force=True)
