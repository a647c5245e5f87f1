"""Months of raw reviews as validated and quarantined files; a month whose content is known is not read again."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import Any, Self

import pandas as pd
import pyarrow as pa

from mlops_assets.code_version import code_version
from mlops_assets.files import sha256, stamp
from mlops_assets.reviews.quality import schema
from mlops_assets.reviews.stored import columns, privacy
from mlops_assets.reviews.stored.kept import Kept
from mlops_assets.reviews.stored.privacy import TEXTS, count_masks
from mlops_assets.reviews.stored.store import ReviewStore
from mlops_assets.spread.spread import Spread, here

_SHOWN = 5
_MOST_BYTES = 4 * 1024 * 1024
"""Of raw files that are judged in one pass: some 50,000 reviews. A pass has a fixed cost, and needs memory."""
_MONTH = re.compile(r"\d{4}-(0[1-9]|1[0-2])")


@dataclass(frozen=True)
class MonthResult:
    """What validation found in one app's month. `examples` are quarantined reviews: review_id, month, reasons.

    `masked` counts the masks over personal data by column and kind, in usable and quarantined reviews.
    """

    app_id: str
    month: str
    good: int = 0
    quarantined: int = 0
    deleted: int = 0
    reasons: Mapping[str, int] = field(default_factory=dict)
    examples: tuple[Mapping[str, Any], ...] = ()
    masked: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    unchanged: bool = False


@dataclass(frozen=True)
class _Pass:
    """Months of an app that are judged in one pass."""

    data: Path
    app_id: str
    months: tuple[str, ...]


def validate_months(data: Path, app_id: str, months: Sequence[str]) -> list[MonthResult]:
    """`validate_apps` for one app, in this process."""
    return validate_apps(data, {app_id: months})


def validate_apps(data: Path, months_by_app: Mapping[str, Sequence[str]], spread: Spread = here) -> list[MonthResult]:
    """Validate `data/raw/<app_id>/<month>.parquet` into `validated/` and `quarantine/`; no rows, no file.

    The last result is kept in `validated/<app_id>/.validation/<month>.json` with the hashes of the rules and of all
    three files; while they are the same, that result is returned. A file with an unchanged stamp is not hashed. The
    other months are judged in passes of some megabytes, which may run at the same time.
    """
    done: dict[tuple[str, str], MonthResult] = {}
    hashes = {app: _Hashes(data, app) for app in months_by_app}
    passes: list[_Pass] = []
    for app, months in months_by_app.items():
        stored = set(ReviewStore(data / "raw").months(app))
        due: list[str] = []
        for month in months:
            files = _Files.of(data, app, month, hashes[app])
            if month not in stored:
                files.remove()
                done[app, month] = MonthResult(app, month, unchanged=True)
            elif (known := files.known()) is not None:
                done[app, month] = known
            else:
                due.append(month)
        passes += _passes(data, app, due)
    for results, known in spread(_judge, passes):
        done |= {(found.app_id, found.month): found for found in results}
        for app in {found.app_id for found in results}:
            hashes[app].kept.used |= known
    for known in hashes.values():
        known.save()
    return [done[app, month] for app, months in months_by_app.items() for month in months]


def _passes(data: Path, app_id: str, months: Sequence[str]) -> Iterator[_Pass]:
    """The months in their order, as many to a pass as `_MOST_BYTES` allow."""
    together: list[str] = []
    size = 0
    for month in months:
        size += (grown := (data / "raw" / app_id / f"{month}.parquet").stat().st_size)
        if together and size > _MOST_BYTES:
            yield _Pass(data, app_id, tuple(together))
            together, size = [], grown
        together.append(month)
    if together:
        yield _Pass(data, app_id, tuple(together))


def _judge(judged_together: _Pass) -> "tuple[list[MonthResult], dict[str, list[Any]]]":
    """The results of the months, whose files it writes, and what it knows of these files' hashes."""
    data, app_id = judged_together.data, judged_together.app_id
    hashes = _Hashes(data, app_id)
    frames = {month: columns.read_frame(data / "raw" / app_id / f"{month}.parquet") for month in judged_together.months}
    judged = schema.validate(pd.concat(frames.values(), ignore_index=True))
    good_month = columns.month_of(judged.good["review_date"])
    bad_month = columns.month_of(judged.quarantined["review_date"])
    results: list[MonthResult] = []
    for month, rows in frames.items():
        good = pd.DataFrame(judged.good[good_month == month])
        bad = pd.DataFrame(judged.quarantined[bad_month == month])
        deleted = int(rows["deleted_at"].notna().sum())
        results.append(_Files.of(data, app_id, month, hashes).write(good, bad, deleted))
    return results, hashes.kept.used


