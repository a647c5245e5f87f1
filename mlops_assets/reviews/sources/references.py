"""Reviews of reference apps: collected and read from files, validated, and which of them a version holds.

They go the way of the apps' own reviews, in folders of their own (reviews/stored/reference.py).
"""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops_assets.failures import BadSetting, PermanentFailure
from mlops_assets.files import replace_file
from mlops_assets.params.choices import APP_PATTERN, is_file
from mlops_assets.params.reviews import CollectOptions, ReferenceRules
from mlops_assets.reviews.sources.review_source import ORDINARY, AppCollection, AppStatus, CollectRequest, store_rows
from mlops_assets.settings import Settings
from mlops_assets.spread.spread import Spread, here
from mlops_assets.trained_on import SAMPLE_APP

if TYPE_CHECKING:
    import pandas as pd

    from mlops_assets.reviews.files.balance import Balance
    from mlops_assets.reviews.files.rules import FileRules
    from mlops_assets.reviews.quality.validate import MonthResult
    from mlops_assets.reviews.stored.reference import ReferenceFiles

NOT_BESIDE_THE_SAMPLE = "not used: the source is sample, and generated reviews are never mixed with those of people"
_NOT_NOW = "not collected: this run reads months of the apps again; what is stored of reference apps is used"
_NO_STORE = "not collected: the source is file, which asks no store; what is stored of it is used"
_RECORD = "files.json"
"""In `data/reference`: the apps that each file of `reference_apps` has reviews of."""


@dataclass(frozen=True)
class CollectedReferences:
    """What a run brought of each reference app, and why it asked for others not at all."""

    apps: tuple[AppCollection, ...] = ()
    notes: tuple[str, ...] = ()

    def rows(self) -> list[dict[str, Any]]:
        """For a table."""
        return [app.as_row() for app in self.apps]


def missing_files(settings: Settings) -> list[str]:
    """Files of `reference_apps` that are not there, each with what to do."""
    return [
        f"params.yaml: reference_apps names the file {entry}, but there is no {path}: put it there"
        f"{f', with dvc pull {path}.dvc' if Path(f'{path}.dvc').is_file() else ''}, or take its line out"
        for entry in settings.reference_apps
        if is_file(entry) and not (path := path_of(settings, entry)).is_file()
    ]


def refuse_missing_files(settings: Settings) -> None:
    """Raise `BadSetting` for the first file of `reference_apps` that is not there. What was read of it before stays."""
    if missing := missing_files(settings):
        raise BadSetting(missing[0])


def path_of(settings: Settings, entry: str) -> Path:
    """The path that an entry of `reference_apps` names, relative to the project."""
    return settings.root / Path(entry).expanduser()


def collect_references(
    settings: Settings, source: str, report: Callable[[str], None], request: CollectRequest = ORDINARY
) -> CollectedReferences:
    """Read the files of `reference_apps`, and bring its ids on Google Play up to date if the store is the source.

    A torn feed is a partial collection: what came stays, and the next run goes on. Raises what an app's collection
    raises.
    """
    ids = [entry for entry in settings.reference_apps if not is_file(entry)]
    if not settings.reference_apps:
        return CollectedReferences()
    if source == "sample" or request.reread:
        note = NOT_BESIDE_THE_SAMPLE if source == "sample" else _NOT_NOW
        report(f"reference apps: {note}")
        return CollectedReferences(notes=(note,))
    collected = _read_files(settings, report)
    if source != "play_store":
        return CollectedReferences(tuple(collected), tuple(f"{app}: {_NO_STORE}" for app in ids))
    if ids:
        from mlops_assets.reviews.sources.play_source import PlaySource
        from mlops_assets.reviews.stored.reference import reference_store

        most = settings.section(ReferenceRules).reviews_per_app
        months = {app: [settings.first_month] for app in ids}
        store = reference_store(settings.data)
        collected += PlaySource(settings).collect_months(store, months, report, request, most=most)
    return CollectedReferences(tuple(collected))


def validate_references(settings: Settings, source: str, spread: Spread = here) -> "tuple[MonthResult, ...]":
    """Sort the stored reviews of the listed reference apps into usable ones and those in quarantine."""
    from mlops_assets.reviews.quality.validate import months_outdated, validate_apps
    from mlops_assets.reviews.stored.reference import reference_folder, reference_store

    root, store = reference_folder(settings.data), reference_store(settings.data)
    due = {app: sorted({*store.months(app), *months_outdated(root, app)}) for app in listed_apps(settings, source)}
    return tuple(validate_apps(root, due, spread))


def reference_files(settings: Settings, source: str) -> "ReferenceFiles":
    """The newest usable reviews of each listed reference app: what the next version holds of them."""
    from mlops_assets.reviews.stored.reference import newest_reviews, reference_folder

    most = settings.section(ReferenceRules).reviews_per_app
    scratch = settings.instance_folder / "snapshot" / "reference"
    return newest_reviews(reference_folder(settings.data), listed_apps(settings, source), most, scratch)


