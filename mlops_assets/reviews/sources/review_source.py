"""What every source of reviews offers: the protocol `ReviewSource`, its results, and the generated sample.

Not here: the sources of files (steps/take_imports.py) and of Google Play (play_source.py).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Literal, Protocol

from mlops_assets.failures import PermanentFailure
from mlops_assets.settings import Source
from mlops_assets.trained_on import SAMPLE_APP

if TYPE_CHECKING:
    import pandas as pd

    from mlops_assets.reviews.files.balance import Balances
    from mlops_assets.reviews.stored.store import ReviewStore, StoredChanges


@dataclass(frozen=True)
class AppCollection:
    """How collecting one app ended, and what it changed in the store.

    status: whole (nothing that the source shows is missing), partial (the next run goes on), unknown (the source has no
    such app; its stored reviews stay)
    """

    app_id: str
    status: Literal["whole", "partial", "unknown"]
    reason: str
    changes: "StoredChanges"

    @property
    def whole(self) -> bool:
        return self.status == "whole"

    def as_row(self) -> dict[str, object]:
        """For a table; months as a count. An unknown app is nothing to wait for, so it counts as whole."""
        shown = ("new", "edited", "updated", "moved", "deleted", "unchanged")
        return {
            "app_id": self.app_id,
            **{name: getattr(self.changes, name) for name in shown},
            "changed_months": len(self.changes.months),
            "whole": self.status != "partial",
            "reason": self.reason,
        }


@dataclass(frozen=True)
class CollectRequest:
    """What a person may ask of one collection."""

    reread: bool = False
    """Read the months again to their first day, even those that are whole."""
    accept_deletions: bool = False
    """Believe a crawl in which more reviews vanished than `deletions_percent` allows."""


ORDINARY = CollectRequest()


@dataclass(frozen=True)
class AppStatus:
    """How the last collection of an app ended: whole, partial, or unknown to the source; never before the first."""

    app_id: str
    status: Literal["whole", "partial", "unknown", "never"]
    reason: str


class ReviewSource(Protocol):
    """Where reviews come from; one call of `collect` brings the store up to date."""

    name: Source

    def apps(self) -> Sequence[str]:
        """The apps that this source has reviews of."""
        ...

    def due_apps(self) -> Sequence[str]:
        """The apps that a run covers if nobody asks for months."""
        ...

    def months(self) -> tuple[str, str]:
        """The months (first, last) that a run covers if nobody asks for others."""
        ...

    def collect(
        self,
        store: "ReviewStore",
        months_by_app: Mapping[str, Sequence[str]],
        report: Callable[[str], None],
        request: CollectRequest = ORDINARY,
    ) -> Sequence[AppCollection]:
        """Read each app's months once and bring their newest state into the store."""
        ...

    def statuses(self, store: "ReviewStore") -> Sequence[AppStatus]:
        """How the last collection of each app ended."""
        ...

    def incomplete(self, store: "ReviewStore") -> Sequence[AppStatus]:
        """The apps whose stored reviews have gaps because their last collection ended too early."""
        ...

    def balances(self) -> "Balances":
        """What became of each row of the files that the source reads."""
        ...


class SampleSource:
    """Generated Indonesian reviews of `sample.app`: no network, no real person's words."""

    name: Source = "sample"

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now

    def apps(self) -> Sequence[str]:
        return (SAMPLE_APP,)

    def due_apps(self) -> Sequence[str]:
        return self.apps()

    def months(self) -> tuple[str, str]:
        from mlops_assets.reviews.sources import sample

        months = sample.months(sample.FIRST_MONTH, self._now())
        if not months:
            raise PermanentFailure(
                f"the sample starts with {sample.FIRST_MONTH} and the clock says {self._now():%Y-%m}: set a later NOW"
            )
        return months[0], months[-1]

    def collect(
        self,
        store: "ReviewStore",
        months_by_app: Mapping[str, Sequence[str]],
        report: Callable[[str], None],
        request: CollectRequest = ORDINARY,  # noqa: ARG002  generated reviews are whole and never vanish
    ) -> list[AppCollection]:
        from mlops_assets.reviews.sources import sample

        existing = sample.months(sample.FIRST_MONTH, self._now())
        wanted = [month for month in months_by_app.get(SAMPLE_APP, ()) if month in existing]
        if not wanted:
            return []
        rows = sample.generate(*wanted)
        report(f"generated {len(rows)} reviews of {len(wanted)} months")
        return [store_rows(store, SAMPLE_APP, rows, reason="generated")]

    def statuses(self, store: "ReviewStore") -> list[AppStatus]:  # noqa: ARG002  nothing can be missing
        return [AppStatus(SAMPLE_APP, "whole", "generated")]

    def incomplete(self, store: "ReviewStore") -> list[AppStatus]:  # noqa: ARG002  nothing can be missing
        return []

    def balances(self) -> "Balances":
        from mlops_assets.reviews.files.balance import NO_FILES

        return NO_FILES


def store_rows(
    store: "ReviewStore", app_id: str, rows: "pd.DataFrame", *, reason: str, content_ids: bool = False
) -> AppCollection:
    """Store rows that are all that the source has of these months."""
    return AppCollection(app_id, "whole", reason, store.take_batch(app_id, rows, content_ids=content_ids))
