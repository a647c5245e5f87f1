"""What the overview page of the service shows of runs, models and reviews. Pure functions; the result is JSON."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from mlops_assets.reporting.facts import run_row, score_rows, stage_rows
from mlops_assets.reporting.messages import WATCHED_JOBS

_RUNS = 40
_SCORES = 60
_MONTHS = 24
_VERSIONS = 10
_COMPLAINTS = 10
_TICKS = 60
_SERVED = 10


def of_pipeline(
    summaries: Sequence[Mapping[str, Any]], *, interval_s: float, drift_sustained: bool, facts_trouble: bool
) -> dict[str, Any]:
    """The newest runs, the stages of the last one, and when each outcome was last seen; `summaries` oldest first."""
    ended = [one for one in summaries if one.get("ended")]
    last = next((one for one in reversed(ended) if one["job"] in WATCHED_JOBS), None)
    return {
        "interval_s": interval_s,
        "drift_sustained": drift_sustained,
        "facts_behind": facts_trouble,
        "runs": [run_row(one) for one in ended[-_RUNS:]],
        "last_run": run_row(last) if last else None,
        "stages": stage_rows(last) if last else [],
        "outcomes": [
            {"job": job, "outcome": outcome, "runs": count}
            for (job, outcome), count in sorted(Counter((one["job"], one["status"].lower()) for one in ended).items())
        ],
    }


def of_models(
    summaries: Sequence[Mapping[str, Any]], served: Sequence[Mapping[str, Any]], ticks: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """Scores by run, what served when (the newest first), and the verdicts of drift."""
    scored = [rows for one in summaries if (rows := score_rows(one))]
    names = ("at", "until", "model_version", "dataset_version", "release_version", "caused_by")
    return {
        "scores": [row for rows in scored[-_SCORES:] for row in rows],
        "served": [{name: one[name] for name in names} for one in served[:_SERVED]],
        "drift": [
            {
                "at": one["at"].isoformat(),
                "of": one["of"],
                "drifted": one["drifted"],
                "features": list(one["features"]),
                "n": one["n"],
            }
            for one in ticks[-_TICKS:]
        ],
    }


def of_reviews(
    volumes: Sequence[Mapping[str, Any]], reasons: Sequence[Mapping[str, Any]], reviews: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """Counts by month and by version over all apps, and the newest complaints."""
    months = sorted({one["month"] for one in reviews})[-_MONTHS:]
    why: Counter[str] = Counter()
    for one in reasons:
        why[one["reason"]] += one["reviews"]
    newest = sorted((one for one in reviews if one["text"]), key=lambda one: one["at"], reverse=True)
    return {
        "volumes": [
            {
                "app_id": app_id,
                **{
                    name: sum(one[name] for one in volumes if one["app_id"] == app_id)
                    for name in ("raw", "validated", "quarantined", "deleted")
                },
            }
            for app_id in sorted({one["app_id"] for one in volumes})
        ],
        "quarantine": [{"reason": reason, "reviews": count} for reason, count in why.most_common(8)],
        "months": [
            {"month": month[:7], **_counts([one for one in reviews if one["month"] == month])} for month in months
        ],
        "versions": _by_version(reviews),
        "complaints": [
            {name: one[name] for name in ("app_id", "app_version", "rating", "sentiment", "text")}
            | {"at": one["at"].isoformat()}
            for one in newest[:_COMPLAINTS]
        ],
    }


def _by_version(reviews: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The versions whose reviews are the newest."""
    groups: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for one in reviews:
        if one["app_version"]:
            groups.setdefault((one["app_id"], one["app_version"]), []).append(one)
    latest = sorted(groups.items(), key=lambda item: max(one["at"] for one in item[1]), reverse=True)[:_VERSIONS]
    return [{"app_id": app, "version": version, **_counts(rows)} for (app, version), rows in latest]


def _counts(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """How many reviews, by stars, how many were answered and how many of those negative."""
    stars = Counter(one["rating"] for one in rows)
    answered = Counter(one["sentiment"] for one in rows if one["sentiment"])
    return {
        "n": len(rows),
        "stars": [stars.get(star, 0) for star in range(1, 6)],
        "answered": sum(answered.values()),
        "negative": answered.get("negative", 0),
    }
