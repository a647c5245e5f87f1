"""A run's summary as people read it: Markdown, a page to send around, a terminal; and its files on disk."""

import json
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock

from mlops_assets.document import (
    Block,
    Bullets,
    Fields,
    Heading,
    Link,
    Paragraph,
    Table,
    Tone,
    html,
    markdown,
    text,
)
from mlops_assets.files import replace_file
from mlops_assets.reporting.run_summary import CheckResult, RunSummary, Score, read_summary
from mlops_assets.workspace import KEPT_HERE

_LONGEST_CELL = 300  # the JSON, the page and the UI have the whole reason
_MARKS: dict[str, str] = {"done": "✓", "skipped": "–", "stopped": "■", "failed": "✗"}
_TONES: dict[str, Tone] = {"done": "good", "skipped": "faint", "failed": "bad", "SUCCESS": "good", "FAILURE": "bad"}


def as_markdown(summary: RunSummary) -> str:
    """The whole summary; every figure with its side, its sample size and its data version."""
    return markdown(*_blocks(summary, _models(summary)), longest_cell=_LONGEST_CELL) + "\n"


def as_text(summary: RunSummary) -> str:
    """The same for a terminal, which is narrow: one column for each model."""
    return text(*_blocks(summary, _models(summary).turned()))


def as_page(summary: RunSummary) -> str:
    """One HTML file that loads nothing from anywhere: how the run ended and what serves come first."""
    title = f"Run {summary.run_id[:8]} of {summary.job}"
    cause = [_cause(summary)] if summary.failed else []
    failed, passed = _checks(summary, passed=False), _checks(summary, passed=True)
    models = _models(summary)
    return html(
        f"{title} {summary.outcome}",
        Heading(title, 1, summary.outcome, _TONES.get(summary.status, "")),
        Bullets([*cause, *data_lines(summary), *serving_lines(summary)]),
        Heading("The run"),
        Fields(_about(summary)),
        Heading("Stages"),
        _stages(summary),
        *_section("Failed steps", Bullets(_failed_steps(summary)), shown=bool(summary.failures)),
        *_section("Checks", Bullets(failed), *_folded(passed), shown=bool(summary.checks)),
        *_section("Models", models.turned(), shown=bool(models.rows)),
        Link(summary.link),
    )


def write_summary(folder: Path, summary: RunSummary) -> bool:
    """Write `<run_id>.json`, `.md`, `.html` and `latest.json` unless this run has a summary; whether it was written.

    A summary that a promoting run joined replaces the failed run's own.
    """
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"{summary.run_id}.json"
    with FileLock(folder / ".lock"):
        if target.exists() and (summary.promoted_by is None or read_summary(target).promoted_by is not None):
            return False
        replace_file(folder / f"{summary.run_id}.md", as_markdown(summary))
        replace_file(folder / f"{summary.run_id}.html", as_page(summary))
        content = json.dumps(summary.to_json(), indent=1, ensure_ascii=False) + "\n"
        replace_file(folder / "latest.json", content)
        replace_file(target, content)
    return True


def _blocks(summary: RunSummary, models: Table) -> Iterator[Block]:
    """The live model comes last: a terminal leaves the last lines in sight."""
    yield Heading(f"Run {summary.run_id[:8]}", 1, summary.outcome)
    yield Paragraph(_sentence(summary))
    if summary.failed:
        yield Paragraph(_cause(summary))
    if summary.follows:
        yield Paragraph(f"Next: {summary.follows}.")
    yield Link(summary.link)
    yield _stages(summary)
    yield Bullets(_failed_steps(summary))
    if summary.checks:
        failed = _checks(summary, passed=False)
        yield Paragraph(f"Checks: {len(summary.checks) - len(failed)} passed, {len(failed)} failed.")
        yield Bullets(failed)
    yield from map(Paragraph, data_lines(summary))
    yield models
    yield from map(Paragraph, serving_lines(summary))


def _section(title: str, *blocks: Block, shown: bool) -> tuple[Block, ...]:
    return (Heading(title), *blocks) if shown else ()


def _folded(passed: list[str]) -> list[Block]:
    return [Bullets(passed, fold=f"{len(passed)} checks passed")] if passed else []


def _sentence(summary: RunSummary) -> str:
    """What ran, why, when and for how long."""
    took = f" ({duration(summary.duration_s)})" if summary.duration_s is not None else ""
    return (
        f"{summary.job}, started {summary.trigger}, {summary.started or 'never at work'} to {summary.ended}{took}, "
        f"source {summary.source}"
    )


def _cause(summary: RunSummary) -> str:
    return f"Cause: {summary.cause.removesuffix('.')}."


def _about(summary: RunSummary) -> list[tuple[str, str]]:
    took = duration(summary.duration_s) if summary.duration_s is not None else "not known"
    rows = [
        ("Run", summary.run_id),
        ("Trigger", summary.trigger),
        ("Started", utc_time(summary.started)),
        ("Ended", f"{utc_time(summary.ended)}, after {took}"),
        ("Source", summary.source),
    ]
    if summary.follows:
        rows.append(("Next", summary.follows))
    if summary.attempt_of:
        rows.append(("Repeats", f"run {summary.attempt_of}"))
    return rows


def _stages(summary: RunSummary) -> Table:
    return Table(
        ["Stage", "Status", "Reason"],
        [[row.stage, f"{_MARKS[row.status]} {row.status}", row.reason] for row in summary.stages],
        [_TONES.get(row.status, "") for row in summary.stages],
    )


