"""What collecting costs: requests per tick, a backfill against the library's own, its memory, the writing of a tick.

`python -m benchmarks.collection` prints one JSON object; every part is also a function that returns figures.
"""

import json
import math
import multiprocessing
import re
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from mlops_assets.params.reviews import CollectOptions
from mlops_assets.reviews.play_store.client import PlayStore
from mlops_assets.reviews.play_store.collect import collect_app
from mlops_assets.reviews.stored.store import ReviewStore

APP = "com.example.bench"
NOW = datetime(2026, 3, 20, 12, tzinfo=UTC)
PAGE = 199
OPTIONS = CollectOptions(requests_per_second=1000)


def requests_per_tick(news: tuple[int, ...] = (0, 1, 500)) -> dict[str, dict[str, float]]:
    """Requests that a tick sends for so many new reviews, and the fewest that could carry them."""
    from tests.fakes.play_store import FakePlayStore, MemoryPlayStore

    figures: dict[str, dict[str, float]] = {}
    for new in news:
        fake = FakePlayStore(page_size=PAGE)
        fake.add(APP, _reviews(2000))
        with tempfile.TemporaryDirectory() as folder:
            store, play = ReviewStore(Path(folder)), MemoryPlayStore(fake)
            collect_app(store, play, APP, ["2020-01"], now=NOW, options=OPTIONS)
            later = NOW + timedelta(hours=6)
            fake.add(APP, _reviews(new, first=10_000, newest=later, apart_s=20))
            fake.requests.clear()
            done = collect_app(store, play, APP, ["2026-03"], now=later, options=OPTIONS)
            assert done.whole
            assert done.changes.new == new
        figures[str(new)] = {"requests": len(fake.requests), "fewest": max(1, math.ceil(new / PAGE))}
    return figures


def backfill(reviews: int = 100_000, latency_s: float = 0.05) -> dict[str, float]:
    """Reviews per second of a first crawl, journal and months included, and of the library's `reviews_all`."""
    with _server(reviews, latency_s) as url:
        ours = _in_process(_collect_all, url, reviews)
        theirs = _in_process(_library_all, url, reviews)
    return {
        "reviews": reviews,
        "latency_ms": latency_s * 1000,
        "reviews_per_s": ours["reviews"] / ours["s"],
        "library_reviews_per_s": theirs["reviews"] / theirs["s"],
        "speedup": (ours["reviews"] / ours["s"]) / (theirs["reviews"] / theirs["s"]),
        "cpu_s": ours["cpu_s"],
        "peak_mib_above_start": ours["peak_mib"],
        "library_peak_mib_above_start": theirs["peak_mib"],
    }


def memory(sizes: tuple[int, ...] = (25_000, 100_000)) -> dict[str, float]:
    """Peak memory of a backfill above what the process had before it, in MiB: about the same for every size."""
    figures = {}
    for size in sizes:
        with _server(size, 0.0) as url:
            figures[str(size)] = _in_process(_collect_all, url, size)["peak_mib"]
    return figures


def tick_in_a_large_month(rows: int = 300_000) -> dict[str, float]:
    """Seconds to bring a page of one new and 198 known reviews into a month of `rows`, and one with nothing new."""
    from tests.fakes.play_store import FakePlayStore, MemoryPlayStore

    fake = FakePlayStore(page_size=PAGE)
    fake.add(APP, _reviews(rows, newest=NOW, apart_s=5))
    with tempfile.TemporaryDirectory() as folder:
        store, play = ReviewStore(Path(folder)), MemoryPlayStore(fake)
        big = CollectOptions(requests_per_second=1000, page_size=PAGE, flush_reviews=rows)
        fake.page_size = 4500
        collect_app(store, play, APP, ["2026-03"], now=NOW, options=big)
        fake.page_size = PAGE
        mib = store.path(APP, "2026-03").stat().st_size / 2**20
        started = time.perf_counter()
        collect_app(store, play, APP, ["2026-03"], now=NOW + timedelta(hours=1), options=OPTIONS)
        nothing_s = time.perf_counter() - started
        fake.add(APP, _reviews(1, first=10**7, newest=NOW + timedelta(hours=1)))
        started = time.perf_counter()
        done = collect_app(store, play, APP, ["2026-03"], now=NOW + timedelta(hours=2), options=OPTIONS)
        one_s = time.perf_counter() - started
        assert done.changes.new == 1
        stored = len(store.read(APP, "2026-03"))
    return {"rows": stored, "file_mib": mib, "nothing_new_s": nothing_s, "one_new_s": one_s}


