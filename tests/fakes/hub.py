"""A model hub on the loopback: the few answers that downloading a snapshot needs, from files in memory."""

import hashlib
import json
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class FakeHub:
    """One model `name` at one revision `pinned` (and `main`), served as a context manager."""

    def __init__(self, name: str, files: Mapping[str, bytes], *, gated: bool = False, commit: str = COMMIT) -> None:
        self.commit = commit
        self.name, self.files, self.gated = name, dict(files), gated
        self.asked: list[str] = []
        hub = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                hub.answer(self, body=True)

            def do_HEAD(self) -> None:
                hub.answer(self, body=False)

            def log_message(self, *_: object) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def answer(self, request: BaseHTTPRequestHandler, *, body: bool) -> None:
        path = request.path.split("?")[0]
        self.asked.append(path)
        if not path.startswith((f"/api/models/{self.name}", f"/{self.name}/")):
            return _send(request, 404, {"X-Error-Code": "RepoNotFound"}, b"", body=body)
        if self.gated:
            return _send(request, 403, {"X-Error-Code": "GatedRepo"}, b"", body=body)
        for revision in ("main", "pinned", self.commit):
            if path in (f"/api/models/{self.name}/revision/{revision}", f"/api/models/{self.name}"):
                about = {"id": self.name, "sha": self.commit, "siblings": [{"rfilename": file} for file in self.files]}
                return _send(request, 200, {"Content-Type": "application/json"}, json.dumps(about).encode(), body=body)
            if path.startswith(f"/api/models/{self.name}/tree/{revision}"):
                tree = [
                    {"type": "file", "path": file, "size": len(held), "oid": hashlib.sha1(held).hexdigest()}  # noqa: S324 - git's own
                    for file, held in self.files.items()
                ]
                return _send(request, 200, {"Content-Type": "application/json"}, json.dumps(tree).encode(), body=body)
            file = path.removeprefix(f"/{self.name}/resolve/{revision}/")
            if file in self.files:
                held = self.files[file]
                tag = hashlib.sha256(held).hexdigest()
                headers = {"ETag": f'"{tag}"', "X-Repo-Commit": self.commit, "Accept-Ranges": "bytes"}
                return _send(request, 200, headers, held, body=body)
        code = "EntryNotFound" if "/resolve/main/" in path else "RevisionNotFound"
        return _send(request, 404, {"X-Error-Code": code}, b"", body=body)


def _send(
    request: BaseHTTPRequestHandler, status: int, headers: Mapping[str, str], content: bytes, *, body: bool
) -> None:
    request.send_response(status)
    for name, value in headers.items():
        request.send_header(name, value)
    request.send_header("Content-Length", str(len(content)))
    request.end_headers()
    if body:
        request.wfile.write(content)