def _failed_steps(summary: RunSummary) -> list[str]:
    return [f"{row.step} failed: {row.reason}" for row in summary.failures]


def _checks(summary: RunSummary, *, passed: bool) -> list[str]:
    def line(found: CheckResult) -> str:
        severity = "" if passed else f" ({found.severity.lower()})"
        return f"{found.check}{severity}: {found.reason}"

    return [line(found) for found in summary.checks if found.passed is passed]


def _models(summary: RunSummary) -> Table:
    header = (
        *("Model", "Version", "Data", "Validation", "Gate", "Change at the gate", "Test"),
        *("Newest months of gate and test", "Labels of people"),
    )
    rows = [
        (
            kind,
            scores.model_version,
            scores.dataset_version,
            score(scores.validation),
            score(scores.gate),
            change(summary, kind),
            score(scores.test),
            score(scores.newest),
            score(scores.people, "fewer than 100 texts"),
        )
        for kind, scores in summary.trained_models.items()
    ]
    return Table(header, rows)


def data_lines(summary: RunSummary) -> list[str]:
    """What the run collected, and the version that it made or found."""
    counts = {
        "new reviews": summary.reviews.new,
        "changed": summary.reviews.changed,
        "in quarantine": summary.reviews.quarantined,
        "masks over personal data": summary.reviews.masked,
        "labelled in the version": summary.reviews.labelled,
    }
    words = [f"{count} {what}" for what, count in counts.items() if count is not None]
    lines = [f"Data: {', '.join(words)}."] if words else []
    if summary.dataset_version:
        commit = f", commit {summary.commit[:12]}" if summary.commit else ""
        code = f", code {summary.code[:12]}" if summary.code else ""
        dirty = f" with uncommitted changes ({summary.code_dirty})" if summary.code_dirty else ""
        lines.append(f"Data version {summary.dataset_version}{commit}{code}{dirty}.")
    if summary.starts_anew:
        lines.append(f"New start: {summary.starts_anew}.")
    origin = summary.origin or "none"
    if origin.startswith(KEPT_HERE):
        lines.append(f"The branch pipeline is {origin}.")
    elif origin not in {"none", "pushed"}:
        lines.append(f"Warning: the branch pipeline is here alone, origin did not take it: {origin}.")
    return lines


def serving_lines(summary: RunSummary) -> list[str]:
    """The decision between models, what was built, what is live, and what everybody must know of it."""
    lines: list[str] = []
    if champion := summary.champion:
        lines.append(f"Champion: {champion.model} {champion.model_version}: {champion.reason}.")
        if forward := champion.forward:
            measured = f"model {forward.model_version} on the reviews that arrived after its data"
            lines.append(f"Forward: {measured}: {score(forward)}.")
        if (live := summary.live_score) and live.accuracy_interval:
            low, high = live.accuracy_interval
            lines.append(
                f"On live traffic: model {live.model_version}, accuracy {live.accuracy:.3f} [{low:.3f}, {high:.3f}], "
                f"n = {live.n} answers, estimated from their confidence, without labels."
            )
        if champion.comparison and champion.run_id in {summary.run_id, summary.promoted_by}:
            lines.append(f"Before the switch: {champion.comparison['said']}.")
    if release := summary.image:
        size = f", {release.size_mb} MB" if release.size_mb else ""
        image = f", image {release.image}{size}" if release.image else ", no image: the target is a process"
        lines.append(f"Release: {release.release} of model {release.model_version}{image}.")
    if waiting := summary.waits_for_approval:
        where = (
            f"on {waiting.page}, or with make approve or make reject"
            if waiting.page
            else "with make approve or make reject"
        )
        lines.append(f"Approval: release {waiting.release} waits until {waiting.until}; decide {where}.")
    if live := summary.live:
        versions = f"model {live.model_version}, data {live.dataset_version}, release {live.release_version}"
        lines.append(f"Live: {versions}, at {live.url}.")
    else:
        lines.append("Live: no service answers.")
    return [*lines, *(f"Warning: {warning}." for warning in summary.warnings)]


def score(side: Score | None, none: str = "no reviews") -> str:
    """One side's figures with n."""
    if side is None or not side.n:
        return none
    low, high = side.accuracy_interval or (None, None)
    interval = f" [{low:.3f}, {high:.3f}]" if low is not None else ""
    mixed = f", macro-F1 {side.macro_f1:.3f}" if side.macro_f1 is not None else ", one label alone"
    return f"accuracy {side.accuracy:.3f}{interval}{mixed}, n = {side.n}"


def change(summary: RunSummary, kind: str) -> str:
    """A model's score on the gate side less that of the model that served when this run decided."""
    champion = summary.champion
    if champion is None or champion.run_id not in {summary.run_id, summary.promoted_by}:
        return "not judged"
    if not champion.against:
        return "no model served before"
    if champion.candidates.get(kind) == champion.against:
        return "serves already"
    found = champion.figures.get("changes", {}).get(kind)
    if not found:
        return "other labels than the serving model"
    measure = champion.figures.get("measure", "macro-F1")
    points = f"{found['points']:+.1f} points {measure} [{found['low']:+.1f}, {found['high']:+.1f}], n = {found['n']}"
    return f"{points}, against {champion.against}"


def duration(seconds: float) -> str:
    """Seconds as people say them: 8.2 s, 3 min 5 s, 1 h 2 min."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def utc_time(iso: str | None) -> str:
    """ISO time as people read it."""
    return iso.replace("T", " ").replace("+00:00", " UTC") if iso else "not known"
