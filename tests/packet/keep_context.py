"""Put RO-Crate's JSON-LD context into the validator's HTTP cache, so that it needs no network.

    python keep_context.py CACHE CONTEXT.jsonld

CONTEXT is the file that the pinned rocrate library ships. Run by the validator's own Python.
"""

import sys
from io import BytesIO
from pathlib import Path

from requests import PreparedRequest, Response
from requests.adapters import HTTPAdapter
from requests_cache import CachedSession
from urllib3 import HTTPResponse

ADDRESS = "https://w3id.org/ro/crate/1.1/context"


class FromFile(HTTPAdapter):
    """Answers every request with one file."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self.content = Path(path).read_bytes()

    def send(self, request: PreparedRequest, *_: object, **__: object) -> Response:  # type: ignore[override]
        """The file, as a server would have sent it."""
        headers = {"Content-Type": "application/ld+json"}
        body = BytesIO(self.content)
        answer = HTTPResponse(body, headers, status=200, preload_content=False)
        return self.build_response(request, answer)


if __name__ == "__main__":
    session = CachedSession(sys.argv[1], backend="sqlite", expire_after=-1)
    session.mount(ADDRESS, FromFile(sys.argv[2]))
    session.get(ADDRESS).raise_for_status()
