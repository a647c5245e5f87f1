"""Store pages in order in a thread of its own, while the next ones are fetched."""

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Self

from mlops_assets.reviews.play_store.crawl_state import JournalPage

_AHEAD = 2
"""Pages that may wait: a kill loses them, and they have to be asked for again."""


class Writer:
    """Calls `store` with each page in turn. After a page that failed none is stored, and leaving raises its failure."""

    def __init__(self, store: Callable[[JournalPage], None]) -> None:
        self._store = store
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="pages")
        self._waiting: deque[Future[None]] = deque()

    def put(self, page: JournalPage) -> None:
        """Store `page` after those before it; raises what one of them raised."""
        before = self._waiting[-1] if self._waiting else None
        self._waiting.append(self._pool.submit(self._store_after, before, page))
        # The last one stays: a later page must see its failure.
        while len(self._waiting) > _AHEAD or (len(self._waiting) > 1 and self._waiting[0].done()):
            self._waiting.popleft().result()

    def _store_after(self, before: Future[None] | None, page: JournalPage) -> None:
        if before:
            before.result()
        self._store(page)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown()
        while self._waiting:
            self._waiting.popleft().result()
