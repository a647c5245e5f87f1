"""What became of each row of a file: taken, put aside with a reason, or a repeat. The three always add up.

Not here: what makes a row unusable (files.py, schema.py).
"""

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import pandas as pd

from mlops_assets.document import for_spreadsheet
from mlops_assets.reviews.stored import columns

TAKEN, QUARANTINED, REPEAT = "taken", "quarantined", "repeats"
_FATES = (TAKEN, QUARANTINED, REPEAT)
_ASIDE = ("app_id", "month", "reason", "value")
_FIRST_ROWS, _APPS, _MONTHS, _REASONS = 3, 3, 6, 4
"""How much of each the printed balance shows; the record of the quarantine and Dagster's table hold all."""

IN_THE_FUTURE = "dated in the future"
"""How the reason of a row begins that can be taken later."""

RECORDS = Path("quarantine") / "files"
"""Below data/: for each file the rows that were put aside, by number and reason, without their texts."""


@dataclass(frozen=True)
class Balance:
    """The fate of every row of one file.

    rows: rows with at least one filled cell; `blank` counts the others
    by_month: app_id, month ("" without a date), and how many rows were taken, quarantined or repeats
    aside: the rows in quarantine, by their number in the file: app_id, month, reason, and value (the cell that broke
    the rule)
    first_repeats: the numbers of the first repeats
    unit: what the numbers count: line, row or record
    assumed: what was decided about the file, and why
    notes: what was repaired or left out on the way to cells
    personal: masks over personal data in texts and replies, by kind
    """

    file: str
    rows: int
    by_month: pd.DataFrame
    aside: pd.DataFrame
    first_repeats: tuple[int, ...] = ()
    unit: str = "row"
    blank: int = 0
    assumed: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()
    left_behind: tuple[str, ...] = ()
    masked: int = 0
    personal: Mapping[str, int] = field(default_factory=dict[str, int])
    counts: dict[str, int] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "counts", {fate: int(self.by_month[fate].sum()) for fate in _FATES})
        if sum(self.counts.values()) != self.rows or not self.aside.index.is_unique:
            raise AssertionError(f"{self.file}: {self.rows} rows read, but {self.counts}: report this as a fault")

    @classmethod
    def of(cls, file: str, rows: int, fates: pd.DataFrame, **about: Any) -> Self:
        """From a row for each row read, by its number: app_id, month, fate, reason and value, both "" if it was
        taken.
        """
        if not fates.index.is_unique:
            raise AssertionError(f"{file}: rows share a number: report this as a fault")
        table = fates.groupby(["app_id", "month", "fate"]).size().unstack("fate", fill_value=0)
        by_month = pd.DataFrame(table.reindex(columns=list(_FATES), fill_value=0).reset_index())
        aside = fates.loc[fates["fate"] == QUARANTINED, [*_ASIDE]]
        repeats = fates.index[fates["fate"] == REPEAT][:_FIRST_ROWS]
        return cls(file, rows, by_month, pd.DataFrame(aside), tuple(map(int, repeats)), **about)

    @classmethod
    def of_record(cls, record: Mapping[str, Any]) -> Self:
        """From what `as_record` gave."""
        tuples = {name: tuple(value) for name, value in record.items() if isinstance(value, list)}
        aside = pd.DataFrame(record["aside"], columns=["number", *_ASIDE], dtype=object).set_index("number")
        by_month = pd.DataFrame(record["by_month"], columns=["app_id", "month", *_FATES])
        return cls(**{**record, **tuples, "by_month": by_month, "aside": aside})

    def as_record(self) -> dict[str, Any]:
        """The balance for JSON."""
        kept = {name: value for name, value in vars(self).items() if name != "counts"}
        frames = {"by_month": self.by_month.to_numpy().tolist(), "aside": self.aside.reset_index().to_numpy().tolist()}
        return {**kept, "personal": dict(self.personal), **frames}

    @property
    def taken(self) -> int:
        return self.counts[TAKEN]

    @property
    def quarantined(self) -> int:
        return self.counts[QUARANTINED]

    @property
    def repeats(self) -> int:
        return self.counts[REPEAT]

    @property
    def waits_for_the_clock(self) -> bool:
        """Whether a row is in quarantine only until its date comes."""
        return bool(self.aside["reason"].astype("str").str.startswith(IN_THE_FUTURE).any())

    def summary(self) -> str:
        """The balance in one line."""
        blank = f" (besides {self.blank} blank rows)" if self.blank else ""
        return f"{self.file}: {self.rows} rows read{blank} = {_sum(self.counts)}"

    def reasons(self) -> list[tuple[str, int, list[tuple[Any, str]]]]:
        """Each reason of the quarantine, the commonest first, with its count and its first rows as (number, value)."""
        found = []
        for reason, count in self.aside["reason"].value_counts().items():
            rows = self.aside[self.aside["reason"] == reason]["value"].head(_FIRST_ROWS)
            found.append((str(reason), int(count), list(rows.items())))
        return found

    def described(self, reason: str, count: int, first: Sequence[tuple[Any, str]]) -> str:
        """A reason with its first rows, and what to do."""
        what, colon, remedy = reason.partition(": ")
        return f"{count} {what} ({self._shown(first, count)}){colon}{remedy}"

    def table(self) -> list[dict[str, Any]]:
        """`by_month` with the file's name, for Dagster."""
        rows = self.by_month.to_dict("records")
        return [{"file": self.file, **{str(name): value for name, value in row.items()}} for row in rows]

    def __iter__(self) -> Iterator[str]:
        """The balance as a person reads it, a dozen lines at most for usual files."""
        yield self.summary()
        yield from (f"  {line}" for line in self._apps())
        reasons = self.reasons()
        for reason, count, first in reasons[:_REASONS]:
            yield f"  in quarantine: {self.described(reason, count, first)}"
        if len(reasons) > _REASONS:
            more = sum(count for _, count, _ in reasons[_REASONS:])
            yield f"  in quarantine: {more} for {len(reasons) - _REASONS} other reasons"
        if self.quarantined:
            yield f"  all rows in quarantine by number: data/{record_of(self)}"
        if self.repeats:
            shown = self._shown([(number, "") for number in self.first_repeats], self.repeats)
            yield f"  repeats: another row with the same id is newer ({shown})"
        yield from (f"  assumed: {decision}" for decision in self.assumed)
        yield from (f"  note: {note}" for note in self.notes)
        if self.ignored:
            yield f"  columns ignored: {', '.join(self.ignored)}"
        if self.left_behind:
            masked = f"; the name is masked in {self.masked} replies" if self.masked else ""
            yield f"  left behind, since they say who people are: {', '.join(self.left_behind)}{masked}"
        if self.personal:
            counts = ", ".join(f"{count} {kind}" for kind, count in self.personal.items())
            yield f"  personal data masked in texts and replies: {counts}"

    def _apps(self) -> Iterator[str]:
        rows = self.by_month
        apps = rows.groupby("app_id")[list(_FATES)].sum().sort_values(TAKEN, ascending=False, kind="stable")
        for app, counts in apps[:_APPS].to_dict("index").items():
            taken = rows[(rows["app_id"] == app) & (rows[TAKEN] > 0) & (rows["month"] != "")]
            yield f"{app or 'no app'}: {_sum(counts)}{_months(taken)}"
        if len(rest := apps[_APPS:]):
            yield f"{len(rest)} more apps: {_sum(rest.sum().to_dict())}"

    def _shown(self, first: Sequence[tuple[Any, str]], count: int) -> str:
        rows = ", ".join(f"{self.unit} {number}{f': {value}' if value else ''}" for number, value in first)
        return rows + (", …" if count > len(first) else "")


