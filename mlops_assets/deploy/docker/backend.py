"""The deploy target `docker`: a container behind a gateway that holds the public port."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import KW_ONLY, dataclass, field
from pathlib import Path

from mlops_assets.deploy.backend import Packaged, Part, PublicServer, Report, Target, url_of
from mlops_assets.deploy.docker.container_logs import followed, last_lines
from mlops_assets.deploy.docker.engine import DockerEngine, Login, engine_answers, registry_answers
from mlops_assets.deploy.docker.gateway import IMAGE, HaproxyGateway, project_on
from mlops_assets.deploy.docker.images import ImageRecord, Images
from mlops_assets.deploy.docker.machine import HERE, EngineDown, Machine
from mlops_assets.deploy.docker.memory import death_of
from mlops_assets.deploy.docker.servers import DockerServers
from mlops_assets.deploy.docker.ssh_machine import ConnectionBroke
from mlops_assets.deploy.release import Release
from mlops_assets.deploy.server_settings import ServerSettings
from mlops_assets.serving.options import ServerOptions, is_loopback
from mlops_assets.serving.overview_file import SHOWN

REPOSITORY = "localhost:5000/app-review-sentiment"


@dataclass(eq=False)
class DockerBackend:
    """The service on `host:port`: a gateway container there, behind it a server container.

    environment: all that a server gets to see
    key: an API key for the deployer if keys are on
    repository: where images are pushed; its name begins with the registry
    login: for that registry if it wants one
    certificate: PEM with certificates, then the key; with it the public port speaks TLS
    network: a network that this process is on as a container; the gateway and the servers join it and are asked there
    machine: where the engine runs; `host` and `port` are that machine's
    """

    folder: Path
    port: int
    host: str = "127.0.0.1"
    _: KW_ONLY
    environment: Mapping[str, str] = field(default_factory=dict)
    key: str = ""
    repository: str = REPOSITORY
    login: Login | None = None
    certificate: Path | None = None
    network: str = ""
    gateway_image: str = IMAGE
    machine: Machine = HERE
    target: Target = field(default="docker", init=False)

    def __post_init__(self) -> None:
        self._record = ImageRecord(self.folder / "images.json")
        if is_loopback(self.host):
            # In its container the server listens on all addresses; the gateway publishes it to this machine alone.
            self.environment = {"ALLOW_ANONYMOUS": "1", **self.environment}
        self._settings = ServerSettings(self.folder, self.environment, self.host)

    @property
    def project(self) -> str:
        """The name of what this service has on the engine; containers and network carry it as a label."""
        return project_on(self.port)

    @property
    def url(self) -> str:
        host = self.machine.public_host(self.host)
        return url_of(host, self.port, "https" if self.certificate else "http")

    def usable(self) -> bool:
        return engine_answers(self.machine) and (bool(self.machine.name) or registry_answers(self.repository))

    def was_used(self) -> bool:
        return (self.folder / "gateway").is_dir()

    def live(self) -> PublicServer | None:
        try:
            with DockerEngine(self.machine) as engine:
                servers = self._servers(engine)
                instance, canary = servers.current(), servers.canary()
                # On the public port a canary answers some questions.
                client = servers.past_the_gateway(instance) if instance and canary else servers.public()
        except EngineDown:
            return None  # Its containers are down with it; a deployment says so.
        if instance is None:
            return None
        other_settings = self._settings.differing(instance.settings)
        return PublicServer(client, instance.since, other_settings=other_settings, canary=canary)

    def trouble(self) -> str:
        try:
            with DockerEngine(self.machine) as engine:
                container = self._servers(engine).live_container()
                return death_of(container) if container is not None else ""
        except EngineDown:
            return ""  # `live` finds nothing then.

    def read_log(self, part: Part, lines: int, *, follow: bool) -> Iterator[str]:
        with DockerEngine(self.machine) as engine:
            name = self._gateway(engine).name
            wanted = engine.containers(f"mlops.project={self.project}")
            gateway = next((container for container in wanted if container.name == name), None)
            container = gateway if part == "gateway" else self._servers(engine).live_container()
            if container is not None:
                yield from followed(container, lines, part) if follow else [last_lines(container, lines, part)]

    def packaged(self, release_version: str) -> Packaged | None:
        return self._record.get(release_version)

    def package(self, release: Release, tags: Sequence[str], report: Report, *, made_by: str) -> Packaged:
        with self._at_work() as engine:
            return self._images(engine).package(release, tags, report, made_by=made_by)

    @contextmanager
    def servers(self, image: Packaged | None) -> Iterator[DockerServers]:
        ServerOptions.from_environment(self.environment).refuse_open_host(self.host)
        with self._at_work() as engine:
            yield self._servers(engine, image.reference if image else "")

    def prune(self, keep: frozenset[str], report: Report, *, dry_run: bool) -> None:
        with self._at_work() as engine:
            servers = self._servers(engine)
            # If nothing serves, a stray may be the live container, failing: the next deployment decides.
            strays = servers.strays() if servers.current() is not None else []
            for container in strays:
                report(f"remove container {container.name}, which a killed deployment left")
            if strays and not dry_run:
                servers.sweep()
            ending = {container.id for container in strays}
            self._images(engine).prune(keep, report, ending=ending, dry_run=dry_run)

    def end(self) -> bool:
        """Remove every container and the network of this project; whether one served."""
        with self._at_work() as engine:
            live = self._servers(engine).current()
            servers = self._servers(engine)
            for container in engine.containers(f"mlops.project={self.project}"):
                servers.remove(container)
            self._gateway(engine).remove()
        return live is not None

    @contextmanager
    def _at_work(self) -> Iterator[DockerEngine]:
        """The engine, for this process alone. If the way to it broke, the error says so, whatever else it caused."""
        with self.machine.locked(self.project), DockerEngine(self.machine) as engine:
            try:
                yield engine
            except Exception as error:
                if how := self.machine.lost():
                    raise ConnectionBroke(
                        f"the connection to {self.machine.name} broke ({how}): {error}\nRun again: it finishes what "
                        "was begun, and what has the public port serves until then"
                    ) from error
                raise

    def _images(self, engine: DockerEngine) -> Images:
        return Images(
            engine,
            self._record,
            self.repository,
            self.project,
            login=self.login,
            environment=self.environment,
            key=self.key,
            network=self.network,
        )

    def _gateway(self, engine: DockerEngine) -> HaproxyGateway:
        return HaproxyGateway(
            engine,
            self.project,
            self.folder / "gateway",
            self.host,
            self.port,
            certificate=self.certificate,
            network=self.network,
            image=self.gateway_image,
        )

    def _servers(self, engine: DockerEngine, image: str = "") -> DockerServers:
        return DockerServers(
            engine,
            self._gateway(engine),
            self.project,
            self._settings,
            image=image,
            key=self.key,
            shown=(self.folder / SHOWN).absolute(),
            inside=bool(self.network),
        )
