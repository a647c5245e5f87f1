"""The sensor that deploys what a person approved on the page for releases."""

import dagster as dg

from mlops_assets.automation.jobs import DECIDE, Decision, ReleaseDecision
from mlops_assets.deploy.service import Service


@dg.sensor(
    job_name=DECIDE,
    minimum_interval_seconds=15,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Deploys what a person approved on the page for releases. make approve and the job deploy themselves.",
)
def deploy_approved_release(
    _context: dg.SensorEvaluationContext, service: dg.ResourceParam[Service]
) -> dg.RunRequest | dg.SkipReason:
    approved = service.approval.approved_on_page()
    if approved is None:
        return dg.SkipReason("no release was approved on the page")
    by = approved.caused_by.rpartition(" (")[0]
    config = ReleaseDecision(decision=Decision.approve, release=approved.release_version, by=by)
    return dg.RunRequest(
        run_key=f"approved:{approved.release_version}:{approved.at}",
        run_config=dg.RunConfig(ops={"decide_about_a_release": config}),
        tags={"mlops/trigger": f"after approval by {by}"},
    )
