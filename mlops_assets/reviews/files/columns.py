"""Which columns of a file mean what: the replaced project's names, google-play-scraper's, and others in use."""

from collections.abc import Iterable

ALIASES: dict[str, tuple[str, ...]] = {
    "review_id": ("review_id", "id", "id_ulasan"),
    "app_id": (
        *("app_id", "package", "package_name", "app_package", "source_app_id", "application_id", "bundle_id"),
        *("app", "app_name", "application", "application_name", "source_app", "nama_aplikasi", "aplikasi"),
    ),
    "review_text": (
        *("review_text", "content", "text", "review", "comment", "comments", "body", "review_content"),
        *("review_body", "comment_text", "ulasan", "komentar", "isi", "isi_ulasan", "teks", "teks_ulasan"),
        *("user_review", "customer_review", "reviews", "snippet", "feedback", "message", "ulasan_pengguna"),
    ),
    "rating": (
        *("rating", "score", "star", "stars", "star_rating", "review_rating", "skor", "bintang", "nilai"),
        *("user_rating", "review_score", "review_stars", "ratings", "rating_bintang", "jumlah_bintang", "penilaian"),
    ),
    "thumbs_up": ("thumbs_up", "thumbs_up_count", "helpful", "helpful_count", "likes", "jumlah_suka"),
    "app_version": (
        *("review_created_version", "app_version", "version", "app_version_name", "app_version_code"),
        *("versi", "versi_aplikasi"),
    ),
    "review_date": (
        *("review_date", "at", "review_time", "date", "time", "datetime", "timestamp", "created_at", "review_datetime"),
        *("review_submit_date_and_time", "review_last_update_date_and_time", "review_submit_millis_since_epoch"),
        *("review_created_at", "submitted_at", "posted_at", "tanggal", "waktu", "tanggal_ulasan", "waktu_ulasan"),
        *("date_time", "date_created", "date_posted", "published_at", "iso_date", "updated", "updated_at", "tgl"),
        *("tgl_ulasan", "tanggal_review", "tanggal_dibuat", "last_update", "last_modified"),
    ),
    "reply_text": (
        *("reply_text", "reply_content", "developer_reply", "developer_reply_text", "developer_response", "reply"),
        *("balasan", "isi_balasan", "balasan_pengembang", "tanggapan_pengembang", "tanggapan", "response"),
        *("response_text", "reply_body"),
    ),
    "reply_date": (
        *("reply_date", "replied_at", "reply_time", "developer_reply_date_and_time"),
        *("developer_reply_millis_since_epoch", "tanggal_balasan", "waktu_balasan"),
        *("response_date", "response_time", "tanggal_tanggapan"),
    ),
    "scraped_at": ("scraped_at", "crawled_at", "scraped_date", "collected_at"),
}
"""Stored column -> names in files, the likeliest first; compared by their letters and digits alone."""

REQUIRED = ("review_text", "rating", "review_date")
"""Without these a row is no review or has no month."""

TIMES = ("review_date", "reply_date", "scraped_at")
"""Stored columns that hold times."""


def recognise(names: Iterable[str]) -> dict[str, str]:
    """Stored column -> the file's name for it, for every column that the file has."""
    by_folded = _by_folded(names)
    found: dict[str, str] = {}
    for stored, aliases in ALIASES.items():
        match = next((by_folded[folded(alias)] for alias in aliases if folded(alias) in by_folded), None)
        if match is not None:
            found[stored] = match
    return found


def app_columns(names: Iterable[str]) -> tuple[str, ...]:
    """The file's columns that may say which app a review is of, the likeliest first."""
    by_folded = _by_folded(names)
    return tuple(by_folded[folded(alias)] for alias in ALIASES["app_id"] if folded(alias) in by_folded)


def folded(name: str) -> str:
    """A name as it is compared: `Review Text`, `reviewText` and `review_text` are equal."""
    return "".join(letter for letter in name.casefold() if letter.isalnum())


def _by_folded(names: Iterable[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for name in names:
        if folded(name):
            found.setdefault(folded(name), name)
    return found
