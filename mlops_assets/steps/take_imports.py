"""Reviews from files: data/imports taken into the stored reviews, and files as a source of their own."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Self

from mlops_assets.failures import OutsideFailure, PermanentFailure
from mlops_assets.files import stamp
from mlops_assets.reviews.sources.review_source import ORDINARY, AppCollection, AppStatus, CollectRequest, store_rows
from mlops_assets.settings import Settings, Source, child_environment
from mlops_assets.trained_on import SAMPLE_APP
from mlops_assets.versioning.dvc.commands import Dvc, DvcFailure

if TYPE_CHECKING:
    import pandas as pd

    from mlops_assets.reviews.files.balance import Balances
    from mlops_assets.reviews.files.files import ReadFile
    from mlops_assets.reviews.files.imports import Imports
    from mlops_assets.reviews.files.taken import TakenFile, TakenFiles, TakenRecord
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
    from mlops_assets.reviews.stored.store import ReviewStore

    found = read_new_folder(settings, report)
    store = ReviewStore(settings.data / "raw")
    changed: dict[str, list[str]] = {}
    for app_id, rows in found.rows_by_app.items():
        changes = store.take_batch(app_id, rows, content_ids=True)
        if changes.months:
            report(f"imported {changes.new} new reviews of {app_id}")
            changed[app_id] = list(changes.months)
    found.balances.keep_records(settings.data)
    if found.files:
        _record(settings, None).keep(found.files, found.balances.distinct)
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
    """`read_folder`, but without the rows of files of which every row is stored: they are not read."""
    from mlops_assets.reviews.files.imports import files_in

    folder = settings.data / FOLDER
    return read_folder(settings, report, _record(settings, None).find(files_in(folder)))


def read_folder(
    settings: Settings, report: Callable[[str], None] = lambda _: None, taken: "TakenFiles | None" = None
) -> "Imports":
    """The folder's files as reviews, but those that were `taken`. Files of which only the DVC pointer is here are
    pulled first.
    """
    from mlops_assets.reviews.files.imports import SOURCE, read_imports, unpulled
    from mlops_assets.reviews.files.rules import FileRules
    from mlops_assets.reviews.files.taken import NOTHING_TAKEN

    folder = settings.data / FOLDER
    if absent := unpulled(folder):
        report(f"pulling {', '.join(path.name for path in absent)}")
        try:
            Dvc(settings.root, settings.dvc_program, child_environment()).pull([str(path) for path in absent])
        except DvcFailure as failure:
            raise OutsideFailure(
                f"dvc pull of {absent[0].name} failed: {failure}: push the file's data, or remove {absent[0]}"
            ) from failure
    found = read_imports(folder, FileRules.of(settings, source=SOURCE), taken or NOTHING_TAKEN)
    return replace(found, outside=_outside_of_runs(settings))


def _outside_of_runs(settings: Settings) -> tuple[str, ...]:
    from mlops_assets.reviews.files.imports import outside_of_runs
    from mlops_assets.reviews.stored.store import ReviewStore

    apps = [app for app in settings.apps if app != SAMPLE_APP]
    this_month = f"{settings.now():%Y-%m}"
    return outside_of_runs(ReviewStore(settings.data / "raw"), apps, settings.first_month, this_month)


def _record(settings: Settings, source: Source | None) -> "TakenRecord":
    """The record of the files that were taken whole as rows of this source; None: of the files in data/imports."""
    from mlops_assets.reviews.files.imports import SOURCE
    from mlops_assets.reviews.files.rules import FileRules
    from mlops_assets.reviews.files.taken import TakenRecord

    rules = FileRules.of(settings, source=source or SOURCE)
    path = settings.instance_folder / "taken_files" / f"{rules.source}.json"
    return TakenRecord(path, settings.data / "raw", rules)


class NoFile(PermanentFailure):
    """The source is file, and there is none to read."""


class FileSource:
    """Reviews from files: what REVIEWS names, else data/imports. A file is read once for a process, and not at all if
    it has not changed and every row of it is stored.
    """

    name: Source = "file"

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._read: _ReadFiles | None = None

    def apps(self) -> Sequence[str]:
        return tuple(self._files().counts)

    def due_apps(self) -> Sequence[str]:
        """The apps with news. If there are none, the first app: a run covers one."""
        files = self._files()
        return tuple(app for app in files.counts if app in {app for app, _ in files.news}) or tuple(files.counts)[:1]

    def months(self) -> tuple[str, str]:
        """The first and the last month with news. If there are none, only the last month."""
        files = self._files()
        months = [month for _, month in files.news] or [
            max(month for file in files.files.values() for _, month in file.months)
        ]
        return min(months), max(months)

    def collect(
        self,
        store: "ReviewStore",
        months_by_app: Mapping[str, Sequence[str]],
        report: Callable[[str], None],
        request: CollectRequest = ORDINARY,
    ) -> list[AppCollection]:
        if not self._settings.reviews:
            report(f"REVIEWS names no file: reading data/{FOLDER}")
        files = self._read_all() if request.reread else self._files()
        files.balances.keep_records(self._settings.data)
        if files.is_unchanged:
            report(f"unchanged, and every row is stored: {files.balances.summary()}")
        else:
            for line in files.balances:
                report(line)
        return self._store(store, files, months_by_app, report)

    def statuses(self, store: "ReviewStore") -> list[AppStatus]:  # noqa: ARG002  a file that was read is whole
        return [AppStatus(app, "whole", "read from a file") for app in self.apps()]

    def incomplete(self, store: "ReviewStore") -> list[AppStatus]:  # noqa: ARG002  a file is read whole or not at all
        return []

    def balances(self) -> "Balances":
        return self._files().balances

    def _store(
        self,
        store: "ReviewStore",
        files: "_ReadFiles",
        months_by_app: Mapping[str, Sequence[str]],
        report: Callable[[str], None],
    ) -> list[AppCollection]:
        from mlops_assets.reviews.stored.columns import month_of

        covered = {(app, month) for app, months in months_by_app.items() for month in months}
        rows = files.rows.groupby([files.rows["app_id"], month_of(files.rows["review_date"])]).indices
        passes: list[AppCollection] = []
        for app_id in months_by_app:
            wanted = sorted(row for key in files.news & covered if key[0] == app_id for row in rows.get(key, ()))
            if wanted:
                taken = files.rows.take(wanted)
                passes.append(store_rows(store, app_id, taken, reason="read from a file", content_ids=True))
            elif app_id in files.counts:
                passes.append(_unchanged(app_id, files.counts[app_id]))
        if waiting := sum(len(rows.get(key, ())) for key in files.news - covered):
            report(f"{waiting} rows are of months or apps that this run does not cover, and wait")
        elif self._settings.reviews and not files.is_unchanged:
            _record(self._settings, self.name).keep(files.files, files.balances.distinct)
        return passes

    def _files(self) -> "_ReadFiles":
        """What the files hold. Files of which every row is stored are not read."""
        from mlops_assets.reviews.files.imports import files_in

        named = self._settings.reviews
        files = named or files_in(self._settings.data / FOLDER)
        taken = _record(self._settings, self.name if named else None).find(files)
        stamps = {path: stamp(path) for path in files if path.is_file()}
        if self._read is None or self._read.read_by != (taken.files.keys(), stamps):
            self._read = self._read_named(taken) if named else self._read_folder(taken)
            self._read = replace(self._read, read_by=(taken.files.keys(), stamps))
        return self._read

    def _read_all(self) -> "_ReadFiles":
        from mlops_assets.reviews.files.taken import NOTHING_TAKEN

        return self._read_named(NOTHING_TAKEN) if self._settings.reviews else self._read_folder(NOTHING_TAKEN)

    def _read_named(self, taken: "TakenFiles") -> "_ReadFiles":
        from mlops_assets.reviews.files.files import balances_of, read_reviews
        from mlops_assets.reviews.files.rules import FileRules
        from mlops_assets.reviews.files.taken import TakenFile

        rules = FileRules.of(self._settings, source=self.name, collected_at=self._settings.now())
        known: dict[Path, TakenFile] = {}
        read: list[ReadFile] = []
        for path in self._settings.reviews:
            if path in taken.files:
                known[path] = taken.files[path]
                continue
            seen = stamp(path) if path.is_file() else (0, 0, 0)
            read.append(file := read_reviews(path, rules))
            known[path] = TakenFile.of(seen, file.frame, file.balance)
        distinct = balances_of(read).distinct if not taken.files else taken.distinct
        return _ReadFiles.of(known, taken, [file.frame for file in read], distinct)

    def _read_folder(self, taken: "TakenFiles") -> "_ReadFiles":
        found = read_folder(self._settings, taken=taken)
        if not any(file.months for file in found.files.values()):
            refused = "".join(f"; {reason}" for reason in found.refused.values())
            raise NoFile(
                f"the source is file, but REVIEWS names none and {self._settings.data / FOLDER} holds none to "
                f"read{refused}: make run REVIEWS=reviews.csv, or make import FILE=reviews.csv first"
            )
        return _ReadFiles.of(found.files, taken, list(found.rows_by_app.values()), found.balances.distinct)


@dataclass(frozen=True)
class _ReadFiles:
    """What is known of all files, and every row that can be stored of those that were read.

    news: the months whose rows may not all be stored
    counts: how many rows each app has in all files
    """

    files: "Mapping[Path, TakenFile]"
    balances: "Balances"
    rows: "pd.DataFrame"
    news: frozenset[tuple[str, str]]
    read_by: object = None

    @classmethod
    def of(
        cls,
        files: "Mapping[Path, TakenFile]",
        taken: "TakenFiles",
        frames: "Sequence[pd.DataFrame]",
        distinct: int | None,
    ) -> Self:
        import pandas as pd

        from mlops_assets.reviews.files.balance import Balances
        from mlops_assets.reviews.stored.columns import empty

        balances = Balances(tuple(file.balance for file in files.values() if file.balance), distinct)
        rows = pd.concat(frames, ignore_index=True) if frames else empty()
        news = {month for path, file in files.items() if path not in taken.files for month in taken.news(file)}
        return cls(files, balances, rows, frozenset(news))

    @property
    def is_unchanged(self) -> bool:
        return self.rows.empty

    @cached_property
    def counts(self) -> dict[str, int]:
        counts: dict[str, int] = {}
        for file in self.files.values():
            for app, rows in file.rows.items():
                counts[app] = counts.get(app, 0) + rows
        return counts


def _unchanged(app_id: str, rows: int) -> AppCollection:
    from mlops_assets.reviews.stored.store import StoredChanges

    return AppCollection(app_id, "whole", "read from a file", StoredChanges(unchanged=rows))
