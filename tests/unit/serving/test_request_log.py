"""One JSON line a request, whatever the client sends and however the request ends."""

import asyncio
import hashlib
import json
import threading
from contextlib import contextmanager
from datetime import datetime
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient

from mlops_assets.serving.app import create_app
from mlops_assets.serving.gateway_headers import PROBE, REQUEST_ID
from mlops_assets.serving.log.request_log import RequestLine, RequestLog, RotatedFile
from mlops_assets.serving.options import ServerOptions
from tests.integration.clients import wait_until
from tests.unit.serving.served import loaded, ready

KEY = "c0rrect-horse-battery"
KEYS = {"shop": hashlib.sha256(KEY.encode()).hexdigest()}
AUTHORIZED = {"authorization": f"Bearer {KEY}"}
FIELDS = [
    "at", "request_id", "client_request_id", "caller", "address", "method", "path", "status", "ms", "texts", "probe",
]  # fmt: skip


@contextmanager
def logging_client(**options):
    """A client of a ready server, and the lines of its request log, which are complete when the server has ended."""
    lines, written = [], []
    app = create_app(loaded, options=ServerOptions(**options), requests_to=written.append)
    with TestClient(app, raise_server_exceptions=False) as client:
        yield ready(client), lines
    text = b"".join(written).decode()
    assert text == "" or text.endswith("\n")
    lines += [json.loads(line) for line in text.splitlines()]


def line(number=0):
    return RequestLine(0, f"{number:032x}", None, None, "127.0.0.1", "POST", "/predict", 200, 1.0, 1, False)


@pytest.mark.parametrize("behind_gateway", [True, False])
def test_only_a_gateway_is_believed_who_is_a_probe(behind_gateway):
    with logging_client(behind_gateway=behind_gateway) as (client, lines):
        client.post("/predict", json={"text": "aaab"}, headers={PROBE: "1"})
    assert [line["probe"] for line in lines] == [behind_gateway]


def test_every_request_has_a_line_and_a_poll_has_none():
    with logging_client(max_body_bytes=500) as (client, lines):
        answer = client.post("/predict", json={"text": "aaab"}).json()
        client.post("/predict/batch", json={"texts": ["a", "", "b"]})
        client.post("/predict", json={"text": ""})
        client.post("/predict", content=b"x" * 501, headers={"content-type": "application/json"})
        client.post("/predict", content=b"a", headers={"content-type": "text/plain"})
        client.post("/explain", json={"text": "aa bb"}, headers={PROBE: "1"})
        client.head("/docs")
        client.get("/aplikasi-bagus?text=bagus")
        for path in ("/live", "/ready", "/health", "/metrics"):
            assert client.get(path).status_code == 200
    assert [(line["method"], line["path"], line["status"], line["texts"], line["probe"]) for line in lines] == [
        ("POST", "/predict", 200, 1, False),
        ("POST", "/predict/batch", 200, 3, False),
        ("POST", "/predict", 422, 1, False),
        ("POST", "/predict", 413, 0, False),
        ("POST", "/predict", 415, 0, False),
        ("POST", "/explain", 200, 1, False),
        ("HEAD", "/docs", 200, 0, False),
        ("any", "other", 404, 0, False),
    ]
    first = lines[0]
    assert list(first) == FIELDS
    assert first["request_id"] == answer["request_id"]
    assert (first["caller"], first["address"], first["client_request_id"]) == (None, "testclient", None)
    assert datetime.fromisoformat(first["at"]).utcoffset().total_seconds() == 0
    assert 0 < first["ms"] < 60_000


def test_the_name_of_the_key_is_logged_also_when_it_has_asked_too_often():
    with logging_client(api_keys=KEYS, rate_limit_per_s=0.01, rate_limit_burst=1) as (client, lines):
        client.post("/predict", json={"text": "a"})
        client.post("/predict", json={"text": "a"}, headers={"authorization": "Bearer wrong"})
        client.post("/predict", json={"text": "a"}, headers=AUTHORIZED)
        client.post("/predict", json={"text": "a"}, headers=AUTHORIZED)
    assert [(line["status"], line["caller"]) for line in lines] == [
        (401, None), (401, None), (200, "shop"), (429, "shop"),
    ]  # fmt: skip


def test_a_client_that_leaves_before_its_body_has_arrived_is_logged():
    written = []
    app = create_app(loaded, requests_to=written.append)
    parts = iter([{"type": "http.request", "body": b'{"text', "more_body": True}, {"type": "http.disconnect"}])

    async def receive():
        return next(parts)

    async def send(_message):
        return

    headers = [(b"content-type", b"application/json")]
    scope = {"type": "http", "method": "POST", "path": "/predict", "raw_path": b"/predict", "query_string": b"",
             "headers": headers, "client": ("10.0.0.1", 5), "server": ("x", 80), "scheme": "http",
             "http_version": "1.1", "asgi": {"version": "3.0"}}  # fmt: skip
    asyncio.run(app(scope, receive, send))
    assert wait_until(lambda: written)
    assert (json.loads(written[0])["status"], json.loads(written[0])["address"]) == (499, "10.0.0.1")


@pytest.mark.parametrize("given", ["a", "order-4711_b:2.c", "0" * 64])
def test_a_well_formed_id_of_the_client_is_answered_and_logged_beside_ours(given):
    with logging_client() as (client, lines):
        reply = client.post("/predict", json={"text": "a"}, headers={"x-request-id": given})
        refused = client.post("/predict", json={"text": ""}, headers={"x-request-id": given})
    assert reply.headers["x-request-id"] == refused.headers["x-request-id"] == given
    assert [line["client_request_id"] for line in lines] == [given, given]
    assert [line["request_id"] for line in lines] == [reply.json()["request_id"], refused.json()["request_id"]]
    assert len({reply.json()["request_id"], refused.json()["request_id"], given}) == 3


