"""How files of reviews are read: the same rules for `make import`, data/imports and REVIEWS."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Self

from mlops_assets.reviews.stored.privacy import NOTHING_ERASED, Erased
from mlops_assets.settings import DateOrder, Settings

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class FileHints:
    """`app_asked`: a person set APP, so the only name that a file gives its app is that app.

    Without APP the app is merely the only entry in params.yaml, and the file may be about another app.
    """

    date_order: DateOrder | None = None
    app_names: Mapping[str, str] = field(default_factory=dict[str, str])
    app_asked: bool = True

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """What the variables and params.yaml say."""
        return cls(settings.date_order, settings.app_names, app_asked=settings.extra_app is not None)


NO_HINTS = FileHints()


@dataclass(frozen=True)
class FileRules:
    """known_apps: any other app is refused; None takes all
    app_id: the app of rows that name none
    naive_zone: the zone of times that name none; None finds it from Play's reviews, or takes UTC
    source: the provenance that the rows get
    collected_at: when rows without that time were observed; None takes the time when they were written or answered, so
    that they never replace a row that says more
    author_key: the author column holds the keyed hash of the name; without a key it is empty
    first_month, now: rows dated before and after them are put aside; None takes all
    of_play: the stored reviews of an app that came from Google Play
    erased: what was erased on request
    hints: a person's settings about dates and apps
    """

    known_apps: Collection[str] | None = None
    app_id: str | None = None
    naive_zone: str | None = None
    source: str = "file"
    collected_at: datetime | None = None
    author_key: str | None = None
    first_month: str | None = None
    now: datetime | None = None
    of_play: "Callable[[str], pd.DataFrame] | None" = None
    erased: Erased = NOTHING_ERASED
    hints: FileHints = NO_HINTS

    @classmethod
    def of(
        cls, settings: Settings, *, source: str, collected_at: datetime | None = None, stored: Path | None = None
    ) -> Self:
        """What the variables, params.yaml and the stored reviews say; `stored` instead of `data/raw`."""
        return cls(
            known_apps=settings.apps,
            app_id=settings.only_app,
            naive_zone=settings.time_zone,
            source=source,
            collected_at=collected_at,
            author_key=settings.author_key.get_secret_value() if settings.author_key else None,
            first_month=settings.first_month,
            now=settings.now(),
            of_play=lambda app_id: _known_from_play(stored or settings.data / "raw", app_id),
            erased=Erased.load(settings.data / "raw"),
            hints=FileHints.of(settings),
        )


def _known_from_play(folder: Path, app_id: str) -> "pd.DataFrame":
    import pandas as pd

    from mlops_assets.reviews.stored import columns
    from mlops_assets.reviews.stored.store import ReviewStore

    store = ReviewStore(folder)
    wanted = ["review_id", "review_text", "rating", "review_date", "source"]
    months = [columns.to_frame(columns.read_table(store.path(app_id, month), wanted)) for month in store.months(app_id)]
    rows = pd.concat(months, ignore_index=True) if months else columns.empty()[wanted]
    return pd.DataFrame(rows[rows["source"] == "play_store"])
