"""The resources as the UI shows them: the options of a run, and what each outside thing is configured to be."""

from collections.abc import Mapping
from typing import Any

import dagster as dg
from pydantic import Field

from mlops_assets.settings import Settings


class RunOptions(dg.ConfigurableResource):
    """What a person may decide for this run alone."""

    force_retrain: bool = Field(
        default=False, description="Train both models even where data, recipe and code are those of the last training."
    )
    skip_deploy: bool = Field(
        default=False, description="Build and verify the release, but leave the running service as it is."
    )


class Outside(dg.ConfigurableResource):
    """A plain Python object that reaches outside, with its configuration for people to see. No field is a secret.

    The fields only inform: the environment and params.yaml configure the object, before Dagster sees it.
    """

    built: dg.ResourceDependency[Any]

    def create_resource(self, context: dg.InitResourceContext) -> Any:  # noqa: ARG002  Dagster's signature
        return self.built


class ReviewSourceResource(Outside):
    """Where reviews come from."""

    source: str = Field(description="sample, file or play_store: SOURCE, or `source` in params.yaml.")
    apps: list[str] = Field(
        description="The package names of the apps: `apps` in params.yaml and APP. The sample has its own."
    )
    first_month: str = Field(description="The month of the oldest partition: `first_month` in params.yaml.")
    from_month: str = Field(description="Collect from this month on; empty for the source's own first month: FROM.")
    files: list[str] = Field(description="The files that SOURCE=file reads: REVIEWS.")


class RepositoryResource(Outside):
    """Where versions of data and models are kept."""

    clone: str = Field(description="The user's clone. Versions are committed in its private clone `.pipeline`.")
    branch: str = Field(description="The branch that holds the versions.")
    remote: str = Field(
        description="The DVC remote: DVC_REMOTE_URL. Empty for the remote that the branch names, else `.dvc-remote`."
    )


class GitHistoryResource(Outside):
    """The commits that start a run."""

    branches: list[str] = Field(description="The release branches: GIT_BRANCH.")
    fast_forward: bool = Field(description="Whether commits that wait at origin are taken over: GIT_FAST_FORWARD.")


class ServiceResource(Outside):
    """The service that answers with the live model."""

    target: str = Field(description="process, docker, or auto for docker if an engine answers: DEPLOY_TARGET.")
    host: str = Field(description="The address on which the service listens: HOST_ADDRESS.")
    port: int = Field(description="The port on which the service listens: PORT.")
    registry: str = Field(description="Where images are pushed to: IMAGE_REGISTRY.")
    variant: str = Field(description="Whether the image computes on the cpu or on a gpu: IMAGE_VARIANT.")


class NotifierResource(Outside):
    """Whom the pipeline informs."""

    channels: list[str] = Field(description="The channels of NOTIFY_URLS and HEARTBEAT_URL, without their secrets.")


class DashboardsResource(Outside):
    """What the service's overview page and the dashboards read."""

    database: str = Field(description="Host and name of the database: POSTGRES_HOST and POSTGRES_DB. Empty for none.")


class MirrorsResource(Outside):
    """Copies in other people's tools."""

    copies: list[str] = Field(description="Where they are: MONGO_URL with MONGO_DB, MLFLOW_TRACKING_URI.")


def shown(settings: Settings, things: Mapping[str, Any]) -> dict[str, Any]:
    """The outside things (`outside.build`) under their names, each with its configuration."""
    server = {name: value.get_secret_value() for name, value in settings.server.items()}
    host = server.get("POSTGRES_HOST", "")
    return {
        "review_source": ReviewSourceResource(
            built=things["review_source"],
            source=settings.source,
            apps=list(settings.apps),
            first_month=settings.first_month,
            from_month=settings.from_month or "",
            files=[str(path) for path in settings.reviews],
        ),
        "repository": RepositoryResource(
            built=things["repository"],
            clone=str(settings.root),
            branch="pipeline",
            remote=settings.dvc_remote_url or "",
        ),
        "git_history": GitHistoryResource(
            built=things["git_history"], branches=list(settings.git_branches), fast_forward=settings.git_fast_forward
        ),
        "service": ServiceResource(
            built=things["service"],
            target=settings.deploy_target,
            host=settings.host,
            port=settings.port,
            registry=settings.image_registry,
            variant=settings.image_variant,
        ),
        "notifier": NotifierResource(built=things["notifier"], channels=things["notifier"].channel_names),
        "dashboards": DashboardsResource(
            built=things["dashboards"], database=f"{host}/{server.get('POSTGRES_DB') or 'postgres'}" if host else ""
        ),
        "mirrors": MirrorsResource(built=things["mirrors"], copies=things["mirrors"].addresses),
    }