def record_of(balance: Balance) -> Path:
    """The record of the file's rows in quarantine, below data/."""
    return RECORDS / f"{balance.file}-rows.csv"


def keep_record(balance: Balance, data: Path) -> None:
    """Write which rows of the file are in quarantine below `data`; no rows, no record."""
    path = data / record_of(balance)
    if not balance.quarantined:
        path.unlink(missing_ok=True)
        return
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow([balance.unit, *_ASIDE])
    writer.writerows(map(for_spreadsheet, row) for row in balance.aside.itertuples())
    content = text.getvalue().encode()
    if not path.is_file() or path.read_bytes() != content:
        columns.write_bytes(content, path)


@dataclass(frozen=True)
class Balances:
    """The balances of a list of files. `distinct` counts each review that was taken once, even if several files hold
    it; None if the files were not read together.
    """

    files: tuple[Balance, ...] = ()
    distinct: int | None = 0

    def __iter__(self) -> Iterator[str]:
        """Every file's balance, then the sum if there are several files."""
        yield from (line for balance in self.files for line in balance)
        if len(self.files) > 1:
            yield self.summary()

    def summary(self) -> str:
        """All files in one line."""
        if len(self.files) == 1:
            return self.files[0].summary()
        counts = {fate: sum(balance.counts[fate] for balance in self.files) for fate in _FATES}
        again = 0 if self.distinct is None else counts[TAKEN] - self.distinct
        counts = {**counts, TAKEN: counts[TAKEN] - again, REPEAT: counts[REPEAT] + again}
        more = f", {again} of them of another file" if again else ""
        read = sum(balance.rows for balance in self.files)
        return f"{len(self.files)} files: {read} rows read = {_sum(counts)}{more}"

    def table(self) -> list[dict[str, Any]]:
        """Rows by file, app and month, for Dagster."""
        return [row for balance in self.files for row in balance.table()]

    def keep_records(self, data: Path) -> None:
        """`keep_record` of every file."""
        for balance in self.files:
            keep_record(balance, data)


NO_FILES = Balances()


def _sum(counts: Mapping[Any, int]) -> str:
    return f"{counts[TAKEN]} taken + {counts[QUARANTINED]} in quarantine + {counts[REPEAT]} repeats"


def _months(taken: pd.DataFrame) -> str:
    if taken.empty:
        return ""
    months, counts = taken["month"].tolist(), taken[TAKEN].tolist()
    if len(months) <= _MONTHS:
        return "; " + ", ".join(f"{month}: {count}" for month, count in zip(months, counts, strict=True))
    return f"; {months[0]} to {months[-1]}, {len(months)} months with {min(counts)} to {max(counts)}"
