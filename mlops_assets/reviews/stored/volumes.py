"""How many reviews there are, by app and month, and each usable review with what the serving model says of it.

Read from the stored files alone: a review that was removed from them does not appear here either.
"""

from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

import pyarrow.compute
import pyarrow.parquet as pq

from mlops_assets.reviews.predictions.month import confidences, read_month
from mlops_assets.reviews.stored import columns
from mlops_assets.text import text_digest

pc: Any = pyarrow.compute  # its functions are made at import, where no type checker sees them

NEWEST_COMPLAINTS = 50
"""Per app: the reviews that keep their text; every other row comes without."""

LONGEST_TEXT = 500
_COLUMNS = ["review_id", "app_id", "app_version", "review_date", "rating", "review_text"]


def fingerprint(data: Path) -> str:
    """Changes whenever a file that the two functions below read does."""
    found = [path for part in ("raw", "validated", "quarantine", "predictions") for path in _months(data / part)]
    stats = [(path.relative_to(data).as_posix(), path.stat()) for path in found]
    return repr([(name, stat.st_size, stat.st_mtime_ns, stat.st_ino) for name, stat in stats])


def month_volumes(data: Path) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """A row per app and month (app_id, month, raw, deleted, validated, quarantined), and one per app, month and reason
    of the quarantine (app_id, month, reason, reviews); a review with two reasons counts for both.
    """
    volumes: list[dict[str, Any]] = []
    reasons: list[dict[str, Any]] = []
    for path in _months(data / "raw"):
        app_id, month = path.parent.name, path.stem
        usable, bad = (data / part / app_id / path.name for part in ("validated", "quarantine"))
        volumes.append(
            {
                "app_id": app_id,
                "month": f"{month}-01",
                "raw": pq.read_metadata(path).num_rows,
                "deleted": _deleted(path),
                "validated": pq.read_metadata(usable).num_rows if usable.is_file() else 0,
                "quarantined": pq.read_metadata(bad).num_rows if bad.is_file() else 0,
            }
        )
        if bad.is_file():
            counts: dict[str, int] = {}
            for reasons_of_review in columns.read_rows(bad, ["reasons"])["reasons"].to_pylist():
                for reason in reasons_of_review.split("; "):
                    counts[reason] = counts.get(reason, 0) + 1
            reasons += [
                {"app_id": app_id, "month": f"{month}-01", "reason": reason, "reviews": count}
                for reason, count in sorted(counts.items())
            ]
    return volumes, reasons


def reviews_with_predictions(data: Path) -> list[dict[str, Any]]:
    """A row per usable review: app_id, review_id, app_version, at, month, rating, sentiment, confidence, model_version
    and, for each app's newest complaints (at most two stars, or answered `negative`), the text, cut.
    """
    rows: list[dict[str, Any]] = []
    for path in _months(data / "validated"):
        answers = _answers(data / "predictions" / path.parent.name / path.name)
        for review in columns.read_rows(path, _COLUMNS).to_pylist():
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
    shown = _newest_complaints(rows)
    for row in rows:
        if (row["app_id"], row["review_id"]) not in shown:
            row["text"] = None
    return rows


def texts_of(data: Path, digests: Collection[str]) -> dict[str, str]:
    """Digest -> text, cut, of usable reviews that are stored now; an erased text is not among them."""
    found: dict[str, str] = {}
    wanted = set(digests)
    for path in sorted(_months(data / "validated"), key=lambda path: path.stem, reverse=True):
        if not wanted - found.keys():
            break
        for text in columns.read_rows(path, ["review_text"])["review_text"].unique().to_pylist():
            if text and (digest := text_digest(text)) in wanted:
                found[digest] = text.replace("\0", "")[:LONGEST_TEXT]
    return found


def _newest_complaints(rows: Iterable[Mapping[str, Any]]) -> set[tuple[str, str]]:
    by_app: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        if (row["rating"] or 5) <= 2 or row["sentiment"] == "negative":
            by_app.setdefault(row["app_id"], []).append(row)
    return {
        (app_id, row["review_id"])
        for app_id, complaints in by_app.items()
        for row in sorted(complaints, key=lambda complaint: complaint["at"], reverse=True)[:NEWEST_COMPLAINTS]
    }


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


def _months(folder: Path) -> list[Path]:
    """The month files of each app: no history, nothing staged."""
    return [path for path in sorted(folder.glob("*/*.parquet")) if not path.name.startswith(".")]
