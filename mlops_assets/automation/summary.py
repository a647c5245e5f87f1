"""The summary of a run: read from the run's own events and the figures that the models carry. Written once."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg
from filelock import FileLock

from mlops_assets.automation.causes import FIRST_RUN, what_follows
from mlops_assets.automation.failed_runs import STOPPED_BY_HAND, RunFailure, failure_of, first_cause, interrupted
from mlops_assets.reporting.summary_page import as_page
from mlops_assets.reporting.summary_text import as_markdown
from mlops_assets.settings import Settings
from mlops_assets.training.champion import METRICS

STAGES = (
    "raw_reviews",
    "validated_reviews",
    "versioned_dataset",
    "bert_model",
    "classic_model",
    "champion_model",
    "serving_image",
    "deployed_image",
    "predictions",
)
ROLLBACK = "rollback"
_ENDED = {
    dg.DagsterEventType.STEP_SUCCESS: "done",
    dg.DagsterEventType.STEP_SKIPPED: "skipped",
    dg.DagsterEventType.STEP_FAILURE: "failed",
}


def summarise(
    instance: dg.DagsterInstance, run_id: str, settings: Settings, live: Mapping[str, Any] | None
) -> dict[str, Any]:
    """What the run did, stage by stage, and what stands afterwards.

    `live` is the service's own answer about itself, none where it does not answer.
    """
    run = instance.get_run_by_id(run_id)
    if run is None:
        raise KeyError(f"no run {run_id} in {settings.instance_folder}")
    record = instance.get_run_record_by_id(run_id)
    entries = [entry for entry in instance.all_logs(run_id) if entry.dagster_event]
    events = [entry.dagster_event for entry in entries if entry.dagster_event]
    by_hand = "stopped by you (Ctrl-C)" if STOPPED_BY_HAND in run.tags else ""
    facts, seconds = _metadata_by_asset(events), _step_seconds(entries)
    dataset = facts.get("versioned_dataset", {})
    failure = failure_of(instance, run_id) if run.status is dg.DagsterRunStatus.FAILURE else None
    follows = what_follows(run.tags, permanent=failure.permanent) if failure else ""
    started, ended = (record.start_time, record.end_time) if record else (None, None)
    return {
        "run_id": run_id,
        "job": run.job_name,
        "status": run.status.value,
        "trigger": _trigger(run.tags),
        "started": _iso(started),
        "ended": _iso(ended),
        "duration_s": round(ended - started, 1) if started and ended else None,
        "source": facts.get("raw_reviews", {}).get("source", settings.source),
        "link": f"{settings.dagster_url}/runs/{run_id}",
        "page": str(settings.instance_folder / "summaries" / f"{run_id}.html"),
        "attempt_of": _attempt_of(run, follows),
        "follows": follows,
        "stopped": by_hand,
        "stages": [
            {**row, "seconds": seconds.get(row["stage"])} for row in _stages(events, facts, run.status, by_hand)
        ],
        "failures": _other_failures(events) or _of_the_run(failure, events),
        "checks": _checks(events),
        "reviews": {
            "new": facts.get("raw_reviews", {}).get("new_reviews"),
            "changed": facts.get("raw_reviews", {}).get("changed_reviews"),
            "quarantined": facts.get("validated_reviews", {}).get("quarantined"),
            "labelled": dataset.get("labelled_reviews"),
        },
        "dataset_version": dataset.get("dataset_version"),
        "commit": dataset.get("commit"),
        "starts_anew": dataset.get("starts_anew"),
        "code": dataset.get("code"),
        "code_dirty": dataset.get("code_dirty"),
        "image": _image(facts),
        "deployed": _deployed(run.job_name, run.status, facts, live),
        "origin": facts.get("champion_model", {}).get("origin") or dataset.get("origin"),
        "outputs": _outputs(facts),
        "models": {kind: _figures(settings.models / name) for kind, name in METRICS.items()},
        "champion": _json(settings.models / "champion.json"),
        "live": live,
    }


_FIGURES = ("n", "accuracy", "accuracy_interval", "macro_f1", "macro_f1_interval")
_OUTPUTS = {
    "new_data_available": "raw_reviews",
    "data_valid": "validated_reviews",
    "dvc_committed": "versioned_dataset",
    "models_trained": "champion_model",
    "bert_accuracy": "bert_model",
    "traditional_accuracy": "classic_model",
}


def joined(failed: Mapping[str, Any], promoting: Mapping[str, Any]) -> dict[str, Any]:
    """One summary of a run that failed and of the run that promoted the model which it did train."""
    later = {row["stage"]: row for row in promoting["stages"]}
    own = ("champion_model", "serving_image", "deployed_image", "predictions")
    return {
        **failed,
        "promoted_by": promoting["run_id"],
        "ended": promoting["ended"],
        "duration_s": _together(failed["duration_s"], promoting["duration_s"]),
        "stages": [later[row["stage"]] if row["stage"] in own else row for row in failed["stages"]],
        "checks": [*failed["checks"], *promoting["checks"]],
        "origin": promoting["origin"] or failed["origin"],
        "image": promoting["image"],
        "champion": promoting["champion"],
        "deployed": promoting["deployed"],
        "live": promoting["live"],
    }


def _together(one: float | None, other: float | None) -> float | None:
    return None if one is None or other is None else round(one + other, 1)


def write_summary(folder: Path, summary: Mapping[str, Any]) -> bool:
    """Write `<run_id>.json`, `.md`, `.html` and `latest.json` unless this run has a summary; whether it was written.

    The summary that a promoting run joined replaces the one that its run had alone.
    """
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"{summary['run_id']}.json"
    with FileLock(folder / ".lock"):
        if target.exists() and ("promoted_by" not in summary or "promoted_by" in _json(target)):
            return False
        _replace(folder / f"{summary['run_id']}.md", as_markdown(summary))
        _replace(folder / f"{summary['run_id']}.html", as_page(summary))
        content = json.dumps(summary, indent=1, ensure_ascii=False) + "\n"
        _replace(folder / "latest.json", content)
        _replace(target, content)
    return True


def _stages(
    events: list[dg.DagsterEvent],
    facts: Mapping[str, Mapping[str, Any]],
    status: dg.DagsterRunStatus,
    by_hand: str,
) -> list[dict[str, str]]:
    """Every stage with `done`, `skipped`, `stopped` or `failed`, and the reason."""
    ended = {event.step_key: event for event in events if event.step_key and event.event_type in _ENDED}
    stopped = f"the run was {by_hand}" if by_hand else _stopped_by(events, ended, facts, status)
    due = {row["stage"]: row["reason"] for row in facts.get("versioned_dataset", {}).get("due", [])}
    rows: list[dict[str, str]] = []
    for stage in STAGES:
        about, event = facts.get(stage, {}), ended.get(stage)
        state = _ENDED[event.event_type] if event else "skipped"
        reason = str(about.get("reason", ""))
        if event and state == "failed":
            reason = first_cause(event)
            if by_hand and interrupted(event):
                state, reason = "stopped", by_hand
        elif state == "done" and (about.get("kept") or not about):
            state, reason = "skipped", reason or "skip_deploy is set"
        elif state == "skipped":
            reason = stopped or due.get(stage, "nothing is due" if event else "not part of this run")
        rows.append({"stage": stage, "status": state, "reason": reason})
    return rows


def _attempt_of(run: dg.DagsterRun, follows: str) -> str | None:
    """The first run whose alert this one shares: a failure is told once, and again when nothing retries it."""
    if FIRST_RUN in run.tags:
        return run.tags[FIRST_RUN] if follows.startswith("retry") else None
    return run.root_run_id if "dagster/retry_number" in run.tags else None


def _step_seconds(entries: list[dg.EventLogEntry]) -> dict[str, float]:
    """How long each step that ended was at work, in its last attempt."""
    started: dict[str, float] = {}
    seconds: dict[str, float] = {}
    for entry in entries:
        event = entry.dagster_event
        if event is None or event.step_key is None:
            continue
        if event.event_type is dg.DagsterEventType.STEP_START:
            started[event.step_key] = entry.timestamp
        elif event.event_type in _ENDED and event.step_key in started:
            seconds[event.step_key] = round(entry.timestamp - started[event.step_key], 2)
    return seconds


def _stopped_by(
    events: list[dg.DagsterEvent],
    ended: Mapping[str, dg.DagsterEvent],
    facts: Mapping[str, Any],
    status: dg.DagsterRunStatus,
) -> str | None:
    """Why stages below did not run; none where the run went as it should."""
    broken = [row["check"] for row in _checks(events) if not row["passed"] and row["severity"] == "ERROR"]
    failed = [stage for stage in STAGES if stage in ended and _ENDED[ended[stage].event_type] == "failed"]
    if broken:
        return f"the check {broken[0]} failed"
    if failed:
        return f"{failed[0]} failed"
    if status is dg.DagsterRunStatus.CANCELED:
        return "the run was cancelled"
    if status is dg.DagsterRunStatus.FAILURE:
        return "the run ended before it"
    return None if "versioned_dataset" in facts else "not part of this run"


def _other_failures(events: list[dg.DagsterEvent]) -> list[dict[str, str]]:
    """Failed steps that are no stage: those of other jobs, and checks that broke, not claims that are false."""
    return [
        {"step": str(event.step_key), "reason": first_cause(event)}
        for event in events
        if event.event_type is dg.DagsterEventType.STEP_FAILURE
        and event.step_key not in STAGES
        and "DagsterAssetCheckFailedError" not in first_cause(event)
    ]


def _of_the_run(failure: RunFailure | None, events: list[dg.DagsterEvent]) -> list[dict[str, str]]:
    """Why a run failed in which no step did: its process was lost, or it could not begin."""
    if failure is None or any(event.event_type is dg.DagsterEventType.STEP_FAILURE for event in events):
        return []
    return [{"step": "the run", "reason": failure.reason}]


def _image(facts: Mapping[str, Mapping[str, Any]]) -> dict[str, Any] | None:
    """What this run built: its release and, where the target is docker, the image by digest."""
    about = facts.get("serving_image", {})
    if "release" not in about:
        return None
    return {name: about.get(name) for name in ("release", "model_version", "image", "size_mb")}


def _deployed(
    job: str, status: dg.DagsterRunStatus, facts: Mapping[str, Mapping[str, Any]], live: Mapping[str, Any] | None
) -> dict[str, str] | None:
    """What this run put live; none where what serves stayed."""
    about = facts.get("deployed_image", {})
    if about.get("changed"):
        return {name: str(about[name]) for name in ("model_version", "release", "url")}
    if job == ROLLBACK and status is dg.DagsterRunStatus.SUCCESS and live:
        return {"model_version": live["model_version"], "release": live["release_version"], "url": live["url"]}
    return None


def _checks(events: list[dg.DagsterEvent]) -> list[dict[str, Any]]:
    evaluations = [
        event.asset_check_evaluation_data
        for event in events
        if event.event_type is dg.DagsterEventType.ASSET_CHECK_EVALUATION
    ]
    return [
        {
            "check": one.check_name,
            "asset": one.asset_key.to_user_string(),
            "passed": one.passed,
            "severity": one.severity.value,
            "blocking": bool(one.blocking),
            "reason": one.description or "",
        }
        for one in evaluations
    ]


def _metadata_by_asset(events: list[dg.DagsterEvent]) -> dict[str, dict[str, Any]]:
    """The metadata that the run recorded of each asset, the last partition's where there are several."""
    facts: dict[str, dict[str, Any]] = {}
    for event in events:
        if event.event_type is dg.DagsterEventType.ASSET_MATERIALIZATION:
            recorded = event.step_materialization_data.materialization
        elif event.event_type is dg.DagsterEventType.ASSET_OBSERVATION:
            recorded = event.asset_observation_data.asset_observation
        else:
            continue
        values = {name: value.value for name, value in recorded.metadata.items()}
        facts.setdefault(recorded.asset_key.to_user_string(), {}).update(values)
    return facts


