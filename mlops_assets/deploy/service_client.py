"""Asks a running server over HTTP: what it is and how it answers."""

import http.client
import json
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlops_assets.deploy.traffic import Traffic, read_traffic
from mlops_assets.failures import TransientFailure
from mlops_assets.serving.gateway_headers import PROBE

Connect = Callable[[str, int, float], Any]
"""Makes a connected socket of host, port and a time-out in seconds."""


class NoAnswer(TransientFailure):
    """The server does not answer, or not with what an answer looks like."""


@dataclass(frozen=True)
class Reply:
    """An HTTP answer: status, JSON body, time."""

    status: int
    body: Mapping[str, Any]
    seconds: float


class ServiceClient:
    """One host and port; each question is a connection of its own."""

    def __init__(
        self,
        host: str,
        port: int,
        *,
        key: str = "",
        timeout_s: float = 10.0,
        certificate: Path | None = None,
        connect: Connect | None = None,
    ) -> None:
        """With a `certificate` it speaks TLS and trusts this very certificate, whatever host it names.

        `connect` makes the connection; it may raise `OSError`, and what else it raises is not about the server.
        """
        self.host, self.port, self._connect = host, port, connect
        self._key, self._timeout_s, self._certificate = key, timeout_s, certificate

    def ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Reply:
        """The answer with its JSON; raises `NoAnswer`."""
        status, content, seconds = self._exchange(method, path, body)
        try:
            answer = json.loads(content)
        except ValueError:
            raise NoAnswer(f"{self._url(path)} answers {status} without JSON") from None
        return Reply(status, answer if isinstance(answer, dict) else {}, seconds)

    def traffic(self) -> Traffic:
        """What it answered on the prediction paths since it started; raises `NoAnswer`."""
        status, content, _ = self._exchange("GET", "/metrics", None)
        if status != 200:
            raise NoAnswer(f"{self._url('/metrics')} answers {status}")
        return read_traffic(content.decode("utf-8"))

    def _exchange(self, method: str, path: str, body: Mapping[str, Any] | None) -> tuple[int, bytes, float]:
        started = time.perf_counter()
        headers = {"Content-Type": "application/json", "Connection": "close", PROBE: "1"}
        if self._key:
            headers["Authorization"] = f"Bearer {self._key}"
        connection = self._connection()
        try:
            if self._connect is not None:
                self._lead(connection, self._connect)
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            response = connection.getresponse()
            content = response.read()
        except (OSError, http.client.HTTPException) as error:
            raise NoAnswer(f"{self._url(path)} does not answer: {error or type(error).__name__}") from error
        finally:
            connection.close()
        return response.status, content, time.perf_counter() - started

    def _connection(self) -> http.client.HTTPConnection:
        context = self._context()
        if context is None:
            return http.client.HTTPConnection(self.host, self.port, timeout=self._timeout_s)
        return http.client.HTTPSConnection(self.host, self.port, timeout=self._timeout_s, context=context)

    def _lead(self, connection: http.client.HTTPConnection, connect: Connect) -> None:
        """Have `connection` use one that is made in another way."""
        made = connect(self.host, self.port, self._timeout_s)
        context = self._context()
        connection.sock = made if context is None else context.wrap_socket(made, server_hostname=self.host)

    def _context(self) -> ssl.SSLContext | None:
        if self._certificate is None:
            return None
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        context.load_verify_locations(self._certificate)
        return context

    def _url(self, path: str) -> str:
        return f"{'https' if self._certificate else 'http'}://{self.host}:{self.port}{path}"
