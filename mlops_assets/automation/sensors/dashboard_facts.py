"""What dashboards show of runs: the sensor that records it, and the check that shows a database in trouble."""

import dagster as dg

from mlops_assets.checks.deploy import FACTS
from mlops_assets.steps.refresh_dashboards import FactKeeper


@dg.sensor(
    minimum_interval_seconds=60,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Brings what runs left to the service's overview page and, where POSTGRES_HOST is set, to the "
    "database of the dashboards. What a database that is down did not take is written by a later tick.",
)
def record_facts(context: dg.SensorEvaluationContext, fact_keeper: dg.ResourceParam[FactKeeper]) -> dg.SensorResult:
    kept = fact_keeper.keep()
    changed = kept.trouble != (context.cursor or "")
    said = kept.trouble or (f"{kept.runs} runs written" if fact_keeper.database else "the overview is up to date")
    return dg.SensorResult(
        skip_reason=said,
        cursor=kept.trouble if changed else context.cursor,
        asset_events=[_verdict(kept.trouble)] if changed else [],
    )


def record(instance: dg.DagsterInstance, fact_keeper: FactKeeper) -> str:
    """The same from outside the daemon. Returns a line for the terminal, empty if all is well.

    Neither a database nor a full disk may turn a successful run into a failure: the next run writes what is missing.
    """
    try:
        before, trouble = fact_keeper.trouble(), fact_keeper.keep().trouble
        if before != trouble:
            instance.report_runless_asset_event(_verdict(trouble))
    except OSError as error:
        return f"Warning: the overview page and the dashboards miss this run ({error}); the next run brings it."
    return f"Warning: {trouble}." if trouble else ""


def _verdict(trouble: str) -> dg.AssetCheckEvaluation:
    return dg.AssetCheckEvaluation(
        asset_key=FACTS.asset_key,
        check_name=FACTS.name,
        passed=not trouble,
        severity=dg.AssetCheckSeverity.WARN,
        description=trouble or "the database of the dashboards has every run",
    )
