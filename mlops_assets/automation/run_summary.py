"""Every run that ends leaves one summary, however it ends."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import dagster as dg

from mlops_assets.automation.dagster_internals import report_with_metadata
from mlops_assets.automation.jobs import PROMOTE
from mlops_assets.automation.promotion import PROMOTES, promotion_request, trained_without_verdict
from mlops_assets.automation.run_record import record_of
from mlops_assets.deploy import live_model
from mlops_assets.deploy.service import Live, Service
from mlops_assets.reporting.run_summary import RunSummary
from mlops_assets.reporting.summarise import joined, summarise
from mlops_assets.reporting.summary_pages import as_markdown, write_summary
from mlops_assets.settings import Settings
from mlops_assets.training.champion import read_decision
from mlops_assets.training.kinds import KINDS

MADE_BY_HAND = "mlops/make_run"
"""Tag of a run in the process of `make run`."""

SUMMARY = "mlops/summary"
"""Tag of a run whose events show its summary and the path of its page."""

_ENDINGS = {
    "summarise_success": dg.DagsterRunStatus.SUCCESS,
    "summarise_failure": dg.DagsterRunStatus.FAILURE,
    "summarise_cancelled": dg.DagsterRunStatus.CANCELED,
}


_ABOUT = {
    dg.DagsterRunStatus.SUCCESS: "Writes the summary of a run that succeeded to .dagster/summaries/, once.",
    dg.DagsterRunStatus.FAILURE: "Writes the summary of a run that failed; if only one of two trainings failed, "
    "launches `promote` with the other model.",
    dg.DagsterRunStatus.CANCELED: "Writes the summary of a run that was cancelled.",
}


def summary_of(instance: dg.DagsterInstance, run_id: str, settings: Settings, live: Live | None) -> RunSummary:
    """The summary of a run that ended, and of what is live after it.

    The stages of a promoting run join those of the failed run whose model it promotes.
    """
    run = record_of(instance, run_id)
    promoted = instance.get_run_by_id(run_id).tags.get(PROMOTES)
    records = [run] if promoted is None else [record_of(instance, promoted), run]
    metrics = {kind.name: _json(settings.models / kind.metrics_file) for kind in KINDS.values()}
    decision, service = read_decision(settings.models), live_model.told(settings, live)
    champion = decision.record() if decision else None
    found = [summarise(record, settings, metrics=metrics, champion=champion, live=service) for record in records]
    return joined(*found) if promoted else found[0]


def leave_summary(
    instance: dg.DagsterInstance, run_id: str, settings: Settings, service: Service
) -> tuple[RunSummary, bool]:
    """Write the run's summary unless it has one, and show it among the run's events; whether it was written."""
    summary = summary_of(instance, run_id, settings, service.live())
    written = write_summary(settings.instance_folder / "summaries", summary)
    run = instance.get_run_by_id(run_id)
    if run is not None and SUMMARY not in run.tags:
        shown = {"summary": dg.MetadataValue.md(as_markdown(summary)), "page": dg.MetadataValue.path(summary.page)}
        report_with_metadata(instance, run, "The run's summary", shown)
        # The tag last: killed before it, the next process shows the summary again rather than never.
        instance.add_run_tags(run_id, {SUMMARY: "in its events"})
    return summary, written


def build(settings: Settings, jobs: Sequence[Any]) -> list[dg.SensorDefinition]:
    """One sensor for each status; a run that has a summary keeps it.

    The sensor for failures also launches `promote` if one of two trainings failed.
    """
    promote = next(job for job in jobs if job.name == PROMOTE)

    def sensor(name: str, status: dg.DagsterRunStatus) -> dg.SensorDefinition:
        @dg.run_status_sensor(
            run_status=status,
            name=name,
            default_status=dg.DefaultSensorStatus.RUNNING,
            description=_ABOUT[status],
            request_job=promote if status is dg.DagsterRunStatus.FAILURE else None,
        )
        def write(
            context: dg.RunStatusSensorContext, service: dg.ResourceParam[Service]
        ) -> dg.SkipReason | dg.RunRequest:
            run_id = context.dagster_run.run_id
            _, written = leave_summary(context.instance, run_id, settings, service)
            # `make run` promotes in its own process, and there are no two runs of one key.
            trained = (
                None if MADE_BY_HAND in context.dagster_run.tags else trained_without_verdict(context.instance, run_id)
            )
            if trained:
                return promotion_request(run_id, trained)
            return dg.SkipReason(f"run {run_id}: summary {'written' if written else 'was there'}")

        return write

    return [sensor(name, status) for name, status in _ENDINGS.items()]


def _json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None
