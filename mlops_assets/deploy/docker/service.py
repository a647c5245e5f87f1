"""The deploy target `docker`: a container behind a gateway that holds the public port."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from filelock import FileLock

from mlops_assets.deploy.docker import gateway_config
from mlops_assets.deploy.docker.backend import DockerBackend, ServerContainer
from mlops_assets.deploy.docker.engine import DockerEngine, EngineDown, Login, PullFailed
from mlops_assets.deploy.docker.gateway import IMAGE, HaproxyGateway, gateway_name
from mlops_assets.deploy.docker.image_record import ImageRecord
from mlops_assets.deploy.docker.image_trial import prove_image
from mlops_assets.deploy.history import DeploymentLog
from mlops_assets.deploy.release import Release
from mlops_assets.deploy.rollout import DeploymentRefused, NoAnswer, RolledBack, Watching, roll_out
from mlops_assets.deploy.service import Deployment, Live, Packaged, Target, note, note_stop, on_record
from mlops_assets.deploy.service_client import ServiceClient
from mlops_assets.serving.options import ServerOptions, is_loopback
from mlops_assets.serving.pages.told import SHOWN

REPOSITORY = "localhost:5000/app-review-sentiment"
_BUILDER = "mlops.builder"
"""The label of an image that names the project. Not `mlops.project`: every container inherits its image's labels."""


