"""Which files are the history of a clone, and how they are copied and put back. Knows nothing of Dagster."""

import contextlib
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from mlops_assets.failures import TransientFailure

_SCRATCH = {"snapshot", "training", "checkpoints", "anchor", ".anchor.fetched", "newest_reviews.parquet"}
"""Below the instance: made anew, or fetched, by the next run."""
_OF_THE_SERVICE = ("deployments.sqlite", "images.json")
"""Below the service's folder: what was live when, and which image holds which release. The rest is this machine's."""
_NOT_KEPT = (".lock", "-wal", "-shm", "-journal", ".rate", ".partial")
_CONFIGURATION = "dagster.yaml"
"""It belongs to the machine, and may hold a password."""
_SQLITE = b"SQLite format 3\x00"


class NotCopied(TransientFailure):
    """A file of the history could not be read."""


def copy_history(instance: Path, service: Path, predictions: Path | None, into: Path) -> None:
    """The instance as `dagster/`, the deployment log as `serving/`, the SQLite log of predictions, below `into`.

    Databases are copied while others write to them, each as of one moment.
    """
    for source in _files(instance):
        _copy(source, into / "dagster" / source.relative_to(instance))
    for name in _OF_THE_SERVICE:
        if (service / name).is_file():
            _copy(service / name, into / "serving" / name)
    if predictions is not None and predictions.is_file():
        _copy(predictions, into / "predictions.sqlite")


def put_back(unpacked: Path, instance: Path, service: Path, predictions: Path | None, stamp: str) -> list[Path]:
    """Replace the history by the unpacked one and keep it beside; returns the kept files and folders.

    Each move is one rename: a kill leaves the old or the new, and another call finishes the work.
    """
    if (own := instance / _CONFIGURATION).is_symlink() or own.exists():
        (unpacked / "dagster").mkdir(exist_ok=True)
        shutil.copy2(own, unpacked / "dagster" / _CONFIGURATION, follow_symlinks=False)
    kept = [*_swap(unpacked / "dagster", instance, stamp)]
    for name in _OF_THE_SERVICE:
        kept += _swap(unpacked / "serving" / name, service / name, stamp)
    if predictions is not None:
        kept += _swap(unpacked / "predictions.sqlite", predictions, stamp)
    return kept


def rows(database: Path, table: str) -> int:
    """Rows of a table in an SQLite file; 0 if either is missing."""
    if not database.is_file():
        return 0
    with contextlib.closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        known = connection.execute("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?", (table,)).fetchone()
        query = f"SELECT count(*) FROM {table}"  # noqa: S608  names of this package
        return int(connection.execute(query).fetchone()[0]) if known else 0


def _files(instance: Path) -> Iterator[Path]:
    for path in sorted(instance.rglob("*")):
        inside = path.relative_to(instance)
        scratch = inside.parts[0] in {*_SCRATCH, _CONFIGURATION} or path.name == "lock" or path.name.endswith(_NOT_KEPT)
        if not scratch and not path.is_symlink() and path.is_file():
            yield path


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        if not _is_sqlite(source):
            shutil.copyfile(source, target)
            return
        with (
            contextlib.closing(sqlite3.connect(f"file:{source}?mode=ro", uri=True, timeout=30)) as live,
            contextlib.closing(sqlite3.connect(target)) as copy,
        ):
            live.backup(copy)
            found = copy.execute("PRAGMA quick_check").fetchone()[0]
    except FileNotFoundError:
        return  # pruned while the others were copied
    except (OSError, sqlite3.Error) as error:
        raise NotCopied(f"{source} could not be copied ({error}): make backup again, or look at that file") from error
    if found != "ok":
        raise NotCopied(f"{source} is damaged ({found}): restore it, or move it away, and make backup again")


def _is_sqlite(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(_SQLITE)) == _SQLITE


def _swap(new: Path, target: Path, stamp: str) -> list[Path]:
    if not new.exists():
        return []
    target.parent.mkdir(parents=True, exist_ok=True)
    if new.is_file() and new.stat().st_dev != target.parent.stat().st_dev:
        beside = target.with_name(f".{target.name}.restoring")
        new = Path(shutil.copyfile(new, beside))
    kept: list[Path] = []
    if target.exists():
        aside = target.with_name(f"{target.name}.before-{stamp}")
        for suffix in ("-wal", "-shm"):  # of the old database: the new one would read them as its own
            if (rest := target.with_name(f"{target.name}{suffix}")).exists():
                rest.rename(aside.with_name(f"{aside.name}{suffix}"))
        target.rename(aside)
        kept.append(aside)
    new.rename(target)
    return kept