def months_outdated(data: Path, app_id: str) -> list[str]:
    """Months that were never validated, or of which the stored reviews, the result or the rules changed since.

    An edited review moves to the month of the edit, and a run may cover that month alone: until the old month is
    validated again, a version would hold the review twice.
    """
    folder = data / "validated" / app_id
    stored = set(ReviewStore(data / "raw").months(app_id))
    hashes = _Hashes(data, app_id)
    known = {path.stem for path in [*folder.glob("*.parquet"), *(folder / ".validation").glob("*.json")]}
    # A file that is no month is somebody's own: it is neither validated nor removed.
    months = sorted(filter(_MONTH.fullmatch, known | stored))
    found = [month for month in months if month not in stored or _Files.of(data, app_id, month, hashes).known() is None]
    hashes.save()
    return found


class _Hashes:
    """SHA-256 of an app's files, with the stamps under which they were computed: `.validation/hashes.json`."""

    def __init__(self, data: Path, app_id: str) -> None:
        self._data = data
        self.kept = Kept(data / "validated" / app_id / ".validation" / "hashes.json")

    def of(self, path: Path) -> str:
        """The file's SHA-256, or "none" if there is no file."""
        if not path.exists():
            return "none"
        return self.kept.of(path.relative_to(self._data).as_posix(), list(stamp(path)), partial(sha256, path))

    def save(self) -> None:
        self.kept.save(others=lambda name: (self._data / name).exists())


@dataclass(frozen=True)
class _Files:
    """The files of one app's month."""

    app_id: str
    month: str
    raw: Path
    good: Path
    bad: Path
    record: Path
    hashes: _Hashes

    @classmethod
    def of(cls, data: Path, app_id: str, month: str, hashes: _Hashes) -> Self:
        name = f"{app_id}/{month}.parquet"
        raw, good, bad = (data / folder / name for folder in ("raw", "validated", "quarantine"))
        return cls(
            app_id,
            month,
            raw,
            good,
            bad,
            good.parent / ".validation" / f"{month}.json",
            hashes,
        )

    def remove(self) -> None:
        for leftover in (self.record, self.good, self.bad):
            leftover.unlink(missing_ok=True)

    def known(self) -> MonthResult | None:
        """What the last validation found, if it would find the same again."""
        if not self.record.is_file():
            return None
        stored = json.loads(self.record.read_text(encoding="utf-8"))
        if stored.pop("content") != self._content():
            return None
        return MonthResult(**{**stored, "examples": tuple(stored["examples"]), "unchanged": True})

    def write(self, good: pd.DataFrame, bad: pd.DataFrame, deleted: int) -> MonthResult:
        # Without its record a month is validated again, so a kill between these writes leaves nothing wrong for good.
        self.record.unlink(missing_ok=True)
        if good.empty:
            self.good.unlink(missing_ok=True)
        else:
            columns.write_frame(good, self.good)
        if bad.empty:
            self.bad.unlink(missing_ok=True)
        else:
            reasons = pa.array(bad["reasons"].tolist(), pa.string())
            columns.write_table(columns.to_table(bad).append_column("reasons", reasons), self.bad)
        counts = bad["reasons"].str.split("; ").explode().value_counts()
        found = MonthResult(
            app_id=self.app_id,
            month=self.month,
            good=len(good),
            quarantined=len(bad),
            deleted=deleted,
            reasons={str(reason): int(count) for reason, count in counts.items()},
            examples=tuple(
                {"review_id": row.review_id, "month": self.month, "reasons": row.reasons}
                for row in bad.head(_SHOWN).itertuples()
            ),
            masked=count_masks(pd.concat([good[list(TEXTS)], bad[list(TEXTS)]])),
        )
        record = json.dumps({"content": self._content(), **asdict(found)}, ensure_ascii=False)
        columns.write_bytes(record.encode(), self.record)
        return found

    def _content(self) -> str:
        return " ".join([_rules_digest(), *(self.hashes.of(path) for path in (self.raw, self.good, self.bad))])


@cache
def _rules_digest() -> str:
    """Of the rules' code: a changed rule validates everything again."""
    return code_version(*(module.__name__ for module in (columns, schema, privacy)))
