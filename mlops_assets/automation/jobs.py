"""The jobs: the whole pipeline, the pipeline without collecting, its last part, rollback, decisions about releases."""

from enum import StrEnum

import dagster as dg

from mlops_assets.assets.deploy import about_service
from mlops_assets.assets.failing import as_dagster_failure
from mlops_assets.automation.why import STARTED_BY
from mlops_assets.deploy.approval import user_of_machine
from mlops_assets.deploy.service import Service
from mlops_assets.settings import Settings
from mlops_assets.steps.put_live import decide, deploy_approved

PIPELINE = "pipeline"
REFRESH_MODELS = "refresh_models"
PROMOTE = "promote"
DECIDE = "decide_release"

_WRITES = {"mlops/writes": "clone"}
"""The tag by which dagster.yaml lets one run at a time write data and models."""

pipeline = dg.define_asset_job(
    PIPELINE,
    selection=dg.AssetSelection.all(),
    tags=_WRITES,
    description="Collect, validate, version, train what is due, choose, build and deploy.",
)
refresh_models = dg.define_asset_job(
    REFRESH_MODELS,
    selection=dg.AssetSelection.all() - dg.AssetSelection.assets("raw_reviews"),
    tags=_WRITES,
    description="The pipeline on the stored reviews, without collecting.",
)
promote = dg.define_asset_job(
    PROMOTE,
    selection=dg.AssetSelection.assets("champion_model").downstream(),
    tags=_WRITES,
    description="Choose among the trained models and deploy: launched when one of the two trainings failed.",
)


class RollbackTo(dg.Config):
    """Where to."""

    to: str = ""
    """A release or model version among the last five that were live. Empty: the newest that is not live."""


@dg.op(pool="service")
def put_an_earlier_release_live(
    context: dg.OpExecutionContext,
    config: RollbackTo,
    settings: dg.ResourceParam[Settings],
    service: dg.ResourceParam[Service],
) -> None:
    """The release stays live until a new one is built: the pipeline does not bring back the release it replaced."""
    asked_by = f"run {context.run.run_id}"
    with as_dagster_failure():
        done = service.roll_back(settings.releases, config.to, context.log.info, asked_by=asked_by)
    context.log.info(f"release {done.release_version} with model {done.model_version} serves at {done.url}")


@dg.job(
    executor_def=dg.in_process_executor,
    description="Puts an earlier release live again, using only what this machine has. Config `to` names the release.",
)
def rollback() -> None:
    put_an_earlier_release_live()


class Decision(StrEnum):
    """What a person decides about a release."""

    approve = "approve"
    reject = "reject"


class ReleaseDecision(dg.Config):
    """A person's decision about a release that waits for approval."""

    decision: Decision
    release: str = ""
    """A release or model version. Empty: the release that waits."""
    by: str = ""
    """Who decides. Empty: the login at the door, or the user of this machine."""
    comment: str = ""
    """Kept with the decision."""


@dg.op(pool="service")
def decide_about_a_release(
    context: dg.OpExecutionContext,
    config: ReleaseDecision,
    settings: dg.ResourceParam[Settings],
    service: dg.ResourceParam[Service],
) -> None:
    """An approved release goes live at once; a rejected one stays out until there is a new one."""
    by, how = context.run.tags.get(STARTED_BY) or config.by or user_of_machine(), f"run {context.run.run_id[:8]}"
    with as_dagster_failure():
        decided = decide(
            settings, service, config.decision.value, config.release, by=by, how=how, comment=config.comment
        )
        context.log.info(f"release {decided.release_version} is {decided.outcome} by {decided.caused_by}")
        if config.decision is Decision.approve:
            caused_by = f"run {context.run.run_id}"
            done = deploy_approved(settings, service, decided, context.log.info, caused_by=caused_by)
            context.log_event(dg.AssetMaterialization("deployed_image", metadata=about_service(done)))


@dg.job(
    name=DECIDE,
    executor_def=dg.in_process_executor,
    description="Approves or rejects the release that waits (deploy.approval in params.yaml). Approved, it goes live.",
)
def decide_release() -> None:
    decide_about_a_release()
