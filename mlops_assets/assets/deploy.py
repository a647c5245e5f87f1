"""The assets that put a model in front of people: the release and the service that runs it."""

from collections.abc import Iterator

import dagster as dg

from mlops_assets.assets import metadata
from mlops_assets.assets.failing import as_dagster_failure
from mlops_assets.assets.resources import RunOptions
from mlops_assets.assets.reviews import OWNERS
from mlops_assets.code_version import code_version
from mlops_assets.deploy.service import Service
from mlops_assets.settings import Settings
from mlops_assets.steps.package import package
from mlops_assets.steps.put_live import PutLive, put_live
from mlops_assets.versioning.git.history import GitHistory
from mlops_assets.versioning.repository import VersionRepository

GROUP = "deploy"


@dg.asset(
    deps=["champion_model"],
    group_name=GROUP,
    owners=OWNERS,
    kinds={"python"},
    code_version=code_version("mlops_assets.steps.package", "mlops_assets.serving.__main__"),
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

    A folder `.releases/<version>/` with the model, the server's sources and its locked requirements. If the deploy
    target is docker, also an image of it, pushed to the registry and proven by its digest.
    """
    with as_dagster_failure():
        done = package(settings, service, repository, git_history, context.log.info, run_id=context.run.run_id)
    release, image = done.release, done.image
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
    code_version=code_version("mlops_assets.steps.put_live"),
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
    After a rollback, what was rolled back to keeps serving until there is a new release.
    With `deploy.approval: required` a new release is tried, and waits until a person approves it.
    With skip_deploy, or if HEAD is on no release branch (GIT_BRANCH), the running one stays as it is.
    """
    run_id, skip = context.run.run_id, run_options.skip_deploy
    with as_dagster_failure():
        done = put_live(settings, service, repository, git_history, context.log.info, skip=skip, run_id=run_id)
    if done.live is None:
        kept = {"kept": True, **about_service(done)}
        context.log_event(dg.AssetObservation(asset_key=context.asset_key, metadata=kept))
    else:
        yield dg.MaterializeResult(data_version=dg.DataVersion(done.live.release_version), metadata=about_service(done))


def about_service(done: PutLive) -> metadata.Metadata:
    """What serves, and the release that waits for approval."""
    about: metadata.Metadata = {"reason": done.reason}
    if live := done.live:
        about |= {
            "url": dg.MetadataValue.url(live.url),
            "docs": dg.MetadataValue.url(f"{live.url}/docs"),
            "changed": done.changed,
            "release": live.release_version,
            "model_version": live.model_version,
            "dataset_version": live.dataset_version,
            "target": live.target,
        }
    if waiting := done.waiting:
        about["waits_for_approval"] = dg.MetadataValue.json(
            {"release": waiting.entry.release_version, "until": waiting.shown_until, "asked": done.asked}
        )
    return about


ASSETS = [serving_image, deployed_image]