def _reviews(count: int, *, first: int = 0, newest: datetime = NOW, apart_s: int = 300) -> list[Any]:
    from tests.fakes.play_store import FakeReview

    top_s = int(newest.timestamp())
    return [
        FakeReview(
            f"gp:AOqpTO{first + n:010}",
            f"Pengguna{n}",
            f"aplikasinya bagus nomor {n} tapi kadang lemot waktu dibuka",
            n % 5 + 1,
            top_s - n * apart_s,
            thumbs=n % 7,
        )
        for n in range(count)
    ]


@contextmanager
def _server(reviews: int, latency_s: float) -> Iterator[str]:
    """The fake store in a process of its own, so that it takes no time from the one that is measured."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=_serve, args=(there, reviews, latency_s))
    process.start()
    there.close()
    try:
        yield here.recv()
    finally:
        here.send(None)
        process.join()


def _serve(pipe: Connection, reviews: int, latency_s: float) -> None:
    from tests.fakes.play_store import FakePlayStore
    from tests.fakes.play_wire import serve

    fake = FakePlayStore(page_size=PAGE, pinned=False)  # the library keeps no cookies
    fake.add(APP, _reviews(reviews))
    with serve(fake, latency_s=latency_s) as wire:
        fake.page(APP, None, "warm")
        pipe.send(wire.url)
        pipe.recv()


def _in_process(measure: Callable[[str, int], int], url: str, reviews: int) -> dict[str, float]:
    """What `measure` takes in a fresh process: seconds, CPU seconds and peak memory above its start."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=_measured, args=(there, measure, url, reviews))
    process.start()
    there.close()
    figures = here.recv()
    process.join()
    return figures


def _measured(pipe: Connection, measure: Callable[[str, int], int], url: str, reviews: int) -> None:
    measure(url, 0)  # imports and first allocations belong to the start
    before_mib, cpu_s, started = _peak_mib(), time.process_time(), time.perf_counter()
    found = measure(url, reviews)
    pipe.send(
        {
            "reviews": found,
            "s": time.perf_counter() - started,
            "cpu_s": time.process_time() - cpu_s,
            "peak_mib": _peak_mib() - before_mib,
        }
    )


def _peak_mib() -> float:
    """The process's own peak: getrusage would count its parent's from before the exec."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(re.findall(r"VmHWM:\s+(\d+) kB", status)[0]) / 1024


def _collect_all(url: str, reviews: int) -> int:
    """All of the feed where `reviews` is not 0, else its newest page."""
    month = "2010-01" if reviews else f"{NOW:%Y-%m}"
    if not reviews:
        return len(_first_page(url))
    with tempfile.TemporaryDirectory() as folder:
        done = collect_app(
            ReviewStore(Path(folder)), PlayStore(OPTIONS, url=url), APP, [month], now=NOW, options=OPTIONS
        )
    assert done.whole
    assert done.changes.new == reviews
    return done.changes.new


def _first_page(url: str) -> list[Any]:
    feed = PlayStore(OPTIONS, url=url).open()
    try:
        return list(feed.fetch(APP, None).reviews)
    finally:
        feed.close()


def _library_all(url: str, reviews: int) -> int:
    from mlops_assets.reviews.play_store.reply import library

    formats = library().formats
    type(formats.Reviews).URL_FORMAT = url + "/_/PlayStoreUi/data/batchexecute?hl={lang}&gl={country}"
    import google_play_scraper as gps

    if not reviews:  # with a count that no sum of pages meets, the library reads the whole feed
        return len(gps.reviews(APP, lang="id", country="id", sort=gps.Sort.NEWEST, count=PAGE)[0])
    found = gps.reviews_all(APP, lang="id", country="id", sort=gps.Sort.NEWEST)
    assert len(found) == reviews
    return len(found)


def main() -> None:
    """Print every figure."""
    figures = {
        "requests_per_tick": requests_per_tick(),
        "backfill": backfill(),
        "backfill_memory_mib": memory(),
        "tick_in_a_large_month": tick_in_a_large_month(),
    }
    print(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
