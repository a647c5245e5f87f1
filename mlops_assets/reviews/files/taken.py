"""Files of which every row is stored: while nothing changes, they are not read again."""

import hashlib
import hmac
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pandas as pd

from mlops_assets.code_version import code_version
from mlops_assets.files import Stamp, replace_file, sha256, stamp
from mlops_assets.reviews.files.balance import Balance, Balances
from mlops_assets.reviews.files.rules import FileRules
from mlops_assets.reviews.stored import columns
from mlops_assets.reviews.stored.known_batches import stored_files


@dataclass(frozen=True)
class Taken:
    """What is known of the files without reading them.

    rows: how many rows each app has in them
    months: the first and the last month
    refused: files that could not be understood, and why
    """

    rows: Mapping[str, int]
    months: tuple[str, str]
    balances: Balances
    refused: Mapping[str, str]


class TakenFiles:
    """The record of the files that were taken whole, in one JSON file.

    It holds while the files, the rules by which they are read, and what is stored of their apps stay as they were. A
    file whose stamp changed is hashed, and is the same if its content is.
    """

    def __init__(self, record: Path, raw: Path, rules: FileRules) -> None:
        self._record, self._raw, self._rules = record, raw, rules

    def find(self, files: Sequence[Path]) -> Taken | None:
        """What is known of the files, or None if they have to be read."""
        kept = self._kept()
        if kept.get("rules") != self._of_rules() or kept["stored"] != self._of_stored(kept["rows"]):
            return None
        known = {path: (seen, digest) for path, seen, digest in kept["files"]}
        if list(known) != [str(path) for path in files]:
            return None
        changed = [path for path in files if known[str(path)][0] != list(stamp(path))]
        if any(sha256(path) != known[str(path)][1] for path in changed):
            return None
        balances = Balances(tuple(map(Balance.of_record, kept["balances"])), kept["distinct"])
        taken = Taken(kept["rows"], tuple(kept["months"]), balances, kept["refused"])
        if changed:
            self._write({path: stamp(path) for path in files}, taken)
        return taken

    def keep(
        self,
        stamps: Mapping[Path, Stamp],
        rows: Iterable[pd.DataFrame],
        balances: Balances,
        refused: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        """Record files of which all `rows` are stored now, with the stamps that they had before they were read.

        Not if a file has changed since, if one is none, or if a row waits for its date to come.
        """
        if balances.wait_for_the_clock or not all(path.is_file() for path in stamps):
            return
        counts, months = Counter[str](), set[str]()
        for frame in rows:
            counts.update(frame["app_id"])
            months.update(columns.month_of(frame["review_date"]).unique())
        self._write(stamps, Taken(counts, (min(months), max(months)), balances, refused))

    def _write(self, stamps: Mapping[Path, Stamp], taken: Taken) -> None:
        digests = {path: sha256(path) for path in stamps}
        if any(stamp(path) != seen for path, seen in stamps.items()):
            return
        record = {
            "files": [[str(path), seen, digests[path]] for path, seen in stamps.items()],
            "rules": self._of_rules(),
            "stored": self._of_stored(taken.rows),
            "rows": dict(taken.rows),
            "months": taken.months,
            "balances": [balance.as_record() for balance in taken.balances.files],
            "distinct": taken.balances.distinct,
            "refused": dict(taken.refused),
        }
        replace_file(self._record, json.dumps(record))

    def _kept(self) -> dict[str, Any]:
        with suppress(OSError, ValueError):  # Absent or damaged: the files are read.
            return json.loads(self._record.read_text(encoding="utf-8"))
        return {}

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

    def _of_stored(self, apps: Mapping[str, Any]) -> str:
        return _digest([stored_files(self._raw, app) for app in sorted(apps)])


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()[:12]
