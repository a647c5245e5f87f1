"""The overview for people without Grafana: the state of the service, the models, the pipeline and the reviews.

The server counts its own figures; everything else is in the overview file that the pipeline writes after each run.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from html import escape
from pathlib import Path
from typing import Any

from mlops_assets.serving.metrics import Metrics
from mlops_assets.serving.overview_file import read_overview
from mlops_assets.serving.pages.charts import Point, bars, lines
from mlops_assets.serving.pages.live_figures import Figures, machine_rows
from mlops_assets.serving.pages.parts import card_list, chart_row, percent, section, table, utc
from mlops_assets.serving.pages.topics import topics_part
from mlops_assets.serving.served_model import ServedModel

Overview = Mapping[str, Any]
"""The overview file or a part of it; its keys are the file format."""
_STARS = ("1 star", "2 stars", "3 stars", "4 stars", "5 stars")
_KINDS = {"bert": "s1", "classic": "s2", "blend": "s3"}
_RAMP = ("bad", "poor", "fair", "fine", "good")
_SIDES = {"test": "test side", "newest": "newest window", "people": "labels of people", "forward": "forward"}


def content(served: ServedModel, metrics: Metrics, path: Path | None) -> str:
    """The page's content, also before the pipeline has written an overview."""
    parts = [_warning(served), _serving(served, Figures.of(metrics))]
    overview = read_overview(path)
    if overview is None:
        into = f" into {path}" if path else ""
        note = f"The pipeline has written nothing{into} that this server can read: its next run will."
        parts.append(f'<p class="none">{escape(note)}</p>')
    else:
        reviews = overview["reviews"]
        parts += [
            _models(overview["models"]),
            _pipeline(overview["pipeline"], reviews),
            _reviews(reviews, _live(overview["models"])),
            topics_part(overview.get("topics")),
        ]
    parts.append(section("Machine", card_list(machine_rows()), "The machine or container that the server runs in."))
    return "".join(parts)


def _warning(served: ServedModel) -> str:
    """The model's warning, which it has if it was trained on generated reviews."""
    warning = served.loaded.trained_on.warning if served.state == "ready" else None
    return f'<p class="warning" role="alert">{escape(warning)}</p>' if warning else ""


def _serving(served: ServedModel, now: Figures) -> str:
    loaded = served.loaded if served.state == "ready" else None
    share = f"{now.failed / now.requests:.2%} of {now.requests}" if now.requests else "no request yet"
    cards = [
        ("Model", loaded.version if loaded else served.reason),
        ("Requests", f"{now.requests}"),
        ("Failed (5xx)", share),
        ("Refused (4xx)", f"{now.refused}"),
        *((f"Latency {name}", _milliseconds(value)) for name, value in now.latencies.items()),
        ("Waiting texts", f"{now.queue}"),
        ("Texts per batch", _number(now.texts_per_batch, 1)),
        ("Median confidence", percent(now.confidence)),
        ("Dropped log entries", f"{now.dropped}"),
    ]
    answered = sum(now.labels.values())
    shares = ", ".join(f"{label} {count / answered:.1%}" for label, count in sorted(now.labels.items()) if answered)
    labels = f"<p>Labels: {escape(shares)}, n = {answered}.</p>" if answered else ""
    about = f"Since {utc(served.since.isoformat())}, when this server became ready; latency is that of predictions."
    return section("Inference", card_list(cards) + labels, about)