def _outputs(facts: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The six outputs by which the run can be read from outside; a stage that did not run gives none."""
    outputs: dict[str, Any] = {name: facts.get(asset, {}).get(name) for name, asset in _OUTPUTS.items()}
    trained = [bool(facts.get(f"{kind}_model", {}).get("models_trained")) for kind in METRICS]
    outputs["models_trained"] = any(trained)
    return outputs


def _figures(path: Path) -> dict[str, Any] | None:
    """A model's figures with what they were measured on; none where there is no model."""
    metrics = _json(path)
    if metrics is None:
        return None
    sides = {
        side: {name: metrics[side].get(name) for name in _FIGURES}
        for side in ("validation", "gate", "test", "newest")
        if metrics.get(side)
    }
    return {name: metrics.get(name) for name in ("model_version", "dataset_version", "run_id")} | sides


def _trigger(tags: Mapping[str, str]) -> str:
    """Who or what started the run."""
    if "mlops/trigger" in tags:
        return tags["mlops/trigger"]
    for tag, name in (
        ("dagster/schedule_name", "schedule"),
        ("dagster/sensor_name", "sensor"),
        ("dagster/backfill", "backfill"),
    ):
        if tag in tags:
            return f"{name} {tags[tag]}"
    return "by hand"


def _iso(seconds: float | None) -> str | None:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds") if seconds else None


def _json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


def _replace(path: Path, text: str) -> None:
    scratch = path.with_name(f".{path.name}.partial")
    scratch.write_text(text, encoding="utf-8")
    scratch.replace(path)
