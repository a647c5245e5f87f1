"""The outbox: every run is told once, a channel that is down gets all of it later, and no kill loses anything."""

import os
import signal
import sqlite3
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FrameType
from typing import Any

import pytest

from mlops_assets.reporting import outbox as module
from mlops_assets.reporting.messages import Kind, Message
from mlops_assets.reporting.outbox import LONGEST_BACKOFF, Outbox, Unreachable, backoff
from mlops_assets.reporting.run_summary import RunSummary
from tests.unit.reporting.summaries import DEPLOYED, FAILED, NEW, summary, write

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


@dataclass
class Listening:
    """A channel that remembers; `down` takes nothing, `refuses` is the id of a message that it never takes."""

    name: str = "one"
    down: bool = False
    refuses: str = ""
    asked: int = 0
    got: list[str] = field(default_factory=list)

    @property
    def key(self) -> str:
        return self.name

    def takes(self, kind: Kind) -> bool:
        return (kind == "heartbeat") == (self.name == "heartbeat")

    def send(self, message: Message) -> None:
        self.asked += 1
        if self.down or message.id == self.refuses:
            raise Unreachable(f"{self.name} is down")
        self.got.append(message.id)


@dataclass
class Place:
    folder: Path
    now: datetime = NOON

    @property
    def box(self) -> Outbox:
        return Outbox(self.folder / "outbox" / "outbox.sqlite")

    def told(self, *channels: Any, summaries: tuple[RunSummary, ...] = (), hour: int = 7) -> int:
        write(self.folder / "summaries", *summaries)
        self.box.take_in(self.folder / "summaries", channels, self.now)
        self.box.make_digest(channels, self.now, hour=hour)
        return self.box.deliver(channels, lambda: self.now)


@pytest.fixture
def folder() -> Iterator[Path]:
    """In memory where the system has room there: a thousand commits need not wait for a disk."""
    memory = Path("/dev/shm")  # noqa: S108  # the folder in it has a name of its own
    with TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        yield Path(folder)


@pytest.fixture
def place(folder: Path) -> Place:
    return Place(folder)


def at(hour: int) -> str:
    return (NOON.replace(hour=hour)).isoformat()


def test_each_run_is_told_once_to_each_channel(place: Place) -> None:
    one, two = Listening("one"), Listening("two")
    for _ in range(3):
        place.told(one, two, summaries=(summary(**NEW),))
    assert one.got == two.got == ["run-1:new data"]


def test_a_channel_that_is_down_gets_all_of_it_later_and_the_other_is_not_kept_waiting(place: Place) -> None:
    up, down = Listening("up"), Listening("down", down=True)
    place.told(up, down, summaries=(summary("a", **NEW, ended=at(1)),))
    place.told(up, down, summaries=(summary("b", **FAILED, ended=at(2)),))
    assert up.got == ["a:new data", "b:failure"]
    assert [(one.name, one.waiting, one.error) for one in place.box.channel_status([up, down])] == [
        ("up", 0, ""),
        ("down", 2, "down is down"),
    ]
    down.down = False
    assert place.told(up, down) == 0
    place.now += timedelta(minutes=1)
    assert place.told(up, down) == 2
    assert sorted(down.got) == sorted(up.got)  # what was never tried goes first
    assert place.box.channel_status([down])[0].error == ""


@pytest.mark.slow
def test_a_channel_is_asked_less_and_less_but_at_least_every_hour(place: Place) -> None:
    down = Listening(down=True)
    place.told(down, summaries=(summary(**NEW),))
    for _ in range(24 * 60):
        place.now += timedelta(minutes=1)
        place.told(down)
    assert 24 <= down.asked <= 34
    assert backoff(0) == timedelta(seconds=30)
    assert backoff(1_000) == LONGEST_BACKOFF


