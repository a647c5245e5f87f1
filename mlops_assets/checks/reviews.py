"""Claims about the reviews that the run's source would put into a version, as they were judged."""

import base64
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import dagster as dg

from mlops_assets.assets import metadata
from mlops_assets.assets.failing import as_dagster_failure
from mlops_assets.document import as_markdown_text
from mlops_assets.reporting.run_summary import NEWS
from mlops_assets.reviews.sources.review_source import ReviewSource
from mlops_assets.settings import Settings
from mlops_assets.steps.judge_drift import DriftVerdict, judge_drift
from mlops_assets.steps.judge_reviews import BLOCKING, WARNING, Evidence, blocking_claims, warning_claims
from mlops_assets.steps.take_imports import read_new_folder
from mlops_assets.steps.topics.complaints import complaint_of
from mlops_assets.steps.watching.judge_spikes import SpikesFound, judge_spikes
from mlops_assets.versioning.repository import VersionRepository
from mlops_assets.workspace import TOPICS

if TYPE_CHECKING:
    from mlops_assets.reviews.files.imports import Imports
    from mlops_assets.reviews.quality.claims import Claim

VALIDATED = dg.AssetKey("validated_reviews")
DRIFT = "data_has_not_drifted"
SPIKES = "negative_reviews_are_as_usual"
_WHY_SPIKES = (
    "Far more negative reviews than an app usually gets in a day or two, or a version with a far larger share of them, "
    "is an outage or a bad release. People are told once of each; it stops nothing."
)
_WHY_DRIFT = (
    "A model answers well on reviews like those that it was trained on. If the newest ones differ, its scores no "
    "longer say how it does, and a retrain may be due."
)


def build() -> list[dg.AssetChecksDefinition]:
    """The checks of `validated_reviews`, in one step."""
    about = {
        **BLOCKING,
        **WARNING,
        **{name: why for name, why, _ in _OF_IMPORTS},
        DRIFT: _WHY_DRIFT,
        SPIKES: _WHY_SPIKES,
    }
    specs = [
        dg.AssetCheckSpec(name, asset=VALIDATED, description=why, blocking=name in BLOCKING)
        for name, why in about.items()
    ]

    @dg.multi_asset_check(specs=specs, name="validated_reviews_checks")
    def validated_reviews_checks(
        settings: dg.ResourceParam[Settings],
        review_source: dg.ResourceParam[ReviewSource],
        repository: dg.ResourceParam[VersionRepository],
    ) -> Iterable[dg.AssetCheckResult]:
        evidence = Evidence(settings, review_source, repository)
        with as_dagster_failure():
            imports = read_new_folder(settings)
            blocking = blocking_claims(evidence)
        for name, claim in blocking.items():
            yield claim_result(name, claim)
        for name, _, judge_imports in _OF_IMPORTS:
            yield claim_result(name, judge_imports(imports), stops=False)
        for name, claim in warning_claims(evidence).items():
            yield claim_result(name, claim, stops=False)
        yield _drift_result(judge_drift(evidence))
        yield _spikes_result(judge_spikes(evidence, complaint_of(evidence.settings.data / TOPICS)))

    return [validated_reviews_checks]


def claim_result(name: str, claim: "Claim", *, stops: bool = True) -> dg.AssetCheckResult:
    """A claim as Dagster shows it. A claim that holds but needs a look is a warning, which never blocks."""
    warns = claim.passed or not stops
    return dg.AssetCheckResult(
        asset_key=VALIDATED,
        check_name=name,
        passed=claim.passed and not claim.warning,
        severity=dg.AssetCheckSeverity.WARN if warns else dg.AssetCheckSeverity.ERROR,
        description=as_markdown_text(claim.reason),
        metadata={**claim.numbers, **({"examples": metadata.table(claim.rows)} if claim.rows else {})},
    )


def _drift_result(verdict: DriftVerdict) -> dg.AssetCheckResult:
    """It warns and never blocks."""
    shown: dict[str, Any] = {"sustained": verdict.sustained} if verdict.sustained else {}
    shown |= {name: metadata.table(rows) for name, rows in verdict.tables.items()}
    shown |= {name: metadata.picture(base64.b64decode(png), alt) for name, (alt, png) in verdict.pictures.items()}
    return dg.AssetCheckResult(
        asset_key=VALIDATED,
        check_name=DRIFT,
        passed=not verdict.drifted,
        severity=dg.AssetCheckSeverity.WARN,
        description=as_markdown_text(verdict.reason),
        metadata=shown,
    )


def _spikes_result(found: SpikesFound) -> dg.AssetCheckResult:
    """It warns and never blocks. `news` is what people are told."""
    shown: metadata.Metadata = {}
    if found.spikes:
        news = [{"id": spike.id, "title": spike.title, "text": str(spike)} for spike in found.spikes]
        shown = {"spikes": metadata.table([spike.row() for spike in found.spikes]), NEWS: dg.MetadataValue.json(news)}
    return dg.AssetCheckResult(
        asset_key=VALIDATED,
        check_name=SPIKES,
        passed=not found.spikes,
        severity=dg.AssetCheckSeverity.WARN,
        description=as_markdown_text(found.reason),
        metadata=shown,
    )


def _imports() -> Any:
    from mlops_assets.reviews.files import imports

    return imports


_OF_IMPORTS: list[tuple[str, str, Callable[["Imports"], "Claim"]]] = [
    (
        "imports_hold_no_names",
        "A file in data/imports with names or avatars keeps people's data on the disk for no use.",
        lambda found: _imports().imports_hold_no_names(found),
    ),
    (
        "imports_are_understood",
        "A file that was put into data/imports and not read is data that somebody believes to be in use.",
        lambda found: _imports().imports_are_understood(found),
    ),
]
