"""A summary as Markdown: the same text in the terminal, in `.dagster/summaries/` and in the UI."""

from collections.abc import Mapping
from typing import Any

from mlops_assets.reporting.messages import cause, warnings_of_champion
from mlops_assets.workspace import KEPT_HERE

_LONGEST_CELL = 300  # the whole reason is in the JSON, on the page and in the UI
MARK = {"done": "✓", "skipped": "–", "stopped": "■", "failed": "✗"}


def as_markdown(summary: Mapping[str, Any]) -> str:
    """The whole summary; every figure with its side, its sample size and its data version."""
    lines = [f"# Run {summary['run_id'][:8]}: {outcome(summary)}", "", about(summary), ""]
    lines += [f"Cause: {cause(summary)}.", ""] if summary["status"] == "FAILURE" else []
    lines += [f"Next: {follows}.", ""] if (follows := summary.get("follows")) else []
    lines += [f"<{summary['link']}>", ""]
    lines += ["| Stage | Status | Reason |", "| --- | --- | --- |"]
    lines += [
        f"| {row['stage']} | {MARK[row['status']]} {row['status']} | {_cell(row['reason'])} |"
        for row in summary["stages"]
    ]
    lines += ["", *_failures(summary), *_checks(summary)]
    lines += [f"{line}\n" for line in data_lines(summary)]
    lines += _models(summary)
    lines += [f"{line}\n" for line in serving_lines(summary)]
    return "\n".join(lines).rstrip() + "\n"


def outcome(summary: Mapping[str, Any]) -> str:
    """How the run ended, in words."""
    status = str(summary["status"])
    told = {"SUCCESS": "succeeded", "FAILURE": "failed", "CANCELED": "was cancelled"}.get(status, status.lower())
    if summary.get("stopped"):
        return f"was {summary['stopped']}"
    if "promoted_by" in summary:
        return f"{told}, and the model that it did train was judged by run {summary['promoted_by'][:8]}"
    return told


def about(summary: Mapping[str, Any]) -> str:
    """What ran, why, when and for how long."""
    took = f" ({duration(summary['duration_s'])})" if summary["duration_s"] is not None else ""
    return (
        f"{summary['job']}, started {summary['trigger']}, {summary['started'] or 'never at work'} to "
        f"{summary['ended']}{took}, source {summary['source']}"
    )


def duration(seconds: float) -> str:
    """Seconds as people say them: 8.2 s, 3 min 5 s, 1 h 2 min."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def data_lines(summary: Mapping[str, Any]) -> list[str]:
    """What the run collected, and the version that it made or found."""
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
    if anew := summary.get("starts_anew"):
        lines.append(f"New start: {anew}.")
    origin = summary.get("origin")
    if origin and origin.startswith(KEPT_HERE):
        lines.append(f"The branch pipeline is {origin}.")
    elif origin not in (None, "", "none", "pushed"):
        lines.append(f"Warning: the branch pipeline is here alone, origin did not take it: {origin}.")
    return lines


def serving_lines(summary: Mapping[str, Any]) -> list[str]:
    """The verdict, what was built and what answers."""
    champion, image, live = summary["champion"], summary["image"], summary["live"]
    lines: list[str] = []
    if champion:
        lines.append(f"Champion: {champion['model']} {champion['model_version']}: {champion['reason']}.")
        lines += [f"Warning: {told}." for told in warnings_of_champion(summary)]
        if forward := champion.get("forward"):
            told = f"model {forward['model_version']} on the reviews that arrived after its data"
            lines.append(f"Forward: {told}: {score(forward)}.")
    if image:
        size = f", {image['size_mb']} MB" if image.get("size_mb") else ""
        name = f", image {image['image']}{size}" if image.get("image") else ", no image: the target is a process"
        lines.append(f"Release: {image['release']} of model {image['model_version']}{name}.")
    if live:
        versions = f"model {live['model_version']}, data {live['dataset_version']}, release {live['release_version']}"
        lines.append(f"Live: {versions}, at {live['url']}.")
        lines += [f"Warning: {live['warning']}."] if live.get("warning") else []
    else:
        lines.append("Live: no service answers.")
    return lines


def score(side: Mapping[str, Any] | None) -> str:
    """One side's figures with n."""
    if not side or not side["n"]:
        return "no reviews"
    low, high = side.get("accuracy_interval") or (None, None)
    interval = f" [{low:.3f}, {high:.3f}]" if low is not None else ""
    mixed = f", macro-F1 {side['macro_f1']:.3f}" if side["macro_f1"] is not None else ", one label alone"
    return f"accuracy {side['accuracy']:.3f}{interval}{mixed}, n = {side['n']}"


def change(summary: Mapping[str, Any], kind: str) -> str:
    """A model's macro-F1 on the gate side less that of the model that served when this run decided."""
    champion = summary["champion"] or {}
    if champion.get("run_id") not in {summary["run_id"], summary.get("promoted_by")}:
        return "not judged"
    if not champion.get("against"):
        return "no model served before"
    if champion["candidates"].get(kind) == champion["against"]:
        return "serves already"
    found = champion["figures"].get("changes", {}).get(kind)
    if not found:
        return "other labels than the serving model"
    told = f"{found['points']:+.1f} points macro-F1 [{found['low']:+.1f}, {found['high']:+.1f}], n = {found['n']}"
    return f"{told}, against {champion['against']}"


def _failures(summary: Mapping[str, Any]) -> list[str]:
    lines = [f"- {row['step']} failed: {_cell(row['reason'])}" for row in summary["failures"]]
    return [*lines, ""] if lines else []


def _checks(summary: Mapping[str, Any]) -> list[str]:
    failed = [row for row in summary["checks"] if not row["passed"]]
    passed = len(summary["checks"]) - len(failed)
    lines = [f"Checks: {passed} passed, {len(failed)} failed."] if summary["checks"] else []
    lines += ["", *(f"- {row['check']} ({row['severity'].lower()}): {row['reason']}" for row in failed)]
    return [*lines, ""]


def _models(summary: Mapping[str, Any]) -> list[str]:
    rows = [(kind, figures) for kind, figures in summary["models"].items() if figures]
    if not rows:
        return []
    lines = [
        "| Model | Version | Data | Validation | Gate | Change at the gate | Test | Newest months of gate and test |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for kind, figures in rows:
        sides = {side: score(figures.get(side)) for side in ("validation", "gate", "test", "newest")}
        cells = [sides["validation"], sides["gate"], change(summary, kind), sides["test"], sides["newest"]]
        lines.append(f"| {kind} | {figures['model_version']} | {figures['dataset_version']} | {' | '.join(cells)} |")
    return [*lines, ""]


def _cell(text: str) -> str:
    line = text.replace("|", "\\|").replace("\n", " ")
    return line if len(line) <= _LONGEST_CELL else line[: _LONGEST_CELL - 1] + "…"
