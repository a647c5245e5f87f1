"""Notifications: sends what waits in the outbox to Apprise channels and to the heartbeat address."""

import logging
import re
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from filelock import FileLock, Timeout

from mlops_assets.params.operations import OperationRules
from mlops_assets.proxies import through_proxy
from mlops_assets.reporting.alerts import FOLDER, SILENT_S, AlertFolder, AlertWatch
from mlops_assets.reporting.messages import Kind, Message, fitted
from mlops_assets.reporting.outbox import Channel, ChannelStatus, Outbox, Unreachable
from mlops_assets.serving.overview_file import LAST_SUCCESS, SHOWN, publish
from mlops_assets.settings import Settings

MESSAGE_ID = "X-Notification-Id"
"""The header with a message's id; a duplicate carries the same id."""

_PING_TIMEOUT_S = 10.0
_TELL_TIMEOUT_S = 120.0
_COMPLAIN_EVERY_S = 3600.0
_LOG_ADDRESSES = ("httpx", "httpcore.connection", "httpcore.http11", "httpcore.proxy", "urllib3.connectionpool")
"""Loggers that write whole addresses, httpx even at INFO. The path of a channel's address is its password."""


class AppriseChannel:
    """One address of NOTIFY_URLS; Apprise is imported when something is sent."""

    def __init__(self, url: str) -> None:
        self._url = url
        # 32 bits: enough to tell channels apart, too few to confirm a guessed password.
        self.key = sha256(url.encode()).hexdigest()[:8]
        self.name = _shown(url)

    def takes(self, kind: Kind) -> bool:
        """Everything that people read."""
        return kind != "heartbeat"

    def send(self, message: Message) -> None:
        """Deliver; raises `Unreachable` with Apprise's reason, without the address's secrets."""
        import apprise

        with _no_address_logged():
            plugin: Any = apprise.Apprise.instantiate(self._url)
            if plugin is None:
                raise Unreachable(f"Apprise does not understand the address {self.name}: mend NOTIFY_URLS")
            taken, log = self._notify(plugin, message)
        if not taken:
            reason = _without_secrets(log, self._url) or "it did not take the message"
            raise Unreachable(f"{self.name}: {reason}{through_proxy(_web_address(self._url))}")

    def _notify(self, plugin: Any, message: Message) -> tuple[bool, str]:
        """Whether the plugin took the message, and what Apprise logged."""
        import apprise

        title, body = fitted(message, title_most=plugin.title_maxlen, body_most=plugin.body_maxlen)
        kind = {"failure": "failure", "recovery": "success"}.get(message.kind, "info")
        if isinstance(getattr(plugin, "headers", None), dict):
            plugin.headers[MESSAGE_ID] = message.id  # mail and webhooks; elsewhere the id ends the text
        taken, log = False, ""
        capture: Any = apprise.LogCapture(level=apprise.logging.WARNING, fmt="%(message)s")
        with capture as captured:
            file = self._attached(plugin, message)
            taken = plugin.notify(title=title, body=body, notify_type=kind, body_format="text", attach=file)
            log = " ".join(captured.getvalue().split())
        return bool(taken), log

    @staticmethod
    def _attached(plugin: Any, message: Message) -> Any:
        """The file of a weekly digest, for a channel that can attach; None otherwise, and once the file is gone."""
        import apprise

        if message.kind != "weekly" or not getattr(plugin, "attachment_support", False):
            return None
        return apprise.AppriseAttachment(message.link) if Path(message.link).is_file() else None


