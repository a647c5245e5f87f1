"""The folder data/imports: which of its files are reviews, which are refused, and which still hold names.

Not here: reading one file (files.py), pulling a file that only its DVC pointer names.
"""

import hashlib
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from mlops_assets.failures import PermanentFailure
from mlops_assets.reviews import columns
from mlops_assets.reviews.claims import Claim
from mlops_assets.reviews.file_hints import NO_HINTS, FileHints
from mlops_assets.reviews.files import ReadFile, read_reviews
from mlops_assets.reviews.privacy import Erased, author_hash, mask_name, review_digest

SOURCE = "import"
SUFFIXES = (".csv", ".tsv", ".txt", ".parquet")


@dataclass(frozen=True)
class Imports:
    """The folder's files: rows in the stored form by app, what was refused and why, what holds columns about people."""

    rows_by_app: dict[str, pd.DataFrame]
    read: dict[str, int]
    refused: dict[str, str]
    with_names: dict[str, tuple[str, ...]]


def files_in(folder: Path) -> list[Path]:
    """The files that are to be read, in order of their names."""
    if not folder.is_dir():
        return []
    return sorted(
        path
        for path in folder.iterdir()
        if path.is_file() and not path.name.startswith(".") and path.suffix.lower() in SUFFIXES
    )


def unpulled(folder: Path) -> list[Path]:
    """DVC pointers in the folder whose file is not there."""
    return [path for path in sorted(folder.glob("*.dvc")) if not path.with_suffix("").exists()]


def read_imports(
    folder: Path,
    *,
    known_apps: Collection[str],
    app_id: str | None = None,
    author_key: str | None = None,
    hints: FileHints = NO_HINTS,
) -> Imports:
    """Every file of the folder; one that cannot be understood is refused by name and the others go on.

    A review that several files hold comes with all of its rows: the store decides which version is the newest.
    """
    read, refused, with_names = dict[str, int](), dict[str, str](), dict[str, tuple[str, ...]]()
    frames: list[pd.DataFrame] = []
    for path in files_in(folder):
        try:
            frame, persons = _rows(path, known_apps, app_id, author_key, hints)
        except PermanentFailure as failure:
            refused[path.name] = str(failure)
            continue
        read[path.name] = len(frame)
        if persons:
            with_names[path.name] = persons
        frames.append(frame)
    rows = pd.concat(frames, ignore_index=True) if frames else columns.empty()
    return Imports(
        {str(app): columns.conform(group) for app, group in rows.groupby("app_id")}, read, refused, with_names
    )


def clean_file(
    path: Path,
    folder: Path,
    *,
    known_apps: Collection[str],
    app_id: str | None = None,
    author_key: str | None = None,
    hints: FileHints = NO_HINTS,
) -> Path:
    """Write the file's reviews into the folder without names and avatars; where they are.

    The new file's name comes from the old one's name and content, so the same file is the same import.
    """
    frame, _ = _rows(path, known_apps, app_id, author_key, hints)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()[:8]
    target = folder / f"{path.stem}-{digest}.parquet"
    columns.write_frame(frame, target)
    return target


def files_that_hold(
    folder: Path,
    erased: Erased,
    *,
    known_apps: Collection[str],
    app_id: str | None = None,
    author_key: str | None = None,
    hints: FileHints = NO_HINTS,
) -> dict[str, int]:
    """Files with rows of reviews or authors that were erased, and how many; files that cannot be read are left out."""
    found = dict[str, int]()
    for path in files_in(folder):
        try:
            frame, _ = _rows(path, known_apps, app_id, author_key, hints)
        except PermanentFailure:
            continue
        hits = sum(
            review_digest(one) in erased.reviews or author in erased.authors
            for one, author in zip(frame["review_id"], frame["author"], strict=True)
        )
        if hits:
            found[path.name] = hits
    return found


def imports_hold_no_names(imports: Imports) -> Claim:
    """A warning where a file put into the folder by hand says who people are; its rows are read without that."""
    if not imports.with_names:
        return Claim(passed=True, reason=f"none of {len(imports.read)} imported files has a name or avatar column")
    said = "; ".join(
        f"data/imports/{name} has {', '.join(found)}: make import FILE=data/imports/{name}, then delete it"
        for name, found in imports.with_names.items()
    )
    rows = [{"file": name, "columns": ", ".join(found)} for name, found in imports.with_names.items()]
    return Claim(passed=True, warning=True, reason=said, numbers={"files": len(rows)}, rows=rows)


def imports_are_understood(imports: Imports) -> Claim:
    """A warning that names every refused file and why."""
    if not imports.refused:
        return Claim(passed=True, reason=f"all of {len(imports.read)} files in data/imports were read")
    rows = [{"file": name, "reason": reason} for name, reason in imports.refused.items()]
    return Claim(passed=True, warning=True, reason="; ".join(imports.refused.values()), rows=rows)


def _rows(
    path: Path, known_apps: Collection[str], app_id: str | None, author_key: str | None, hints: FileHints
) -> tuple[pd.DataFrame, tuple[str, ...]]:
    if path.suffix.lower() == ".parquet" and path.is_file() and not columns.schema_changes(path):
        frame = columns.read_frame(path)
        unknown = sorted(set(frame["app_id"]) - set(known_apps))
        if unknown:
            raise PermanentFailure(
                f"{path} holds reviews of {unknown[0]}, which params.yaml does not name: add '  - {unknown[0]}' "
                f"under apps, or set APP={unknown[0]}"
            )
        return frame.assign(source=SOURCE), ()
    found = _read(path, known_apps, app_id, _hasher(author_key), hints)
    return found.frame, found.report.person_columns


def _read(
    path: Path,
    known_apps: Collection[str],
    app_id: str | None,
    hasher: Callable[[str], str] | None,
    hints: FileHints,
) -> ReadFile:
    return read_reviews(
        path, known_apps=known_apps, app_id=app_id, source=SOURCE, hash_author=hasher, mask_name=mask_name, hints=hints
    )


def _hasher(author_key: str | None) -> Callable[[str], str] | None:
    if not author_key:
        return None
    key = author_key
    return lambda name: author_hash(key, name)
