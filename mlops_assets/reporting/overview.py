"""What the service's overview page shows of runs, models and reviews, as JSON. Pure functions."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from mlops_assets.reporting.facts import run_row, score_rows, stage_rows
from mlops_assets.reporting.run_summary import WATCHED_JOBS, RunSummary

_RUNS = 40
_SCORES = 60
_MONTHS = 24
_VERSIONS = 10
_COMPLAINTS = 10
_TICKS = 60
_SERVED = 10


def of_pipeline(
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


def of_models(
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


def of_reviews(
    volumes: Sequence[Mapping[str, Any]], reasons: Sequence[Mapping[str, Any]], reviews: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """Counts by app, month and version, and the newest complaints."""
    months = sorted({review["month"] for review in reviews})[-_MONTHS:]
    quarantined: Counter[str] = Counter()
    for row in reasons:
        quarantined[row["reason"]] += row["reviews"]
    with_text = (review for review in reviews if review["text"])
    newest = sorted(with_text, key=lambda review: review["at"], reverse=True)[:_COMPLAINTS]
    shown = ("app_id", "app_version", "rating", "sentiment", "text")
    return {
        "volumes": [
            {"app_id": app_id, **_sums([row for row in volumes if row["app_id"] == app_id])}
            for app_id in sorted({row["app_id"] for row in volumes})
        ],
        "quarantine": [{"reason": reason, "reviews": count} for reason, count in quarantined.most_common(8)],
        "months": [
            {"month": month[:7], **_counts([review for review in reviews if review["month"] == month])}
            for month in months
        ],
        "versions": _by_version(reviews),
        "complaints": [{name: review[name] for name in shown} | {"at": review["at"].isoformat()} for review in newest],
    }


def _sums(rows: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    return {name: sum(row[name] for row in rows) for name in ("raw", "validated", "quarantined", "deleted")}


def _by_version(reviews: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The app versions with the newest reviews."""
    groups: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for review in reviews:
        if review["app_version"]:
            groups.setdefault((review["app_id"], review["app_version"]), []).append(review)
    latest = sorted(groups.items(), key=lambda item: max(row["at"] for row in item[1]), reverse=True)[:_VERSIONS]
    return [{"app_id": app, "version": version, **_counts(rows)} for (app, version), rows in latest]


def _counts(reviews: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """How many reviews, by stars; how many the model classified, and how many of those as negative."""
    stars = Counter(review["rating"] for review in reviews)
    classified = Counter(review["sentiment"] for review in reviews if review["sentiment"])
    return {
        "n": len(reviews),
        "stars": [stars.get(star, 0) for star in range(1, 6)],
        "answered": sum(classified.values()),
        "negative": classified.get("negative", 0),
    }
