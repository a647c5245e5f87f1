"""Reviews from files: data/imports taken into the stored reviews, and files as a source of their own."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from mlops_assets.failures import OutsideFailure, PermanentFailure
from mlops_assets.files import Stamp, stamp
from mlops_assets.reviews.sources.review_source import ORDINARY, AppCollection, AppStatus, CollectRequest, store_rows
from mlops_assets.settings import Settings, Source, child_environment
from mlops_assets.trained_on import SAMPLE_APP
from mlops_assets.versioning.dvc.commands import Dvc, DvcFailure

if TYPE_CHECKING:
    import pandas as pd

    from mlops_assets.reviews.files.balance import Balances
    from mlops_assets.reviews.files.imports import Imports
    from mlops_assets.reviews.files.taken import Taken, TakenFiles
    from mlops_assets.reviews.stored.store import ReviewStore


FOLDER = "imports"
"""Below data/."""


@dataclass(frozen=True)
class TakenImports:
    """What data/imports changed: months by app, and the balance of each file."""

    months_by_app: Mapping[str, list[str]]
    balances: "Balances"


def nothing_taken() -> TakenImports:
    """The folder left alone."""
    from mlops_assets.reviews.files.balance import NO_FILES

    return TakenImports({}, NO_FILES)


def take_imports(settings: Settings, report: Callable[[str], None]) -> TakenImports:
    """Take the reviews in data/imports into the store. Reports refused files, and balances if something changed."""
    from mlops_assets.reviews.files.imports import files_in
    from mlops_assets.reviews.stored.store import ReviewStore

    stamps = {path: stamp(path) for path in files_in(settings.data / FOLDER)}
    found = read_new_folder(settings, report)
    store = ReviewStore(settings.data / "raw")
    changed: dict[str, list[str]] = {}
    for app_id, rows in found.rows_by_app.items():
        changes = store.take_batch(app_id, rows, content_ids=True)
        if changes.months:
            report(f"imported {changes.new} new reviews of {app_id}")
            changed[app_id] = list(changes.months)
    found.balances.keep_records(settings.data)
    if found.rows_by_app:
        _taken_imports(settings).keep(stamps, found.rows_by_app.values(), found.balances, found.refused)
    if changed:
        for line in found.balances:
            report(line)
    elif found.balances.files:
        report(f"data/{FOLDER}, nothing new in {found.balances.summary()}")
    for line in found.outside:
        report(line)
    for reason in found.refused.values():
        report(f"import refused: {reason}")
    return TakenImports(changed, found.balances)


def read_new_folder(settings: Settings, report: Callable[[str], None] = lambda _: None) -> "Imports":
    """`read_folder`, but without rows and without reading if every row is stored and no file has changed."""
    from mlops_assets.reviews.files.imports import Imports, with_names

    if (taken := _find_imports(settings)) is None:
        return read_folder(settings, report)
    names = with_names(taken.balances)
    return Imports({}, taken.balances, dict(taken.refused), names, _outside_of_runs(settings))


def read_folder(settings: Settings, report: Callable[[str], None] = lambda _: None) -> "Imports":
    """The folder's files as reviews. Files of which only the DVC pointer is here are pulled first."""
    from mlops_assets.reviews.files.imports import SOURCE, read_imports, unpulled
    from mlops_assets.reviews.files.rules import FileRules

    folder = settings.data / FOLDER
    if absent := unpulled(folder):
        report(f"pulling {', '.join(path.name for path in absent)}")
        try:
            Dvc(settings.root, settings.dvc_program, child_environment()).pull([str(path) for path in absent])
        except DvcFailure as failure:
            raise OutsideFailure(
                f"dvc pull of {absent[0].name} failed: {failure}: push the file's data, or remove {absent[0]}"
            ) from failure
    return replace(read_imports(folder, FileRules.of(settings, source=SOURCE)), outside=_outside_of_runs(settings))


def _outside_of_runs(settings: Settings) -> tuple[str, ...]:
    from mlops_assets.reviews.files.imports import outside_of_runs
    from mlops_assets.reviews.stored.store import ReviewStore

    apps = [app for app in settings.apps if app != SAMPLE_APP]
    this_month = f"{settings.now():%Y-%m}"
    return outside_of_runs(ReviewStore(settings.data / "raw"), apps, settings.first_month, this_month)


def _find_imports(settings: Settings) -> "Taken | None":
    """What is known of the files in data/imports, or None if they have to be read."""
    from mlops_assets.reviews.files.imports import files_in, unpulled

    folder = settings.data / FOLDER
    return None if unpulled(folder) else _taken_imports(settings).find(files_in(folder))


def _taken_imports(settings: Settings) -> "TakenFiles":
    from mlops_assets.reviews.files.imports import SOURCE

    return _taken_files(settings, SOURCE)


def _taken_files(settings: Settings, source: str) -> "TakenFiles":
    from mlops_assets.reviews.files.rules import FileRules
    from mlops_assets.reviews.files.taken import TakenFiles

    record = settings.instance_folder / "taken_files" / f"{source}.json"
    return TakenFiles(record, settings.data / "raw", FileRules.of(settings, source=source))


