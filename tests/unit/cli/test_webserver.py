"""What Dagster's webserver is asked by a page of another site, and what it never hears of."""

from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route, WebSocketRoute
from starlette.testclient import TestClient, WebSocketDenialResponse
from starlette.websockets import WebSocket

from mlops_assets.cli.webserver import dagster_guard

OWN = "http://127.0.0.1:3000"
TEAM = "https://team.example/dagster"
QUERY = {"query": 'mutation{setConcurrencyLimit(concurrencyKey:"training",limit:0)}'}


@pytest.fixture
def client() -> TestClient:
    """A webserver that obeys everybody, behind the guard."""

    async def obey(request: Request) -> PlainTextResponse:
        return PlainTextResponse("obeyed")

    async def obey_socket(socket: WebSocket) -> None:
        await socket.accept(subprotocol="graphql-ws")
        await socket.send_text("obeyed")

    routes = [
        Route("/{path:path}", obey, methods=["GET", "POST", "PUT", "DELETE"]),
        WebSocketRoute("/{path:path}", obey_socket),
    ]
    return TestClient(dagster_guard(Starlette(routes=routes), (OWN, TEAM)), base_url=OWN)


@pytest.mark.parametrize("path", ["/graphql", "/dagster/graphql", "/graphql/", "/%67raphql"])
def test_graphql_is_asked_by_post_alone(client: TestClient, path: str) -> None:
    refused = client.get(path, params=QUERY)
    assert refused.status_code == 405
    assert "Ask GraphQL by POST" in refused.text
    assert client.head(path, params=QUERY).status_code == 405
    assert client.post(path, json=QUERY).text == "obeyed"
    assert client.get(path, headers={"accept": "text/html"}).text == "obeyed"  # the page on which to write a query


@pytest.mark.parametrize(
    "kind",
    ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "text/plain; application/json", ""],
)
def test_a_form_of_any_page_cannot_ask_graphql(client: TestClient, kind: str) -> None:
    assert client.post("/graphql", params=QUERY, content=b"{}", headers={"content-type": kind}).status_code == 415


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:3000", "127.0.0.1.evil.example", "localhost.evil.example", "[::1", "", "10.0.0.1"],
)
def test_a_name_that_is_not_ours_is_not_answered(client: TestClient, host: str) -> None:
    refused = client.get("/", headers={"host": host})
    assert refused.status_code == 403
    assert "set DAGSTER_URL" in refused.text


@pytest.mark.parametrize(
    "host", ["127.0.0.1:3000", "localhost", "LOCALHOST:4000", "[::1]:3000", "team.example", "team.example:443"]
)
def test_our_names_are_answered_on_any_port(client: TestClient, host: str) -> None:
    assert client.get("/", headers={"host": host}).text == "obeyed"


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:8080"},
        {"origin": "http://[::1"},
        {"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors"},
        {"sec-fetch-site": "same-site", "sec-fetch-mode": "cors"},
    ],
)
def test_a_page_of_another_site_is_refused_in_http_and_over_a_websocket(
    client: TestClient, headers: dict[str, str]
) -> None:
    refused = client.post("/graphql", json=QUERY, headers=headers)
    assert refused.status_code == 403
    assert "may not use this UI" in refused.text
    with pytest.raises(WebSocketDenialResponse) as denied, client.websocket_connect("/graphql", headers=headers):
        pass
    assert denied.value.status_code == 403


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"origin": OWN, "sec-fetch-site": "same-origin"},
        {"origin": "https://team.example"},
        {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"},
        {"sec-fetch-site": "none"},
    ],
)
def test_the_ui_itself_a_program_and_a_link_from_a_message_pass(client: TestClient, headers: dict[str, str]) -> None:
    assert client.get("/runs/1", headers=headers).text == "obeyed"
    if headers.get("sec-fetch-site") != "cross-site":
        with client.websocket_connect("/graphql", headers={"host": "127.0.0.1:3000", **headers}) as socket:
            assert socket.receive_text() == "obeyed"


def test_a_browser_loads_nothing_from_elsewhere_and_no_page_frames_the_ui(client: TestClient) -> None:
    policy: Any = client.get("/").headers["content-security-policy"]
    assert "img-src 'self' data: blob:" in policy
    assert "frame-ancestors 'self'" in policy
