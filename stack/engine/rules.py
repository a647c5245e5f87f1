"""What the pipeline may ask of the Docker engine. A request is built anew from what is allowed, never passed on."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar
from urllib.parse import parse_qsl

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_pascal
from pydantic_core import ErrorDetails

SERVER_USER = "10001:10001"
"""Whom the model service runs as, whatever its image says: an image that was built here may name root."""
_SERVER_PORT = "8080/tcp"
_GPUS = {"Driver": "", "Count": -1, "DeviceIDs": [], "Capabilities": [["gpu"]], "Options": {}}
_DIGEST = r"sha256:[0-9a-f]{64}"
IMAGE_ID = re.compile(rf"{_DIGEST}|[0-9a-f]{{12,64}}")
TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")


_TmpfsFolder = Literal["/tmp", "/dagster"]  # noqa: S108  in the container
_TmpfsOptions = Annotated[str, Field(pattern=r"^(size=\d{1,6}[kmg]|mode=1777)$")]


class Refused(Exception):
    """The request is not for the engine; the message says which rule it breaks."""

    def __init__(self, message: str) -> None:
        # It may quote the caller, whose line breaks must not look like lines of the log.
        quoted = (char if char.isprintable() else char.encode("unicode_escape").decode() for char in message[:2000])
        super().__init__("".join(quoted))


class _Wish(BaseModel):
    """Part of a request: exactly these keys, in this spelling, with values of exactly these types."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, alias_generator=to_pascal)


Parsed = TypeVar("Parsed", bound=_Wish)


class _Address(_Wish):
    ipv4: Annotated[str, Field(pattern=r"^\d{1,3}(\.\d{1,3}){3}$")] = Field(alias="IPv4Address")


class Endpoint(_Wish):
    aliases: list[Literal["model-service"]] | None = None
    ipam: _Address | None = Field(default=None, alias="IPAMConfig")


class Connection(_Wish):
    """The body of a request that connects a container to a network."""

    container: Annotated[str, Field(pattern=r"^[0-9a-f]{12,64}$")]
    endpoint_config: Endpoint | None = None


class _Restart(_Wish):
    name: Literal["no", "always"]


class _Port(_Wish):
    host_ip: str
    host_port: str


class _Log(_Wish):
    type: Literal["json-file"]
    config: dict[Literal["max-size", "max-file"], Annotated[str, Field(pattern=r"^\d{1,3}m?$")]]


class _Host(_Wish):
    """Other keys of HostConfig, such as Privileged, MaskedPaths and CapAdd, are refused whatever their value."""

    network_mode: str
    readonly_rootfs: Literal[True]
    cap_drop: Annotated[list[Literal["ALL"]], Field(min_length=1)]
    security_opt: Annotated[list[Literal["no-new-privileges"]], Field(min_length=1)]
    binds: list[str] | None = None
    tmpfs: dict[_TmpfsFolder, _TmpfsOptions] | None = None
    port_bindings: dict[str, list[_Port]] | None = None
    restart_policy: _Restart | None = None
    device_requests: list[Any] | None = None
    memory: Annotated[int, Field(ge=0)] | None = None
    nano_cpus: Annotated[int, Field(ge=0)] | None = None
    log_config: _Log | None = None
    pids_limit: Annotated[int, Field(ge=1, le=4096)] | None = None
    auto_remove: bool | None = None
    init: bool | None = None


class _Container(_Wish):
    image: str
    labels: dict[Annotated[str, Field(pattern=r"^(mlops\.|dagster/)[a-z_.]+$")], str]
    host_config: _Host
    user: str | None = None
    cmd: list[str] | None = None
    env: list[str] | None = None
    stop_signal: Literal["SIGTERM"] | None = None
    exposed_ports: dict[Literal["8080/tcp"], dict[str, str]] | None = None
    networking_config: dict[str, Any] | None = None
    # Docker's Python client repeats the targets of the binds here: left out of what is sent.
    volumes: dict[str, dict[str, str]] | None = Field(default=None, exclude=True)
    tty: Literal[False] | None = None
    open_stdin: Literal[False] | None = None
    stdin_once: Literal[False] | None = None
    attach_stdin: Literal[False] | None = None
    attach_stdout: bool | None = None
    attach_stderr: bool | None = None
    network_disabled: Literal[False] | None = None


