"""Where reviews come from: the generated sample, files, or Google Play. What they have in common is `ReviewSource`.

Not here: the sources of files (file_source.py) and of Google Play (play_source.py).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Literal, Protocol

from mlops_assets.failures import PermanentFailure
from mlops_assets.settings import Source
from mlops_assets.trained_on import SAMPLE_APP

if TYPE_CHECKING:
    import pandas as pd

    from mlops_assets.reviews.files.balance import Balances
    from mlops_assets.reviews.stored.store import ReviewStore


@dataclass(frozen=True)
class Collected:
    """What one pass over a source brought for one app."""

    app_id: str
    new: int = 0
    edited: int = 0
    updated: int = 0
    moved: int = 0
    deleted: int = 0
    unchanged: int = 0
    changed_months: tuple[str, ...] = ()
    whole: bool = True
    reason: str = ""

    @property
    def changes(self) -> int:
        """Reviews that differ from what was stored."""
        return self.new + self.edited + self.updated + self.deleted

    def as_row(self) -> dict[str, object]:
        """For a table; months as a count."""
        return {**asdict(self), "changed_months": len(self.changed_months)}


@dataclass(frozen=True)
class Asked:
    """What a person may ask of one pass."""

    reread: bool = False
    """Read the months again to their first day, even where they are whole."""
    accept_deletions: bool = False
    """Believe a crawl in which more reviews vanished than `deletions_percent` allows."""


AS_USUAL = Asked()


@dataclass(frozen=True)
class Standing:
    """How the last pass over an app ended: whole, partial, or unknown to the source; never before the first one."""

    app_id: str
    status: Literal["whole", "partial", "unknown", "never"]
    reason: str


class ReviewSource(Protocol):
    """Where reviews come from; one pass brings the store up to date."""

    name: Source

    def apps(self) -> Sequence[str]:
        """The apps that this source has reviews of."""
        ...

    def months(self) -> tuple[str, str]:
        """The months (first, last) that a run covers where nobody asks for others."""
        ...

    def collect(
        self,
        store: "ReviewStore",
        months_by_app: Mapping[str, Sequence[str]],
        report: Callable[[str], None],
        asked: Asked = AS_USUAL,
    ) -> list[Collected]:
        """One pass over each app's months, newest state into the store."""
        ...

    def standing(self, store: "ReviewStore") -> list[Standing]:
        """How the last pass over each app of the source ended."""
        ...

    def torn(self, store: "ReviewStore") -> list[Standing]:
        """The apps whose stored reviews have holes, since the last pass over them ended too early."""
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
        asked: Asked = AS_USUAL,  # noqa: ARG002  generated reviews are whole and never vanish
    ) -> list[Collected]:
        from mlops_assets.reviews.sources import sample

        existing = sample.months(sample.FIRST_MONTH, self._now())
        wanted = [month for month in months_by_app.get(SAMPLE_APP, ()) if month in existing]
        if not wanted:
            return []
        rows = sample.generate(*wanted)
        report(f"generated {len(rows)} reviews of {len(wanted)} months")
        return [upserted(store, SAMPLE_APP, rows)]

    def standing(self, store: "ReviewStore") -> list[Standing]:  # noqa: ARG002  nothing can be missing
        return [Standing(SAMPLE_APP, "whole", "generated")]

    def torn(self, store: "ReviewStore") -> list[Standing]:  # noqa: ARG002  nothing can be missing
        return []

    def balances(self) -> "Balances":
        from mlops_assets.reviews.files.balance import NO_FILES

        return NO_FILES


def upserted(store: "ReviewStore", app_id: str, rows: "pd.DataFrame") -> Collected:
    """The rows in the store, and what they changed there."""
    done = store.upsert(app_id, rows)
    return Collected(
        app_id,
        new=done.new,
        edited=done.edited,
        updated=done.updated,
        moved=done.moved,
        unchanged=done.unchanged,
        changed_months=done.months,
    )
