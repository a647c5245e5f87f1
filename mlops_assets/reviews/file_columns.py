"""Which columns of a file mean what: the replaced project's names, google-play-scraper's, and others in use."""

from collections.abc import Iterable

ALIASES: dict[str, tuple[str, ...]] = {
    "review_id": ("review_id", "reviewId", "id", "id_ulasan"),
    "app_id": ("app_id", "appId", "package", "package_name"),
    "review_text": (
        *("review_text", "content", "text", "review", "comment", "comments", "body"),
        *("ulasan", "komentar", "isi"),
    ),
    "rating": ("rating", "score", "star", "stars", "star_rating", "skor", "bintang"),
    "thumbs_up": ("thumbs_up", "thumbsUpCount", "helpful", "likes"),
    "app_version": ("app_version", "reviewCreatedVersion", "appVersion", "version"),
    "review_date": ("review_date", "at", "date", "time", "timestamp", "created_at", "tanggal", "waktu"),
    "reply_text": ("reply_text", "replyContent", "developer_reply", "reply", "balasan"),
    "reply_date": ("reply_date", "repliedAt", "replied_at", "tanggal_balasan"),
    "scraped_at": ("scraped_at", "crawled_at"),
}
"""Stored column -> names in files, the likeliest first; compared without case."""

REQUIRED = ("review_text", "rating", "review_date")
"""Without these a row is no review or has no month."""

TIMES = ("review_date", "reply_date", "scraped_at")
"""Stored columns that hold times."""


def recognise(names: Iterable[str]) -> dict[str, str]:
    """Stored column -> the file's name for it, for every column that the file has."""
    by_folded = _folded(names)
    found: dict[str, str] = {}
    for stored, aliases in ALIASES.items():
        match = next((by_folded[alias.lower()] for alias in aliases if alias.lower() in by_folded), None)
        if match is not None:
            found[stored] = match
    return found


def _folded(names: Iterable[str]) -> dict[str, str]:
    folded: dict[str, str] = {}
    for name in names:
        folded.setdefault(name.strip().lower(), name)
    return folded
