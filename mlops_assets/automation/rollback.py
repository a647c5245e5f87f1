"""The job that makes an earlier release live again."""

import dagster as dg

from mlops_assets.assets.failing import told_to_dagster
from mlops_assets.deploy.service import Service
from mlops_assets.settings import Settings


class RollbackTo(dg.Config):
    """Where to."""

    to: str = ""
    """A release or model version of the last five that were live; empty for the newest that is not live."""


def build() -> dg.JobDefinition:
    """The job `rollback`."""

    @dg.op(pool="service")
    def put_an_earlier_release_live(
        context: dg.OpExecutionContext,
        config: RollbackTo,
        settings: dg.ResourceParam[Settings],
        service: dg.ResourceParam[Service],
    ) -> None:
        """It stays live until a new release is made: the pipeline does not bring back what was rolled back from."""
        asked_by = f"run {context.run.run_id}"
        with told_to_dagster():
            done = service.roll_back(settings.releases, config.to, context.log.info, asked_by=asked_by)
        context.log.info(f"release {done.release_version} with model {done.model_version} serves at {done.url}")

    @dg.job(
        executor_def=dg.in_process_executor,
        description="Makes an earlier release live again, from this machine alone; config `to` names which.",
    )
    def rollback() -> None:
        put_an_earlier_release_live()

    return rollback
