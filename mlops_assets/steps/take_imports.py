"""Files that a person put into data/imports, taken into the stored reviews with their provenance."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from mlops_assets.failures import OutsideFailure
from mlops_assets.settings import Settings, child_environment
from mlops_assets.trained_on import SAMPLE_APP
from mlops_assets.versioning.dvc.commands import Dvc, DvcFailure

if TYPE_CHECKING:
    from mlops_assets.reviews.files.balance import Balances
    from mlops_assets.reviews.files.imports import Imports

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
    """Upsert what lies in data/imports. Refused files are reported by name, balances only where something changed."""
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
    """The folder's files as reviews, after what only a DVC pointer names was pulled."""
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