def _models(models: Overview) -> str:
    charts = chart_row(*((f"Macro-F1, {title}", _scores(models["scores"], side)) for side, title in _SIDES.items()))
    latest = models["scores"][-1]["run_id"] if models["scores"] else None
    rows = [
        (
            f"{row['kind']} {row['model_version']}{' (champion)' if row['champion'] else ''}",
            row["side"],
            f"{row['n']}",
            _bounded(row, "accuracy"),
            _bounded(row, "macro_f1"),
            row["dataset_version"],
        )
        for row in models["scores"]
        if row["run_id"] == latest
    ]
    served = [
        (row["model_version"], row["dataset_version"], utc(row["at"]), utc(row["until"]) if row["until"] else "now")
        for row in models["served"]
    ]
    drift = [
        (utc(row["at"]), row["of"], ", ".join(row["features"]) or ("drifted" if row["drifted"] else "none"), row["n"])
        for row in reversed(models["drift"][-6:])
    ]
    body = charts + table("Scores after the last run", ("Model", "Side", "n", "Accuracy", "Macro-F1", "Data"), rows)
    body += _comparison(models.get("comparison"))
    body += table("What served when", ("Model", "Data", "From", "Until"), served)
    body += table("Newest drift checks", ("At", "What", "Drifted features", "n"), drift)
    return section("Models", body, "Scores after each run, with their 95 % intervals.")


def _comparison(found: Overview | None) -> str:
    """The newest decision's model beside the one before; empty if no model served before."""
    if not found:
        return ""
    title = f"Before the switch: model {found['model_version']} instead of {found['against']}"
    said = f"<h3>{escape(title)}</h3><p>{escape(found['said'])}.</p>"
    changes = [(row["from"], row["to"], row["n"]) for row in found["changes"]]
    examples = [(row["from"], row["to"], row["text"]) for row in found["examples"]]
    return (
        said
        + table("Answers to the newest reviews", ("Before", "After", "Reviews"), changes)
        + table("Examples of changed answers", ("Before", "After", "Text"), examples)
    )


def _scores(scores: Sequence[Overview], side: str) -> str:
    rows = [row for row in scores if row["side"] == side and row["macro_f1"] is not None]
    positions = {run: index for index, run in enumerate(dict.fromkeys(row["run_id"] for row in rows))}
    series: dict[str, list[Point]] = {}
    for row in rows:
        scored = (
            f"{_bounded(row, 'macro_f1')}, n = {row['n']}, model {row['model_version']}, data {row['dataset_version']}"
        )
        point = Point(
            positions[row["run_id"]],
            row["macro_f1"],
            row["macro_f1_low"],
            row["macro_f1_high"],
            f"{utc(row['at'])}: {scored}",
        )
        series.setdefault(row["kind"], []).append(point)
    ends = (utc(rows[0]["at"]), utc(rows[-1]["at"]) if len(positions) > 1 else "") if rows else ("", "")
    last = {row["kind"]: row["n"] for row in rows}
    sizes = ", ".join(f"{kind} n = {n}" for kind, n in sorted(last.items()))
    return lines(series, ends, about=f"The last {len(positions)} runs; newest: {sizes}", colours=_KINDS)


def _pipeline(pipeline: Overview, reviews: Overview) -> str:
    runs, last = pipeline["runs"], pipeline["last_run"]
    success = next((row for row in reversed(runs) if row["outcome"] == "success" and row["job"] in _LIVES), None)
    cards = [
        ("Last success", f"{utc(success['ended'])}, {_ago(success['ended'])}" if success else "none yet"),
        ("Expected every", _duration(pipeline["interval_s"])),
        ("Last run", f"{last['outcome']}, {_duration(last['duration_s'])}" if last else "none yet"),
        ("Drift", "sustained" if pipeline["drift_sustained"] else "not sustained"),
    ]
    outcomes = sorted({row["outcome"] for row in runs})
    timed = {name: [(row["duration_s"] or 0) if row["outcome"] == name else 0 for row in runs] for name in outcomes}
    body = card_list(cards)
    drawn = bars(
        [f"{utc(row['ended'])} {row['job']}" for row in runs],
        timed,
        about=f"Height: seconds. The last {len(runs)} runs, all jobs",
        colours={"success": "good", "failure": "bad", "canceled": "s5"},
    )
    body += chart_row(("Duration of runs", drawn))
    stages = [(row["stage"], row["status"], _duration(row["seconds"]), row["reason"]) for row in pipeline["stages"]]
    body += table("Stages of the last run", ("Stage", "Status", "Time", "Reason"), stages)
    failed = [(utc(row["ended"]), row["job"], row["cause"] or "") for row in reversed(runs) if row["cause"]][:5]
    body += table("Newest failed runs", ("Ended", "Job", "Cause"), failed)
    volumes = [
        (row["app_id"], row["raw"], row["validated"], row["quarantined"], row["deleted"]) for row in reviews["volumes"]
    ]
    body += table("Data by app", ("App", "Collected", "Usable", "Quarantine", "Deleted"), volumes)
    reasons = [(row["reason"], row["reviews"]) for row in reviews["quarantine"]]
    return section("Pipeline", body + table("Quarantine by reason", ("Reason", "Reviews"), reasons), "")


