"""The overview for people without Grafana: how the service, the models, the pipeline and the reviews stand.

What the server has counted is its own; the rest is the file that the pipeline writes after each run.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from html import escape
from pathlib import Path
from typing import Any

from mlops_assets.serving.metrics import Metrics
from mlops_assets.serving.pages.charts import Point, bars, lines
from mlops_assets.serving.pages.live_figures import Figures
from mlops_assets.serving.pages.machine import machine_rows
from mlops_assets.serving.pages.told import read_told
from mlops_assets.serving.service import Service

Told = Mapping[str, Any]
_STARS = ("1 star", "2 stars", "3 stars", "4 stars", "5 stars")
_KINDS = {"bert": "s1", "classic": "s2"}
_RAMP = ("bad", "poor", "fair", "fine", "good")
_SIDES = {"test": "test side", "newest": "newest window", "forward": "forward"}


def content(service: Service, metrics: Metrics, path: Path | None) -> str:
    """The page's content; says so where the pipeline has not written anything yet."""
    parts = [_warning(service), _serving(service, Figures.of(metrics))]
    told = read_told(path)
    if told is None:
        where = f" into {path}" if path else ""
        said = f"The pipeline has written nothing{where} yet that this server understands: its next run does."
        parts.append(f'<p class="none">{escape(said)}</p>')
    else:
        parts += [_models(told["models"]), _pipeline(told["pipeline"], told["reviews"]), _reviews(told["reviews"])]
    parts.append(_section("Machine", _cards(machine_rows()), "Of the machine or container that the server runs in."))
    return "".join(parts)


def _warning(service: Service) -> str:
    """What everybody must know of the model that answers; nothing where it is a real app's."""
    said = service.loaded.trained_on.warning if service.state == "ready" else None
    return f'<p class="warning" role="alert">{escape(said)}</p>' if said else ""


def _serving(service: Service, now: Figures) -> str:
    loaded = service.loaded if service.state == "ready" else None
    share = f"{now.failed / now.requests:.2%} of {now.requests}" if now.requests else "no request yet"
    cards = [
        ("Model", loaded.version if loaded else service.reason),
        ("Requests", f"{now.requests}"),
        ("Failed (5xx)", share),
        ("Refused (4xx)", f"{now.refused}"),
        *((f"Latency {name}", _milliseconds(value)) for name, value in now.latencies.items()),
        ("Waiting texts", f"{now.queue}"),
        ("Texts per batch", _number(now.texts_per_batch, 1)),
        ("Median confidence", _percent(now.confidence)),
        ("Not on record", f"{now.dropped}"),
    ]
    answered = sum(now.labels.values())
    said = ", ".join(f"{label} {count / answered:.1%}" for label, count in sorted(now.labels.items()) if answered)
    labels = f"<p>Labels: {escape(said)}, n = {answered}.</p>" if answered else ""
    about = f"Since this server started answering, {_time(service.since.isoformat())}; latency of predictions alone."
    return _section("Inference", _cards(cards) + labels, about)


def _models(models: Told) -> str:
    charts = _charts(*((f"Macro-F1, {title}", _scores(models["scores"], side)) for side, title in _SIDES.items()))
    latest = models["scores"][-1]["run_id"] if models["scores"] else None
    rows = [
        (
            f"{one['kind']} {one['model_version']}{' (champion)' if one['champion'] else ''}",
            one["side"],
            f"{one['n']}",
            _bounded(one, "accuracy"),
            _bounded(one, "macro_f1"),
            one["dataset_version"],
        )
        for one in models["scores"]
        if one["run_id"] == latest
    ]
    served = [
        (one["model_version"], one["dataset_version"], _time(one["at"]), _time(one["until"]) if one["until"] else "now")
        for one in models["served"]
    ]
    drift = [
        (_time(one["at"]), one["of"], ", ".join(one["features"]) or ("drifted" if one["drifted"] else "none"), one["n"])
        for one in reversed(models["drift"][-6:])
    ]
    body = charts + _table("Scores after the last run", ("Model", "Side", "n", "Accuracy", "Macro-F1", "Data"), rows)
    body += _table("What served when", ("Model", "Data", "From", "Until"), served)
    body += _table("Drift, the newest verdicts", ("At", "Of", "Features that drifted", "n"), drift)
    return _section("Models", body, "Scores with their 95 % intervals as they stood after each run.")


def _scores(scores: Sequence[Told], side: str) -> str:
    rows = [one for one in scores if one["side"] == side and one["macro_f1"] is not None]
    places = {run: place for place, run in enumerate(dict.fromkeys(one["run_id"] for one in rows))}
    series: dict[str, list[Point]] = {}
    for one in rows:
        said = (
            f"{_bounded(one, 'macro_f1')}, n = {one['n']}, model {one['model_version']}, data {one['dataset_version']}"
        )
        point = Point(
            places[one["run_id"]],
            one["macro_f1"],
            one["macro_f1_low"],
            one["macro_f1_high"],
            f"{_time(one['at'])}: {said}",
        )
        series.setdefault(one["kind"], []).append(point)
    ends = (_time(rows[0]["at"]), _time(rows[-1]["at"]) if len(places) > 1 else "") if rows else ("", "")
    last = {one["kind"]: one["n"] for one in rows}
    sizes = ", ".join(f"{kind} n = {n}" for kind, n in sorted(last.items()))
    return lines(series, ends, about=f"By run, {len(places)} of them; last: {sizes}", colours=_KINDS)


