"""Files of which every row is stored: while nothing changes, they are not read again."""

import hashlib
import hmac
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Self, cast

import pandas as pd

from mlops_assets.code_version import code_version
from mlops_assets.files import Stamp, replace_file, sha256, stamp
from mlops_assets.reviews.files.balance import Balance
from mlops_assets.reviews.files.rules import FileRules
from mlops_assets.reviews.stored import columns
from mlops_assets.reviews.stored.kept import read_record
from mlops_assets.reviews.stored.known_batches import stored_files

Month = tuple[str, str]
"""An app and one of its months."""


@dataclass(frozen=True)
class TakenFile:
    """What is known of a file without reading it.

    stamp: from before it was read
    months: how many rows each month of each app has in it, and a digest of them
    refused: why the file could not be understood; empty if it could
    """

    stamp: Stamp
    months: Mapping[Month, tuple[int, str]] = field(default_factory=dict)
    balance: Balance | None = None
    refused: str = ""

    @classmethod
    def of(cls, seen: Stamp, frame: pd.DataFrame, balance: Balance) -> Self:
        """From the rows of a file in the stored form, in the stored order."""
        return cls(seen, _digests(frame), balance)

    @property
    def waits(self) -> bool:
        """Whether a row is in quarantine only until its date comes."""
        return self.balance is not None and self.balance.waits_for_the_clock

    @property
    def rows(self) -> dict[str, int]:
        """How many rows each app has."""
        counts: dict[str, int] = {}
        for (app, _), (count, _) in self.months.items():
            counts[app] = counts.get(app, 0) + count
        return counts


@dataclass(frozen=True)
class TakenFiles:
    """The files of a list that need not be read, and the months that another file of the list need not bring again.

    stored: the digests of months whose rows are stored, also of files that have changed since
    distinct: how many reviews all files of the list hold together; None if that is not known
    """

    files: Mapping[Path, TakenFile] = field(default_factory=dict)
    stored: frozenset[tuple[Month, str]] = frozenset()
    distinct: int | None = None

    def news(self, file: TakenFile) -> set[Month]:
        """The months of a file whose rows may not all be stored."""
        return {month for month, (_, digest) in file.months.items() if (month, digest) not in self.stored}


NOTHING_TAKEN = TakenFiles()


class TakenRecord:
    """The record of the files that were taken whole, in one JSON file.

    An entry holds while its file, the rules by which files are read, and what is stored of its apps stay as they were.
    A file whose stamp changed is hashed, and is the same if its content is.
    """

    def __init__(self, record: Path, raw: Path, rules: FileRules) -> None:
        self._record, self._raw, self._rules = record, raw, rules

    def find(self, files: Sequence[Path]) -> TakenFiles:
        """What is known of these files."""
        if not (kept := self._kept()):
            return NOTHING_TAKEN
        apps = {app: self._of_stored(app) for app in kept["stored"]}
        entries = {Path(path): entry for path, entry in kept["files"].items()}
        found: dict[Path, TakenFile] = {}
        stored: set[tuple[Month, str]] = set()
        for path, entry in entries.items():
            file = _of_entry(entry)
            current = {app for app in file.rows if apps[app] == kept["stored"][app]}
            stored |= {(month, digest) for month, (_, digest) in file.months.items() if month[0] in current}
            if path in files and current == file.rows.keys() and (now := _same(path, entry)):
                found[path] = replace(file, stamp=now)
        whole = len(found) == len(entries) == len(files)
        return TakenFiles(found, frozenset(stored), kept["distinct"] if whole else None)

    def keep(self, files: Mapping[Path, TakenFile], distinct: int | None) -> None:
        """Record files of which all rows are stored now.

        A file is left out if it has changed since it was read, or if one of its rows waits for its date to come.
        """
        kept = self._kept()
        known = kept["files"] if kept else {}
        entries: dict[str, dict[str, Any]] = {}
        for path, file in files.items():
            if file.waits or not path.is_file():
                continue
            before = known.get(str(path))
            digest = before["sha256"] if before and before["stamp"] == list(file.stamp) else sha256(path)
            if stamp(path) == file.stamp:
                entries[str(path)] = _as_entry(file, digest)
        record = {
            "files": entries,
            "rules": self._of_rules(),
            "stored": {
                app: self._of_stored(app) for app in sorted({app for file in files.values() for app in file.rows})
            },
            "distinct": distinct if len(entries) == len(files) else None,
        }
        if record != kept:
            replace_file(self._record, json.dumps(record))

    def _kept(self) -> dict[str, Any]:
        """The record, empty if files are read by other rules now."""
        kept = read_record(self._record)
        return kept if kept.get("rules") == self._of_rules() else {}

    def _of_rules(self) -> str:
        """A digest of the rules but for the clock, and of the code that reads files."""
        rules = self._rules
        key = (rules.author_key or "").encode()
        read_by = [
            sorted(rules.known_apps) if rules.known_apps is not None else None,
            rules.app_id,
            rules.naive_zone,
            rules.source,
            hmac.digest(key, b"taken files", "sha256").hex()[:12],
            rules.first_month,
            repr(asdict(rules.hints)),
            code_version("mlops_assets.reviews.files.files", __name__),
        ]
        return _digest(read_by)

    def _of_stored(self, app: str) -> str:
        return _digest(stored_files(self._raw, app))


def _digests(frame: pd.DataFrame) -> dict[Month, tuple[int, str]]:
    """The count and digest of each month of each app; when reviews were scraped does not count."""
    rows = pd.util.hash_pandas_object(frame.drop(columns="scraped_at"), index=False).to_numpy()
    groups = frame.groupby([frame["app_id"], columns.month_of(frame["review_date"])]).indices
    return {
        cast("Month", month): (len(at), hashlib.sha256(rows[at].tobytes()).hexdigest()[:16])
        for month, at in groups.items()
    }


def _same(path: Path, entry: Mapping[str, Any]) -> Stamp | None:
    """The stamp of the file if its content is that of the entry, else None."""
    now = stamp(path)
    return now if entry["stamp"] == list(now) or entry["sha256"] == sha256(path) else None


def _as_entry(file: TakenFile, content: str) -> dict[str, Any]:
    return {
        "stamp": list(file.stamp),
        "sha256": content,
        "months": [[*month, rows, digest] for month, (rows, digest) in file.months.items()],
        "balance": file.balance.as_record() if file.balance else None,
        "refused": file.refused,
    }


def _of_entry(entry: Mapping[str, Any]) -> TakenFile:
    balance = Balance.of_record(entry["balance"]) if entry["balance"] else None
    months = {(app, month): (rows, digest) for app, month, rows, digest in entry["months"]}
    return TakenFile(tuple(entry["stamp"]), months, balance, entry["refused"])


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()[:12]