_LIVES = ("pipeline", "refresh_models")


def _live(models: Overview) -> str | None:
    """The version of the live model, None if nothing serves."""
    return next((row["model_version"] for row in models["served"] if not row["until"]), None)


def _reviews(reviews: Overview, live: str | None) -> str:
    months = reviews["months"]
    names = [row["month"] for row in months]
    mix = {star: [row["stars"][index] for row in months] for index, star in enumerate(_STARS)}
    negative = [
        Point(index, row["negative"] / row["answered"], title=f"{row['month']}: {row['negative']} of {row['answered']}")
        for index, row in enumerate(months)
        if row["answered"]
    ]
    ends = (names[0], names[-1]) if names else ("", "")
    total = sum(row["answered"] for row in months)
    sizes = f"Usable reviews, n = {sum(row['n'] for row in months)}"
    share = lines({"negative": negative} if negative else {}, ends, about=f"Share of each month's reviews, n = {total}")
    body = chart_row(
        ("Stars by month", bars(names, mix, about=sizes, colours=dict(zip(_STARS, _RAMP, strict=True)))),
        ("Negative, by the serving model", share),
    )
    versions = [
        (
            row["app_id"],
            row["version"],
            row["n"],
            percent(row["negative"] / row["answered"] if row["answered"] else None),
        )
        for row in reviews["versions"]
    ]
    body += table("App versions with the newest reviews", ("App", "Version", "n", "Negative"), versions)
    answered = reviews.get("models", ())  # an overview from before months were scored one by one has none
    waiting = sum(row["validated"] for row in reviews["volumes"]) - sum(row["reviews"] for row in answered)
    scored = [
        (f"{row['model_version']}{' (live)' if row['model_version'] == live else ', an earlier model'}", row["reviews"])
        for row in answered
    ]
    body += table("Scored by", ("Model", "Reviews"), [*scored, ("not scored yet", waiting)] if answered else ())
    complaints = [
        (
            utc(row["at"]),
            row["app_id"],
            row["app_version"] or "",
            f"{row['rating']}",
            row["sentiment"] or "",
            row["text"],
        )
        for row in reviews["complaints"]
    ]
    heads = ("Written", "App", "Version", "Stars", "Model says", "Text")
    return section("Reviews", body + table("Newest complaints", heads, complaints), "As stored after the last run.")


def _bounded(row: Overview, name: str) -> str:
    low, high = row[f"{name}_low"], row[f"{name}_high"]
    interval = f" [{low:.3f}, {high:.3f}]" if low is not None else ""
    return f"{row[name]:.3f}{interval}" if row[name] is not None else "–"


def _ago(iso: str) -> str:
    return f"{_duration((datetime.now(UTC) - datetime.fromisoformat(iso)).total_seconds())} ago"


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return "–"
    if seconds < 90:
        return f"{seconds:.1f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 172_800 else f"{seconds / 86_400:.0f} days"


def _milliseconds(seconds: float | None) -> str:
    return "–" if seconds is None else f"{seconds * 1000:.1f} ms"


def _number(value: float | None, digits: int) -> str:
    return "–" if value is None else f"{value:.{digits}f}"
