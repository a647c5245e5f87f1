"""Notifications: the sensor that delivers what waits, and the check that shows a channel in trouble."""

import sqlite3

import dagster as dg

from mlops_assets.checks.deploy import CHANNELS
from mlops_assets.document import as_markdown_text
from mlops_assets.reporting.notifier import DeliveryReport, Notifier, trouble


@dg.sensor(
    minimum_interval_seconds=15,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Sends what waits in the outbox: failures, recoveries, deployments, new data, spikes of negative "
    "reviews and alerts at once, quiet runs in a daily digest. A channel that is down is asked again later. "
    "NOTIFY_URLS and HEARTBEAT_URL name the channels.",
)
def deliver_notifications(context: dg.SensorEvaluationContext, notifier: dg.ResourceParam[Notifier]) -> dg.SensorResult:
    report = notifier.deliver()
    shown = trouble(report.channels)
    changed = not report.busy and shown != (context.cursor or "")
    return dg.SensorResult(
        skip_reason=_skip_reason(report),
        cursor=shown if changed else context.cursor,
        asset_events=[_verdict(report)] if changed else [],
    )


def tell(instance: dg.DagsterInstance, notifier: Notifier, *, wait_s: float = 0) -> str:
    """Deliver from outside the daemon. Returns a line for the terminal, empty if all is well.

    Neither a channel nor a full disk may turn a successful run into a failure: the next run sends what waits.
    """
    try:
        report = notifier.deliver(wait_s=wait_s)
        shown = instance.event_log_storage.get_latest_asset_check_execution_by_key([CHANNELS]).get(CHANNELS)
        if report.channels and (trouble(report.channels) or shown is not None):
            instance.report_runless_asset_event(_verdict(report))
    except (OSError, sqlite3.Error) as error:
        return f"Warning: notifications wait, the outbox cannot be used ({error})."
    if trouble(report.channels):
        return f"Warning: {trouble(report.channels)}; the next run sends it again."
    return ""


def _verdict(report: DeliveryReport) -> dg.AssetCheckEvaluation:
    return dg.AssetCheckEvaluation(
        asset_key=CHANNELS.asset_key,
        check_name=CHANNELS.name,
        passed=not trouble(report.channels),
        severity=dg.AssetCheckSeverity.WARN,
        description=as_markdown_text(trouble(report.channels) or "every channel took what was sent to it"),
    )


def _skip_reason(report: DeliveryReport) -> str:
    if report.busy:
        return "another process delivers at this moment"
    if not report.channels:
        return "no channel: NOTIFY_URLS and HEARTBEAT_URL are empty"
    waiting = sum(channel.waiting for channel in report.channels)
    return f"{report.delivered} delivered, {waiting} wait. {trouble(report.channels)}".strip()
