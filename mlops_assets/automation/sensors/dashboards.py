"""What dashboards show of runs: the sensor that records it, and the check that shows a database in trouble."""

import dagster as dg

from mlops_assets.checks.deploy import FACTS
from mlops_assets.deploy.docker.machine import EngineDown
from mlops_assets.document import as_markdown_text
from mlops_assets.steps.refresh_dashboards import Dashboards


@dg.sensor(
    minimum_interval_seconds=60,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Brings the results of runs to the service's overview page and, if POSTGRES_HOST is set, to the "
    "database of the dashboards. If the database is down, a later tick writes what is missing.",
)
def record_facts(context: dg.SensorEvaluationContext, dashboards: dg.ResourceParam[Dashboards]) -> dg.SensorResult:
    refreshed = dashboards.refresh()
    trouble, written = refreshed.trouble, f"{refreshed.runs} runs written"
    changed = trouble != (context.cursor or "")
    return dg.SensorResult(
        skip_reason=trouble or (written if dashboards.has_database else "the overview is up to date"),
        cursor=trouble if changed else context.cursor,
        asset_events=[_verdict(trouble)] if changed else [],
    )


def refresh(instance: dg.DagsterInstance, dashboards: Dashboards) -> str:
    """The same from outside the daemon. Returns a line for the terminal, empty if all is well.

    Neither a database nor a full disk nor a host that is away may turn a successful run into a failure: the next run
    writes what is missing.
    """
    try:
        before, trouble = dashboards.trouble(), dashboards.refresh().trouble
        if before != trouble:
            instance.report_runless_asset_event(_verdict(trouble))
    except (OSError, EngineDown) as error:
        return f"Warning: the overview page and the dashboards miss this run ({error}); the next run brings it."
    return f"Warning: {trouble}." if trouble else ""


def _verdict(trouble: str) -> dg.AssetCheckEvaluation:
    return dg.AssetCheckEvaluation(
        asset_key=FACTS.asset_key,
        check_name=FACTS.name,
        passed=not trouble,
        severity=dg.AssetCheckSeverity.WARN,
        description=as_markdown_text(trouble or "the database of the dashboards has every run"),
    )
