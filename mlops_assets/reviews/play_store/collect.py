"""Bring one app's stored reviews up to date with its feed, and say whether nothing is missing.

A crawl pages through the feed from the newest review on. It ends because the feed ends, because the requested months
are covered, or because it reached reviews that an earlier crawl covered. Anything else is partial: the pages are kept,
and the next run goes on after the last page. Pages go to a journal at once (crawl_state.py) and into the months in
batches, so memory is bounded and a kill loses nothing.
"""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from typing import Literal

from filelock import FileLock, Timeout

from mlops_assets.failures import TransientFailure
from mlops_assets.params.reviews import CollectOptions
from mlops_assets.reviews.play_store.crawl import Crawl, CrawlResult
from mlops_assets.reviews.play_store.crawl_state import CrawlState
from mlops_assets.reviews.play_store.feed import OpensFeeds, PageMissing, UnknownApp
from mlops_assets.reviews.stored.store import ReviewStore

Status = Literal["whole", "partial", "unknown"]


def collect_app(  # noqa: PLR0913 - from where, what, how far, and who is told
    store: ReviewStore,
    play: OpensFeeds,
    app_id: str,
    months: Sequence[str],
    *,
    now: datetime,
    options: CollectOptions,
    report: Callable[[str], None] = lambda _: None,
    reread: bool = False,
    most: int | None = None,
) -> CrawlResult:
    """Read the app's feed as far back as the months need it and store every review seen.

    Of months that are covered already only new reviews and an overlap are read; with `reread` they are read again to
    the first day. `most` ends a crawl with the page that has the last of so many newest reviews. An open crawl is
    finished first. Raises what a rerun or a person must fix: `StoreRefused`, or `TransientFailure` if another run
    collects the app. A throttled or cut-off feed is a partial `CrawlResult`.
    """
    if not months:
        raise ValueError(f"{app_id}: no month to collect")
    locks = store.folder / ".locks"
    locks.mkdir(parents=True, exist_ok=True)
    lock = FileLock(locks / f"collect-{app_id}.lock")
    try:
        lock.acquire(blocking=False)
    except Timeout:
        raise TransientFailure(f"{app_id} is being collected by another run: wait for it") from None
    try:
        state = CrawlState.load(store.folder / app_id, options.language)
        crawl = Crawl(store, play, app_id, state, now=now, options=options, report=report, most=most)
        state.last = {"status": crawl.result.status, "reason": crawl.result.reason}
        state.save(store.folder / app_id)
        with closing(crawl):
            accept = options.accept_deletions
            status, reason = _run(crawl, months, reread=reread, accept_deletions=accept, most=most)
        result = replace(crawl.result, status=status, reason=reason)
        state.last = {"status": status, "reason": reason, "ended_at": now.isoformat(), "pages": result.pages}
        state.save(store.folder / app_id)
    finally:
        lock.release()
    report(f"{app_id}: {status}, {reason}; {result.pages} pages, {result.reviews} reviews, {result.changes.new} new")
    return result


def collect_apps(
    store: ReviewStore,
    play: OpensFeeds,
    months_by_app: Mapping[str, Sequence[str]],
    *,
    now: datetime,
    options: CollectOptions,
    report: Callable[[str], None] = lambda _: None,
    reread: bool = False,
    most: int | None = None,
) -> list[CrawlResult]:
    """`collect_app` for several apps side by side; a failure is raised after the other apps have ended."""
    with ThreadPoolExecutor(max_workers=options.apps_at_once, thread_name_prefix="collect") as pool:
        running = [
            pool.submit(
                collect_app,
                store,
                play,
                app_id,
                months,
                now=now,
                options=options,
                report=report,
                reread=reread,
                most=most,
            )
            for app_id, months in months_by_app.items()
        ]
    return [future.result() for future in running]


def months_due(store: ReviewStore, app_id: str, *, now: datetime, options: CollectOptions) -> list[str]:
    """The months from the last whole crawl, or from the first month of an open crawl, to the present one."""
    state = CrawlState.load(store.folder / app_id, options.language)
    first = f"{now.astimezone(UTC):%Y-%m}"
    if state.whole:
        first = min(first, state.whole.ended_at[:7])
    if state.open and state.open.mark_s is None:
        first = min(first, f"{datetime.fromtimestamp(state.open.floor_s, UTC):%Y-%m}")
    return months_between(first, f"{now.astimezone(UTC):%Y-%m}")


def months_between(first: str, last: str) -> list[str]:
    """Every month from `first` to `last`, both included."""
    months, (year, month) = [], (int(first[:4]), int(first[5:]))
    while f"{year:04}-{month:02}" <= last:
        months.append(f"{year:04}-{month:02}")
        year, month = (year, month + 1) if month < 12 else (year + 1, 1)
    return months


def last_collection(store: ReviewStore, app_id: str, options: CollectOptions) -> tuple[Status | Literal["never"], str]:
    """Status and reason of the app's latest crawl; the status is `never` before the first."""
    state = CrawlState.load(store.folder / app_id, options.language)
    if not state.last:
        return "never", f"{app_id} was never collected: run again"
    return state.last["status"], state.last["reason"]


def _run(
    crawl: Crawl, months: Sequence[str], *, reread: bool, accept_deletions: bool, most: int | None
) -> tuple[Status, str]:
    """Finish an open crawl, then read what the months need; status and reason."""
    state, floor_s = crawl.state, _start_s(min(months))
    deep_floor_s: int | None = None
    reason = ""
    try:
        if state.open:
            if state.open.mark_s is None:
                state.open.floor_s = min(state.open.floor_s, floor_s)
                deep_floor_s = state.open.floor_s
            reason = crawl.finish()
        else:
            crawl.drop_leftovers()
        if state.held and not state.held.checked and not accept_deletions:
            reread, floor_s = True, min(floor_s, state.held.since_s)
        satisfied = deep_floor_s is not None and deep_floor_s <= floor_s
        whole = state.whole
        enough = most is not None and whole is not None and (whole.most or 0) >= most
        deeper = whole is None or (floor_s < whole.since_s and not enough)
        if not satisfied and (reread or deeper):
            reason = crawl.read_down_to(floor_s)
        elif not reason and whole is not None:
            reason = crawl.read_what_is_new(whole)
    except UnknownApp as unknown:
        crawl.keep()
        return "unknown", str(unknown)
    except PageMissing as missing:
        crawl.keep()
        return "partial", str(missing)
    if state.held:
        return "partial", state.held.reason
    return "whole", reason


def _start_s(month: str) -> int:
    return int(datetime(int(month[:4]), int(month[5:]), 1, tzinfo=UTC).timestamp())
