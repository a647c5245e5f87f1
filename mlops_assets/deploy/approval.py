"""Approval of a new release by a person, by the deployment log: what waits, who decided, what may go live."""

import os
import pwd
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Literal

from mlops_assets.deploy.history import ALL, DeploymentLog, Entry, Hold
from mlops_assets.failures import PermanentFailure
from mlops_assets.params.operations import Watching

Decision = Literal["approve", "reject"]
ON_THE_PAGE = "page"
"""How a decision on the page for releases is recorded: a sensor deploys what was approved there."""
_LONGEST_COMMENT = 500
_DECIDED: dict[Decision, Literal["approved", "rejected"]] = {"approve": "approved", "reject": "rejected"}


class NotDecided(PermanentFailure):
    """The decision is refused: nothing waits for it any more, or somebody decided before."""


@dataclass(frozen=True)
class Waiting:
    """A release that waits for approval until `until`; `entry` is its line in the log."""

    entry: Entry
    until: datetime

    @property
    def shown_until(self) -> str:
        return f"{self.until:%Y-%m-%d %H:%M} UTC"


class Approval:
    """The rule of params.yaml, applied to the deployment log. Without the rule nothing waits."""

    def __init__(
        self, log: DeploymentLog, rules: Watching, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._log, self._rules, self._now = log, rules, now

    def must_ask(self, wanted: str) -> bool:
        """Whether release `wanted` has to be tried and parked: nobody was asked, or nobody answered in time."""
        if self._rules.approval == "none":
            return False
        last = _last(self._log.entries(ALL), wanted)
        return last is None or (last.outcome == "waits" and self._waiting(last).until <= self._now())

    def hold(self, wanted: str) -> Hold | None:
        """Why release `wanted` may not go live. None if it may: approved, live before, or no approval is required."""
        if self._rules.approval == "none":
            return None
        entries = self._log.entries(ALL)
        last = _last(entries, wanted)
        if last is not None and last.outcome in {"live", "approved"}:
            return None
        serves = next((entry.release_version for entry in entries if entry.outcome == "live"), "")
        if last is None:
            return Hold(serves, f"release {wanted} needs approval: the next run tries it and asks")
        if last.outcome == "rejected":
            return Hold(serves, f"{_rejected(last)}: it stays out until there is a new one")
        waiting = self._waiting(last)
        if waiting.until <= self._now():
            return Hold(serves, f"nobody approved release {wanted} until {waiting.shown_until}: the next run asks anew")
        said = f"release {wanted} waits for approval until {waiting.shown_until}: make approve, or make reject"
        return Hold(serves, said, waits=True)

    def waiting(self, wanted: str) -> Waiting | None:
        """Release `wanted` if it waits for a decision."""
        hold = self.hold(wanted)
        last = _last(self._log.entries(ALL), wanted)
        return self._waiting(last) if hold is not None and hold.waits and last is not None else None

    def decide(self, decision: Decision, release: str, *, wanted: str, by: str, how: str, comment: str = "") -> Entry:
        """Put a person's decision on record; raises `NotDecided`. The same decision again changes nothing.

        release: a release or model version; empty for the one that waits
        wanted: the release of the present champion, the only one that may go live
        how: on which way the decision came
        """
        by, comment = " ".join(by.split()), " ".join(comment.split())
        if not by or len(by) > 64 or not by.isprintable():
            raise NotDecided(f"a name must have 1 to 64 printable characters, got {by[:80]!r}: BY=name")
        if len(comment) > _LONGEST_COMMENT or not comment.isprintable():
            raise NotDecided(f"a comment has at most {_LONGEST_COMMENT} printable characters, got {len(comment)}")
        recorded: list[Entry] = []

        def entry_for(entries: list[Entry]) -> Entry | None:
            last = self._to_decide(entries, decision, release, wanted)
            if last.outcome != "waits":
                recorded.append(last)
                return None
            now = self._now().astimezone(UTC).isoformat(timespec="milliseconds")
            outcome = _DECIDED[decision]
            return replace(last, at=now, outcome=outcome, caused_by=f"{by} ({how})", reason=comment)

        return self._log.add_decided(entry_for) or recorded[0]

    def approved_on_page(self) -> Entry | None:
        """The newest release that was approved on the page and has not been live since."""
        for entry in self._log.entries(ALL):
            if entry.outcome in {"live", "waits", "rejected"}:
                return None
            if entry.outcome == "approved":
                return entry if entry.caused_by.endswith(f"({ON_THE_PAGE})") else None
        return None

    def _to_decide(self, entries: Sequence[Entry], decision: Decision, release: str, wanted: str) -> Entry:
        """The last entry of the release: one that waits, or one that was decided alike."""
        asked = [entry for entry in entries if entry.outcome == "waits"]
        if release:
            asked = [entry for entry in asked if release in {entry.release_version, entry.model_version}]
        if not asked:
            named = f"release {release} does not wait" if release else "no release waits"
            raise NotDecided(f"{named} for approval: make status says what waits, make deployments what was decided")
        name = asked[0].release_version
        last = _last(entries, name) or asked[0]
        if last.outcome == "rejected":
            if decision == "reject":
                return last
            raise NotDecided(f"{_rejected(last)}: it stays out until there is a new one")
        if last.outcome in {"approved", "live"} and decision == "reject":
            raise NotDecided(f"release {name} is approved already ({last.caused_by}): make rollback takes it back")
        if name != wanted:
            raise NotDecided(f"release {name} is superseded: the champion's release is {wanted or 'none'}. make status")
        if last.outcome in {"approved", "live"}:
            return last
        waiting = self._waiting(last)
        if waiting.until <= self._now():
            raise NotDecided(
                f"release {name} waited until {waiting.shown_until}: the next run asks anew, make run at once"
            )
        return last

    def _waiting(self, entry: Entry) -> Waiting:
        return Waiting(entry, datetime.fromisoformat(entry.at) + timedelta(hours=self._rules.approval_hours))


def user_of_machine() -> str:
    """The name of this process's user; empty if the machine has none for it, as a container."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return ""


def _last(entries: Sequence[Entry], release_version: str) -> Entry | None:
    """The newest entry that says whether the release may go live."""
    counts = {"waits", "approved", "rejected", "live"}
    return next((each for each in entries if each.release_version == release_version and each.outcome in counts), None)


def _rejected(entry: Entry) -> str:
    comment = f", {entry.reason!r}" if entry.reason else ""
    return f"release {entry.release_version} was rejected by {entry.caused_by}{comment}"