@dataclass(frozen=True)
class _Kind:
    """What distinguishes the containers of runs, the gateway's and the model service's."""

    user: str
    binds: Mapping[str, Path]
    label: tuple[str, str]
    name: re.Pattern[str]
    ports: Mapping[str, Any]
    gpus: bool = False


@dataclass(frozen=True)
class Stack:
    """One team server, as compose.yaml describes it.

    user: uid:gid of the clone's owner
    orchestrator, gateway: images
    repository: where the images of the model service are
    host, port: where the gateway publishes the model service
    """

    clone: Path
    project: str
    user: str
    orchestrator: str
    gateway: str
    repository: str
    host: str
    port: str

    @property
    def networks(self) -> frozenset[str]:
        """The networks of the runs and of the model service."""
        return frozenset(f"{self.project}-{name}" for name in ("data", "service", "engine"))

    def owns(self, labels: Mapping[str, str] | None) -> bool:
        """Whether a container with these labels is a run's or the model service's."""
        labels = labels or {}
        return labels.get("mlops.stack") == self.project or labels.get("mlops.project") == f"mlops-{self.port}"

    def names_own_image(self, reference: str) -> bool:
        """Whether the reference is in the repository of the model service."""
        rest = reference.removeprefix(self.repository)
        return rest != reference and bool(re.fullmatch(rf"|@{_DIGEST}|:{TAG.pattern}", rest))

    def container(self, body: bytes, name: str) -> dict[str, Any]:
        """The request that creates the wanted container. Raises `Refused`."""
        wish = parsed(_Container, body)
        kind = self._kind(wish.image)
        host = wish.host_config
        key, value = kind.label
        if wish.labels.get(key) != value:
            raise Refused(f"Labels must hold {key}={value}, got {wish.labels.get(key)!r}")
        if not kind.name.fullmatch(name):
            raise Refused(f"the name of a container of {wish.image} must match {kind.name.pattern!r}, got {name!r}")
        if wish.user not in {None, kind.user}:
            raise Refused(f"User must be {kind.user}, got {wish.user!r}")
        if host.network_mode not in self.networks:
            raise Refused(f"HostConfig.NetworkMode must be one of {sorted(self.networks)}, got {host.network_mode!r}")
        for bind in host.binds or []:
            if bind not in kind.binds:
                raise Refused(f"HostConfig.Binds must be among {sorted(kind.binds)}, got {bind!r}")
            self.refuse_link(kind.binds[bind])
        made = wish.model_dump(by_alias=True, exclude_none=True)
        if host.port_bindings and made["HostConfig"]["PortBindings"] != kind.ports:
            raise Refused(f"HostConfig.PortBindings must be {kind.ports}, got {made['HostConfig']['PortBindings']}")
        if host.device_requests and not (kind.gpus and host.device_requests == [_GPUS]):
            raise Refused(f"HostConfig.DeviceRequests may only ask for all GPUs, and only for {self.repository}")
        made["User"] = kind.user
        made["NetworkingConfig"] = {"EndpointsConfig": self._endpoints(wish.networking_config or {})}
        return made

    def refuse_link(self, folder: Path) -> None:
        """Raise `Refused` unless the folder exists and no part of its path is a link."""
        if folder.resolve() != folder or not folder.is_dir():
            raise Refused(f"HostConfig.Binds: {folder} must be a folder, and no part of its path a link")

    def refuse_links(self, binds: list[str] | None) -> None:
        """The same for every bind of a container that is there already: a folder may have become a link since."""
        for bind in binds or []:
            self.refuse_link(Path(bind.partition(":")[0]))

    def _kind(self, image: str) -> _Kind:
        serving, service = self.clone / ".serving", f"mlops-{self.port}"
        if image == self.orchestrator:
            own = {f"{self.clone}:{self.clone}{mode}": self.clone for mode in ("", ":rw", ":ro")}
            return _Kind(self.user, own, ("mlops.stack", self.project), re.compile(""), {})
        label = ("mlops.project", service)
        if image == self.gateway:
            binds = {f"{serving}/gateway:/gateway:rw": serving / "gateway"}
            ports = {_SERVER_PORT: [{"HostIp": self.host, "HostPort": self.port}]}
            return _Kind(self.user, binds, label, re.compile(f"{service}-gateway"), ports)
        if self.names_own_image(image):
            shown = {f"{serving}/shown:/shown:ro": serving / "shown"}
            return _Kind(SERVER_USER, shown, label, re.compile(rf"{service}-[a-z0-9][a-z0-9-]*"), {}, gpus=True)
        raise Refused(f"Image must be {self.orchestrator}, {self.gateway} or in {self.repository}, got {image!r}")

    def _endpoints(self, config: dict[str, Any]) -> dict[str, Any]:
        """The networks of a new container. Docker's Python client also sends {network: null}, which says nothing."""
        wanted = {name: value for name, value in config.items() if value is not None}
        endpoints = wanted.pop("EndpointsConfig", {})
        if wanted or not isinstance(endpoints, dict) or not endpoints.keys() <= self.networks:
            raise Refused(f"NetworkingConfig may name {sorted(self.networks)}, got {config!r}")
        return {name: endpoint(value) for name, value in endpoints.items()}


