"""The table of labels that people gave: one line for each, only ever added to; two clones' tables merge by union."""

import hashlib
import json
import os
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal, get_args

from filelock import FileLock

from mlops_assets.failures import PermanentFailure
from mlops_assets.files import replace_file, sync

FOLDER = "labels"
"""Below data/."""
NAME = "labels.jsonl"
Answer = Literal["negative", "neutral", "positive", "skip"]
ANSWERS: tuple[Answer, ...] = get_args(Answer)
How = Literal["page", "file", "feedback"]
_LONGEST_NAME = 64
"""That of an API key, whose feedback counts as labels."""
_LOCK_WAIT_S = 60


class BadLabel(PermanentFailure):
    """A label, or the name of who gave it, is none."""


class BrokenTable(PermanentFailure):
    """A line of the table cannot be read."""


@dataclass(frozen=True)
class Given:
    """What a person answered to a text: `text` is its digest; no answer takes back the one before; `at` is ISO 8601."""

    text: str
    answer: Answer | None
    by: str
    at: str
    how: How = "page"


def person(name: str) -> str:
    """The name that labels are recorded under; raises `BadLabel`."""
    name = " ".join(name.split())
    if not name or len(name) > _LONGEST_NAME or not name.isprintable():
        raise BadLabel(f"a labeller's name must have 1 to {_LONGEST_NAME} printable characters, got {name[:80]!r}")
    return name


class LabelTable:
    """`data/labels/labels.jsonl`. Many processes may write at once."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / NAME

    def files(self) -> dict[str, Path]:
        """The table's file by its name in a version; none without a table."""
        return {NAME: self.path} if self.path.is_file() else {}

    def given(self) -> list[Given]:
        """Every line in order of time, those taken back too. An unfinished last line of a killed writer is none."""
        return _given(self._lines())

    def add(self, text: str, answer: Answer | None, by: str, *, how: How = "page", now: datetime) -> Given:
        """Add a line durably. Its time is later than that of every line before."""
        return self.add_all([(text, answer)], by, how=how, now=now)[0]

    def add_all(
        self, answers: Collection[tuple[str, Answer | None]], by: str, *, how: How, now: datetime
    ) -> list[Given]:
        """Add lines durably."""
        by = person(by)
        for _, answer in answers:
            if answer is not None and answer not in ANSWERS:
                raise BadLabel(f"a label must be one of {', '.join(ANSWERS)}, got {answer!r}")
        with self._locked():
            last = max((line["at"] for line in self._lines()), default="")
            at = max(now, datetime.fromisoformat(last) + timedelta(microseconds=1)) if last else now
            lines = [
                Given(text, answer, by, _iso(at + timedelta(microseconds=n)), how)
                for n, (text, answer) in enumerate(answers)
            ]
            self._append([vars(line) for line in lines])
        return lines

    def take(self, given: Iterable[Given]) -> int:
        """Add labels that were given at their own times; how many were new."""
        return self.merge("".join(_line(vars(each)) for each in given))

    def merge(self, content: str) -> int:
        """Take over another clone's table; how many lines were new. What either erased stays erased."""
        with self._locked():
            mine = self._lines()
            lines = _unique([*mine, *_parsed(content, "the other clone's table")])
            added = len(lines) - len(_unique(mine))
            if lines != mine:
                self._replace(lines)
        return added

    def erase(self, texts: Collection[str]) -> int:
        """Remove every line about these texts, also from tables that are merged later; how many lines went."""
        with self._locked():
            lines = self._lines()
            hit = {line["text"] for line in lines if "text" in line} & set(texts)
            if not hit:
                return 0
            at = max(line["at"] for line in lines)
            erased = [{"erased": _erasure(text), "at": at} for text in sorted(hit)]
            kept = _unique([*lines, *erased])
            self._replace(kept)
            return len(lines) - (len(kept) - len(erased))

    def keep_erased(self, other: "LabelTable") -> None:
        """Erase here what `other` says is erased."""
        erased = [line for line in other._lines() if "erased" in line]
        if erased and self.path.is_file():
            self.merge("".join(map(_line, erased)))

    def _locked(self) -> FileLock:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        return FileLock(self.path.with_name(".lock"), timeout=_LOCK_WAIT_S)

    def _lines(self) -> list[dict[str, Any]]:
        if not self.path.is_file():
            return []
        return _parsed(self.path.read_text(encoding="utf-8"), str(self.path))

    def _append(self, lines: Iterable[Mapping[str, Any]]) -> None:
        new = not self.path.exists()
        with self.path.open("ab+") as file:
            size = file.seek(0, os.SEEK_END)
            if size:
                file.seek(0)
                whole = file.read().rfind(b"\n") + 1
                if whole < size:  # what a killed writer left
                    file.truncate(whole)
            file.write("".join(map(_line, lines)).encode())
            file.flush()
            os.fsync(file.fileno())
        if new:
            sync(self.path.parent)

    def _replace(self, lines: Iterable[Mapping[str, Any]]) -> None:
        replace_file(self.path, "".join(map(_line, lines)))


def latest(given: Iterable[Given]) -> Iterator[Given]:
    """Each person's last answer to each text, by any way of giving it; those taken back and skipped are left out."""
    last = {(each.text, each.by, each.how == "feedback"): each for each in given}
    return (each for each in last.values() if each.answer not in (None, "skip"))


def _given(lines: Iterable[Mapping[str, Any]]) -> list[Given]:
    return [Given(**line) for line in lines if "text" in line]


def _unique(lines: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Each line once, in order of time, without those that were erased at their time or later."""
    distinct = {_line(line): line for line in lines}.values()
    erased: dict[str, str] = {}
    for line in distinct:
        if "erased" in line:
            erased[line["erased"]] = max(line["at"], erased.get(line["erased"], ""))
    kept = [line for line in distinct if "erased" in line or line["at"] > erased.get(_erasure(line["text"]), "")]
    return sorted(kept, key=lambda line: (line["at"], _line(line)))


def _parsed(content: str, where: str) -> list[dict[str, Any]]:
    lines = []
    for number, line in enumerate(content.split("\n")[:-1], 1):
        try:
            record = json.loads(line)
            datetime.fromisoformat(record["at"])
            if "erased" not in record:
                Given(**record)
        except (ValueError, TypeError, KeyError) as error:
            raise BrokenTable(
                f"line {number} of {where} is no label ({error}): remove the line, or bring the table back with "
                "make restore"
            ) from error
        lines.append(record)
    return lines


def _line(record: Mapping[str, Any]) -> str:
    return json.dumps(dict(record), ensure_ascii=False, sort_keys=True) + "\n"


def _erasure(text: str) -> str:
    """A text's digest, hashed once more: a short text could be guessed from the digest."""
    return hashlib.sha256(f"erased {text}".encode()).hexdigest()


def _iso(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="microseconds")
