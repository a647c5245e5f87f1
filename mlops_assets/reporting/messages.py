"""Messages about runs: which run is told at once, which one in the daily digest, and in what words. Pure functions."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from mlops_assets.document import one_line
from mlops_assets.reporting.run_summary import WATCHED_JOBS, LiveModel, RunSummary
from mlops_assets.reporting.summary_pages import serving_lines, utc_time

Kind = Literal[
    "failure", "recovery", "approval", "deployment", "new data", "spike", "quiet", "digest", "weekly", "heartbeat"
]

_ELLIPSIS = "…"
_PER_DIGEST = 60  # lines; a day has four runs, a burst of runs by hand some more


@dataclass(frozen=True)
class Message:
    """One message; its `id` is the same however often it is delivered, and its `link` is never cut off.

    The link of a `weekly` message is the path of its HTML file, which channels that can attach.
    """

    id: str
    kind: Kind
    run_id: str
    title: str
    text: str
    link: str = ""


def messages_of(summary: RunSummary, *, failed_before: bool) -> list[Message]:
    """What to tell people of this run: one message, a second if a failed run still put a model live, one that asks for
    an approval, and one for each spike that it found.

    `failed_before` says that the job's last run before this one failed.
    """
    job, lines = summary.job, text_of(summary)

    def message(kind: Kind, title: str, run_id: str = summary.run_id, link: str = summary.link) -> Message:
        return Message(f"{run_id}:{kind}", kind, summary.run_id, one_line(title), lines, link)

    others: list[Message] = []
    if (waiting := summary.waits_for_approval) and waiting.asked:
        title = f"{job}: release {waiting.release} waits for approval until {waiting.until}"
        others = [message("approval", title, link=waiting.page or summary.link)]
    others += [
        Message(news.id, "spike", summary.run_id, one_line(news.title), news.text, summary.link)
        for check in summary.checks
        for news in check.news
    ]
    deployed = _deployed(summary)
    if summary.failed:
        given_up = f"; {summary.follows}" if summary.follows.startswith("given up") else ""
        # The attempts of an automatic retry share one alert: the id is that of the first.
        about = summary.attempt_of or summary.run_id
        failure = message("failure", f"{job} failed: {summary.cause}{given_up}", about)
        return [failure, *([message("deployment", f"{job}: {deployed}")] if deployed else []), *others]
    if not summary.succeeded:
        return [message("quiet", f"{job} was {summary.stopped or 'cancelled'}"), *others]
    news: dict[Kind, str] = {
        "recovery": "works again" if failed_before else "",
        "deployment": deployed,
        "new data": _new_data(summary),
    }
    kinds: list[Kind] = [kind for kind, words in news.items() if words]
    if not kinds:
        return [message("quiet", f"{job}: nothing new"), *others]
    return [message(kinds[0], f"{job}: {', '.join(filter(None, news.values()))}"), *others]


def heartbeat_of(summary: RunSummary) -> Message | None:
    """The ping at a run's end, for jobs whose end shows that the pipeline works; `text` is empty or `fail`."""
    if summary.job not in WATCHED_JOBS:
        return None
    ping = "" if summary.succeeded else "fail"
    return Message(f"{summary.run_id}:heartbeat", "heartbeat", summary.run_id, "ping", ping)


def digest_of(day: str, lines: Sequence[str]) -> Message:
    """One message for the quiet runs up to `day`."""
    count = f"{len(lines)} run{'' if len(lines) == 1 else 's'}"
    shown = list(lines[-_PER_DIGEST:])
    if len(lines) > len(shown):
        shown.insert(0, f"{len(lines) - len(shown)} earlier ones")
    return Message(f"digest:{day}", "digest", "", f"{count} with nothing new", "\n".join(shown))


def quiet_line(summary: RunSummary, message: Message) -> str:
    """A quiet run's line in the digest."""
    live = summary.live
    serves = _serves(live.model_version, live) if live else "no service answers"
    return f"{summary.ended or 'unknown time'} {message.title}, {serves}, run {message.run_id[:8]}"


def fitted(message: Message, *, title_most: int, body_most: int) -> tuple[str, str]:
    """Title and body within a channel's limits, in characters: the text is cut, link and id are kept.

    A channel without titles (`title_most` 0) gets the title as the first line of the body.
    """
    title = _cut(message.title, title_most) if title_most > 0 else ""
    head = "" if title else f"{message.title}\n"
    tail = "\n".join(filter(None, [message.link, f"[{message.id}]"]))
    if len(tail) >= body_most:
        return title, _cut(message.link or message.id, body_most)
    room = body_most - len(tail) - 1
    text = _cut(f"{head}{message.text}".strip(), room) if room > 0 else ""
    return title, f"{text}\n{tail}" if text else tail


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: max(0, most - 1)].rstrip() + _ELLIPSIS


def text_of(summary: RunSummary) -> str:
    """Plain lines: mail, chat and webhook show them alike, and no table breaks on a phone."""
    marks = {"done": "ok", "skipped": "skipped", "stopped": "stopped", "failed": "FAILED"}
    lines = [
        f"Run {summary.run_id[:8]} of {summary.job}, started {summary.trigger}, ended {utc_time(summary.ended)}",
        summary.follows and f"Next: {summary.follows}",
        summary.page and f"Summary {summary.page}",
        *(
            f"{row.stage}: {marks[row.status]}{', ' + row.reason if row.reason else ''}"
            for row in summary.stages
            if row.status != "skipped"
        ),
        *(f"{row.step}: FAILED, {row.reason}" for row in summary.failures),
        *(f"Check {row.check} failed: {row.reason}" for row in summary.checks if not row.passed),
        summary.dataset_version and f"Data version {summary.dataset_version}",
        *serving_lines(summary),
    ]
    return "\n".join(one_line(line) for line in lines if line)


def _deployed(summary: RunSummary) -> str:
    return _serves(summary.deployed.model_version, summary.live) if summary.deployed else ""


def _serves(model_version: str, live: LiveModel | None) -> str:
    generated = " (trained on generated reviews)" if live and live.trained_on.generated else ""
    return f"model {model_version} serves{generated}"


def _new_data(summary: RunSummary) -> str:
    counts = {"new": summary.reviews.new, "changed": summary.reviews.changed}
    words = [f"{count} {name}" for name, count in counts.items() if count]
    return f"{' and '.join(words)} reviews" if words else ""
