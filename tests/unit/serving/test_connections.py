"""Connections over a real socket: what costs too much is answered or closed, and others are served meanwhile."""

import contextlib
import json
import resource
import select
import socket
import threading
import time
from types import SimpleNamespace

import pytest
import uvicorn
from fastapi import Response

from mlops_assets.serving import connections, edge
from mlops_assets.serving.app import create_app
from mlops_assets.serving.connections import Bounds, Door, possible_connections
from mlops_assets.serving.options import ServerOptions
from tests.integration.clients import wait_until
from tests.unit.serving.served import KEYS, loaded

LARGE = 16_000_000
"""More bytes than fit between a server and a client that reads nothing."""
BODY = b'{"text": "aaab"}'
LIVE = b"GET /live HTTP/1.1\r\nHost: x\r\n"


@contextlib.contextmanager
def serving(bounds=None, **options):
    """A server with these bounds, in a thread: its port, its connections, the statuses that its door refused with."""
    refused = []
    door = Door(bounds or Bounds(), on_error=refused.append)
    app = create_app(loaded, options=ServerOptions(**options))
    app.add_api_route("/large", lambda: Response(b"a" * LARGE))
    config = uvicorn.Config(app, port=0, http=door.protocol, ws="none", log_config=None, timeout_keep_alive=5)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        assert wait_until(lambda: server.started)
        port = server.servers[0].sockets[0].getsockname()[1]
        assert wait_until(lambda: answers_ready(port))
        refused.clear()
        yield SimpleNamespace(port=port, refused=refused, connections=server.server_state.connections)
    finally:
        server.should_exit = True
        thread.join(60)


@pytest.fixture(autouse=True)
def log_of_its_own(monkeypatch):
    """Each test sees the first line of a kind."""
    monkeypatch.setattr(connections._logger, "filters", [type(connections._logger.filters[0])()])


def connected(port):
    return socket.create_connection(("127.0.0.1", port), timeout=60)


def answers_ready(port):
    try:
        return status_of(port, "/ready") == 200
    except OSError:  # on a busy machine the request may come after the bound of a test
        return False


def answer(connection):
    """Status and body of the next answer; (0, b"") if the server closed the connection without one."""
    file = connection.makefile("rb", buffering=0)  # reads no byte of a later answer
    line = file.readline()
    if not line:
        return 0, b""
    headers = dict(row.lower().strip().split(b": ", 1) for row in iter(file.readline, b"\r\n"))
    length, body = int(headers[b"content-length"]), b""
    while len(body) < length:
        body += file.read(length - len(body))
    return int(line.split()[1]), body


def until_closed(connection):
    """What the server sends before it closes the connection."""
    received = b""
    with contextlib.suppress(ConnectionResetError):
        while part := connection.recv(1 << 20):
            received += part
    return received


def closed(connection):
    """Whether the server closes the connection without another byte."""
    return until_closed(connection) == b""


def post(length=16):
    """The head of a request that announces a body."""
    return b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % length


def status_of(port, path="/live"):
    with connected(port) as connection:
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        return answer(connection)[0]


def is_served(port):
    return status_of(port) == 200


@pytest.fixture(scope="module")
def port():
    with serving() as server:
        yield server.port


@pytest.mark.parametrize(
    "head",
    [
        pytest.param(b"X: " + b"a" * 40_000, id="one header"),
        pytest.param(b"\r\n".join(b"X%d: %s" % (n, b"a" * 600) for n in range(80)), id="many bytes"),
        pytest.param(b"\r\n".join(b"X%d:" % n for n in range(101)), id="many headers"),
    ],
)
@pytest.mark.parametrize("end", [b"\r\n\r\n", b""], ids=["whole", "half-sent"])
def test_a_head_above_the_bound_is_431(port, head, end):
    if not end and len(head) < Bounds.head_bytes:
        head += b"\r\nY:"
    with connected(port) as connection:
        connection.sendall(LIVE + head + end)
        status, body = answer(connection)
        assert (status, json.loads(body)["title"]) == (431, "Request Header Fields Too Large")
        assert closed(connection)