def statuses(settings: Settings, source: str) -> list[AppStatus]:
    """How the last collection of each listed reference app ended; `never` if nothing of it is stored."""
    from mlops_assets.reviews.play_store.collect import last_collection
    from mlops_assets.reviews.stored.reference import reference_store

    store, options = reference_store(settings.data), settings.section(CollectOptions)
    found: list[AppStatus] = []
    for app in listed_apps(settings, source):
        status, reason = last_collection(store, app, options)
        if status == "never" and store.months(app):
            status, reason = "whole", "stored, and not collected here"
        elif status == "never" and source == "file" and app in settings.reference_apps:
            reason = "nothing of it is stored, and the source file asks no store: run with SOURCE=play_store once"
        found.append(AppStatus(app, status, reason))
    return found


def listed_apps(settings: Settings, source: str) -> list[str]:
    """The apps that `reference_apps` stands for, those in its files too; none beside generated reviews."""
    if source == "sample":
        return []
    known, apps = _known_files(settings), set[str]()
    for entry in settings.reference_apps:
        if not is_file(entry):
            apps.add(entry)
        elif entry in known:
            apps.update(known[entry])
        else:
            # As in a new clone: the version brought its reviews, and no run here has read the file yet.
            apps.update(_read_file(settings, entry, lambda _: None)[1])
    # A file may have been read before one of its apps became an app here.
    return sorted(apps - {*settings.apps})


def unlisted_apps(settings: Settings) -> list[str]:
    """Apps with stored reference reviews that `reference_apps` does not stand for any more.

    None if a listed file is not there: which apps it has may not be known.
    """
    from mlops_assets.reviews.stored.reference import reference_store

    if missing_files(settings):
        return []
    return sorted({*reference_store(settings.data).apps()} - {*listed_apps(settings, "")})


def file_rules(settings: Settings, path: Path) -> "FileRules":
    """How a file of reference reviews is read: like one in data/imports, of any app."""
    from mlops_assets.reviews.files.rules import FileRules
    from mlops_assets.reviews.stored.reference import reference_store

    rules = FileRules.of(settings, source="import", stored=reference_store(settings.data).folder)
    hints = replace(rules.hints, app_asked=True)
    return replace(rules, known_apps=None, app_id=app_of_file(path), first_month=None, hints=hints)


def app_of_file(path: Path) -> str:
    """The app of a file without a column of apps: its name if that is a package name, such as `com.gojek.app.csv`, else
    `file.` and its name.
    """
    if re.fullmatch(APP_PATTERN, path.stem) and not is_file(path.stem):
        return path.stem
    name = re.sub(r"\W+", "_", path.stem).strip("_").lower()
    return f"file.{name}" if re.match("[a-z]", name) else f"file.reviews_{name}"


def _read_files(settings: Settings, report: Callable[[str], None]) -> list[AppCollection]:
    """Take the files' reviews into the store of references, and note which apps they have."""
    from mlops_assets.reviews.files.balance import keep_record
    from mlops_assets.reviews.stored.reference import reference_folder, reference_store

    store, found, known = reference_store(settings.data), list[AppCollection](), dict[str, list[str]]()
    for entry in filter(is_file, settings.reference_apps):
        balance, rows = _read_file(settings, entry, report)
        keep_record(balance, reference_folder(settings.data))
        taken = [store_rows(store, app, rows[app], reason=f"read from {entry}", content_ids=True) for app in rows]
        if any(app.changes.months for app in taken):
            for line in balance:
                report(line)
        known[entry] = sorted(rows)
        found += taken
    if known != _known_files(settings):
        replace_file(reference_folder(settings.data) / _RECORD, json.dumps(known, indent=1, ensure_ascii=False))
    return found


def _read_file(
    settings: Settings, entry: str, report: Callable[[str], None]
) -> "tuple[Balance, dict[str, pd.DataFrame]]":
    """What became of the file's rows, and its reviews by app."""
    from mlops_assets.reviews.files.files import read_reviews

    refuse_missing_files(settings)
    path = path_of(settings, entry)
    file = read_reviews(path, file_rules(settings, path))
    rows = {str(app): reviews for app, reviews in file.frame.groupby("app_id")}
    here = sorted({*settings.apps, SAMPLE_APP} & rows.keys())
    if len(here) == len(rows):
        raise PermanentFailure(
            f"{path} has reviews of {', '.join(here)} alone, which is an app here: take it off reference_apps"
        )
    for app in here:
        report(f"{entry}: {len(rows.pop(app))} reviews of {app} left out, which is no reference but an app here")
    return file.balance, rows


def _known_files(settings: Settings) -> dict[str, list[str]]:
    from mlops_assets.reviews.stored.reference import reference_folder

    path = reference_folder(settings.data) / _RECORD
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