@pytest.mark.parametrize("given", ["", "a b", "a\tb", '"', "-a", "é", "0" * 65, "a\u2028"])
def test_an_id_that_is_not_well_formed_is_not_taken(given):
    with logging_client() as (client, lines):
        headers = [(b"x-request-id", given.encode()), (b"content-type", b"application/json")]
        reply = client.post("/predict", content=b'{"text": "a"}', headers=headers)
    assert reply.headers["x-request-id"] == reply.json()["request_id"]
    assert lines[0]["client_request_id"] is None


def test_only_behind_the_gateway_its_id_is_believed():
    given = "0123456789abcdef" * 2
    for behind, header, believed in (
        (True, given, True), (False, given, False), (True, given.upper(), False), (True, given + "0", False),
    ):  # fmt: skip
        with logging_client(behind_gateway=behind) as (client, lines):
            reply = client.post("/predict", json={"text": "a"}, headers={REQUEST_ID: header})
        assert (reply.json()["request_id"] == header) is believed
        assert lines[0]["request_id"] == reply.json()["request_id"] == reply.headers["x-request-id"]


TEXT = st.text(min_size=4, max_size=200).filter(lambda text: not text.isascii() or not text.isalnum())
"""Without the few that could be an id, a number or a path by chance."""


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(text=TEXT, secret=st.binary(min_size=8, max_size=40), path=TEXT, forged=st.booleans())
def test_no_text_key_or_header_gets_into_the_log_and_nobody_forges_a_line(server, text, secret, path, forged):
    client, written = server
    known = b"".join(written)
    injected = b'", "caller": "boss"}\r\n{"at": "'
    value = (injected if forged else b"") + secret
    headers = [
        (b"authorization", b"Bearer " + value), (b"x-request-id", value), (b"user-agent", value),
        (b"x-forwarded-for", value), (REQUEST_ID.encode(), value), (b"content-type", b"application/json"),
    ]  # fmt: skip
    body = json.dumps({"text": text}).encode()
    answer = client.post("/predict", content=body, headers=[*headers[1:], (b"authorization", f"Bearer {KEY}".encode())])
    client.post("/predict", content=body, headers=headers)
    client.post(f"/{quote(path, safe='')}", content=body, headers=headers)
    wait_until(lambda: b"".join(written)[len(known) :].count(b"\n") >= 3)
    added = b"".join(written)[len(known) :]
    lines = [json.loads(line) for line in added.decode().split("\n")[:-1]]
    assert [line["status"] for line in lines] in ([200, 401, 404], [422, 401, 404])
    assert answer.status_code == lines[0]["status"]
    assert all(list(line) == FIELDS for line in lines)
    assert {line["caller"] for line in lines} == {"shop", None}
    assert all(line["client_request_id"] in {None, secret.decode("latin-1")} for line in lines)
    values = " ".join(str(value) for line in lines for name, value in line.items() if name != "client_request_id")
    for hidden in (text, KEY, secret.decode("latin-1"), path):
        assert hidden not in values


@pytest.fixture(scope="module")
def server():
    written = []
    app = create_app(loaded, options=ServerOptions(api_keys=KEYS), requests_to=written.append)
    with TestClient(app, raise_server_exceptions=False) as client:
        yield ready(client), written


def test_a_reader_that_stopped_reading_delays_nobody_and_lost_lines_are_counted(caplog):
    go, written, dropped = threading.Event(), [], []

    def stuck(lines):
        assert go.wait(30)
        written.append(lines)

    log = RequestLog(stuck, dropped.append, room=100)
    log.add(line())
    assert wait_until(lambda: not log._waiting)
    for number in range(150):
        log.add(line(number))
    assert sum(dropped) == 50
    go.set()
    log.close()
    assert b"".join(written).count(b"\n") == 101


def test_a_full_disk_is_told_once_and_counted(caplog):
    written, dropped, full = [], [], True

    def write(lines):
        if full:
            raise OSError(28, "No space left on device")
        written.append(lines)

    log = RequestLog(write, dropped.append)
    for expected in (1, 2):
        log.add(line())
        assert wait_until(lambda expected=expected: sum(dropped) == expected)
    full = False
    log.add(line())
    log.close()
    assert len(written) == 1
    assert [record.getMessage() for record in caplog.records] == [
        "requests are not on record: [Errno 28] No space left on device",
        "2 requests are not on record, those from now on are",
    ]


def test_the_file_is_bounded_private_and_complete_while_two_servers_write_it(tmp_path):
    path, most = tmp_path / "requests.jsonl", 40_000

    def write(server):
        file = RotatedFile(path, most_bytes=most)
        for number in range(100):
            file.write(f'{{"server": {server}, "number": {number}, "filled": "{"x" * 100}"}}\n'.encode())

    writing = [threading.Thread(target=write, args=(server,)) for server in range(2)]
    for thread in writing:
        thread.start()
    for thread in writing:
        thread.join()
    assert sorted(found.name for found in tmp_path.iterdir()) == ["requests.jsonl"]
    assert path.stat().st_mode & 0o777 == 0o600
    first = path.read_text().splitlines()
    assert len({(json.loads(line)["server"], json.loads(line)["number"]) for line in first}) == 200
    for _ in range(5):
        write(3)
    older = tmp_path / "requests.jsonl.1"
    assert sorted(tmp_path.iterdir()) == [path, older]
    assert most <= older.stat().st_size < most + 200
    assert path.stat().st_size < most
    newest = [json.loads(line)["number"] for file in (older, path) for line in file.read_text().splitlines()]
    assert newest[-100:] == list(range(100))
