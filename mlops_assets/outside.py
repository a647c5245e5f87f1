"""The objects that reach outside, by name, built from the settings. Nothing is opened or started here."""

from typing import Any

from mlops_assets.deploy.docker.backend import DockerBackend
from mlops_assets.deploy.docker.engine import Login
from mlops_assets.deploy.docker.ssh_machine import machine_of
from mlops_assets.deploy.process.backend import ProcessBackend
from mlops_assets.deploy.server_settings import refuse_unusable
from mlops_assets.deploy.service import Service
from mlops_assets.params.operations import Watching
from mlops_assets.reporting.notifier import Notifier
from mlops_assets.reviews.sources.review_source import ReviewSource, SampleSource
from mlops_assets.settings import Settings
from mlops_assets.spread.ray_cluster import refuse_without_ray
from mlops_assets.steps.mirroring.mirrors import Mirrors
from mlops_assets.steps.refresh_dashboards import Dashboards
from mlops_assets.steps.take_imports import FileSource
from mlops_assets.versioning.git.history import GitHistory
from mlops_assets.versioning.pipeline_clone import PipelineClone
from mlops_assets.versioning.repository import VersionRepository

IMAGE_NAME = "app-review-sentiment"


def build(settings: Settings) -> dict[str, Any]:
    """`review_source`, `repository`, `git_history`, `service`, `notifier`, `dashboards` and `mirrors`."""
    refuse_without_ray(settings.ray_address)  # before any run
    return {
        "review_source": review_source(settings),
        "repository": repository(settings),
        "git_history": GitHistory(settings.root),
        "service": service(settings),
        "notifier": Notifier.of(settings),
        "dashboards": Dashboards.of(settings),
        "mirrors": Mirrors.of(settings),
    }


def repository(settings: Settings) -> VersionRepository:
    """The versions in the private clone, whose objects go to the remote that the settings name."""
    return VersionRepository(
        PipelineClone(settings.root, dvc_program=settings.dvc_program, remote_url=settings.dvc_remote_url)
    )


def review_source(settings: Settings) -> ReviewSource:
    """The source of reviews that the settings name."""
    if settings.source == "sample":
        return SampleSource(settings.now)
    if settings.source == "file":
        return FileSource(settings)
    from mlops_assets.reviews.sources.play_source import PlaySource

    return PlaySource(settings)


def service(settings: Settings) -> Service:
    """The service on `PORT` by `DEPLOY_TARGET`."""
    folder = settings.service_folder
    environment = settings.server_environment()
    key = settings.deploy_key.get_secret_value() if settings.deploy_key else ""
    refuse_unusable(environment, key, settings.host)  # before any run
    password = settings.registry_password
    watching = settings.section(Watching)
    docker = DockerBackend(
        folder,
        settings.port,
        settings.host,
        environment=environment,
        key=key,
        repository=f"{settings.image_registry}/{IMAGE_NAME}" if settings.image_registry else IMAGE_NAME,
        login=Login(settings.registry_user, password.get_secret_value()) if password else None,
        certificate=settings.tls_certificate,
        network=settings.service_network,
        gateway_image=settings.haproxy_image,
        machine=machine_of(settings),
    )
    process = ProcessBackend(folder, settings.port, settings.host, environment=environment, key=key)
    return Service(docker, process, wanted=settings.deploy_target, watching=watching)
