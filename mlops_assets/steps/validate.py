"""Sort the collected and the imported reviews into usable ones and those in quarantine."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mlops_assets.masking import KINDS
from mlops_assets.reviews.sources.references import validate_references
from mlops_assets.reviews.sources.review_source import ReviewSource
from mlops_assets.reviews.stored.privacy import TEXTS
from mlops_assets.settings import Settings
from mlops_assets.spread.spread import Spread, here
from mlops_assets.steps.judge_reviews import Evidence, usable_claims
from mlops_assets.steps.preconditions import refuse_bad_parameters, refuse_missing_upstream
from mlops_assets.steps.restore import settle
from mlops_assets.steps.take_imports import TakenImports, nothing_taken, take_imports
from mlops_assets.versioning.repository import VersionRepository
from mlops_assets.workspace import known_apps

if TYPE_CHECKING:
    from mlops_assets.reviews.quality.validate import MonthResult

_EXAMPLES = 10


@dataclass(frozen=True)
class ValidatedReviews:
    """The result of each month, what was imported, how many reviews are usable, and whether the blocking claims that
    need those alone hold. The months of reference apps are apart and count in no figure.
    """

    months: "tuple[MonthResult, ...]"
    imported: TakenImports
    usable: int
    valid: bool
    references: "tuple[MonthResult, ...]" = ()

    @property
    def quarantined(self) -> int:
        return sum(month.quarantined for month in self.months)

    @property
    def reason(self) -> str:
        return f"{self.usable} usable, {self.quarantined} in quarantine"

    @property
    def rows(self) -> dict[tuple[str, str], int]:
        """Usable reviews by app and month."""
        return {(month.app_id, month.month): month.good for month in self.months}

    @property
    def reasons(self) -> list[dict[str, Any]]:
        """Quarantined reviews by reason, the most frequent first, as table rows."""
        counts = Counter[str]()
        for month in self.months:
            counts.update(month.reasons)
        return [{"reason": reason, "reviews": count} for reason, count in counts.most_common()]

    @property
    def reference_rows(self) -> list[dict[str, Any]]:
        """Usable and quarantined reviews of each reference app, as table rows."""
        apps = sorted({month.app_id for month in self.references})
        months = {app: [month for month in self.references if month.app_id == app] for app in apps}
        return [
            {
                "app_id": app,
                "usable": sum(month.good for month in found),
                "quarantined": sum(month.quarantined for month in found),
            }
            for app, found in months.items()
        ]

    @property
    def masked(self) -> list[dict[str, Any]]:
        """Masks over personal data by kind, as table rows: in reviews and in replies."""
        counts = {name: Counter[str]() for name in TEXTS}
        for month in self.months:
            for name, masks in month.masked.items():
                counts[name].update(masks)
        texts, replies = counts.values()
        return [
            {"kind": kind, "reviews": texts[kind], "replies": replies[kind]}
            for kind in KINDS
            if (texts + replies)[kind]
        ]

    @property
    def examples(self) -> list[Mapping[str, Any]]:
        return [example for month in self.months for example in month.examples][:_EXAMPLES]


def validate(
    settings: Settings,
    source: ReviewSource,
    repository: VersionRepository,
    months_by_app: Mapping[str, Sequence[str]],
    report: Callable[[str], None],
    *,
    collected: bool,
    spread: Spread = here,
) -> ValidatedReviews:
    """Take in data/imports, then validate these months and all others whose raw reviews changed.

    collected: `collect` ran before in the same run. Otherwise the parameters are checked and the checkout is settled
    here. `spread` hands out the months that are due.
    """
    from mlops_assets.reviews.quality.validate import months_outdated, validate_apps
    from mlops_assets.reviews.stored.erase import know_as_masked

    real = source.name != "sample"
    if not collected:
        refuse_bad_parameters(settings)
        settle(repository, settings.data, report, shares=real)
    imported = take_imports(settings, report) if real else nothing_taken()
    if not collected:
        refuse_missing_upstream("validated_reviews", settings, repository, source.name)
    due = {
        app: sorted(
            {
                *months_by_app.get(app, ()),
                *imported.months_by_app.get(app, ()),
                *months_outdated(settings.data, app),
            }
        )
        for app in sorted(known_apps(settings))
    }
    months = validate_apps(settings.data, due, spread)
    references = validate_references(settings, source.name, spread)
    know_as_masked(settings.data)
    evidence = Evidence(settings, source, repository)
    valid = all(claim.passed for claim in usable_claims(evidence).values())
    return ValidatedReviews(tuple(months), imported, evidence.usable, valid, references)
