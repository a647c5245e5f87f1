"""How many reviews there are, by app and month, and each usable review with what the serving model says of it.

Read from the stored files alone: a review that was removed from them does not appear here either.
"""

import hashlib
import os
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute
import pyarrow.parquet as pq

from mlops_assets.files import stamp
from mlops_assets.reviews.predictions.month import confidences, read_month
from mlops_assets.reviews.stored import columns, months
from mlops_assets.text import text_digest

pc: Any = pyarrow.compute  # its functions are made at import, where no type checker sees them

NEWEST_COMPLAINTS = 50
"""Per app: the reviews that keep their text in the database; every other row comes without."""

LONGEST_TEXT = 500
_COLUMNS = ["review_id", "app_id", "app_version", "review_date", "rating", "review_text"]


@dataclass(frozen=True)
class MonthRows:
    """One app's month as the dashboards show it.

    `volume` has app_id, month, raw, deleted, validated and quarantined, None if nothing is stored. `reasons` has a row
    per reason of the quarantine (app_id, month, reason, reviews); a review with two reasons counts for both. `reviews`
    has a row per usable review: app_id, review_id, app_version, at, month, rating, sentiment, confidence, model_version
    and, for the newest complaints (at most two stars, or answered `negative`), the text, cut.
    """

    volume: dict[str, Any] | None
    reasons: list[dict[str, Any]]
    reviews: list[dict[str, Any]]


def month_stamps(data: Path) -> dict[str, str]:
    """App and month (`<app_id>/<YYYY-MM>`) -> what changes whenever one of its files does."""
    found: dict[str, list[object]] = {}
    for part in ("raw", "validated", "quarantine", "predictions"):
        for name, file in _months(data / part):
            found.setdefault(name, []).append((part, *stamp(file)))
    return {name: hashlib.sha256(repr(stamps).encode()).hexdigest()[:16] for name, stamps in sorted(found.items())}


def month_rows(data: Path, name: str) -> MonthRows:
    """What is stored of an app's month, named as by `month_stamps`."""
    app_id, month = name.split("/")
    raw, usable, bad = (data / part / f"{name}.parquet" for part in ("raw", "validated", "quarantine"))
    key = {"app_id": app_id, "month": f"{month}-01"}
    volume: dict[str, Any] | None = None
    reasons = Counter[str]()
    if raw.is_file():
        volume = {
            **key,
            "raw": columns.row_count(raw),
            "deleted": _deleted(raw),
            "validated": columns.row_count(usable) if usable.is_file() else 0,
            "quarantined": columns.row_count(bad) if bad.is_file() else 0,
        }
        if bad.is_file():
            for reasons_of_review in columns.read_rows(bad, ["reasons"])["reasons"].to_pylist():
                reasons.update(reasons_of_review.split("; "))
    rows = review_rows(data, name)
    shown = {row["review_id"] for row in newest_complaints(rows)[:NEWEST_COMPLAINTS]}
    for row in rows:
        if row["review_id"] not in shown:
            row["text"] = None
    return MonthRows(volume, [{**key, "reason": reason, "reviews": n} for reason, n in sorted(reasons.items())], rows)


def review_rows(data: Path, name: str, ids: Collection[str] | None = None) -> list[dict[str, Any]]:
    """The rows of `MonthRows.reviews`, all with their text; with `ids` only these."""
    path = data / "validated" / f"{name}.parquet"
    if not path.is_file():
        return []
    answers = _answers(data / "predictions" / f"{name}.parquet")
    table = months.read_some(path, _COLUMNS)
    if ids is not None:
        table = table.filter(pc.is_in(table["review_id"], value_set=pa.array(list(ids), pa.string())))
    rows: list[dict[str, Any]] = []
    for review in table.to_pylist():
        sentiment, confidence, model_version = answers.get(review["review_id"], (None, None, None))
        rows.append(
            {
                "app_id": review["app_id"],
                "review_id": review["review_id"],
                "app_version": review["app_version"],
                "at": review["review_date"],
                "month": f"{path.stem}-01",
                "rating": review["rating"],
                "sentiment": sentiment,
                "confidence": confidence,
                "model_version": model_version,
                "text": (review["review_text"] or "").replace("\0", "")[:LONGEST_TEXT],
            }
        )
    return rows


def newest_complaints(rows: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Reviews of at most two stars, or answered `negative`, the newest first."""
    complaints = [row for row in rows if (row["rating"] or 5) <= 2 or row["sentiment"] == "negative"]
    return sorted(complaints, key=lambda row: (row["at"], row["review_id"]), reverse=True)


def texts_of(data: Path, digests: Collection[str]) -> dict[str, str]:
    """Digest -> text, cut, of usable reviews that are stored now; an erased text is not among them."""
    found: dict[str, str] = {}
    wanted = set(digests)
    files = dict(_months(data / "validated"))
    for name in sorted(files, key=lambda name: (name.rpartition("/")[2], name), reverse=True):
        if not wanted - found.keys():
            break
        for text in months.read_some(Path(files[name]), ["review_text"])["review_text"].unique().to_pylist():
            if text and (digest := text_digest(text)) in wanted:
                found[digest] = text.replace("\0", "")[:LONGEST_TEXT]
    return found


def _answers(path: Path) -> dict[str, tuple[str, float, str]]:
    """review_id -> sentiment, confidence, model_version."""
    if not path.is_file():
        return {}
    table = read_month(path, ["review_id", "sentiment", "probabilities", "model_version"])
    ids, sentiments, models = (table[name].to_pylist() for name in ("review_id", "sentiment", "model_version"))
    return dict(zip(ids, zip(sentiments, confidences(table).tolist(), models, strict=True), strict=True))


def _deleted(path: Path) -> int:
    """Rows with `deleted_at`, from the file's statistics if it has them."""
    about: Any = pq.read_metadata(path)
    index = about.schema.to_arrow_schema().get_field_index("deleted_at")
    statistics = [about.row_group(group).column(index).statistics for group in range(about.num_row_groups)]
    if all(each is not None and each.has_null_count for each in statistics):
        return about.num_rows - sum(each.null_count for each in statistics)
    return len(pc.drop_null(columns.read_rows(path, ["deleted_at"])["deleted_at"]))


def _months(folder: Path) -> Iterator[tuple[str, os.DirEntry[str]]]:
    """The month files by name (`<app_id>/<YYYY-MM>`): no history, nothing staged."""
    # Not pathlib, which takes twice as long: the dashboards' sensor looks at every file each minute.
    for app in _entries(folder) if folder.is_dir() else ():
        if app.is_dir():
            for file in _entries(app):
                if file.name.endswith(".parquet"):
                    yield f"{app.name}/{file.name.removesuffix('.parquet')}", file


def _entries(folder: Path | os.DirEntry[str]) -> list[os.DirEntry[str]]:
    with os.scandir(folder) as entries:
        return [entry for entry in entries if not entry.name.startswith(".")]
