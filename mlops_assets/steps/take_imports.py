"""Reviews from files: data/imports taken into the stored reviews, and files as a source of their own."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from mlops_assets.failures import OutsideFailure, PermanentFailure
from mlops_assets.reviews.sources.review_source import ORDINARY, AppCollection, AppStatus, CollectRequest, store_rows
from mlops_assets.settings import Settings, Source, child_environment
from mlops_assets.trained_on import SAMPLE_APP
from mlops_assets.versioning.dvc.commands import Dvc, DvcFailure

if TYPE_CHECKING:
    import pandas as pd

    from mlops_assets.reviews.files.balance import Balances
    from mlops_assets.reviews.files.imports import Imports
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

    found = read_folder(settings, report)
    store = ReviewStore(settings.data / "raw")
    changed: dict[str, list[str]] = {}
    for app_id, rows in found.rows_by_app.items():
        changes = store.take_batch(app_id, rows, content_ids=True)
        if changes.months:
            report(f"imported {changes.new} new reviews of {app_id}")
            changed[app_id] = list(changes.months)
    found.balances.keep_records(settings.data)
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


def read_folder(settings: Settings, report: Callable[[str], None] = lambda _: None) -> "Imports":
    """The folder's files as reviews. Files of which only the DVC pointer is here are pulled first."""
    from mlops_assets.reviews.files.imports import SOURCE, outside_of_runs, read_imports, unpulled
    from mlops_assets.reviews.files.rules import FileRules
    from mlops_assets.reviews.stored.store import ReviewStore

    folder = settings.data / FOLDER
    if absent := unpulled(folder):
        report(f"pulling {', '.join(path.name for path in absent)}")
        try:
            Dvc(settings.root, settings.dvc_program, child_environment()).pull([str(path) for path in absent])
        except DvcFailure as failure:
            raise OutsideFailure(
                f"dvc pull of {absent[0].name} failed: {failure}: push the file's data, or remove {absent[0]}"
            ) from failure
    found = read_imports(folder, FileRules.of(settings, source=SOURCE))
    apps = [app for app in settings.apps if app != SAMPLE_APP]
    this_month = f"{settings.now():%Y-%m}"
    outside = outside_of_runs(ReviewStore(settings.data / "raw"), apps, settings.first_month, this_month)
    return replace(found, outside=outside)


class NoFile(PermanentFailure):
    """The source is file, and there is none to read."""


class FileSource:
    """Reviews from files, read once for a process."""

    name: Source = "file"

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._read: tuple[pd.DataFrame, Balances] | None = None

    def apps(self) -> Sequence[str]:
        return tuple(dict.fromkeys(self._rows()["app_id"].tolist()))

    def months(self) -> tuple[str, str]:
        dates = self._rows()["review_date"]
        return f"{dates.min():%Y-%m}", f"{dates.max():%Y-%m}"

    def collect(
        self,
        store: "ReviewStore",
        months_by_app: Mapping[str, Sequence[str]],
        report: Callable[[str], None],
        request: CollectRequest = ORDINARY,  # noqa: ARG002  a file is read whole and says nothing of deletions
    ) -> list[AppCollection]:
        from mlops_assets.reviews.stored.columns import month_of

        rows = self._rows()
        if not self._settings.reviews:
            report(f"REVIEWS names no file: reading data/{FOLDER}")
        balances = self.balances()
        balances.keep_records(self._settings.data)
        for line in balances:
            report(line)
        passes: list[AppCollection] = []
        stored = 0
        for app_id, months in months_by_app.items():
            wanted = rows[(rows["app_id"] == app_id) & month_of(rows["review_date"]).isin(set(months))]
            if len(wanted):
                passes.append(store_rows(store, app_id, wanted, reason="read from a file", content_ids=True))
                stored += len(wanted)
        if stored < len(rows):
            report(f"{len(rows) - stored} rows are of months or apps that this run does not cover, and wait")
        return passes

    def statuses(self, store: "ReviewStore") -> list[AppStatus]:  # noqa: ARG002  a file that was read is whole
        return [AppStatus(app, "whole", "read from a file") for app in self.apps()]

    def incomplete(self, store: "ReviewStore") -> list[AppStatus]:  # noqa: ARG002  a file is read whole or not at all
        return []

    def balances(self) -> "Balances":
        return self._files()[1]

    def _rows(self) -> "pd.DataFrame":
        return self._files()[0]

    def _files(self) -> "tuple[pd.DataFrame, Balances]":
        """The rows of all files, every app known and every month in range, and the files' balances."""
        if self._read is None:
            folder = self._settings.data / FOLDER
            self._read = self._read_named() if self._settings.reviews else self._read_folder(folder)
        return self._read

    def _read_named(self) -> "tuple[pd.DataFrame, Balances]":
        import pandas as pd

        from mlops_assets.reviews.files.files import balances_of, read_reviews
        from mlops_assets.reviews.files.rules import FileRules

        rules = FileRules.of(self._settings, source=self.name, collected_at=self._settings.now())
        files = [read_reviews(path, rules) for path in self._settings.reviews]
        return pd.concat([file.frame for file in files], ignore_index=True), balances_of(files)

    def _read_folder(self, folder: Path) -> "tuple[pd.DataFrame, Balances]":
        import pandas as pd

        found = read_folder(self._settings)
        if not found.rows_by_app:
            refused = "".join(f"; {reason}" for reason in found.refused.values())
            raise NoFile(
                f"the source is file, but REVIEWS names none and {folder} holds none to read{refused}: "
                "make run REVIEWS=reviews.csv, or make import FILE=reviews.csv first"
            )
        return pd.concat(found.rows_by_app.values(), ignore_index=True), found.balances
