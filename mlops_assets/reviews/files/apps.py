"""The app of each row of a file: which column names it, and which package a name stands for. Pure."""

import json
import re
from pathlib import Path
from typing import cast

import pandas as pd

from mlops_assets.failures import PermanentFailure
from mlops_assets.reviews.files import columns as file_columns
from mlops_assets.reviews.files.rules import FileHints

_PACKAGE = re.compile(r"[A-Za-z]\w*(\.[A-Za-z]\w*)+")
_SHOWN = 8


class UnknownAppName(PermanentFailure):
    """A file names its apps in words, and no setting maps them to packages."""


def with_app_column(cells: pd.DataFrame, used: dict[str, str]) -> dict[str, str]:
    """`used` with the column that names the app. A column of packages is preferred to a column of names."""
    candidates = file_columns.app_columns([str(name) for name in cells.columns])
    filled = [name for name in candidates if (_text(cells, name) != "").any()]
    packages = [name for name in filled if _are_packages(_text(cells, name))]
    chosen = next(iter(packages or filled), None)
    others = {stored: name for stored, name in used.items() if stored != "app_id"}
    return others | ({"app_id": chosen} if chosen else {})


def as_packages(
    path: Path, apps: pd.Series, column: str | None, app_id: str | None, hints: FileHints
) -> tuple[pd.Series, tuple[str, ...]]:
    """The app column with packages in place of names, and what was assumed. Null stays null.

    If a person set APP and the file has a single name, that name is `app_id`. Raises `UnknownAppName`.
    """
    given = {str(app): str(app).strip() for app in apps.dropna().unique()}
    known = {_folded(name): package for name, package in hints.app_names.items()}
    packages = {
        app: name if _PACKAGE.fullmatch(name) else known.get(_folded(name)) for app, name in given.items() if name
    }
    unknown = sorted({given[app] for app, package in packages.items() if package is None})
    if unknown and len({_folded(name) for name in given.values() if name}) == 1 and app_id and hints.app_asked:
        return cast("pd.Series", apps.where(apps.isna(), app_id)), (f"{unknown[0]!r} in {column} is {app_id}",)
    if unknown:
        raise UnknownAppName(f"{path}: {_how_to_name(unknown, column)}")
    assumed = {f"{given[app]!r} in {column} is {package}" for app, package in packages.items() if package != given[app]}
    return cast("pd.Series", apps.map(packages).astype("str").where(apps.notna())), tuple(sorted(assumed))


def _how_to_name(names: list[str], column: str | None) -> str:
    what = "no package name" if len(names) == 1 else "no package names"
    more = f" and {len(names) - _SHOWN} more" if names[_SHOWN:] else ""
    lines = ", ".join(f"{json.dumps(name, ensure_ascii=False)}: <package>" for name in names[:_SHOWN])
    alone = ", or set APP=<package>" if len(names) == 1 else ""
    return (
        f"{', '.join(map(repr, names[:_SHOWN]))}{more} in column {column} {'is' if len(names) == 1 else 'are'} {what}: "
        f"write app_names: {{{lines}}} into params.yaml, each package like com.valar.pintu{alone}"
    )


def _text(cells: pd.DataFrame, name: str) -> pd.Series:
    return cast("pd.Series", cells[name]).astype("str").str.strip()


def _are_packages(column: pd.Series) -> bool:
    return all(_PACKAGE.fullmatch(str(app)) for app in column.unique() if app)


def _folded(name: str) -> str:
    return " ".join(name.split()).casefold()
