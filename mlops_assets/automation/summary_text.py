"""A summary as Markdown: the same text in the terminal, in `.dagster/summaries/` and in the UI."""

from collections.abc import Mapping
from typing import Any

_LONGEST_CELL = 300  # the whole reason is in the JSON and in the UI
_MARK = {"done": "✓", "skipped": "–", "failed": "✗"}


def as_markdown(summary: Mapping[str, Any]) -> str:
    """The whole summary; every figure with its side, its sample size and its data version."""
    lines = [
        f"# Run {summary['run_id'][:8]}: {_outcome(summary)}",
        "",
        f"{summary['job']}, started {summary['trigger']}, {summary['started']} to {summary['ended']}, "
        f"source {summary['source']}",
        "",
        "| Stage | Status | Reason |",
        "| --- | --- | --- |",
    ]
    lines += [
        f"| {row['stage']} | {_MARK[row['status']]} {row['status']} | {_cell(row['reason'])} |"
        for row in summary["stages"]
    ]
    lines += ["", *_checks(summary), *_data(summary), *_models(summary), *_serving(summary)]
    return "\n".join(lines).rstrip() + "\n"


def _outcome(summary: Mapping[str, Any]) -> str:
    status = str(summary["status"])
    return {"SUCCESS": "succeeded", "FAILURE": "failed", "CANCELED": "was cancelled"}.get(status, status.lower())


def _checks(summary: Mapping[str, Any]) -> list[str]:
    failed = [row for row in summary["checks"] if not row["passed"]]
    passed = len(summary["checks"]) - len(failed)
    lines = [f"Checks: {passed} passed, {len(failed)} failed."] if summary["checks"] else []
    return lines + [f"- {row['check']} ({row['severity'].lower()}): {row['reason']}" for row in failed]


def _data(summary: Mapping[str, Any]) -> list[str]:
    reviews = summary["reviews"]
    words = [
        f"{reviews[name]} {label}"
        for name, label in (
            ("new", "new reviews"),
            ("changed", "changed"),
            ("quarantined", "in quarantine"),
            ("labelled", "labelled in the version"),
        )
        if reviews[name] is not None
    ]
    lines = [f"Data: {', '.join(words)}."] if words else []
    if summary["dataset_version"]:
        code = f", code {summary['code'][:12]}" if summary.get("code") else ""
        dirty = f" with uncommitted changes ({summary['code_dirty']})" if summary.get("code_dirty") else ""
        lines.append(f"Data version {summary['dataset_version']}, commit {summary['commit'][:12]}{code}{dirty}.")
    if (origin := summary.get("origin")) not in (None, "none", "pushed"):
        lines.append(f"Warning: the branch pipeline is here alone, origin did not take it: {origin}.")
    return [*lines, ""] if lines else []


def _models(summary: Mapping[str, Any]) -> list[str]:
    rows = [(kind, figures) for kind, figures in summary["models"].items() if figures]
    if not rows:
        return []
    lines = [
        "| Model | Version | Data | Validation | Gate | Test | Newest months of gate and test |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for kind, figures in rows:
        sides = " | ".join(_score(figures.get(side)) for side in ("validation", "gate", "test", "newest"))
        lines.append(f"| {kind} | {figures['model_version']} | {figures['dataset_version']} | {sides} |")
    return [*lines, ""]


def _score(side: Mapping[str, Any] | None) -> str:
    if not side or not side["n"]:
        return "no reviews"
    low, high = side.get("accuracy_interval") or (None, None)
    interval = f" [{low:.3f}, {high:.3f}]" if low is not None else ""
    return f"accuracy {side['accuracy']:.3f}{interval}, macro-F1 {side['macro_f1']:.3f}, n = {side['n']}"


def _serving(summary: Mapping[str, Any]) -> list[str]:
    champion, live = summary["champion"], summary["live"]
    lines: list[str] = []
    if champion:
        lines.append(f"Champion: {champion['model']} {champion['model_version']}: {champion['reason']}.")
        if forward := champion.get("forward"):
            told = f"model {forward['model_version']} on the reviews that arrived after its data"
            lines.append(f"Forward: {told}: {_score(forward)}.")
    if live:
        lines.append(f"Live: model {live['model_version']}, data {live['dataset_version']}, at {live['url']}.")
    else:
        lines.append("Live: no service answers.")
    return lines


def _cell(text: str) -> str:
    line = text.replace("|", "\\|").replace("\n", " ")
    return line if len(line) <= _LONGEST_CELL else line[: _LONGEST_CELL - 1] + "…"
