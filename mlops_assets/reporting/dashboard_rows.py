"""What the dashboards and the service's overview page show of runs, models, drift and reviews. Pure functions."""

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from mlops_assets.reporting.run_summary import SIDES, WATCHED_JOBS, RunSummary, Score

Row = dict[str, Any]

# How much the overview page shows.
_RUNS = 40
_SCORES = 60
_MONTHS = 24
_VERSIONS = 10
_TICKS = 60
_SERVED = 10


def digest(summary: RunSummary) -> str:
    """Changes when a promoting run joins a summary that is in the database already."""
    return hashlib.sha256(json.dumps(summary.to_json(), sort_keys=True).encode()).hexdigest()[:16]


def run_row(summary: RunSummary) -> Row:
    """The run itself."""
    copied = ("run_id", "job", "trigger", "started", "ended", "duration_s", "dataset_version")
    return {
        **{name: getattr(summary, name) for name in copied},
        "digest": digest(summary),
        "outcome": summary.status.lower(),
        "cause": summary.cause if summary.failed else None,
    }


def stage_rows(summary: RunSummary) -> list[Row]:
    """Each stage: how it ended, and how long it worked."""
    copied = ("stage", "status", "seconds", "reason")
    return [{"run_id": summary.run_id, **{name: getattr(stage, name) for name in copied}} for stage in summary.stages]


def score_rows(summary: RunSummary) -> list[Row]:
    """Each model's figures by side when the run ended; `forward` is the serving model's score on reviews that arrived
    after its data, `live, estimated` its accuracy on live traffic without labels.
    """
    models, champion = summary.trained_models, summary.champion
    rows = [
        _score_row(summary, kind, side, figures, model.model_version, model.dataset_version)
        for kind, model in models.items()
        for side in SIDES
        if (figures := model.on(side))
    ]
    kinds = {model.model_version: kind for kind, model in models.items()}
    for side, figures in (("forward", champion and champion.forward), ("live, estimated", summary.live_score)):
        if champion and figures:
            kind, version = kinds.get(figures.model_version, champion.model), figures.model_version
            rows.append(_score_row(summary, kind, side, figures, version, champion.dataset_version))
    return [row for row in rows if row["n"]]


def _score_row(  # one column each
    summary: RunSummary, kind: str, side: str, figures: Score, model_version: str, dataset_version: str | None
) -> Row:
    accuracy_low, accuracy_high = figures.accuracy_interval or (None, None)
    macro_f1_low, macro_f1_high = figures.macro_f1_interval or (None, None)
    return {
        "run_id": summary.run_id,
        "at": summary.ended,
        "kind": kind,
        "side": side,
        "model_version": model_version,
        "dataset_version": dataset_version,
        "n": figures.n,
        "accuracy": figures.accuracy,
        "accuracy_low": accuracy_low,
        "accuracy_high": accuracy_high,
        "macro_f1": figures.macro_f1,
        "macro_f1_low": macro_f1_low,
        "macro_f1_high": macro_f1_high,
        "champion": bool(summary.champion and model_version == summary.champion.model_version),
    }


def served_rows(entries: Sequence[Mapping[str, Any]]) -> list[Row]:
    """The releases that served, newest first, from `at` to `until` (None for the live release).

    `entries` are those of the deployment log, newest first.
    """
    rows: list[Row] = []
    until: str | None = None
    for entry in entries:
        if entry["outcome"] == "live":
            rows.append({**entry, "until": until})
        if entry["outcome"] in {"live", "stopped"}:
            until = entry["at"]
    return rows


def tick_row(point: Mapping[str, Any]) -> Row:
    """One verdict of the drift history."""
    copied = ("at", "of", "model_version", "drifted", "n")
    return {**{name: point[name] for name in copied}, "features": ", ".join(point["features"])}


def drift_rows(point: Mapping[str, Any]) -> list[Row]:
    """Each feature that the verdict compared."""
    copied = ("effect", "floor", "p", "drifted")
    return [
        {"at": point["at"], "of": point["of"], "feature": feature["name"], **{name: feature[name] for name in copied}}
        for feature in point["measured"]
    ]


