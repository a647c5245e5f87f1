"""Alerts that Alertmanager posts: kept as files until the outbox has them, and the message about them.

Made here, not in Prometheus: `AlertsDoNotArrive`, which fires when the alert `Watchdog`, always firing, stays away.
"""

import sqlite3
import time
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from mlops_assets.document import one_line
from mlops_assets.files import replace_file
from mlops_assets.reporting.messages import Message
from mlops_assets.reporting.summary_pages import utc_time

FOLDER = "alerts"
"""In Dagster's folder of the clone, which the receiver and the daemon share."""
WATCHDOG = "Watchdog"
SILENT_S = 180.0
"""How long Watchdog may stay away; Alertmanager passes it on every 60 to 90 seconds."""
SILENCE_ACTION = (
    "stack/stack.sh ps shows which of prometheus, alertmanager and alerts is down, stack/stack.sh logs why; "
    "make up starts it."
)
SCHEMA = "CREATE TABLE IF NOT EXISTS alerts (fingerprint TEXT PRIMARY KEY, name TEXT, since TEXT)"
"""The alerts that people were told of and that have not ended."""


class Alert(BaseModel):
    """One alert as Alertmanager's webhook describes it."""

    model_config = ConfigDict(frozen=True, validate_by_name=True, validate_by_alias=True)

    fingerprint: str
    status: Literal["firing", "resolved"]
    labels: dict[str, str]
    annotations: dict[str, str]
    since: AwareDatetime = Field(validation_alias="startsAt")
    until: AwareDatetime = Field(validation_alias="endsAt")
    source: str = Field(default="", validation_alias="generatorURL")

    @property
    def name(self) -> str:
        """Its rule's name."""
        return self.labels.get("alertname", self.fingerprint)

    @property
    def since_iso(self) -> str:
        """When it began, in a form that sorts by time."""
        return self.since.astimezone(UTC).isoformat(timespec="seconds")


class Post(BaseModel):
    """The body of one request of Alertmanager."""

    alerts: list[Alert]


@dataclass(frozen=True)
class AlertFolder:
    """Where the receiver leaves alerts and the notifier finds them."""

    path: Path

    @property
    def sign(self) -> Path:
        """The sign of life: written whenever Watchdog arrives."""
        return self.path / "watchdog"

    def put(self, body: bytes) -> None:
        """Keep a post durably. Raises `pydantic.ValidationError` for anything else, `OSError` if it cannot."""
        names = {alert.name for alert in Post.model_validate_json(body).alerts if alert.status == "firing"}
        if WATCHDOG in names:
            replace_file(self.sign, "seen\n")
        if names != {WATCHDOG}:
            replace_file(self.path / "inbox" / f"{time.time_ns()}-{uuid.uuid4().hex[:8]}.json", body)

    def posts(self) -> dict[Path, Post]:
        """What was posted, the oldest first."""
        found = sorted((self.path / "inbox").glob("*.json"))
        return {path: Post.model_validate_json(path.read_bytes()) for path in found}


@dataclass(frozen=True)
class AlertWatch:
    """What the notifier reads.

    apps: whose pipeline it is, for the messages
    silent_s: how long no sign of life is no news; 0 if nothing sends one
    """

    folder: AlertFolder
    apps: tuple[str, ...]
    silent_s: float = 0
    began: float = field(default_factory=time.time)

    @property
    def expected(self) -> bool:
        """Whether alerts may arrive at all."""
        return self.silent_s > 0 or self.folder.path.is_dir()

    def read(self) -> tuple[list[Alert], list[Path]]:
        """What was posted, with `AlertsDoNotArrive`; and the files to remove when that is in the outbox."""
        posts = self.folder.posts()
        alerts = [alert for post in posts.values() for alert in post.alerts if alert.name != WATCHDOG]
        silence = self._silence()
        return [*alerts, silence] if silence else alerts, list(posts)

    def _silence(self) -> Alert | None:
        """`AlertsDoNotArrive`, firing or resolved; None while nobody has watched for long enough to tell.

        Silence while nobody watched, as in a stack that was down, is no news.
        """
        if not self.silent_s:
            return None
        if not self.folder.sign.exists():
            replace_file(self.folder.sign, "")
        last, now = self.folder.sign.stat().st_mtime, time.time()
        silent = now - last > self.silent_s
        if silent and now - self.began <= self.silent_s:
            return None
        return Alert(
            fingerprint="watchdog",
            status="firing" if silent else "resolved",
            labels={"alertname": "AlertsDoNotArrive", "severity": "page"},
            annotations={
                "summary": "Prometheus, Alertmanager or the receiver gives no sign of life: no alert would reach you.",
                "action": SILENCE_ACTION,
            },
            since=datetime.fromtimestamp(last, UTC),
            until=datetime.fromtimestamp(now, UTC),
        )


def told_now(db: sqlite3.Connection, alerts: Iterable[Alert]) -> list[Alert]:
    """The alerts that people do not know of yet, each as it is now; they count as told from here on.

    An alert that began later than the one that people know is another one: its end may have been lost.
    """
    news: dict[str, Alert] = {}
    for alert in alerts:
        told = db.execute("SELECT since FROM alerts WHERE fingerprint = ?", (alert.fingerprint,)).fetchone()
        if alert.status == "resolved" and told:
            db.execute("DELETE FROM alerts WHERE fingerprint = ?", (alert.fingerprint,))
            news[alert.fingerprint] = alert.model_copy(update={"since": datetime.fromisoformat(told[0])})
        elif alert.status == "firing" and (told is None or told[0] < alert.since_iso):
            row = (alert.fingerprint, alert.name, alert.since_iso)
            db.execute("INSERT OR REPLACE INTO alerts VALUES (?, ?, ?)", row)
            news[alert.fingerprint] = alert
    return list(news.values())


def message_of(alerts: Sequence[Alert], apps: Sequence[str]) -> Message:
    """One message about all alerts that began or ended. `apps` says whose pipeline it is."""
    firing = [alert for alert in alerts if alert.status == "firing"]
    ended = [alert for alert in alerts if alert.status == "resolved"]
    titles = [
        f"{word}: {', '.join(dict.fromkeys(alert.name for alert in found))}"
        for word, found in (("Alert", firing), ("Resolved", ended))
        if found
    ]
    lines = [line for alert in (*firing, *ended) for line in _lines(alert)]
    return Message(
        id=f"alert:{uuid.uuid4().hex[:12]}",
        kind="failure" if firing else "recovery",
        run_id="",
        title=one_line("; ".join(titles)),
        text="\n".join(map(one_line, [*lines, f"Apps: {', '.join(apps)}"])),
        link=_page(alerts[0].source),
    )


def _lines(alert: Alert) -> list[str]:
    """What it is, where, since when, and what to do."""
    severity = alert.labels.get("severity", "alert")
    where = [f"{name}={value}" for name, value in alert.labels.items() if name not in {"alertname", "severity"}]
    since = utc_time(alert.since_iso)
    if alert.status == "resolved":
        until = utc_time(alert.until.astimezone(UTC).isoformat(timespec="seconds"))
        return [f"{alert.name} ({severity}) is over: it lasted from {since} to {until}", *where]
    return [
        f"{alert.name} ({severity}), since {since}: {alert.annotations.get('summary', '')}",
        *where,
        f"What to do: {alert.annotations.get('action', 'docs/dashboards.md')}",
    ]


def _page(source: str) -> str:
    """Prometheus's page of alerts, beside the page of the alert's query."""
    url = urlsplit(source)
    return url._replace(path=f"{url.path.rpartition('/')[0]}/alerts", query="").geturl() if url.netloc else ""
