"""What a run's summary is worth telling, to whom at once and to whom in the daily digest. Pure functions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

Kind = Literal["failure", "recovery", "deployment", "new data", "quiet", "digest", "heartbeat"]

WATCHED_JOBS = ("pipeline", "refresh_models")
"""Jobs whose end says that the pipeline lives; a nightly pruning that succeeds says nothing of it."""

_ELLIPSIS = "…"
_PER_DIGEST = 60  # lines; a day has four runs, a burst of runs by hand some more


@dataclass(frozen=True)
class Message:
    """One thing to tell; `id` is the same however often it is delivered, `link` survives every cut."""

    id: str
    kind: Kind
    run_id: str
    title: str
    text: str
    link: str = ""


def messages_of(summary: Mapping[str, Any], *, failed_before: bool) -> list[Message]:
    """What this run gives to tell: one message, and a second where a failed run still put a model live.

    `failed_before` says that the job's last run before this one failed.
    """
    run_id, job = str(summary["run_id"]), str(summary["job"])
    link, text = str(summary.get("link") or ""), text_of(summary)

    def message(kind: Kind, title: str, about: str = run_id) -> Message:
        return Message(f"{about}:{kind}", kind, run_id, title, text, link)

    deployed = _deployed(summary)
    if summary["status"] == "FAILURE":
        # The attempts of an automatic retry share one alert: the id is that of the first.
        about = str(summary.get("attempt_of") or run_id)
        failure = message("failure", f"{job} failed: {cause(summary)}{_given_up(summary)}", about)
        return [failure, message("deployment", f"{job}: {deployed}")] if deployed else [failure]
    if summary["status"] != "SUCCESS":
        return [message("quiet", f"{job} was {summary.get('stopped') or 'cancelled'}")]
    told: list[tuple[Kind, str]] = []
    if failed_before:
        told.append(("recovery", "works again"))
    if deployed:
        told.append(("deployment", deployed))
    if data := _new_data(summary):
        told.append(("new data", data))
    if not told:
        return [message("quiet", f"{job}: nothing new")]
    return [message(told[0][0], f"{job}: {', '.join(what for _, what in told)}")]


def heartbeat_of(summary: Mapping[str, Any]) -> Message | None:
    """The ping of a run's end, for runs that say whether the pipeline lives; `text` is empty or `fail`."""
    if summary["job"] not in WATCHED_JOBS:
        return None
    run_id, good = str(summary["run_id"]), summary["status"] == "SUCCESS"
    return Message(f"{run_id}:heartbeat", "heartbeat", run_id, "ping", "" if good else "fail")


def digest_of(day: str, lines: Sequence[str]) -> Message:
    """One message for the quiet runs up to `day`."""
    count = f"{len(lines)} run{'' if len(lines) == 1 else 's'}"
    shown = list(lines[-_PER_DIGEST:])
    if len(lines) > len(shown):
        shown.insert(0, f"{len(lines) - len(shown)} earlier ones")
    return Message(f"digest:{day}", "digest", "", f"{count} with nothing new", "\n".join(shown))


def quiet_line(summary: Mapping[str, Any], message: Message) -> str:
    """A quiet run in the digest."""
    live = summary.get("live")
    serves = f"model {live['model_version']} serves" if live else "no service answers"
    if live and live.get("trained_on", {}).get("generated"):
        serves += " (trained on generated reviews)"
    return f"{summary.get('ended') or 'unknown time'} {message.title}, {serves}, run {message.run_id[:8]}"


def fitted(message: Message, *, title_most: int, body_most: int) -> tuple[str, str]:
    """Title and body within a channel's limits, in characters; link and id are kept, the text is cut.

    Where a channel knows no title (`title_most` 0) it leads the body.
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


def cause(summary: Mapping[str, Any]) -> str:
    """Why a run failed: its first failed stage, check or step."""
    for row in summary["stages"]:
        if row["status"] == "failed":
            return f"{row['stage']}: {row['reason']}"
    for row in summary["checks"]:
        if not row["passed"] and row["severity"] == "ERROR":
            return f"{row['check']}: {row['reason']}"
    for row in summary.get("failures", ()):
        return f"{row['step']}: {row['reason']}"
    return "it ended before its first step, see the run"


def _given_up(summary: Mapping[str, Any]) -> str:
    follows = str(summary.get("follows") or "")
    return f"; {follows}" if follows.startswith("given up") else ""


def _deployed(summary: Mapping[str, Any]) -> str:
    done = summary.get("deployed")
    if not done:
        return ""
    generated = ((summary.get("live") or {}).get("trained_on") or {}).get("generated")
    return f"model {done['model_version']} serves{' (trained on generated reviews)' if generated else ''}"


def _new_data(summary: Mapping[str, Any]) -> str:
    reviews = summary["reviews"]
    words = [f"{reviews[name]} {name}" for name in ("new", "changed") if reviews.get(name)]
    return f"{' and '.join(words)} reviews" if words else ""


def text_of(summary: Mapping[str, Any]) -> str:
    """Plain lines: mail, chat and webhook show them alike, and no table breaks on a phone."""
    marks = {"done": "ok", "skipped": "skipped", "stopped": "stopped", "failed": "FAILED"}
    lines = [f"Run {str(summary['run_id'])[:8]} of {summary['job']}, started {summary['trigger']}"]
    if follows := summary.get("follows"):
        lines.append(f"Next: {follows}")
    if summary.get("page"):
        lines.append(f"Summary {summary['page']}")
    lines += [
        f"{row['stage']}: {marks[row['status']]}{', ' + row['reason'] if row['reason'] else ''}"
        for row in summary["stages"]
        if row["status"] != "skipped"
    ]
    lines += [f"{row['step']}: FAILED, {row['reason']}" for row in summary.get("failures", ())]
    lines += [f"Check {row['check']} failed: {row['reason']}" for row in summary["checks"] if not row["passed"]]
    if summary.get("dataset_version"):
        lines.append(f"Data version {summary['dataset_version']}")
    if champion := summary.get("champion"):
        lines.append(f"Champion {champion['model']} {champion['model_version']}: {champion['reason']}")
        lines += [f"Warning: {told}" for told in warnings_of_champion(summary)]
    live = summary.get("live")
    lines.append(f"Live: model {live['model_version']} at {live['url']}" if live else "Live: no service answers")
    lines += [f"Warning: {live['warning']}"] if live and live.get("warning") else []
    return "\n".join(lines)


def warnings_of_champion(summary: Mapping[str, Any]) -> list[str]:
    """That generated reviews made a champion which is not live; of a live one its own warning says so."""
    champion, live = summary.get("champion") or {}, summary.get("live") or {}
    if (
        not (champion.get("trained_on") or {}).get("generated")
        or live.get("model_version") == champion["model_version"]
    ):
        return []
    return [f"{champion['model']} {champion['model_version']} was trained on generated reviews, and is not live"]
