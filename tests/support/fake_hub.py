"""As much of Hugging Face as a download asks for, on loopback."""

from __future__ import annotations

import hashlib
import json
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

MEBIBYTE = 1 << 20
COMMIT = "c0ffee00" * 5


@dataclass
class Hub:
    """Serves one repository out of a folder.

    `cut` names a file whose next `n_cuts` downloads end at four fifths; `s_per_mebibyte` is how slow it is.
    """

    folder: Path
    model: str
    cut: str = ""
    n_cuts: int = 1
    s_per_mebibyte: float = 0.0
    address: str = ""
    ranges: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    commit: str = COMMIT

    def files(self) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in sorted(self.folder.iterdir())}


def _handler(hub: Hub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: object) -> None:
            pass

        def do_HEAD(self) -> None:
            self.do_GET()

        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            hub.requests.append(path)
            if path.startswith(f"/api/models/{hub.model}"):
                self._say(path)
            elif path.startswith(f"/{hub.model}/resolve/"):
                self._send_file(path.rpartition("/")[2])
            else:
                self._respond(404, b"{}")

        def _say(self, path: str) -> None:
            sizes = {name: len(content) for name, content in hub.files().items()}
            if "/tree/" in path:
                said: object = [
                    {"type": "file", "path": name, "size": size, "oid": _etag(hub.files()[name])}
                    for name, size in sizes.items()
                ]
            else:
                siblings = [{"rfilename": name, "size": size} for name, size in sizes.items()]
                said = {"id": hub.model, "sha": _commit(path, hub), "siblings": siblings,
                        "cardData": {"license": "mit"}}  # fmt: skip
            self._respond(200, json.dumps(said).encode(), {"Content-Type": "application/json"})

        def _send_file(self, name: str) -> None:
            content = hub.files().get(name)
            if content is None:
                self._respond(404, b"", {"X-Error-Code": "EntryNotFound"})
                return
            headers = {"ETag": f'"{_etag(content)}"', "X-Repo-Commit": _commit(self.path, hub)}
            wanted = self.headers.get("Range", "")
            start = int(wanted.removeprefix("bytes=").partition("-")[0]) if wanted else 0
            if self.command == "GET":
                hub.ranges.append(f"{name} from {start}")
            if start:
                headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
            is_cut = self.command == "GET" and name == hub.cut and hub.n_cuts > 0
            hub.n_cuts -= is_cut
            self._respond(206 if start else 200, content[start:], headers, is_cut)

        def _respond(
            self,
            status: int,
            body: bytes,
            headers: dict[str, str] | None = None,
            is_cut: bool = False,
        ) -> None:
            self.send_response(status)
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command == "GET":
                sent = body[: len(body) * 4 // 5] if is_cut else body
                for begin in range(0, len(sent), MEBIBYTE):
                    self.wfile.write(sent[begin : begin + MEBIBYTE])
                    time.sleep(hub.s_per_mebibyte)
                self.close_connection = is_cut

    return Handler


def _commit(path: str, hub: Hub) -> str:
    """The revision that a path asks for; of a branch the newest."""
    found = re.search(r"/(?:revision|resolve|tree)/([0-9a-f]{40})(?![0-9a-f])", path)
    return found[1] if found else hub.commit


def _etag(content: bytes) -> str:
    return hashlib.sha1(content).hexdigest()


@contextmanager
def serving(folder: Path, model: str, cut: str = "") -> Iterator[Hub]:
    """A hub with one model, at `address`."""
    hub = Hub(folder, model, cut)
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(hub))
    hub.address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
