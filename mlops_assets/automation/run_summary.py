"""Every run that ends leaves one summary, however it ends."""

from collections.abc import Sequence
from typing import Any

import dagster as dg

from mlops_assets.automation.dagster_internals import report_with_metadata
from mlops_assets.automation.jobs import PROMOTE
from mlops_assets.automation.promotion import PROMOTES, promotion_request, trained_without_verdict
from mlops_assets.automation.summary import joined, summarise, write_summary
from mlops_assets.deploy import live_model
from mlops_assets.deploy.service import Service
from mlops_assets.reporting.summary_text import as_markdown
from mlops_assets.settings import Settings

MADE_BY_HAND = "mlops/make_run"
"""Tag of a run in the process of `make run`."""

SUMMARY = "mlops/summary"
"""Tag of a run whose summary and the path of its page stand among its events."""

_ENDINGS = {
    "summarise_success": dg.DagsterRunStatus.SUCCESS,
    "summarise_failure": dg.DagsterRunStatus.FAILURE,
    "summarise_cancelled": dg.DagsterRunStatus.CANCELED,
}


_ABOUT = {
    dg.DagsterRunStatus.SUCCESS: "Writes the summary of a run that succeeded to .dagster/summaries/, once.",
    dg.DagsterRunStatus.FAILURE: "Writes the summary of a run that failed; where just one training failed, launches "
    "`promote` with the other model.",
    dg.DagsterRunStatus.CANCELED: "Writes the summary of a run that was cancelled.",
}


def leave_summary(instance: dg.DagsterInstance, run_id: str, settings: Settings, service: Service) -> tuple[str, bool]:
    """Write the run's summary unless it has one, and show it in the run's events; its Markdown, whether it was written.

    A promoting run has none of its own: its stages join those of the run that it promotes.
    """
    run = instance.get_run_by_id(run_id)
    parent = run.tags.get(PROMOTES) if run else None
    told = live_model.told(settings, service.live())
    summary = summarise(instance, run_id, settings, told)
    if parent is not None:
        summary = joined(summarise(instance, parent, settings, told), summary)
    text = as_markdown(summary)
    written = write_summary(settings.instance_folder / "summaries", summary)
    if run is not None and SUMMARY not in run.tags:
        about = {"summary": dg.MetadataValue.md(text), "page": dg.MetadataValue.path(summary["page"])}
        report_with_metadata(instance, run, "The run's summary", about)
        # The tag last: killed before it, the next process shows the summary again rather than never.
        instance.add_run_tags(run_id, {SUMMARY: "in its events"})
    return text, written


def build(settings: Settings, jobs: Sequence[Any]) -> list[dg.SensorDefinition]:
    """One sensor a status; each writes the same summary, and a run that has one is left alone.

    The one for failures also launches `promote` where one of two trainings failed.
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
