"""The stack's door for real, before servers that say what they were asked."""

import json
import os
import ssl
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from mlops_assets.team_server.generated_files import write_certificate, write_logins
from mlops_assets.team_server.required_settings import Login
from tests.docker_engine import engine_or_skip
from tests.repository import ROOT
from tests.stack_machine import eventually
from tests.user_clone import free_port

pytestmark = pytest.mark.docker
OKI, ANA, NEW = ("oki", "e80b5c12fd9736a4"), ("ana", "3d7f0a92b1c8e465"), ("new", "9a1c07e4b35f2d86")


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[httpx.Client, Any]]:
    """A client without a login that believes the door's certificate, and the door's container."""
    made = tmp_path_factory.mktemp("made")
    write_logins(made, [Login(*OKI, "operate"), Login(*ANA, "look"), Login(*NEW, "look")])
    write_certificate(made, None)
    engine, port = engine_or_skip(), free_port()
    name = f"test-door-{port}"
    network = engine.client.networks.create(name)
    echo = engine.client.containers.create(
        "python:3.11-slim-bookworm",
        ["python", "/echo.py"],
        name=f"{name}-echo",
        volumes=[f"{ROOT / 'tests' / 'images' / 'echo.py'}:/echo.py:ro"],
    )
    container = engine.client.containers.create(
        "haproxy:lts",
        ["haproxy", "-W", "-db", "-f", "/door/haproxy.cfg", "-f", "/stack/logins.cfg"],
        name=name,
        user=f"{os.getuid()}:{os.getgid()}",
        network=name,
        ports={"8443/tcp": ("127.0.0.1", port)},
        volumes=[f"{ROOT / 'stack' / 'door'}:/door:ro", f"{made / 'door'}:/stack:ro"],
    )
    try:
        network.connect(echo, aliases=["webserver", "webserver-readonly", "grafana", "label"])
        echo.start()
        container.start()
        context = ssl.create_default_context(cafile=str(made / "door" / "cert.pem"))
        with httpx.Client(base_url=f"https://localhost:{port}", verify=context, timeout=30) as client:
            eventually(lambda: _answers(client), "the door and what is behind it answer")
            yield client, container
    finally:
        container.remove(force=True)
        echo.remove(force=True)
        network.remove()
        engine.close()


@pytest.fixture
def door(started: tuple[httpx.Client, Any]) -> httpx.Client:
    return started[0]


def _answers(door: httpx.Client) -> bool:
    try:
        return door.get("/dagster/", auth=OKI).status_code == 200
    except httpx.HTTPError:  # the port is published before anybody listens
        return False


def test_a_login_is_logged_once_a_wrong_password_each_time_and_neither_with_what_was_typed(
    started: tuple[httpx.Client, Any],
) -> None:
    door, container = started

    def logged() -> list[tuple[str, str, str]]:
        lines = [json.loads(line) for line in container.logs().splitlines() if line.startswith(b"{")]
        assert all(list(line) == ["at", "event", "user", "role", "address"] for line in lines)
        return [(line["event"], line["user"], line["role"]) for line in lines]

    eventually(lambda: ("login", "oki", "operate") in logged(), "the login of the fixture is in the log", 30)
    before = len(logged())
    for _ in range(3):
        assert door.get("/", auth=ANA).status_code == 200
    assert door.get("/").status_code == 401
    for name in ("ana", '"}\n{"event": "login', "3d7f0a92b1c8e465", "é" * 100):
        assert door.get("/", auth=(name, "wrong-password")).status_code == 401
    assert door.get("/", auth=OKI).status_code == 200
    eventually(lambda: len(logged()) >= before + 5, "the log has all of it", 30)
    assert logged()[before:] == [("login", "ana", "look"), ("denied", "ana", "look"), *[("denied", "-", "-")] * 3]
    log = container.logs().decode()
    assert "3d7f0a92b1c8e465" not in log
    assert "wrong-password" not in log


def test_graphql_is_asked_by_post_alone(door: httpx.Client) -> None:
    for login in (OKI, ANA):
        refused = door.get("/dagster/graphql?query=mutation{x}", auth=login)
        assert (refused.status_code, refused.text) == (405, "Ask GraphQL by POST")
        assert door.post("/dagster/graphql", json={"query": "{version}"}, auth=login).json()["method"] == "POST"


def test_the_webserver_hears_its_own_name_who_asks_and_no_origin_that_the_door_has_judged(door: httpx.Client) -> None:
    own = {"Origin": str(door.base_url).rstrip("/")}
    forged = {**own, "X-Door-User": "ana"}
    headers = dict(door.post("/dagster/graphql", json={}, headers=forged, auth=OKI).json()["headers"])
    assert (headers["host"], headers["x-door-user"]) == ("webserver", OKI[0])
    assert "origin" not in headers
    assert (
        door.post("/dagster/graphql", json={}, headers={"Origin": "https://evil.example"}, auth=OKI).status_code == 403
    )


def test_no_page_behind_the_door_loads_an_image_from_elsewhere(door: httpx.Client) -> None:
    for path in ("/dagster/", "/grafana/"):
        assert "img-src 'self' data: blob:" in door.get(path, auth=ANA).headers.get_list("content-security-policy")


def test_wrong_passwords_lock_out_nobody_and_guessing_is_slow(door: httpx.Client) -> None:
    """Every request comes from one address. `new` has not logged in from it before."""
    for number in range(11):
        assert door.get("/", auth=("oki", f"wrong-{number}")).status_code == 401
    assert door.get("/", auth=OKI).status_code == 200

    def guess(number: int) -> tuple[int, float]:
        began = time.monotonic()
        return door.get("/", auth=("oki", f"guess-{number}")).status_code, time.monotonic() - began

    with ThreadPoolExecutor(12) as pool:
        guesses = list(pool.map(guess, range(12)))
    answered = [waited for status, waited in guesses if status == 401]
    assert len(answered) <= 3
    assert min(answered) > 2.5
    assert {status for status, _ in guesses} == {401, 429}
    right = [door.get("/", auth=OKI) for _ in range(3)]
    assert {reply.status_code for reply in right} == {200}
    quickest_s = min(reply.elapsed.total_seconds() for reply in right)
    assert quickest_s < 2.5, "a login that was right before does not wait"
    assert door.get("/", auth=NEW).status_code == 200


def test_who_may_operate_labels_under_the_name_of_the_login(door: httpx.Client) -> None:
    assert door.get("/label/", auth=ANA).status_code == 403
    assert door.get("/label", auth=OKI).headers["location"] == "/label/"
    asked = door.post("/label/label", json={}, auth=OKI, headers={"X-Door-User": "ana"})
    headers = dict(asked.json()["headers"])
    assert (headers["host"], headers["x-door-user"]) == ("label", OKI[0])


def test_who_may_operate_decides_about_releases_and_no_other_site_does(door: httpx.Client) -> None:
    decide, forged = "/label/release/decide", {"X-Door-User": "ana"}
    assert door.post(decide, json={}, auth=ANA).status_code == 403
    assert door.post(decide, json={}, auth=OKI, headers={"Origin": "https://evil.example"}).status_code == 403
    headers = dict(door.post(decide, json={}, auth=OKI, headers=forged).json()["headers"])
    assert headers["x-door-user"] == OKI[0]
