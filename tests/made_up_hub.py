"""A model hub on this machine: the few answers that its client needs in tests."""

import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from repro import fileio

COMMIT = "89abcdef" * 5


class Hub(ThreadingHTTPServer):
    """The few answers of the model hub that its client needs here."""

    def __init__(self, root: Path) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.root = root
        self.gated = "nobody/nothing"
        self.served: list[str] = []
        """Files that were fetched."""
        self.asked_from: dict[str, list[int]] = {}
        """First byte of each answer, by file."""
        self.stalls: tuple[str, int] = ("", 0)
        """A file whose answer stops after so many bytes, and they."""
        self.stalled = threading.Event()
        """Ends that wait."""

    @property
    def endpoint(self) -> str:
        """What HF_ENDPOINT has to be."""
        return f"http://127.0.0.1:{self.server_port}"


@contextmanager
def serving(root: Path) -> Iterator[Hub]:
    """A hub whose repositories are the folders `<root>/<owner>/<name>`."""
    hub = Hub(root)
    thread = threading.Thread(target=hub.serve_forever)
    thread.start()
    try:
        yield hub
    finally:
        hub.stalled.set()
        hub.shutdown()
        thread.join()
        hub.server_close()


class Handler(BaseHTTPRequestHandler):
    server: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        """Nothing on stderr."""

    def do_GET(self) -> None:
        self._answer(body=True)

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def _answer(self, *, body: bool) -> None:
        path = self.path.partition("?")[0]
        if found := re.fullmatch(r"/api/models/([^/]+/[^/]+)(?:/revision/(.+))?", path):
            self._send(self._info(found[1]), body=body)
        elif found := re.fullmatch(rf"/([^/]+/[^/]+)/resolve/{COMMIT}/([^/]+)", path):
            file = self.server.root / found[1] / found[2]
            if body:
                self.server.served.append(found[2])
            gated = found[1] == self.server.gated
            content = None if gated or not file.is_file() else file.read_bytes()
            if body and content is not None:
                self._send_from(found[2], content)
            else:
                self._send(content, body=body, file=True)
        else:
            self._send(None, body=body)

    def _info(self, repository: str) -> bytes | None:
        """Like `GET /api/models/…?blobs=true`; large files have a SHA-256, small ones none."""
        folder = self.server.root / repository
        if not folder.is_dir():
            return None
        siblings = []
        for file in sorted(folder.iterdir()):
            size = file.stat().st_size
            each = {"rfilename": file.name, "size": size, "blobId": "0" * 40}
            if "blobs=" in self.path and file.suffix in (".bin", ".safetensors"):
                each["lfs"] = {
                    "size": size,
                    "sha256": fileio.digest_of_file(file),
                    "pointerSize": 9,
                }
            siblings.append(each)
        about = {"private": False, "downloads": 0, "likes": 0, "tags": []}
        about |= {"id": repository, "sha": COMMIT, "siblings": siblings}
        return json.dumps(about).encode()

    def _send_from(self, name: str, content: bytes) -> None:
        """A file from the byte on that the client asks for."""
        first = int((re.findall(r"^bytes=(\d+)-$", self.headers.get("Range") or "") or [0])[0])
        self.server.asked_from.setdefault(name, []).append(first)
        self.send_response(206 if first else 200)
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("Content-Length", str(len(content) - first))
        if first:
            last = len(content) - 1
            self.send_header("Content-Range", f"bytes {first}-{last}/{len(content)}")
        self.end_headers()
        stalled, count = self.server.stalls
        if name == stalled:
            self.wfile.write(content[first : first + count])
            self.wfile.flush()
            self.server.stalled.wait()
            return
        self.wfile.write(content[first:])

    def _send(self, content: bytes | None, *, body: bool, file: bool = False) -> None:
        self.send_response(200 if content is not None else 401 if file else 404)
        if content is None:
            self.send_header("X-Error-Code", "GatedRepo" if file else "RepoNotFound")
        elif file:
            self.send_header("X-Repo-Commit", COMMIT)
            self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
        self.send_header("Content-Length", str(len(content or b"")))
        self.end_headers()
        if body and content:
            self.wfile.write(content)
