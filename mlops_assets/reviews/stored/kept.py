"""What is known of files and months, kept in JSON: while its stamp is the same, nothing is read for it."""

import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from mlops_assets.files import replace_file

_Stamp = list[int] | str


class Kept:
    """Values by name, each with the stamp of what it was found in. Stamps and values are what JSON can hold.

    `made_by` stands for the rules and the code that find the values: if it changed, no value is known.
    """

    def __init__(self, path: Path, made_by: str = "") -> None:
        self._path, self._made_by = path, made_by
        record = read_record(path)
        self._before: dict[str, list[Any]] = record["kept"] if record.get("made_by") == made_by else {}
        self.used: dict[str, list[Any]] = {}
        """What was kept or asked for, as another process can take it over."""

    def known(self, name: str, stamp: _Stamp) -> Any:
        """The value, None if there is none for this stamp."""
        entry = self.used.get(name) or self._before.get(name)
        if entry is None or entry[0] != stamp:
            return None
        self.used[name] = entry
        return entry[1]

    def keep(self, name: str, stamp: _Stamp, value: Any) -> None:
        self.used[name] = [stamp, value]

    def of(self, name: str, stamp: _Stamp, find: Callable[[], Any]) -> Any:
        """The known value, else what `find` returns, which is kept."""
        if (value := self.known(name, stamp)) is None:
            value = find()
            self.keep(name, stamp, value)
        return value

    def save(self, others: Callable[[str], bool] = lambda _: False) -> None:
        """Write the values that were kept or asked for. `others` says of each other name whether it stays."""
        now = {name: entry for name, entry in self._before.items() if name not in self.used and others(name)}
        if (now := now | self.used) != self._before:
            replace_file(self._path, json.dumps({"made_by": self._made_by, "kept": now}))


def read_record(path: Path) -> dict[str, Any]:
    """The JSON object in a file that can be made again: empty if the file is absent or damaged."""
    with suppress(OSError, ValueError):  # Then what it held is found again.
        if isinstance(record := json.loads(path.read_text(encoding="utf-8")), dict):
            return record
    return {}