def test_a_long_request_line_is_431(port):
    with connected(port) as connection:
        connection.sendall(b"GET /" + b"a" * 40_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n")
        assert answer(connection)[0] == 431


def test_a_head_at_the_bounds_is_answered(port):
    for head in (b"X: " + b"a" * 32_000, b"\r\n".join(b"X%d: a" % n for n in range(99))):
        with connected(port) as connection:
            connection.sendall(LIVE + head + b"\r\n\r\n")
            assert answer(connection)[0] == 200


def test_whoever_goes_on_sending_headers_costs_others_nothing(port):
    """A header of 100 MB held the event loop for 18 s."""
    with connected(port) as connection:
        connection.sendall(LIVE + b"X: ")
        with contextlib.suppress(OSError):  # the server may close before it is all sent
            for _ in range(100):
                connection.sendall(b"a" * 1_000_000)
                assert is_served(port)


def test_trailers_without_end_are_not_kept(port):
    with connected(port) as connection:
        connection.sendall(b"POST /predict HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        with contextlib.suppress(OSError):
            connection.sendall(b"%x\r\n%s\r\n0\r\nX: " % (len(BODY), BODY))
            for _ in range(40):
                connection.sendall(b"a" * 10_000)
        assert answer(connection)[0] in (0, 431)
        assert is_served(port)


def test_a_trailer_is_no_header_of_the_request(port):
    with connected(port) as connection:
        connection.sendall(b"POST /predict HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        connection.sendall(b"%x\r\n%s\r\n0\r\nContent-Type: text/plain\r\n\r\n" % (len(BODY), BODY))
        assert answer(connection)[0] == 200


def test_whatever_is_not_http_is_a_problem_document(port):
    with connected(port) as connection:
        connection.sendall(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
        status, body = answer(connection)
        assert (status, json.loads(body)["status"]) == (400, 400)


def test_a_body_with_broken_chunks_is_400(port):
    with connected(port) as connection:
        connection.sendall(b"POST /predict HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nwrong\r\n")
        assert answer(connection)[0] == 400
        assert closed(connection)


def test_space_after_a_header_is_not_part_of_its_value(port):
    with connected(port) as connection:
        head = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json \r\nContent-Length: %d \t\r\n\r\n"
        connection.sendall(head % len(BODY) + BODY)
        assert answer(connection)[0] == 200


def test_pipelined_requests_are_answered_in_order_up_to_a_bound(port):
    with connected(port) as connection:
        connection.sendall((LIVE + b"\r\n" + post() + BODY) * 20)
        bodies = [answer(connection)[1] for _ in range(40)]
        assert [b"live" in body for body in bodies] == [True, False] * 20
    with connected(port) as connection:
        connection.sendall((LIVE + b"\r\n") * 5_000)
        assert until_closed(connection).count(b"200 OK") < 500
    assert is_served(port)


def test_without_a_key_the_refusal_does_not_wait_for_the_body():
    with serving(api_keys=KEYS) as server:
        with connected(server.port) as connection:
            connection.sendall(post(4_000_000) + b"{")
            assert answer(connection)[0] == 401
            connection.sendall(b" " * 3_999_999 + LIVE + b"\r\n")
            assert answer(connection)[0] == 200
        with connected(server.port) as connection:
            connection.sendall(post(9).replace(b"Host", b"Expect: 100-continue\r\nHost"))
            assert answer(connection)[0] == 401
            assert closed(connection)


@pytest.mark.parametrize("sent", [b"", BODY[:5]])
def test_a_body_that_does_not_come_is_408(monkeypatch, sent):
    monkeypatch.setattr(edge, "_BODY_S", 0.2)
    with serving() as server, connected(server.port) as connection:
        connection.sendall(post() + sent)
        assert answer(connection)[0] == 408
        assert closed(connection)


def test_bodies_under_way_share_the_memory_for_them(monkeypatch):
    monkeypatch.setattr(edge, "_HELD_BYTES", 1_500)
    with serving(max_body_bytes=1_000) as server, connected(server.port) as first, connected(server.port) as second:
        for connection in (first, second):
            connection.sendall(post(800 + len(BODY)) + b" " * 800)
        refused, other = (
            (first, second) if select.select([first, second], [], [], 10)[0] == [first] else (second, first)
        )
        assert answer(refused)[0] == 503
        other.sendall(BODY)
        assert answer(other)[0] == 200


def test_idle_and_half_sent_connections_end(caplog):
    with serving(Bounds(head_s=0.3)) as server:
        with connected(server.port) as silent, connected(server.port) as half, connected(server.port) as slow:
            half.sendall(LIVE)
            with contextlib.suppress(OSError):  # closed: on a busy machine each letter takes longer
                for letter in b"GET /li":
                    slow.sendall(bytes([letter]))
                    time.sleep(0.05)
            assert answer(half)[0] == 408
            assert answer(slow)[0] == 408
            assert closed(silent)
        assert server.refused == [408, 408]
        assert caplog.text.count("did not arrive within 0.3 s") == 1


def test_more_connections_than_there_is_room_for_close_the_longest_idle(caplog):
    with serving(Bounds(connections=20)) as server, contextlib.ExitStack() as stack:
        idle = [stack.enter_context(connected(server.port)) for _ in range(100)]
        assert all(is_served(server.port) for _ in range(5))
        assert closed(idle[0])
        assert server.refused == []
        assert caplog.text.count("more than 20 connections: the longest idle one was closed") == 1


def test_if_all_connections_have_requests_a_new_one_is_503(caplog):
    with serving(Bounds(connections=3)) as server, contextlib.ExitStack() as stack:
        busy = [stack.enter_context(connected(server.port)) for _ in range(3)]
        for connection in busy:
            connection.sendall(post().replace(b"Host", b"Expect: 100-continue\r\nHost"))
        for connection in busy:  # the server has read the three heads
            assert connection.recv(1_000) == b"HTTP/1.1 100 Continue\r\n\r\n"
        assert status_of(server.port) == 503
        for connection in busy:
            connection.sendall(BODY)
            assert answer(connection)[0] == 200
        assert server.refused == [503]
        assert "all with requests: a new one was refused" in caplog.text


@pytest.mark.slow
def test_a_client_that_reads_nothing_is_given_up_and_a_slow_one_is_not():
    with (
        serving(Bounds(head_s=1, pipelined=1_000)) as server,
        connected(server.port) as deaf,
        connected(server.port) as slow,
    ):
        for connection in (deaf, slow):
            connection.sendall((LIVE.replace(b"/live", b"/openapi.json") + b"\r\n") * 1_000)

        def is_open(client):
            return client.getsockname() in [connection.client for connection in list(server.connections)]

        assert wait_until(lambda: is_open(deaf) and is_open(slow))
        while is_open(deaf):
            assert answer(slow)[0] == 200
            time.sleep(0.02)
        assert answer(slow)[0] == 200


@pytest.mark.slow
def test_a_large_answer_may_be_read_slowly():
    with serving(Bounds(head_s=1)) as server, connected(server.port) as connection:
        connection.sendall(LIVE.replace(b"/live", b"/large") + b"\r\n")
        received = 0
        while received < LARGE:
            time.sleep(0.3)
            part = len(connection.recv(1_500_000))
            assert part, f"closed after {received} bytes"
            received += part


def test_the_limit_of_files_is_raised_or_bounds_the_connections(monkeypatch, caplog):
    limits = {"now": (256, 1_024)}
    monkeypatch.setattr(resource, "getrlimit", lambda _: limits["now"])
    monkeypatch.setattr(resource, "setrlimit", lambda _, found: limits.update(now=found))
    assert possible_connections(500) == 500
    assert limits["now"] == (628, 1_024)
    assert caplog.text == ""
    assert possible_connections(2_000) == 1_024 - 128
    assert limits["now"] == (1_024, 1_024)
    assert "takes 896 connections" in caplog.text