class Heartbeat:
    """HEARTBEAT_URL: requested after a successful run; with `/fail` appended after a failed one."""

    name = "heartbeat"

    def __init__(self, url: str) -> None:
        self._url = url
        self.key = "heartbeat"

    def takes(self, kind: Kind) -> bool:
        """Only pings."""
        return kind == "heartbeat"

    def send(self, message: Message) -> None:
        """Ping; raises `Unreachable`."""
        import httpx

        base, mark, query = self._url.partition("?")
        path = f"{base.rstrip('/')}/{message.text}" if message.text else base
        try:
            with _no_address_logged():
                answer = httpx.get(f"{path}{mark}{query}", timeout=_PING_TIMEOUT_S, follow_redirects=True)
        except httpx.HTTPError as error:
            raise Unreachable(
                f"heartbeat: {type(error).__name__}{through_proxy(self._url)}"
            ) from None  # its text may hold the address
        if answer.status_code >= 400:
            raise Unreachable(f"heartbeat: HTTP {answer.status_code}")


@dataclass(frozen=True)
class DeliveryReport:
    """What one pass delivered and what still waits; `busy` if another process was delivering."""

    delivered: int
    channels: tuple[ChannelStatus, ...]
    busy: bool = False


def trouble(channels: Sequence[ChannelStatus]) -> str:
    """Which channels fail and why; empty if none does."""
    return "; ".join(f"{channel.error} ({channel.waiting} waiting)" for channel in channels if channel.error)


class Notifier:
    """Notifies people of runs and alerts: puts news into the outbox and sends what waits there."""

    def __init__(
        self,
        folder: Path,
        *,
        summaries: Path,
        service_folder: Path,
        channels: Sequence[Channel],
        rules: Callable[[], OperationRules],
        clock: Callable[[], datetime],
        alerts: AlertWatch,
    ) -> None:
        self._folder, self._summaries, self._service_folder = folder, summaries, service_folder
        self._channels, self._rules, self._clock, self._alerts = tuple(channels), rules, clock, alerts
        self._outbox = Outbox(folder / "outbox.sqlite")
        self._complained = 0.0

    @classmethod
    def of(cls, settings: Settings, *, silent_s: float = SILENT_S) -> "Notifier":
        """The notifier of a clone: channels of NOTIFY_URLS, HEARTBEAT_URL.

        silent_s: how long Prometheus may give no sign of life, where there is one: in the stack.
        """
        channels: list[Channel] = [AppriseChannel(url.get_secret_value()) for url in settings.notify_urls]
        if settings.heartbeat_url:
            channels.append(Heartbeat(settings.heartbeat_url.get_secret_value()))
        return cls(
            settings.instance_folder / "outbox",
            summaries=settings.instance_folder / "summaries",
            service_folder=settings.service_folder,
            channels=channels,
            rules=lambda: settings.section(OperationRules),
            clock=settings.now,
            alerts=AlertWatch(
                AlertFolder(settings.instance_folder / FOLDER),
                settings.apps,
                silent_s if settings.service_network else 0,
            ),
        )

    @property
    def channel_names(self) -> list[str]:
        """The channels, without the secrets of their addresses."""
        return [channel.name for channel in self._channels]

    def deliver(self, *, wait_s: float = 0) -> DeliveryReport:
        """Read new summaries and alerts, make the digest if it is due, send what is due."""
        if not (self._summaries.is_dir() or self._alerts.expected):
            return DeliveryReport(0, tuple(self.channel_status()))
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with FileLock(self._folder / "lock").acquire(timeout=wait_s):
                return self._deliver()
        except Timeout:
            return DeliveryReport(0, (), busy=True)
        except (OSError, sqlite3.Error) as error:
            self._complain(error)
            raise

    def tell(self, message: Message) -> None:
        """Put a message that is of no run into the outbox; the next pass sends it, once."""
        self._folder.mkdir(parents=True, exist_ok=True)
        with FileLock(self._folder / "lock").acquire(timeout=_TELL_TIMEOUT_S):
            self._outbox.add(message, self._channels, self._clock())

    def firing(self) -> list[tuple[str, str]]:
        """Name and beginning of each alert that people were told of and that has not ended."""
        return self._outbox.firing() if self._folder.is_dir() else []

    def channel_status(self) -> list[ChannelStatus]:
        """What waits for each channel, and its last error; sends nothing."""
        if not self._folder.is_dir():
            return [ChannelStatus(channel.name, 0, "") for channel in self._channels]
        return self._outbox.channel_status(self._channels)

    def _deliver(self) -> DeliveryReport:
        now = self._clock()
        self._outbox.take_in(self._summaries, self._channels, now)
        self._renew_last_success()
        self._take_in_alerts(now)
        self._outbox.make_digest(self._channels, now, hour=self._rules().digest_hour)
        delivered = self._outbox.deliver(self._channels, self._clock)
        self._outbox.forget(now, self._summaries)
        return DeliveryReport(delivered, tuple(self._outbox.channel_status(self._channels)))

    def _take_in_alerts(self, now: datetime) -> None:
        alerts, files = self._alerts.read()
        if alerts:
            self._outbox.take_in_alerts(alerts, self._channels, now, apps=self._alerts.apps)
        for path in files:
            path.unlink()

    def _complain(self, error: Exception) -> None:
        """Tell people without the outbox that it cannot be used, once an hour: nothing else would reach them."""
        if time.time() < self._complained + _COMPLAIN_EVERY_S:
            return
        cause = f"{self._folder}: {error}. The disk may be full, or the folder another user's."
        text = f"{cause} News waits until it can be written."
        message = Message("outbox", "failure", "", "Notifications cannot be stored", text)
        for channel in self._channels:
            if channel.takes(message.kind):
                with suppress(Unreachable):  # the cause is raised, and a channel out of reach can be told nothing
                    channel.send(message)
                    self._complained = time.time()

    def _renew_last_success(self) -> None:
        last = self._outbox.last_success()
        if last is None:
            return
        text = f"{datetime.fromisoformat(last).timestamp():.0f}\n"
        path = self._service_folder / SHOWN / LAST_SUCCESS
        if path.is_file() and path.read_text(encoding="utf-8") == text:
            return
        publish(self._service_folder, LAST_SUCCESS, text)


