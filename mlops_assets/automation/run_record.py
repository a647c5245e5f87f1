"""What Dagster recorded of a run, read from its events."""

from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg

from mlops_assets.automation.failed_runs import STOPPED_BY_HAND, failure_of, first_cause, interrupted
from mlops_assets.automation.requested_run import FIRST_RUN, what_follows
from mlops_assets.automation.why import STARTED_BY
from mlops_assets.document import text_of_markdown
from mlops_assets.reporting.run_summary import LIVE_SCORE, NEWS, CheckResult, ModelScore, News
from mlops_assets.reporting.summarise import RunRecord, StepEnd


def record_of(instance: dg.DagsterInstance, run_id: str) -> RunRecord:
    """The record of a run that ended."""
    run, stored = instance.get_run_by_id(run_id), instance.get_run_record_by_id(run_id)
    if run is None or stored is None:
        raise KeyError(f"no run {run_id} in {instance.root_directory}")
    entries = instance.all_logs(run_id)
    events = [entry.dagster_event for entry in entries if entry.dagster_event]
    failure = failure_of(instance, run_id) if run.status is dg.DagsterRunStatus.FAILURE else None
    follows = what_follows(run.tags, permanent=failure.permanent) if failure else ""
    return RunRecord(
        run_id,
        run.job_name,
        run.status.value,
        _trigger(run.tags),
        stored.start_time,
        stored.end_time,
        _steps(entries),
        _metadata(events),
        _checks(events),
        failure=failure.reason if failure else "",
        attempt_of=_attempt_of(run, follows),
        follows=follows,
        stopped="stopped by you (Ctrl-C)" if STOPPED_BY_HAND in run.tags else "",
    )


def _trigger(tags: Mapping[str, str]) -> str:
    """Who or what started the run."""
    person = f"by {tags[STARTED_BY]}" if STARTED_BY in tags else ""
    if "mlops/trigger" in tags:
        return f"{tags['mlops/trigger']} {person}".rstrip()
    for tag, name in (
        ("dagster/schedule_name", "schedule"),
        ("dagster/sensor_name", "sensor"),
        ("dagster/backfill", "backfill"),
    ):
        if tag in tags:
            return f"{name} {tags[tag]} {person}".rstrip()
    return person or "by hand"


def _attempt_of(run: dg.DagsterRun, follows: str) -> str | None:
    """The first run, whose alert this run shares: people hear of a failure once, and again when nothing retries it."""
    if FIRST_RUN in run.tags:
        return run.tags[FIRST_RUN] if follows.startswith("retry") else None
    return run.root_run_id if "dagster/retry_number" in run.tags else None


def _steps(entries: Sequence[dg.EventLogEntry]) -> dict[str, StepEnd]:
    """How each step ended, and how long its last attempt worked."""
    started: dict[str, float] = {}
    ends: dict[str, StepEnd] = {}
    for entry in entries:
        event = entry.dagster_event
        if event is None or event.step_key is None:
            continue
        step = event.step_key
        seconds = round(entry.timestamp - started[step], 2) if step in started else None
        if event.event_type is dg.DagsterEventType.STEP_START:
            started[step] = entry.timestamp
        elif event.event_type is dg.DagsterEventType.STEP_SUCCESS:
            ends[step] = StepEnd("done", seconds=seconds)
        elif event.event_type is dg.DagsterEventType.STEP_SKIPPED:
            ends[step] = StepEnd("skipped", seconds=seconds)
        elif event.event_type is dg.DagsterEventType.STEP_FAILURE:
            ends[step] = StepEnd("failed", first_cause(event), interrupted(event), seconds)
    lost = StepEnd("stopped", "the run ended while it was at work")
    return ends | {step: lost for step in started if step not in ends}


def _metadata(events: Sequence[dg.DagsterEvent]) -> dict[str, dict[str, Any]]:
    """The metadata that the run recorded of each asset."""
    found: dict[str, dict[str, Any]] = {}
    for event in events:
        if event.event_type is dg.DagsterEventType.ASSET_MATERIALIZATION:
            recorded = event.step_materialization_data.materialization
        elif event.event_type is dg.DagsterEventType.ASSET_OBSERVATION:
            recorded = event.asset_observation_data.asset_observation
        else:
            continue
        values = {name: value.value for name, value in recorded.metadata.items()}
        found.setdefault(recorded.asset_key.to_user_string(), {}).update(values)
    return found


def _checks(events: Sequence[dg.DagsterEvent]) -> list[CheckResult]:
    evaluations = [
        event.asset_check_evaluation_data
        for event in events
        if event.event_type is dg.DagsterEventType.ASSET_CHECK_EVALUATION
    ]
    return [
        CheckResult(
            check=found.check_name,
            asset=found.asset_key.to_user_string(),
            passed=found.passed,
            severity=found.severity.value,
            blocking=bool(found.blocking),
            reason=text_of_markdown(found.description or ""),
            news=[News.model_validate(each) for each in _json(found.metadata, NEWS) or []],
            live_score=ModelScore.model_validate(score) if (score := _json(found.metadata, LIVE_SCORE)) else None,
        )
        for found in evaluations
    ]


def _json(recorded: Mapping[str, dg.MetadataValue], name: str) -> Any:
    value = recorded.get(name)
    return value.value if isinstance(value, dg.JsonMetadataValue) else None