def overview_of_pipeline(
    summaries: Sequence[RunSummary], *, interval_s: float, drift_sustained: bool, facts_trouble: bool
) -> dict[str, Any]:
    """The newest runs, the stages of the last one, and how often each job ended how; `summaries` oldest first."""
    ended = [summary for summary in summaries if summary.ended]
    last = next((summary for summary in reversed(ended) if summary.job in WATCHED_JOBS), None)
    outcomes = Counter((summary.job, summary.status.lower()) for summary in ended)
    return {
        "interval_s": interval_s,
        "drift_sustained": drift_sustained,
        "facts_behind": facts_trouble,
        "runs": [run_row(summary) for summary in ended[-_RUNS:]],
        "last_run": run_row(last) if last else None,
        "stages": stage_rows(last) if last else [],
        "outcomes": [
            {"job": job, "outcome": outcome, "runs": count} for (job, outcome), count in sorted(outcomes.items())
        ],
    }


def overview_of_models(
    summaries: Sequence[RunSummary], served: Sequence[Mapping[str, Any]], ticks: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """Scores by run, the releases that served (newest first), and the verdicts about drift."""
    scored = [rows for summary in summaries if (rows := score_rows(summary))]
    names = ("at", "until", "model_version", "dataset_version", "release_version", "caused_by")
    return {
        "scores": [row for rows in scored[-_SCORES:] for row in rows],
        "served": [{name: release[name] for name in names} for release in served[:_SERVED]],
        "drift": [
            {
                "at": tick["at"].isoformat(),
                "of": tick["of"],
                "drifted": tick["drifted"],
                "features": list(tick["features"]),
                "n": tick["n"],
            }
            for tick in ticks[-_TICKS:]
        ],
    }


def overview_of_reviews(
    months: Mapping[str, Mapping[str, Any]], complaints: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """Counts by app, month, version and answering model, and the newest complaints.

    `months` has by app and month (`<app_id>/<YYYY-MM>`) its `volume`, `reasons`, `counts`, `models` and `versions`.
    """
    by_app: dict[str, list[Mapping[str, Any]]] = {}
    by_month: dict[str, list[Mapping[str, Any]]] = {}
    quarantined, models = Counter[str](), Counter[str]()
    for name, month in months.items():
        app_id, calendar_month = name.split("/")
        if month["volume"]:
            by_app.setdefault(app_id, []).append(month["volume"])
        if month["counts"]["n"]:
            by_month.setdefault(calendar_month, []).append(month["counts"])
        quarantined.update(month["reasons"])
        models.update(month["models"])
    shown = ("app_id", "app_version", "rating", "sentiment", "text")
    return {
        "volumes": [{"app_id": app_id, **_sums(by_app[app_id])} for app_id in sorted(by_app)],
        "quarantine": [{"reason": reason, "reviews": count} for reason, count in quarantined.most_common(8)],
        "months": [{"month": month, **_added(by_month[month])} for month in sorted(by_month)[-_MONTHS:]],
        "versions": _by_version(months),
        "models": [{"model_version": model, "reviews": count} for model, count in models.most_common()],
        "complaints": [
            {name: review[name] for name in shown} | {"at": review["at"].isoformat()} for review in complaints
        ],
    }


def _sums(rows: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    return {name: sum(row[name] for row in rows) for name in ("raw", "validated", "quarantined", "deleted")}


def _by_version(months: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The app versions with the newest reviews."""
    groups: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for name, month in months.items():
        for version, counts in month["versions"].items():
            groups.setdefault((name.split("/")[0], version), []).append(counts)
    latest = sorted(groups.items(), key=lambda item: max(row["newest"] for row in item[1]), reverse=True)[:_VERSIONS]
    return [{"app_id": app, "version": version, **_added(rows)} for (app, version), rows in latest]


def _added(counts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The counts of several groups of reviews as one: how many, by stars, classified, and of those negative."""
    return {
        "n": sum(row["n"] for row in counts),
        "stars": [sum(stars) for stars in zip(*(row["stars"] for row in counts), strict=True)],
        "answered": sum(row["answered"] for row in counts),
        "negative": sum(row["negative"] for row in counts),
    }