def endpoint(value: Any) -> dict[str, Any]:
    """The address and the alias that a container asks for on a network."""
    return _model(Endpoint, value).model_dump(by_alias=True, exclude_none=True)


def parsed(model: type[Parsed], body: bytes) -> Parsed:
    """The body of a request. Raises `Refused`."""
    try:
        return _model(model, strict_json(body.decode()))
    except UnicodeDecodeError as error:
        raise Refused(f"the body is no UTF-8: {error}") from error


def _model(model: type[Parsed], value: Any) -> Parsed:
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise Refused("; ".join(_problem(found) for found in error.errors(include_url=False)[:8])) from error


def _problem(error: ErrorDetails) -> str:
    place = ".".join(str(part) for part in error["loc"])
    # Elsewhere, as in Env, a value may be a secret.
    got = f", got {error['input']!r:.200}" if place.startswith("HostConfig.") else ""
    return f"{place}: {error['msg']}{got}"


def strict_json(text: str) -> Any:
    """JSON without repeated keys. Raises `Refused`."""

    def no_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            raise Refused("the JSON repeats a key")
        return found

    try:
        return json.loads(text, object_pairs_hook=no_repeats)
    except (ValueError, RecursionError) as error:
        raise Refused(f"the body or a parameter is no JSON: {error}") from error


def query(text: str, allowed: Mapping[str, re.Pattern[str]]) -> dict[str, str]:
    """The parameters of a request, each at most once. Raises `Refused`."""
    try:
        pairs = parse_qsl(text, keep_blank_values=True, strict_parsing=bool(text), errors="strict")
    except ValueError as error:
        raise Refused(f"the query string cannot be read: {error}") from error
    found = dict(pairs)
    if len(found) != len(pairs):
        raise Refused("the query string repeats a parameter")
    for name, value in found.items():
        if name not in allowed:
            raise Refused(f"the parameter {name!r} is not allowed here; allowed are {sorted(allowed)}")
        if not allowed[name].fullmatch(value):
            raise Refused(f"the parameter {name} must match {allowed[name].pattern!r}, got {value!r:.200}")
    return found
