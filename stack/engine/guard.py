"""The guard in front of the Docker engine: an HTTP server that asks the engine only what `rules.py` allows.

It speaks no upgraded connections (attach, exec, BuildKit's session): nothing in the pipeline needs them.
"""

import argparse
import json
import logging
import re
import sys
import tarfile
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import httpx
import uvicorn
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from stack.engine.rules import IMAGE_ID, TAG, Connection, Refused, Stack, endpoint, parsed, query, strict_json

log = logging.getLogger("engine")
_FLAG = re.compile(r"0|1|(?i:true|false)")
_NUMBER = re.compile(r"-?\d{1,9}")
_TEXT = re.compile(r".{0,10000}", re.DOTALL)
DOCKERFILE = Path(__file__).parents[2] / "Dockerfile"
"""The model service's. A caller's own could run anything as root, and fetch from the engine's network."""
_MOST_BYTES = 128 * 1024
"""Of a body that is read whole."""
_OF_BUILDS = re.compile(r"mlops\.(release|model|dataset|server|builder|run)")
"""Not mlops.stack and mlops.project: a container inherits its image's labels, and those say whom it belongs to."""


class EngineRefused(Exception):
    """The engine's own refusal, such as that there is no such container."""

    def __init__(self, reply: httpx.Response) -> None:
        super().__init__(reply.text)
        self.reply = reply


@dataclass(frozen=True)
class Route:
    """A method and a path of the engine's API, the parameters that it may have, and what answers."""

    method: str
    path: str
    answer: Callable[["Guard", Request, str, dict[str, str]], Awaitable[Response]]
    parameters: Mapping[str, re.Pattern[str]]


