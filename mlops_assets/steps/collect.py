"""Bring the stored reviews up to date with their source."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlops_assets.reviews.sources.references import CollectedReferences, collect_references
from mlops_assets.reviews.sources.review_source import ORDINARY, AppCollection, CollectRequest, ReviewSource
from mlops_assets.settings import Settings
from mlops_assets.steps.preconditions import refuse_bad_parameters
from mlops_assets.steps.restore import settle
from mlops_assets.versioning.repository import VersionRepository

if TYPE_CHECKING:
    from mlops_assets.reviews.files.balance import Balances


@dataclass(frozen=True)
class Collected:
    """What one collection brought for each app, and what became of each row if the source reads files. Reference apps
    are told apart and count in no figure.
    """

    source: str
    apps: tuple[AppCollection, ...]
    balances: "Balances"
    references: CollectedReferences

    @property
    def new(self) -> int:
        return sum(app.changes.new for app in self.apps)

    @property
    def changed(self) -> int:
        """Reviews that were stored already and differ: edited, updated or deleted."""
        return sum(app.changes.total for app in self.apps) - self.new

    @property
    def months(self) -> list[str]:
        """Months whose files changed, in order; an edit can move a review into a month that was not asked for."""
        return sorted({month for app in self.apps for month in app.changes.months})

    @property
    def reason(self) -> str:
        return f"{self.new} new, {self.changed} changed of source {self.source}"


def collect(
    settings: Settings,
    source: ReviewSource,
    repository: VersionRepository,
    months_by_app: Mapping[str, Sequence[str]],
    report: Callable[[str], None],
    request: CollectRequest = ORDINARY,
) -> Collected:
    """Collect these months of these apps into `data/raw`, after the checkout has everything that the last version held,
    then the newest reviews of reference apps into `data/reference`.

    Raises before any request if a parameter in params.yaml is wrong.
    """
    from mlops_assets.reviews.stored.store import ReviewStore

    refuse_bad_parameters(settings)
    settle(repository, settings.data, report, shares=source.name != "sample")
    apps = source.collect(ReviewStore(settings.data / "raw"), months_by_app, report, request)
    references = collect_references(settings, source.name, report, request)
    return Collected(source.name, tuple(apps), source.balances(), references)
