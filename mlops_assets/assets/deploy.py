"""The assets that put a model in front of people: the release and the service that runs it."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import dagster as dg

from mlops_assets.assets import metadata
from mlops_assets.assets.failing import told_to_dagster
from mlops_assets.assets.resources import RunOptions
from mlops_assets.assets.reviews import OWNERS
from mlops_assets.deploy.release import image_tags
from mlops_assets.deploy.service import Service
from mlops_assets.settings import Settings
from mlops_assets.steps.plan import not_to_deploy
from mlops_assets.steps.upstream import refuse_missing_upstream
from mlops_assets.versioning.git.history import GitHistory
from mlops_assets.versioning.repository import VersionRepository

if TYPE_CHECKING:
    from mlops_assets.deploy.release import Release

GROUP = "deploy"


def build() -> list[dg.AssetsDefinition]:
    """The release and the deployment."""

    @dg.asset(
        deps=["champion_model"],
        group_name=GROUP,
        owners=OWNERS,
        kinds={"python"},
        code_version="1",
        pool="service",
    )
    def serving_image(
        context: dg.AssetExecutionContext,
        settings: dg.ResourceParam[Settings],
        service: dg.ResourceParam[Service],
        repository: dg.ResourceParam[VersionRepository],
        git_history: dg.ResourceParam[GitHistory],
    ) -> dg.MaterializeResult:
        """What is deployed: an immutable release of the champion and the server, named by its content.

        A folder `.releases/<version>/` with the model, the server's sources and its locked requirements. Where the
        deploy target is docker also an image of it, pushed, and proven as it lies in the registry.
        """
        with told_to_dagster():
            refuse_missing_upstream("serving_image", settings, repository)
            release = _release(settings)
            image = service.package(
                release,
                image_tags(release.model_version, *git_history.head()),
                context.log.info,
                made_by=context.run.run_id,
            )
        about: metadata.Metadata = {}
        if image is not None:
            about = {
                "image": image.reference,
                "digest": image.reference.partition("@")[2],
                "tags": ", ".join(image.tags),
                "size_mb": round(image.size_bytes / 1e6, 1),
            }
        return dg.MaterializeResult(
            data_version=dg.DataVersion(release.version),
            metadata={
                "reason": f"release {release.version} of model {release.model_version}",
                "release": release.version,
                "model_version": release.model_version,
                "dataset_version": release.dataset_version,
                "target": service.target,
                "folder": metadata.link(release.folder),
                **about,
            },
        )

    @dg.asset(
        deps=[serving_image],
        group_name=GROUP,
        owners=OWNERS,
        kinds={"python"},
        code_version="1",
        pool="service",
        output_required=False,
    )
    def deployed_image(
        context: dg.AssetExecutionContext,
        settings: dg.ResourceParam[Settings],
        service: dg.ResourceParam[Service],
        repository: dg.ResourceParam[VersionRepository],
        git_history: dg.ResourceParam[GitHistory],
        run_options: RunOptions,
    ) -> Iterator[dg.MaterializeResult]:
        """The service that runs the release, proven by its own answer: it names the model that it serves.

        The new one is verified beside the old one and only then takes over; on any failure the old one keeps serving.
        With skip_deploy, and where HEAD is on no release branch (GIT_BRANCH), the running one stays as it is.
        """
        if why := not_to_deploy(settings, git_history, skip=run_options.skip_deploy):
            context.log.info(f"{why}: the running service stays as it is")
            context.log_event(dg.AssetObservation(asset_key=context.asset_key, metadata={"kept": True, "reason": why}))
            return
        with told_to_dagster():
            refuse_missing_upstream("deployed_image", settings, repository)
            release = _release(settings)
            held = service.held_back(release.version)
            if held:
                context.log.info(held)
                yield dg.MaterializeResult(metadata={"kept": True, "reason": held})
                return
            done = service.deploy(release, context.log.info, caused_by=f"run {context.run.run_id}")
            live = service.live()
        if live is None or live.release_version != release.version:
            answer = live.release_version if live else "nothing"
            raise dg.Failure(f"release {release.version} was deployed, but {service.url} answers {answer}: see its log")
        yield dg.MaterializeResult(
            data_version=dg.DataVersion(release.version),
            metadata={
                "reason": f"model {live.model_version} answers at {live.url}",
                "url": dg.MetadataValue.url(live.url),
                "docs": dg.MetadataValue.url(f"{live.url}/docs"),
                "changed": done.changed,
                "release": release.version,
                "model_version": live.model_version,
                "dataset_version": live.dataset_version,
                "target": live.target,
            },
        )

    return [serving_image, deployed_image]


def _release(settings: Settings) -> "Release":
    """The champion's release; the one that is there where nothing differs."""
    from mlops_assets.deploy.release import build_release

    return build_release(settings.models / "champion", settings.releases, lock=settings.serving_lock)
