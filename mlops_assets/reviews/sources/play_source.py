"""Google Play as a source of reviews, with the apps and parameters of the settings."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from mlops_assets.reviews.sources.review_source import ORDINARY, AppCollection, AppStatus, CollectRequest
from mlops_assets.settings import Settings, Source
from mlops_assets.trained_on import SAMPLE_APP

if TYPE_CHECKING:
    from mlops_assets.reviews.files.balance import Balances
    from mlops_assets.reviews.stored.store import ReviewStore


class PlaySource:
    """The reviews that Google Play shows of the apps in params.yaml."""

    name: Source = "play_store"

    def __init__(self, settings: Settings) -> None:
        from mlops_assets.params.reviews import CollectOptions

        self._settings = settings
        self.options = settings.section(CollectOptions)

    def apps(self) -> Sequence[str]:
        return tuple(app for app in self._settings.apps if app != SAMPLE_APP)

    def due_apps(self) -> Sequence[str]:
        return self.apps()

    def months(self) -> tuple[str, str]:
        """From the month of the apps' last whole crawl to the present one."""
        from mlops_assets.reviews.play_store.collect import months_due
        from mlops_assets.reviews.stored.store import ReviewStore

        store, now = ReviewStore(self._settings.data / "raw"), self._settings.now()
        due = [months_due(store, app, now=now, options=self.options) for app in self.apps()]
        return min(months[0] for months in due), max(months[-1] for months in due)

    def collect(
        self,
        store: "ReviewStore",
        months_by_app: Mapping[str, Sequence[str]],
        report: Callable[[str], None],
        request: CollectRequest = ORDINARY,
    ) -> Sequence[AppCollection]:
        """Bring the apps up to date side by side, within one rate limit."""
        wanted = {app: months for app, months in months_by_app.items() if app in self.apps()}
        return self.collect_months(store, wanted, report, request)

    def collect_months(
        self,
        store: "ReviewStore",
        wanted: Mapping[str, Sequence[str]],
        report: Callable[[str], None],
        request: CollectRequest,
        *,
        most: int | None = None,
    ) -> Sequence[AppCollection]:
        """Bring these months of any apps up to date; of each app at most its `most` newest reviews."""
        from mlops_assets.reviews.play_store.client import PlayStore
        from mlops_assets.reviews.play_store.collect import collect_apps
        from mlops_assets.reviews.play_store.rate_limit import RateLimit

        settings = self._settings
        accept = self.options.accept_deletions or request.accept_deletions
        options = self.options.model_copy(update={"accept_deletions": accept})
        play = PlayStore(
            options,
            url=settings.play_store_url,
            limit=RateLimit(options.requests_per_second, settings.instance_folder / "play_store.rate"),
            author_key=settings.author_key,
        )
        return collect_apps(
            store, play, wanted, now=settings.now(), options=options, report=report, reread=request.reread, most=most
        )

    def statuses(self, store: "ReviewStore") -> list[AppStatus]:
        """How the last crawl of each app ended."""
        from mlops_assets.reviews.play_store.collect import last_collection

        return [AppStatus(app, *last_collection(store, app, self.options)) for app in self.apps()]

    def incomplete(self, store: "ReviewStore") -> list[AppStatus]:
        """Apps whose last crawl is partial; an app that was never crawled here, as in a fresh clone, is not."""
        return [app for app in self.statuses(store) if app.status == "partial"]

    def balances(self) -> "Balances":
        from mlops_assets.reviews.files.balance import NO_FILES

        return NO_FILES
