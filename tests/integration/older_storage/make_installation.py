"""An installation as version 0.1.0 left it, for the test of the upgrade: `installation-0.1.0.tar.gz`. It was made with

    .venv/bin/python -m tests.integration.older_storage.make_installation FOLDER     in a checkout of commit 7e882f0
    tar --create --xz --file installation-0.1.0.tar.xz --exclude .venv-dvc --exclude hooks --directory FOLDER .

It holds what that version stored in ways that later ones do not: names in replies, row numbers as ids, a review from
before the partitions, times seven hours late, and the last run's models live.
"""

import csv
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from mlops_assets import outside
from mlops_assets.cli.data import import_file
from mlops_assets.cli.run import run_pipeline
from tests.user_clone import make_clone, settings_of

APP = "com.example.app"
NOW = datetime(2026, 3, 20, 12, tzinfo=UTC)
GOOD = ("aplikasinya bagus", "mudah dipakai", "sangat membantu", "cepat sekali", "pelayanan ramah")
BAD = ("sering gagal masuk", "lambat dan eror", "uang saya hilang", "tidak bisa dibuka", "banyak iklan mengganggu")
ENDINGS = ("sejak pagi", "di ponsel lama", "setelah pembaruan", "tadi malam", "untuk transfer", "hari ini")
HEADER = ("reviewId", "userName", "userImage", "content", "score", "thumbsUpCount", "at", "replyContent", "repliedAt")
NAMES = ("Siti Rahayu", "Budi Santoso", "Agus Wijaya", "Dewi Lestari")


def collected(count: int) -> list[Sequence[object]]:
    """Rows as google-play-scraper gives them, each third with a reply that names the author."""
    rows: list[Sequence[object]] = []
    for n in range(count):
        good = n % 3 != 0
        text = f"{(GOOD if good else BAD)[n // 3 % 5]} {ENDINGS[n // 15 % 6]} {n // 90}"
        name, at = NAMES[n % 4], NOW - timedelta(hours=9 * n)
        reply = (f"Halo {name}, terima kasih", f"{at:%Y-%m-%d %H:%M:%S}") if n % 3 == 1 else ("", "")
        rows.append((f"play-{n:04}", name, "https://play.example/a.png", text, 5 if good else 1, n % 7,
                     f"{at:%Y-%m-%d %H:%M:%S}", *reply))  # fmt: skip
    return rows


def write(path: Path, header: Sequence[str], rows: Sequence[Sequence[object]]) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    return path


def main() -> None:
    clone = make_clone(Path(sys.argv[1]) / "clone", apps=[APP])
    files = clone.parent / "files"
    files.mkdir()
    reviews = write(files / "reviews.csv", HEADER, collected(360))
    numbered = [(n, f"{GOOD[n % 5]} menurut saya {n}", 5, "2026-02-10") for n in range(20)]
    write(files / "numbered.csv", ("id", "content", "score", "at"), numbered)
    old = [("mantap dari dulu", 5, "2015-06-01 10:00:00", APP)]
    write(files / "old.csv", ("review_text", "rating", "review_date", "app_id"), old)
    environ = {"NOW": NOW.isoformat(), "PORT": "18999", "REVIEWS": str(reviews), "APP": APP}
    settings = settings_of(clone, **environ)
    for name in ("numbered.csv", "old.csv"):
        import_file(settings, str(files / name))
    assert run_pipeline(settings) == 0
    outside.build(settings)["service"].stop()


if __name__ == "__main__":
    main()
