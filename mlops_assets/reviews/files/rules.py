"""How the files of one reading are understood: the same rules for `make import`, data/imports and REVIEWS."""

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
    """`app_asked`: a person named the app with APP=, so it may stand for the one name that a file gives its app.

    Without that the app is only the single one in params.yaml, which says nothing of a file that names another.
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
    app_id: the app of rows that do not name one
    naive_zone: of times that do not name one; None looks for it among Play's reviews and else takes UTC
    source: the provenance that the rows get
    collected_at: when rows were observed that do not say it; None takes when they were written or answered, so that
    they never overrule a row that says more
    author_key: the author column is the keyed hash of the name; without it there is none
    first_month, now: rows dated before and after them are put aside; None takes all
    of_play: the reviews of an app that are known from Google Play
    erased: what was erased on request
    hints: what a person says of dates and apps
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
    def of(cls, settings: Settings, *, source: str, collected_at: datetime | None = None) -> Self:
        """What the variables, params.yaml and the stored reviews say."""
        return cls(
            known_apps=settings.apps,
            app_id=settings.only_app,
            naive_zone=settings.time_zone,
            source=source,
            collected_at=collected_at,
            author_key=settings.author_key.get_secret_value() if settings.author_key else None,
            first_month=settings.first_month,
            now=settings.now(),
            of_play=lambda app_id: _known_from_play(settings.data / "raw", app_id),
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