class Guard:
    """The ASGI application."""

    def __init__(self, stack: Stack, engine: httpx.AsyncClient, dockerfile: bytes) -> None:
        """`dockerfile` is the only one that is built."""
        self.stack, self._engine, self._dockerfile = stack, engine, dockerfile

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        target = f"{request.method} {scope['raw_path'][:300].decode('ascii', 'replace')}"
        try:
            response = await self._answer(request)
        except Refused as error:
            log.warning("refused %r: %s", target, error)
            response = JSONResponse({"message": f"stack/engine/rules.py refuses: {error}"}, 403)
        except EngineRefused as error:
            response = Response(error.reply.content, error.reply.status_code, media_type="application/json")
        except httpx.HTTPError as error:
            log.warning("no answer to %r: %r", target, error)
            response = JSONResponse({"message": f"the engine does not answer: {error!r}"}, 502)
        except ClientDisconnect:
            return
        await response(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        for name in ("upgrade", "content-encoding"):
            if name in request.headers:
                raise Refused(f"the header {name} is not allowed")
        if "transfer-encoding" in request.headers and "content-length" in request.headers:
            raise Refused("Transfer-Encoding and Content-Length together say two lengths")
        # Docker's client writes the @ before a digest as %40; no other letter is escaped.
        path = re.fullmatch(
            rb"(?:/v1\.[45]\d)?((?:/[A-Za-z0-9_][A-Za-z0-9_.:@-]*)+)", request.scope["raw_path"].replace(b"%40", b"@")
        )
        for route in ROUTES:
            match = re.fullmatch(route.path, path[1].decode()) if path else None
            if match and route.method == request.method:
                parameters = query(request.scope["query_string"].decode("ascii", "replace"), route.parameters)
                return await route.answer(self, request, "".join(match.groups()), parameters)
        raise Refused("this part of the engine's API is not open to the pipeline")

    async def about(self, _: Request, page: str, __: dict[str, str]) -> Response:
        return await self._ask("GET", page)

    async def list_containers(self, _: Request, __: str, parameters: dict[str, str]) -> Response:
        """All containers; of those of others the id alone."""
        found = await self._read("/containers/json", parameters)
        return JSONResponse([row if self.stack.owns(row.get("Labels")) else {"Id": row["Id"]} for row in found])

    async def see_container(self, _: Request, name: str, __: dict[str, str]) -> Response:
        return JSONResponse(await self._container(name))

    async def create(self, request: Request, _: str, parameters: dict[str, str]) -> Response:
        wish = self.stack.container(await _body(request), parameters.get("name", ""))
        return await self._ask("POST", "/containers/create", parameters, wish)

    async def use_container(self, request: Request, target: str, parameters: dict[str, str]) -> Response:
        """Start, stop or remove a container, or read its logs."""
        name, slash, action = target.partition("/")
        container = await self._container(name)
        if action == "start":  # Whoever writes the clone may have made a folder a link since the creation.
            self.stack.refuse_links(container["HostConfig"]["Binds"])
        return await self._ask(request.method, f"/containers/{container['Id']}{slash}{action}", parameters)

    async def list_networks(self, _: Request, __: str, parameters: dict[str, str]) -> Response:
        found = await self._read("/networks", parameters)
        return JSONResponse([row for row in found if row["Name"] in self.stack.networks])

    async def see_network(self, _: Request, name: str, __: dict[str, str]) -> Response:
        return JSONResponse(await self._network(name))

    async def connect(self, request: Request, name: str, _: dict[str, str]) -> Response:
        wish = parsed(Connection, await _body(request))
        body = {
            "Container": (await self._container(wish.container))["Id"],
            "EndpointConfig": endpoint(wish.endpoint_config.model_dump(by_alias=True) if wish.endpoint_config else {}),
        }
        return await self._ask("POST", f"/networks/{(await self._network(name))['Id']}/connect", {}, body)

    async def list_images(self, _: Request, __: str, parameters: dict[str, str]) -> Response:
        return await self._ask("GET", "/images/json", parameters)

    async def see_image(self, _: Request, reference: str, __: dict[str, str]) -> Response:
        return await self._ask("GET", f"/images/{await self._image(reference, to_see=True)}/json")

    async def remove_image(self, _: Request, reference: str, parameters: dict[str, str]) -> Response:
        return await self._ask("DELETE", f"/images/{await self._image(reference)}", parameters)

    async def name_image(self, _: Request, reference: str, parameters: dict[str, str]) -> Response:
        self._refuse_other_repository(parameters.get("repo"))
        return await self._ask("POST", f"/images/{await self._image(reference)}/tag", parameters)

    async def push(self, request: Request, repository: str, parameters: dict[str, str]) -> Response:
        self._refuse_other_repository(repository)
        # Without a login in the header the engine reads it from the body, which may be empty but not missing.
        return await self._ask("POST", f"/images/{repository}/push", parameters, {}, _login(request))

    async def pull(self, request: Request, _: str, parameters: dict[str, str]) -> Response:
        self._refuse_other_repository(parameters.get("fromImage"))
        return await self._ask("POST", "/images/create", parameters, headers=_login(request))

    async def build(self, request: Request, _: str, parameters: dict[str, str]) -> Response:
        if not self.stack.names_own_image(parameters.get("t", "")):
            raise Refused(f"the parameter t must be {self.stack.repository}:TAG, got {parameters.get('t')!r}")
        for name, allowed in (("labels", _OF_BUILDS), ("buildargs", re.compile("RELEASE_VERSION"))):
            values = strict_json(parameters.get(name, "{}"))
            if not isinstance(values, dict) or not all(allowed.fullmatch(key) for key in values):
                raise Refused(f"the keys of the parameter {name} must match {allowed.pattern!r}")
            parameters[name] = json.dumps(values)
        # A name that the caller cannot know, so that no later entry of the archive replaces it.
        parameters["dockerfile"] = f"Dockerfile.{uuid.uuid4().hex}"
        archive = _with_file(parameters["dockerfile"], self._dockerfile, request.stream())
        # The engine would also read parameters from a body that calls itself a form.
        headers = {"Content-Type": "application/x-tar", **_login(request)}
        return await self._ask("POST", "/build", parameters, archive, headers)

    def _refuse_other_repository(self, name: str | None) -> None:
        if name != self.stack.repository:
            raise Refused(f"the repository must be {self.stack.repository}, got {name!r}")

    async def _container(self, name: str) -> dict[str, Any]:
        """A run's or the model service's container. Raises `Refused` for anybody else's."""
        found = await self._read(f"/containers/{name}/json")
        if not self.stack.owns(found["Config"]["Labels"]):
            raise Refused(f"container {name} is neither a run's nor the model service's")
        return found

    async def _network(self, name: str) -> dict[str, Any]:
        found = await self._read(f"/networks/{name}")
        if found["Name"] not in self.stack.networks:
            raise Refused(f"network {found['Name']} is none of {sorted(self.stack.networks)}")
        return found

    async def _image(self, reference: str, *, to_see: bool = False) -> str:
        """The path of an image that was built here; those of the runs and the gateway may be seen too."""
        readable = {self.stack.orchestrator, self.stack.gateway} if to_see else set()
        if IMAGE_ID.fullmatch(reference):
            found = await self._read(f"/images/{reference}/json")
            if "mlops.release" not in (found["Config"]["Labels"] or {}):
                raise Refused(f"image {reference} was not built by the pipeline")
        elif not self.stack.names_own_image(reference) and reference not in readable:
            raise Refused(f"image {reference} is not in {self.stack.repository}")
        return quote(reference, safe="/:@")

    async def _read(self, path: str, parameters: Mapping[str, str] | None = None) -> Any:
        response = await self._engine.get(path, params=parameters)
        if response.is_error:
            raise EngineRefused(response)
        return response.json()

    async def _ask(
        self,
        method: str,
        path: str,
        parameters: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | AsyncIterator[bytes] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        """The engine's answer, passed on as it comes."""
        json_body, stream = (body, None) if isinstance(body, Mapping) else (None, body)
        target = f"{path}?{urlencode(parameters)}" if parameters else path
        sent = self._engine.build_request(method, target, headers=headers, json=json_body, content=stream)
        answer = await self._engine.send(sent, stream=True)
        kept = {
            name: value
            for name in ("content-type", "content-length")
            if (value := answer.headers.get(name)) is not None
        }
        return StreamingResponse(_closing(answer), answer.status_code, kept)


ROUTES = (
    Route("GET", "(/_ping|/version)", Guard.about, {}),
    Route(
        "GET", "/containers/json", Guard.list_containers,
        {"limit": _NUMBER, "all": _FLAG, "size": _FLAG, "trunc_cmd": _FLAG, "filters": _TEXT},
    ),
    Route("POST", "/containers/create", Guard.create, {"name": re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]*")}),
    Route("GET", "/containers/([^/]+)/json", Guard.see_container, {}),
    Route(
        "GET", "/containers/([^/]+/logs)", Guard.use_container,
        {**dict.fromkeys(("stdout", "stderr", "timestamps", "follow"), _FLAG),
         "tail": re.compile(r"\d{1,6}|all")},
    ),
    Route("POST", "/containers/([^/]+/start)", Guard.use_container, {}),
    Route("POST", "/containers/([^/]+/stop)", Guard.use_container, {"t": _NUMBER}),
    Route("DELETE", "/containers/([^/]+)", Guard.use_container, {"v": _FLAG, "link": _FLAG, "force": _FLAG}),
    Route("GET", "/networks", Guard.list_networks, {"filters": _TEXT}),
    Route("GET", "/networks/([^/]+)", Guard.see_network, {}),
    Route("POST", "/networks/([^/]+)/connect", Guard.connect, {}),
    Route("GET", "/images/json", Guard.list_images, {"only_ids": _FLAG, "all": _FLAG, "filters": _TEXT}),
    Route(
        "POST", "/images/create", Guard.pull,
        {"fromImage": _TEXT, "tag": re.compile(rf"{TAG.pattern}|{IMAGE_ID.pattern}")},
    ),
    Route("GET", "/images/(.+)/json", Guard.see_image, {}),
    Route("POST", "/images/(.+)/push", Guard.push, {"tag": TAG}),
    Route("POST", "/images/(.+)/tag", Guard.name_image, {"repo": _TEXT, "tag": TAG, "force": _FLAG}),
    Route("DELETE", "/images/(.+)", Guard.remove_image, {"force": _FLAG, "noprune": _FLAG}),
    Route(
        "POST", "/build", Guard.build,
        {**dict.fromkeys(("t", "buildargs", "labels"), _TEXT),
         **dict.fromkeys(("q", "nocache", "rm", "forcerm", "pull"), _FLAG)},
    ),
)  # fmt: skip


async def _body(request: Request) -> bytes:
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > _MOST_BYTES:
            raise Refused(f"the body must be at most {_MOST_BYTES} bytes long")
    return body


async def _with_file(name: str, content: bytes, archive: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The tar archive with one more file in front."""
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    yield entry.tobuf() + content + bytes(-len(content) % tarfile.BLOCKSIZE)
    async for chunk in archive:
        yield chunk


def _login(request: Request) -> dict[str, str]:
    """The caller's logins to registries."""
    logins = {name: request.headers.get(name, "") for name in ("x-registry-auth", "x-registry-config")}
    if not all(re.fullmatch(r"[A-Za-z0-9+/=_-]*", login) for login in logins.values()):
        raise Refused(f"{' and '.join(logins)} must be base64")
    return {name: login for name, login in logins.items() if login}


async def _closing(answer: httpx.Response) -> AsyncIterator[bytes]:
    try:
        async for chunk in answer.aiter_raw():
            yield chunk
    finally:
        await answer.aclose()


def server(stack: Stack, engine_socket: str, host: str, port: int, dockerfile: Path = DOCKERFILE) -> uvicorn.Server:
    """The guard of the engine at `engine_socket`, ready to run.

    h11 keeps to the grammar of HTTP/1.1. What it reads is never passed on as it came: a length that two readers
    understand in two ways cannot smuggle a second request to the engine.
    """
    limits = httpx.Limits(max_connections=256, max_keepalive_connections=0)  # a kept connection may be half closed
    transport = httpx.AsyncHTTPTransport(uds=engine_socket, limits=limits)
    timeout = httpx.Timeout(10, read=1800, write=1800)
    engine = httpx.AsyncClient(transport=transport, base_url="http://docker", timeout=timeout, trust_env=False)
    application = Guard(stack, engine, dockerfile.read_bytes())
    return uvicorn.Server(
        uvicorn.Config(
            application, host=host, port=port, http="h11", ws="none", lifespan="off", log_level="warning",
            server_header=False, limit_concurrency=256, h11_max_incomplete_event_size=128 * 1024,
            timeout_keep_alive=600,  # a client that waits between two requests must not find its connection closed
        )
    )  # fmt: skip


def stack_of(command: Sequence[str]) -> Stack:
    """The stack that the arguments in compose.yaml describe."""
    parser = argparse.ArgumentParser(prog="python -m stack.engine.guard", description=__doc__)
    for name in ("project", "user", "orchestrator", "gateway", "registry", "host"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--clone", required=True, type=Path)
    parser.add_argument("--port", required=True, type=int)
    given = parser.parse_args(command)
    return Stack(
        given.clone, given.project, given.user, given.orchestrator, given.gateway,
        f"{given.registry.rstrip('/')}/app-review-sentiment", given.host, str(given.port),
    )  # fmt: skip


def main() -> None:
    """Serve until the container stops."""
    logging.basicConfig(format="%(levelname)s %(message)s")
    # On an internal network, in a container of its own.
    server(stack_of(sys.argv[1:]), "/var/run/docker.sock", "0.0.0.0", 2375).run()  # noqa: S104


if __name__ == "__main__":
    main()
