"""`FakePlayStore` on loopback, speaking the wire protocol over HTTP or HTTPS; google-play-scraper can read it."""

import json
import socket
import ssl
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from http.cookies import SimpleCookie
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.fakes.play_store import FakePlayStore, Fault, Kind, envelope, error_reply

CONSENT = "<!doctype html><html><title>Before you continue</title><form action=/save></form></html>"


class PlayWire:
    """The running server."""

    def __init__(self, fake: FakePlayStore, tls: ssl.SSLContext | None = None, *, latency_s: float = 0.0) -> None:
        self.fake, self.latency_s = fake, latency_s
        self.user_agents: list[str] = []
        self.released = threading.Event()
        handler = type("Handler", (_Handler,), {"wire": self})
        self._server = _Server(("127.0.0.1", 0), handler)
        scheme = "http"
        if tls:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
            scheme = "https"
        self.url = f"{scheme}://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self.released.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@contextmanager
def serve(fake: FakePlayStore, tls: ssl.SSLContext | None = None, *, latency_s: float = 0.0) -> Iterator[PlayWire]:
    wire = PlayWire(fake, tls, latency_s=latency_s)
    wire.start()
    try:
        yield wire
    finally:
        wire.stop()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is part of the game."""


class _Handler(BaseHTTPRequestHandler):
    wire: PlayWire
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  the base class names it so
        pass

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        app_id = parse_qs(parts.query).get("id", [""])[0]
        known = parts.path == "/store/apps/details" and app_id in self.wire.fake.apps
        self._send(
            200 if known else 404, "<html>an app</html>" if known else "<html>not found</html>", kind="text/html"
        )

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"])).decode()
        time.sleep(self.wire.latency_s)
        self.wire.user_agents.append(self.headers.get("user-agent", ""))
        app_id, token = _asked(body)
        jar = SimpleCookie(self.headers.get("cookie", ""))
        backend = jar["BACKEND"].value if "BACKEND" in jar else None
        fault = self.wire.fake.arrive(app_id, token, backend)
        self._backend = backend or self.wire.fake.new_backend()
        if fault and self._break(fault):
            return
        self._answer(app_id, token, fault.kind if fault else None)

    def _answer(self, app_id: str, token: str | None, kind: Kind | None) -> None:
        fake = self.wire.fake
        if app_id not in fake.apps:
            self._send(200, envelope("[]"))
            return
        reply = fake.answer(app_id, token, self._backend, kind)
        if reply is None:
            self._send(200, envelope(None, [3]))
            return
        if kind == "cut":
            self._send(200, reply, sent=len(reply.encode()) // 2)
        elif kind == "cut early":
            # The length is right and the content is not: only reading it tells.
            self._send(200, reply[: len(reply) // 2])
        else:
            self._send(200, reply)

    def _break(self, fault: Fault) -> bool:
        """Answer as the fault says; False where it only changes the page."""
        kind = fault.kind
        if kind in ("429", "500", "503", "403", "400"):
            self._send(int(kind), "<html>sorry</html>", kind="text/html", retry_after=fault.retry_after)
        elif kind == "hang":
            self.wire.released.wait(30)
            self.close_connection = True
        elif kind in ("gateway", "data"):
            self._send(200, error_reply(kind))
        elif kind == "consent":
            self._send(200, CONSENT, kind="text/html")
        elif kind == "consent redirect":
            self._send(302, "", location=f"https://consent.google.example/ml?continue={uuid.uuid4().hex}")
        else:
            return False
        return True

    def _send(
        self,
        status: int,
        text: str,
        *,
        kind: str = "application/json; charset=utf-8",
        sent: int | None = None,
        retry_after: str | None = None,
        location: str | None = None,
    ) -> None:
        body = text.encode("utf-8", "surrogatepass")
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        if getattr(self, "_backend", None):
            self.send_header("set-cookie", f"BACKEND={self._backend}; Path=/; HttpOnly")
        if retry_after:
            self.send_header("retry-after", retry_after)
        if location:
            self.send_header("location", location)
        self.end_headers()
        self.wfile.write(body[:sent] if sent is not None else body)
        if sent is not None:
            self.close_connection = True
            self.wfile.flush()
            self.connection.shutdown(socket.SHUT_RDWR)


def _asked(body: str) -> tuple[str, str | None]:
    """The app and the token in the library's payload."""
    request = json.loads(parse_qs(body)["f.req"][0])
    inner = json.loads(request[0][0][1])
    paging = inner[1][2]
    return inner[2][0], paging[2] if len(paging) > 2 else None
