"""A copy elsewhere that follows what is here: what it lacks, one pass to catch up, and why it is behind.

What is mirrored consists of items. Each has a mark that changes with it, and the marks that the copy has are kept in a
file. So a pass costs what changed, and one that was killed goes on where it ended.
"""

import json
import re
import time
import uuid
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Protocol
from urllib.parse import unquote

from filelock import FileLock, Timeout

from mlops_assets.failures import Failure, PermanentFailure, TransientFailure
from mlops_assets.files import replace_file

_SAVED_EVERY_S = 1.0


class MirrorAway(TransientFailure):
    """The copy cannot be reached or takes nothing; a later pass goes on from there."""


class ItemRefused(PermanentFailure):
    """The copy takes other items, but not this one."""


class MirrorBehind(TransientFailure):
    """A pass ended before the copy had everything."""


class Copy(Protocol):
    """The other place, while it is open."""

    def token(self, follower: str) -> str | None:
        """What `set_token` left there last; None if it is another place, or one that was emptied."""
        ...

    def set_token(self, follower: str, token: str) -> None:
        """Leave a sign there that this follower's pass was here."""
        ...

    def write(self, key: str, mark: str) -> None:
        """Make the copy of an item equal to the item, whose mark is this.

        Raises `MirrorAway`, or `PermanentFailure` if only this item cannot be written.
        """
        ...

    def remove(self, key: str) -> None:
        """Remove the copy of an item that is not here any more."""
        ...


class Followed(Protocol):
    """What is mirrored, and where to."""

    @property
    def name(self) -> str:
        """The other place, for people."""
        ...

    @property
    def items(self) -> str:
        """What the items are, in the plural."""
        ...

    @property
    def removes(self) -> bool:
        """Whether the copy loses what is not here any more."""
        ...

    @property
    def address(self) -> str:
        """The other place without secrets. Under another address the copy begins from nothing."""
        ...

    def marks(self) -> Mapping[str, str]:
        """The mark of each item that is here, in the order in which they are to be written. Asks no network."""
        ...

    def keep(self, done: Mapping[str, str]) -> None:
        """Keep what may be gone before a pass reaches the copy; `done` are the marks that it has. Asks no network."""
        ...

    def open(self) -> AbstractContextManager[Copy]:
        """The other place. Raises `MirrorAway`."""
        ...


@dataclass
class _State:
    """What the copy at `address` has.

    token: the sign that the last pass left there. If the copy shows another one, it was emptied or restored
    since: when a pass first failed, as ISO time; empty if the last one succeeded
    """

    address: str = ""
    follower: str = ""
    token: str = ""
    trouble: str = ""
    since: str = ""
    done: dict[str, str] = field(default_factory=dict)


class Mirror:
    """One copy that follows. Its file lies in `folder`; only one process at a time makes a pass."""

    def __init__(self, followed: Followed, folder: Path, clock: Callable[[], datetime]) -> None:
        self.followed = followed
        self._folder, self._clock = folder, clock
        self._path = folder / f"{followed.name.lower()}.json"

    def waiting(self) -> tuple[str, ...]:
        """The keys of the items that the copy lacks, has in an older form, or should not have any more."""
        return self._waiting(self.followed.marks(), self._load().done)

    def keep(self) -> None:
        """Keep what may be gone before the next pass."""
        self.followed.keep(self._load().done)

    def behind(self) -> str:
        """What the copy lacks, since when and why, in one line; empty if it has everything."""
        marks, state = self.followed.marks(), self._load()
        if not (waiting := self._waiting(marks, state.done)):
            return ""
        line = f"{self.followed.name} lacks {len(waiting)} of {len(marks.keys() | state.done.keys())} "
        line += self.followed.items
        since = f", behind since {datetime.fromisoformat(state.since):%Y-%m-%d %H:%M} UTC" if state.since else ""
        return f"{line}{since}{': ' * bool(state.trouble)}{state.trouble}"

    def catch_up(self, report: Callable[[str], None], *, within_s: float | None = None, wait_s: float = 0) -> str:
        """One pass; why the copy is still behind, empty if it is not.

        within_s: no item is begun after so many seconds
        wait_s: how long to wait for another process that makes a pass
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        try:
            with FileLock(self._path.with_suffix(".lock")).acquire(timeout=wait_s):
                self._pass(report, None if within_s is None else time.monotonic() + within_s)
        except Timeout:
            return f"{self.followed.name}: another process brings it up to date at this moment"
        return self.behind()

    def _pass(self, report: Callable[[str], None], until: float | None) -> None:
        state = self._load()
        self.followed.keep(state.done)
        trouble = ""
        try:
            with self.followed.open() as copy:
                trouble = self._follow(copy, state, report, until)
        except Failure as failure:
            trouble = str(failure)
        state.trouble = trouble
        state.since = (state.since or self._clock().isoformat(timespec="seconds")) if trouble else ""
        self._save(state)

    def _follow(self, copy: Copy, state: _State, report: Callable[[str], None], until: float | None) -> str:
        """Bring what waits to the copy; what it refused, empty if nothing."""
        if state.done and copy.token(state.follower) != state.token:
            report(f"{self.followed.name} was emptied or restored: every item is compared with it")
            state.done.clear()
        marks = self.followed.marks()
        waiting, refused, saved = self._waiting(marks, state.done), "", time.monotonic()
        if not waiting:
            return ""
        state.token = uuid.uuid4().hex
        copy.set_token(state.follower, state.token)
        self._save(state)
        for number, key in enumerate(waiting):
            if until is not None and time.monotonic() > until:
                report(
                    f"{self.followed.name}: {len(waiting) - number} {self.followed.items} are left for the next pass"
                )
                break
            try:
                if key in marks:
                    copy.write(key, marks[key])
                    state.done[key] = marks[key]
                else:
                    copy.remove(key)
                    del state.done[key]
            except PermanentFailure as failure:
                refused = refused or f"{key}: {failure}"
                report(f"{self.followed.name} refused {key}: {failure}")
            if time.monotonic() - saved > _SAVED_EVERY_S:
                self._save(state)
                saved = time.monotonic()
        return refused

    def _waiting(self, marks: Mapping[str, str], done: Mapping[str, str]) -> tuple[str, ...]:
        changed = [key for key, mark in marks.items() if done.get(key) != mark]
        return (*changed, *(key for key in done if self.followed.removes and key not in marks))

    def _load(self) -> _State:
        """The state of this address. A damaged file is as good as none: every item is compared again."""
        try:
            state = _State(**json.loads(self._path.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            state = _State()
        if state.address != self.followed.address:
            state = _State(address=self.followed.address, follower=state.follower)
        state.follower = state.follower or uuid.uuid4().hex
        return state

    def _save(self, state: _State) -> None:
        replace_file(self._path, json.dumps(asdict(state)))


def without_secrets(text: str, url: str) -> str:
    """The text in one line, at most 300 characters, without user and password of `url`."""
    login = url.partition("://")[2].rpartition("@")[0]
    parts = {form for part in login.split(":", 1) for form in (part, unquote(part)) if len(form) >= 3}
    for part in sorted(parts, key=len, reverse=True):
        text = text.replace(part, "***")
    return re.sub(r"\s+", " ", text).strip()[:300]


def without_login(url: str) -> str:
    """The address alone: no user, no password, no options."""
    # To the last @: a password whose / or ? nobody escaped is not shown either.
    return re.sub(r"//.*@", "//", url).partition("?")[0].rstrip("/")