class NoFile(PermanentFailure):
    """The source is file, and there is none to read."""


class FileSource:
    """Reviews from files: what REVIEWS names, else data/imports. They are read once for a process, and not at all if
    every row is stored and no file has changed.
    """

    name: Source = "file"

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._read: _ReadFiles | None = None

    def apps(self) -> Sequence[str]:
        if taken := self._taken():
            return tuple(taken.rows)
        return tuple(dict.fromkeys(self._files().rows["app_id"].tolist()))

    def months(self) -> tuple[str, str]:
        """Of unchanged files only the last month, since no month has news."""
        if taken := self._taken():
            return taken.months[1], taken.months[1]
        dates = self._files().rows["review_date"]
        return f"{dates.min():%Y-%m}", f"{dates.max():%Y-%m}"

    def collect(
        self,
        store: "ReviewStore",
        months_by_app: Mapping[str, Sequence[str]],
        report: Callable[[str], None],
        request: CollectRequest = ORDINARY,
    ) -> list[AppCollection]:
        taken = None if request.reread else self._taken()
        if not self._settings.reviews:
            report(f"REVIEWS names no file: reading data/{FOLDER}")
        balances = taken.balances if taken else self._files().balances
        balances.keep_records(self._settings.data)
        if taken is None:
            for line in balances:
                report(line)
            return self._store(store, months_by_app, report)
        report(f"unchanged, and every row is stored: {balances.summary()}")
        return [_unchanged(app_id, taken.rows[app_id]) for app_id in months_by_app if app_id in taken.rows]

    def statuses(self, store: "ReviewStore") -> list[AppStatus]:  # noqa: ARG002  a file that was read is whole
        return [AppStatus(app, "whole", "read from a file") for app in self.apps()]

    def incomplete(self, store: "ReviewStore") -> list[AppStatus]:  # noqa: ARG002  a file is read whole or not at all
        return []

    def balances(self) -> "Balances":
        taken = self._taken()
        return taken.balances if taken else self._files().balances

    def _store(
        self, store: "ReviewStore", months_by_app: Mapping[str, Sequence[str]], report: Callable[[str], None]
    ) -> list[AppCollection]:
        from mlops_assets.reviews.stored.columns import month_of

        read = self._files()
        passes: list[AppCollection] = []
        stored = 0
        for app_id, months in months_by_app.items():
            wanted = read.rows[(read.rows["app_id"] == app_id) & month_of(read.rows["review_date"]).isin(set(months))]
            if len(wanted):
                passes.append(store_rows(store, app_id, wanted, reason="read from a file", content_ids=True))
                stored += len(wanted)
        if stored < len(read.rows):
            report(f"{len(read.rows) - stored} rows are of months or apps that this run does not cover, and wait")
        elif self._settings.reviews:
            _taken_files(self._settings, self.name).keep(read.stamps, [read.rows], read.balances)
        return passes

    def _taken(self) -> "Taken | None":
        named = self._settings.reviews
        return _taken_files(self._settings, self.name).find(named) if named else _find_imports(self._settings)

    def _files(self) -> "_ReadFiles":
        """The rows of all files, every app known and every month in range, and the files' balances."""
        if self._read is None:
            folder = self._settings.data / FOLDER
            self._read = self._read_named() if self._settings.reviews else self._read_folder(folder)
        return self._read

    def _read_named(self) -> "_ReadFiles":
        import pandas as pd

        from mlops_assets.reviews.files.files import balances_of, read_reviews
        from mlops_assets.reviews.files.rules import FileRules

        rules = FileRules.of(self._settings, source=self.name, collected_at=self._settings.now())
        stamps = {path: stamp(path) for path in self._settings.reviews if path.is_file()}
        files = [read_reviews(path, rules) for path in self._settings.reviews]
        return _ReadFiles(pd.concat([file.frame for file in files], ignore_index=True), balances_of(files), stamps)

    def _read_folder(self, folder: Path) -> "_ReadFiles":
        import pandas as pd

        found = read_folder(self._settings)
        if not found.rows_by_app:
            refused = "".join(f"; {reason}" for reason in found.refused.values())
            raise NoFile(
                f"the source is file, but REVIEWS names none and {folder} holds none to read{refused}: "
                "make run REVIEWS=reviews.csv, or make import FILE=reviews.csv first"
            )
        return _ReadFiles(pd.concat(found.rows_by_app.values(), ignore_index=True), found.balances)


@dataclass(frozen=True)
class _ReadFiles:
    """Every row that can be stored, the balances, and the stamps of named files from before they were read."""

    rows: "pd.DataFrame"
    balances: "Balances"
    stamps: Mapping[Path, Stamp] = field(default_factory=dict)


def _unchanged(app_id: str, rows: int) -> AppCollection:
    from mlops_assets.reviews.stored.store import StoredChanges

    return AppCollection(app_id, "whole", "read from a file", StoredChanges(unchanged=rows))
