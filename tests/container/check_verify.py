"""The image's target `verify` on a real engine: `make test-container`, outside the normal suite.

Oracle: the checkout's verdicts on the committed evidence.
"""

import json
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

pytestmark = pytest.mark.timeout(1800)

IMAGE = "repro-check-verify"
LIMIT = 500_000_000
"""Bytes, unpacked."""


@pytest.fixture(scope="module")
def image(engine: Any, base: str) -> Any:
    done = build("verify", IMAGE, {"BASE": base})
    assert done.returncode == 0, done.stderr[-3000:]
    return engine.images.get(IMAGE)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that the container's user may write, with a packet in it."""
    folder = tmp_path_factory.mktemp("shared")
    done = repro(
        *("export", "evidence", "--format", "ro-crate"), "--out", str(folder / "packet.zip")
    )
    assert done.returncode == 0, done.stderr
    folder.chmod(0o777)
    return folder


def judged(text: str) -> list[Any]:
    """Verdicts, but for where a line of pinned code was read: there, or in the packet's index."""
    found: list[Any] = json.loads(text)
    for finding in (each for verdict in found for each in verdict["findings"]):
        del finding["working"]
    return found


def test_it_is_small_and_runs_as_nobody(image: Any) -> None:
    assert image.attrs["Size"] < LIMIT
    config = image.attrs["Config"]
    assert (config["Entrypoint"], config["User"]) == (["repro"], "10001:10001")
    assert config["Labels"]["repro.target"] == "verify"


@pytest.mark.usefixtures("image")
@pytest.mark.parametrize("user", ["10001:10001", "1234:1234"])
def test_it_judges_as_the_checkout_does(shared: Path, user: str) -> None:
    options = [*SAFE, "--user", user, "--cap-drop=ALL", "-v", f"{shared}:/work"]
    done = call("docker", "run", *options, IMAGE, "verify", "packet.zip", "--json")
    expected = repro("verify", "evidence", "--json")
    assert done.returncode == expected.returncode, done.stderr
    assert judged(done.stdout) == judged(expected.stdout)
    done = call("docker", "run", *options, IMAGE, "report", "packet.zip", "--out", user[:4])
    assert done.returncode == expected.returncode, done.stderr
    assert "<h1>Claims of " in (shared / user[:4] / "report.html").read_text("utf-8")