def test_a_clock_that_ran_ahead_does_not_silence_a_channel(place: Place) -> None:
    channel = Listening(down=True)
    place.now += timedelta(days=40)
    place.told(channel, summaries=(summary(**NEW),))
    channel.down, place.now = False, NOON
    assert place.told(channel) == 1


def test_a_message_that_a_channel_refuses_for_good_holds_none_back(place: Place) -> None:
    channel = Listening(refuses="a:new data")
    place.told(channel, summaries=(summary("a", **NEW, ended=at(1)),))
    for hour, run in ((2, "b"), (3, "c")):
        place.now += timedelta(hours=1)
        place.told(channel, summaries=(summary(run, **NEW, ended=at(hour)),))
    assert channel.got == ["b:new data", "c:new data"]


def test_a_failure_is_one_alert_and_the_first_success_after_it_a_recovery(place: Place) -> None:
    channel = Listening()
    place.now = NOON.replace(hour=6)  # before the digest
    place.told(channel, summaries=(summary("a", **FAILED, ended=at(1)),))
    place.told(channel, summaries=(summary("a2", **FAILED, attempt_of="a", ended=at(2)),))
    place.told(channel, summaries=(summary("p", job="prune", ended=at(3)),))
    place.told(channel, summaries=(summary("b", ended=at(4)),))
    place.told(channel, summaries=(summary("c", ended=at(5)),))
    assert channel.got == ["a:failure", "b:recovery"]


def test_a_promoted_run_tells_of_its_deployment_beside_its_failure(place: Place) -> None:
    channel = Listening()
    place.told(channel, summaries=(summary("a", **FAILED),))
    place.told(channel, summaries=(summary("a", **FAILED, **DEPLOYED, promoted_by="b"),))
    place.told(channel)
    assert channel.got == ["a:failure", "a:deployment"]


def test_quiet_runs_are_told_once_a_day(place: Place) -> None:
    channel = Listening()
    place.now = NOON.replace(hour=6)
    place.told(channel, summaries=(summary("a", ended=at(1)),))
    assert channel.got == []
    place.now = NOON.replace(hour=7)
    place.told(channel)
    assert channel.got == ["digest:2026-03-01"]
    place.told(channel, summaries=(summary("b", ended=at(8)),))
    assert channel.got == ["digest:2026-03-01"]
    place.now = NOON.replace(hour=7) + timedelta(days=1)
    place.told(channel)
    place.now += timedelta(days=1)
    place.told(channel)
    assert channel.got == ["digest:2026-03-01", "digest:2026-03-02"]


def test_runs_from_before_the_outbox_are_not_told_but_for_the_latest(place: Place) -> None:
    channel = Listening()
    old = [summary(name, **NEW, ended=at(hour)) for hour, name in enumerate("abc")]
    place.told(channel, summaries=tuple(old))
    assert channel.got == ["c:new data"]


def test_a_corrected_address_gets_what_waited_for_the_wrong_one(place: Place) -> None:
    wrong, right, other = Listening("wrong", down=True), Listening("right"), Listening("other")
    place.told(wrong, other, summaries=(summary(**NEW),))
    place.told(right, other)
    assert right.got == other.got == ["run-1:new data"]


def test_heartbeats_keep_their_order_and_people_do_not_read_them(place: Place) -> None:
    people, pings = Listening(), Listening("heartbeat", down=True)
    for hour, (name, what) in enumerate((("a", FAILED), ("b", {}), ("c", {}))):
        place.told(people, pings, summaries=(summary(name, **what, ended=at(hour)),))
    pings.down, place.now = False, NOON + timedelta(hours=2)
    place.told(people, pings)
    assert pings.got == ["a:heartbeat", "b:heartbeat", "c:heartbeat"]
    assert "a:heartbeat" not in people.got
    assert place.box.last_success() == at(2)


