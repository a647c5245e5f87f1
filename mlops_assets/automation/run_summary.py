"""The summary that every run leaves, however it ends."""

import json
from pathlib import Path
from typing import Any

import dagster as dg

from mlops_assets.artifact import METRICS_FILES
from mlops_assets.automation.dagster_internals import report_with_metadata
from mlops_assets.automation.promotion import PROMOTES
from mlops_assets.automation.run_record import record_of
from mlops_assets.deploy import live_model
from mlops_assets.deploy.service import Live, Service
from mlops_assets.reporting.run_summary import RunSummary
from mlops_assets.reporting.summarise import joined, summarise
from mlops_assets.reporting.summary_pages import as_markdown, write_summary
from mlops_assets.settings import Settings
from mlops_assets.training.champion import read_decision

SUMMARY = "mlops/summary"
"""Tag of a run whose events show its summary and the path of its page."""


def summary_of(instance: dg.DagsterInstance, run_id: str, settings: Settings, live: Live | None) -> RunSummary:
    """The summary of a run that ended, and of what is live after it.

    The stages of a promoting run join those of the failed run whose model it promotes.
    """
    run = instance.get_run_by_id(run_id)
    promoted = run.tags.get(PROMOTES) if run else None
    records = [record_of(instance, run_id)]
    if promoted is not None:
        records.insert(0, record_of(instance, promoted))
    metrics = {kind: _json(settings.models / name) for kind, name in METRICS_FILES.items()}
    decision, service = read_decision(settings.models), live_model.live_record(settings, live)
    champion = decision.record() if decision else None
    found = [summarise(record, settings, metrics=metrics, champion=champion, live=service) for record in records]
    return joined(*found) if promoted is not None else found[0]


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


def _json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None