class DockerService:
    """The service on `host:port`; every container and the network carry the label `mlops.project=<project>`."""

    target: Target = "docker"

    def __init__(  # noqa: PLR0913  # all that decides where and how it serves
        self,
        state_folder: Path,
        port: int,
        host: str = "127.0.0.1",
        *,
        environment: Mapping[str, str] | None = None,
        key: str = "",
        project: str = "",
        repository: str = REPOSITORY,
        login: Login | None = None,
        certificate: Path | None = None,
        watching: Watching | None = None,
        network: str = "",
        gateway_image: str = IMAGE,
    ) -> None:
        """`environment` is all that the server gets to see; `key` an API key for the deployer, where keys are on.

        Images go to `repository` in the registry that its name begins with, by `login` where it wants one. With a
        `certificate` (PEM: certificates, then the key) the public port speaks TLS. With a `network` this process is a
        container on it: the gateway and the servers join it and are asked there.
        """
        self.folder, self._host, self._port = state_folder, host, port
        self._watching = watching or Watching()
        self._environment, self._key = dict(environment or {}), key
        self._network, self._gateway_image = network, gateway_image
        self.project = project or f"mlops-{port}"
        self._repository, self._login, self._certificate = repository, login, certificate
        self._images = ImageRecord(state_folder / "images.json")
        if is_loopback(host):
            # In its container the server listens on all addresses; the gateway publishes it to this machine alone.
            self._environment.setdefault("ALLOW_ANONYMOUS", "1")
        self.log = DeploymentLog(state_folder / "deployments.sqlite")

    @property
    def url(self) -> str:
        """Where people and programs ask."""
        host = "127.0.0.1" if self._host == "0.0.0.0" else self._host  # noqa: S104  # an address to ask, not to bind
        return f"{'https' if self._certificate else 'http'}://{host}:{self._port}"

    def live(self) -> Live | None:
        """What serves, asked through the gateway; None where nothing of ours does."""
        try:
            with DockerEngine() as engine:
                instance = self._backend(engine).current()
        except EngineDown:
            return None  # Its containers are down with it; a deployment says so.
        if instance is None:
            return None
        try:
            host, port = self.url.split("/")[2].rpartition(":")[0], self._port
            if self._network:
                host, port = gateway_name(self.project), gateway_config.PORT
            public = ServiceClient(host, port, timeout_s=5, certificate=self._certificate)
            health = public.ask("GET", "/health")
        except NoAnswer:
            return None
        if health.status != 200:
            return None
        return Live(
            model_version=str(health.body["model_version"]),
            release_version=str(health.body["release_version"]),
            dataset_version=str(health.body["dataset_version"]),
            pid=0,
            since=instance.since,
            url=self.url,
            target=self.target,
        )

    def packaged(self, release_version: str) -> Packaged | None:
        """The release's image where it is proven and pushed."""
        return self._images.get(release_version)

    def package(
        self, release: Release, tags: Sequence[str], report: Callable[[str], None], *, made_by: str = ""
    ) -> Packaged:
        """Build the release's image, push it, prove the pushed one by digest, then give it `tags`.

        Only a proven image gets a tag by which others find it; one that is proven already gets the tags it lacks. One
        that is lost here and in the registry is made anew.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        with FileLock(self.folder / "lock"), DockerEngine() as engine:
            known = self._at_hand(engine, release, report)
            if known is not None:
                report(f"image {known.reference} of release {release.version} is proven and pushed")
                return self._with_tags(engine, release, known, tags, report)
            labels = {_BUILDER: self.project, "mlops.run": made_by}
            name = engine.build(release, self._repository, report, labels=labels)
            pushed = engine.push(name, (), report, login=self._login)
            prove_image(
                engine,
                pushed.reference,
                release,
                report,
                project=self.project,
                environment=self._environment,
                key=self._key,
                network=self._network,
            )
            if tags:
                pushed = engine.push(name, tags, report, login=self._login)
            image = Packaged(pushed.reference, pushed.tags, pushed.size_bytes)
            self._images.set(release.version, image)
        return image

    def prune(self, keep: frozenset[str], report: Callable[[str], None], *, dry_run: bool = False) -> None:
        """Remove what killed deployments left, images of releases not in `keep`, and builds that others replaced.

        An image that a container needs stays. The registry keeps its copies.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        with FileLock(self.folder / "lock"), DockerEngine() as engine:
            backend = self._backend(engine)
            # Where nothing serves, one that is ill may: the next deployment decides.
            strays = backend.strays() if backend.current() is not None else []
            for container in strays:
                report(f"remove container {container.name}, which a killed deployment left")
            if strays and not dry_run:
                backend.sweep()
            for image, version in self._unneeded(engine, keep).items():
                if engine.users(image) - {container.id for container in strays}:
                    continue
                report(f"remove image {image} of release {version}")
                known = self._images.get(version)
                if not dry_run and engine.remove_image(image) and known is not None and known.reference == image:
                    self._images.drop(version)

    def deploy(
        self,
        release: Release,
        report: Callable[[str], None],
        *,
        image: str = "",
        timeout_s: float | None = None,
        watch_s: float | None = None,
        caused_by: str = "",
    ) -> Deployment:
        """Put `image`, which holds `release`, live; raises `DeploymentRefused` or `RolledBack`, the old one serving on.

        Without `image` it is the release's own, packaged where it is not yet, or is lost here and in the registry.
        `timeout_s` and `watch_s` stand in for those of `watching`. A second deployment waits for the first.
        """
        ServerOptions.from_environment(self._environment).refuse_open_host(self._host)
        self.folder.mkdir(parents=True, exist_ok=True)
        if not image:
            image = self.package(release, (), report).reference
        with FileLock(self.folder / "lock"), DockerEngine() as engine:
            engine.fetch(image, login=self._login)
            backend = self._backend(engine, image)
            before = backend.current()
            previous = self._version_of(before) if before is not None else None
            try:
                watching = self._watching.but(ready_timeout_s=timeout_s, watch_s=watch_s)
                instance = roll_out(release, backend, report, watching)
            except (DeploymentRefused, RolledBack) as error:
                outcome = "rolled back" if isinstance(error, RolledBack) else "refused"
                note(self.log, self.target, release, outcome, caused_by=caused_by, error=error, image=image)
                raise
            changed = before is None or instance.id != before.id
            if changed or not on_record(self.log, self.target, release):
                note(self.log, self.target, release, "live", caused_by=caused_by, image=image)
        return Deployment(
            release.version,
            release.model_version,
            release.dataset_version,
            self.url,
            changed=changed,
            previous=previous,
        )

    def stop(self, *, caused_by: str = "") -> bool:
        """Remove every container and the network of this project; whether one served."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with FileLock(self.folder / "lock"), DockerEngine() as engine:
            backend = self._backend(engine)
            live = backend.current()
            for container in engine.containers(f"mlops.project={self.project}"):
                container.remove(force=True)
            self._gateway(engine).remove()
            note_stop(self.log, self.target, caused_by=caused_by)
        return live is not None

    def _at_hand(self, engine: DockerEngine, release: Release, report: Callable[[str], None]) -> Packaged | None:
        known = self._images.get(release.version)
        if known is None:
            return None
        try:
            engine.fetch(known.reference, login=self._login)
        except PullFailed as error:
            report(f"{error}; it is made anew from {release.folder}")
            return None
        return known

    def _with_tags(
        self,
        engine: DockerEngine,
        release: Release,
        image: Packaged,
        tags: Sequence[str],
        report: Callable[[str], None],
    ) -> Packaged:
        lacking = [tag for tag in tags if tag not in image.tags]
        if not lacking:
            return image
        name = f"{self._repository}:{release.version}"
        engine.name_image(image.reference, name)
        pushed = engine.push(name, lacking, report, login=self._login)
        tagged = Packaged(pushed.reference, tuple(dict.fromkeys((*image.tags, *pushed.tags))), pushed.size_bytes)
        self._images.set(release.version, tagged)
        return tagged

    def _unneeded(self, engine: DockerEngine, keep: frozenset[str]) -> dict[str, str]:
        """By image the release: those on record that are not in `keep`, and builds that are not those on record.

        A build on no record, whose push failed, stays with its release: the next try begins with it.
        """
        known = self._images.all()
        found = {image.reference: version for version, image in known.items() if version not in keep}
        for image in engine.images(f"{_BUILDER}={self.project}"):
            version, names = image.labels["mlops.release"], set(image.attrs.get("RepoDigests") or ())
            replaced = version in known and known[version].reference not in names
            if (version not in keep or replaced) and names.isdisjoint(found):
                found[image.id] = version
        return found

    def _version_of(self, one: ServerContainer) -> str | None:
        try:
            return ServiceClient(one.host, one.port, timeout_s=5).ask("GET", "/health").body.get("release_version")
        except NoAnswer:
            return None

    def _gateway(self, engine: DockerEngine) -> HaproxyGateway:
        folder = self.folder / "gateway"
        return HaproxyGateway(
            engine,
            self.project,
            folder,
            self._host,
            self._port,
            certificate=self._certificate,
            network=self._network,
            image=self._gateway_image,
        )

    def _backend(self, engine: DockerEngine, image: str = "") -> DockerBackend:
        return DockerBackend(
            engine,
            self._gateway(engine),
            self.project,
            self._environment,
            image=image,
            key=self._key,
            shown=(self.folder / SHOWN).absolute(),
            inside=bool(self._network),
        )
