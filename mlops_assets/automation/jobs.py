"""The jobs: the whole pipeline, the pipeline without collecting, its last part, and the rollback."""

import dagster as dg

from mlops_assets.assets.failing import as_dagster_failure
from mlops_assets.deploy.service import Service
from mlops_assets.settings import Settings

PIPELINE = "pipeline"
REFRESH_MODELS = "refresh_models"
PROMOTE = "promote"

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