def test_what_was_told_is_forgotten_and_what_waits_is_not(place: Place) -> None:
    up, down = Listening("up"), Listening("down", down=True)
    place.told(up, summaries=(summary("a", **NEW, ended=at(1)),))
    place.told(down, up, summaries=(summary("b", **NEW, ended=at(2)),))
    place.box.forget(NOON + timedelta(days=60), place.folder / "summaries")
    down.down, place.now = False, NOON + timedelta(days=60)
    assert place.told(down, up) == 1
    assert down.got == ["b:new data"]


def test_a_run_is_known_as_long_as_its_summary_is_there_and_the_last_one_longer(place: Place) -> None:
    channel = Listening()
    runs = [summary(name, **FAILED, ended=at(hour)) for hour, name in enumerate("abc")]
    place.told(channel, summaries=(summary("first", **NEW, ended=at(0)), *runs))
    told = len(channel.got)
    place.now = NOON + timedelta(days=60)
    for name in "ac":
        (place.folder / "summaries" / f"{name}.json").unlink()
    place.box.forget(place.now, place.folder / "summaries")
    with closing(sqlite3.connect(place.folder / "outbox" / "outbox.sqlite")) as db:
        assert {key for (key,) in db.execute("SELECT key FROM runs")} == {"first", "b", "c"}
    place.told(channel)
    assert len(channel.got) == told
    place.told(channel, summaries=(summary("d", ended=at(9)),))
    assert channel.got[told:] == ["d:recovery"]


# A process that is killed anywhere.


@dataclass
class OnDisk:
    """A channel whose answers are on the disk, so that they survive the process that asked."""

    path: Path
    name: str

    @property
    def key(self) -> str:
        return self.name

    def takes(self, kind: Kind) -> bool:
        return kind != "heartbeat"

    def send(self, message: Message) -> None:
        with self.path.open("a", encoding="utf-8") as file:
            file.write(f"{self.name} {message.id}\n")

    def answers(self) -> Counter[str]:
        return Counter(self.path.read_text(encoding="utf-8").splitlines()) if self.path.exists() else Counter()


def channels_of(place: Place) -> list[OnDisk]:
    return [OnDisk(place.folder / "answers", name) for name in ("one", "two")]


def killed_at(place: Place, line: int) -> tuple[bool, str]:
    """Run one pass in a child that is killed before its n-th line of the outbox; whether it was, and where."""
    said = place.folder / "where"
    child = os.fork()
    if child == 0:
        count = 0

        def trace(frame: FrameType, event: str, _: Any) -> Any:
            nonlocal count
            if frame.f_code.co_filename != module.__file__:
                return None
            if event == "line":
                count += 1
                if count == line:
                    said.write_text(frame.f_code.co_name, encoding="utf-8")
                    os.kill(os.getpid(), signal.SIGKILL)
            return trace

        try:
            sys.settrace(trace)
            place.told(*channels_of(place))
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status), said.read_text(encoding="utf-8") if said.exists() else ""


@pytest.mark.slow
def test_a_process_killed_at_any_line_tells_all_and_repeats_only_between_answer_and_record(folder: Path) -> None:
    repeated: set[str] = set()
    line = 0
    while True:
        line += 1
        place = Place(folder / str(line))
        write(place.folder / "summaries", summary(**NEW))
        killed, where = killed_at(place, line)
        answered = channels_of(place)[0].answers()
        recorded = {one.name for one in place.box.channel_status(channels_of(place)) if one.waiting == 0}
        place.told(*channels_of(place))
        counts = channels_of(place)[0].answers()
        assert set(counts) == {"one run-1:new data", "two run-1:new data"}, (line, where)
        for name, count in counts.items():
            unrecorded = answered[name] == 1 and name.split()[0] not in recorded
            assert count == (2 if unrecorded else 1), (line, where, name)
            if count == 2:
                repeated.add(where)
        if not killed:
            break
    assert line > 100
    # After the channel's answer in `deliver`, and while the record is written.
    assert repeated == {"deliver", "_sent", "_transaction", "_iso"}