@contextmanager
def _no_address_logged() -> Iterator[None]:
    """Silences loggers that write addresses, and keeps Apprise's log lines out of every other log."""
    apprise_log = logging.getLogger("apprise")
    apprise_log.propagate = False
    if not apprise_log.handlers:
        apprise_log.addHandler(logging.NullHandler())  # without a handler Python prints warnings itself
    talking = [log for name in _LOG_ADDRESSES if not (log := logging.getLogger(name)).disabled]
    for log in talking:
        log.disabled = True
    try:
        yield
    finally:
        for log in talking:
            log.disabled = False


def _web_address(url: str) -> str:
    """The web address that decides about the proxy; empty for mail, which uses none.

    Apprise knows the hosts of chat services itself; here NO_PROXY is judged by the host in the address.
    """
    scheme, _, rest = url.partition("://")
    if scheme.startswith("mailto"):
        return ""
    return f"{'http' if scheme in {'json', 'xml', 'form'} else 'https'}://{urlsplit(f'x://{rest}').hostname or ''}"


def _shown(url: str) -> str:
    """The scheme, and for plain mail and web addresses the host; in other addresses even the host is a secret."""
    scheme, _, rest = url.partition("://")
    host = urlsplit(f"x://{rest}").hostname or ""
    plain = scheme in {"json", "jsons", "xml", "xmls", "form", "forms", "mailto", "mailtos"}
    return f"{scheme}://{host}" if plain else f"{scheme}://…"


def _without_secrets(text: str, url: str) -> str:
    """The text without any part of the address, except its scheme and a host that may be shown."""
    shown = set(re.split(r"://", _shown(url)))
    parts = {unquote(part) for part in re.split(r"[/:@?&=,]+", url)} | set(re.split(r"[/:@?&=,]+", url))
    for part in sorted(parts - shown, key=len, reverse=True):
        if len(part) >= 3:
            text = text.replace(part, "***")
    return text[:300]