def _pipeline(pipeline: Told, reviews: Told) -> str:
    runs, last = pipeline["runs"], pipeline["last_run"]
    success = next((one for one in reversed(runs) if one["outcome"] == "success" and one["job"] in _LIVES), None)
    cards = [
        ("Last success", f"{_time(success['ended'])}, {_ago(success['ended'])}" if success else "none yet"),
        ("Expected every", _duration(pipeline["interval_s"])),
        ("Last run", f"{last['outcome']}, {_duration(last['duration_s'])}" if last else "none yet"),
        ("Drift", "lasts" if pipeline["drift_sustained"] else "does not last"),
    ]
    outcomes = sorted({one["outcome"] for one in runs})
    timed = {name: [(one["duration_s"] or 0) if one["outcome"] == name else 0 for one in runs] for name in outcomes}
    body = _cards(cards)
    drawn = bars(
        [f"{_time(one['ended'])} {one['job']}" for one in runs],
        timed,
        about=f"Height: seconds. The last {len(runs)} runs, all jobs",
        colours={"success": "good", "failure": "bad", "canceled": "s5"},
    )
    body += _charts(("Runs, and how long they took", drawn))
    stages = [(one["stage"], one["status"], _duration(one["seconds"]), one["reason"]) for one in pipeline["stages"]]
    body += _table("Stages of the last run", ("Stage", "Status", "Time", "Reason"), stages)
    failed = [(_time(one["ended"]), one["job"], one["cause"] or "") for one in reversed(runs) if one["cause"]][:5]
    body += _table("Failed runs, the newest", ("Ended", "Job", "Cause"), failed)
    volumes = [
        (one["app_id"], one["raw"], one["validated"], one["quarantined"], one["deleted"]) for one in reviews["volumes"]
    ]
    body += _table("Data by app", ("App", "Collected", "Usable", "Quarantine", "Deleted"), volumes)
    reasons = [(one["reason"], one["reviews"]) for one in reviews["quarantine"]]
    return _section("Pipeline", body + _table("Quarantine by reason", ("Reason", "Reviews"), reasons), "")


_LIVES = ("pipeline", "refresh_models")


def _reviews(reviews: Told) -> str:
    months = reviews["months"]
    names = [one["month"] for one in months]
    mix = {star: [one["stars"][place] for one in months] for place, star in enumerate(_STARS)}
    negative = [
        Point(place, one["negative"] / one["answered"], title=f"{one['month']}: {one['negative']} of {one['answered']}")
        for place, one in enumerate(months)
        if one["answered"]
    ]
    ends = (names[0], names[-1]) if names else ("", "")
    total = sum(one["answered"] for one in months)
    sizes = f"Usable reviews, n = {sum(one['n'] for one in months)}"
    share = lines({"negative": negative} if negative else {}, ends, about=f"Share of each month's reviews, n = {total}")
    body = _charts(
        ("Stars by month", bars(names, mix, about=sizes, colours=dict(zip(_STARS, _RAMP, strict=True)))),
        ("Negative, by the serving model", share),
    )
    versions = [
        (
            one["app_id"],
            one["version"],
            one["n"],
            _percent(one["negative"] / one["answered"] if one["answered"] else None),
        )
        for one in reviews["versions"]
    ]
    body += _table("Versions with the newest reviews", ("App", "Version", "n", "Negative"), versions)
    complaints = [
        (
            _time(one["at"]),
            one["app_id"],
            one["app_version"] or "",
            f"{one['rating']}",
            one["sentiment"] or "",
            one["text"],
        )
        for one in reviews["complaints"]
    ]
    heads = ("Written", "App", "Version", "Stars", "Model says", "Text")
    return _section("Reviews", body + _table("Newest complaints", heads, complaints), "As they are stored now.")


def _section(title: str, body: str, about: str) -> str:
    note = f'<p class="note">{escape(about)}</p>' if about else ""
    return f"<section><h2>{escape(title)}</h2>{note}{body}</section>"


def _charts(*charts: tuple[str, str]) -> str:
    return f'<div class="charts">{"".join(f"<div><h3>{escape(title)}</h3>{one}</div>" for title, one in charts)}</div>'


def _cards(cards: Iterable[tuple[str, str]]) -> str:
    return f'<dl class="cards">{"".join(f"<div><dt>{escape(n)}</dt><dd>{escape(v)}</dd></div>" for n, v in cards)}</dl>'


def _table(title: str, heads: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    body = "".join(f"<tr>{''.join(_cell(value) for value in row)}</tr>" for row in rows)
    if not body:
        return ""
    head = "".join(f"<th>{escape(name)}</th>" for name in heads)
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    return f'<h3>{escape(title)}</h3><div class="wide">{table}</div>'


def _cell(value: Any) -> str:
    return f'<td class="number">{value}</td>' if isinstance(value, int) else f"<td>{escape(str(value))}</td>"


def _bounded(one: Told, name: str) -> str:
    low, high = one[f"{name}_low"], one[f"{name}_high"]
    interval = f" [{low:.3f}, {high:.3f}]" if low is not None else ""
    return f"{one[name]:.3f}{interval}" if one[name] is not None else "–"


def _time(iso: str) -> str:
    return datetime.fromisoformat(iso).astimezone(UTC).strftime("%Y-%m-%d %H:%M")


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


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{share:.1%}"
