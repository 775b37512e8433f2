"""A model hub that hangs, fails, breaks off or serves other bytes than the catalog pins."""

import json
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import made_up_hub
from bundle_copies import copy_bundle
from faults.whole_runs import Row, environ, outcomes, write_cell

from repro import fileio, paths

NAME, REPOSITORY = "pythia-160m", "EleutherAI/pythia-160m"
LIMIT = 180
"""Seconds until a run that waits for a hub counts as hanging."""
TABLE = json.loads((paths.MANIFESTS / "table1.json").read_text())
CELL = "T1.pythia-160m.bfloat16"


class Hub(made_up_hub.Hub):
    """One that something is wrong with."""

    def __init__(self, root: Path, fault: str) -> None:
        super().__init__(root)
        self.fault = fault
        self.RequestHandlerClass = Handler


class Handler(made_up_hub.Handler):
    server: Hub

    def _answer(self, *, body: bool) -> None:
        fault = self.server.fault
        if fault == "hangs":
            time.sleep(LIMIT)
        elif fault == "fails":
            self.send_error(500)
        elif fault == "hangs in a file" and body and "safetensors" in self.path:
            self.send_response(200)
            self.send_header("Content-Length", "1000000")
            self.end_headers()
            self.wfile.write(b"0" * 1000)
            time.sleep(LIMIT)
        elif fault == "breaks off" and body and "safetensors" in self.path:
            self.send_response(200)
            self.send_header("Content-Length", "1000000")
            self.end_headers()
            self.wfile.write(b"0" * 1000)
            self.close_connection = True
        else:
            super()._answer(body=body)


def faults(folder: Path) -> Iterator[Row]:
    """One row for each thing that may be wrong; a sound hub first, or the rest says nothing."""
    sorry = "exit 3, the message names the checkpoint; not-run"
    yield _row(folder, "none", "0", "not-run", "runs", negate=True)
    yield _row(folder, "other bytes than pinned", "0", "inconclusive", "measured, decides nothing")
    for fault in ("fails", "breaks off", "hangs", "hangs in a file"):
        yield _row(folder, fault, "3", "not-run", sorry)


def _row(
    folder: Path, fault: str, code: str, outcome: str, held: str, *, negate: bool = False
) -> Row:
    work = folder / "hub"
    shutil.rmtree(work, ignore_errors=True)
    root, known = work / "served", work / "catalog"
    shutil.copytree(paths.ROOT / "twins" / "gpt-neox-twin", root / REPOSITORY)
    _pin(known, root / REPOSITORY)
    if fault.startswith("other"):
        path = root / REPOSITORY / "model.safetensors"
        path.write_bytes(path.read_bytes()[:-1] + b"\x01")
    settings = [each["id"] for each in TABLE["settings"][:5]]
    full = {"settings": settings, "stand_ins": {}, "only_stand_ins": False}
    manifest = write_cell(work, "full", [0], **full)
    said = manifest.read_text().replace('"batch_size": 32', '"batch_size": 2')
    manifest.write_text(said)  # the weights are small, and the plan knows the real ones' sizes
    with _serving(Hub(root, fault)) as hub:
        done, seconds = _run(work, known, manifest, hub.endpoint)
    if done is None:
        return Row(f"hub: {fault}", 1, held, (f"still waits after {LIMIT} s",))
    found = outcomes(work / "results", [manifest]).get(CELL, "not in any run")
    wrong = (
        [] if str(done.returncode) == code else [f"exit {done.returncode}: {done.stderr[-400:]}"]
    )
    wrong += [] if (found == outcome) != negate else [f"the cell is {found}"]
    return Row(f"hub: {fault}", 1, f"{held} ({seconds:.0f} s)", tuple(wrong))


@contextmanager
def _serving(hub: Hub) -> Iterator[Hub]:
    threading.Thread(target=hub.serve_forever, daemon=True).start()
    try:
        yield hub
    finally:
        hub.shutdown()
        hub.server_close()


def _pin(known: Path, folder: Path) -> None:
    """A catalog that pins what the sound hub serves."""
    path = copy_bundle(known) / "catalog" / "checkpoints.json"
    data = json.loads(path.read_text())
    entry = data.get("checkpoints", data)[NAME]
    entry["source"]["revision"] = made_up_hub.COMMIT
    names = (
        "config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
        "special_tokens_map.json",
    )
    entry["files"] = {name: fileio.digest_of_file(folder / name) for name in names}
    path.write_text(json.dumps(data))


def _run(
    work: Path, known: Path, manifest: Path, endpoint: str
) -> tuple["subprocess.CompletedProcess[str] | None", float]:
    arguments = ["run", str(manifest), "--out", str(work / "results"), "--json"]
    script = f"import sys; from repro.cli.main import main\nsys.exit(main({arguments!r}))"
    reached = environ(
        HF_ENDPOINT=endpoint,
        HF_HOME=str(work / "home"),
        REPRO_BUNDLE=str(known),
        no_proxy="127.0.0.1",
    )
    reached.pop("HF_HUB_OFFLINE", None)
    command, clock = [sys.executable, "-c", script], time.monotonic()
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, env=reached, timeout=LIMIT
        )
    except subprocess.TimeoutExpired:
        return None, LIMIT
    return done, time.monotonic() - clock
