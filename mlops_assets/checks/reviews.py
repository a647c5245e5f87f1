"""Claims about the reviews that the run's source would put into a version: one pass over them judges all."""

import hashlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg

from mlops_assets.assets import metadata
from mlops_assets.assets.failing import told_to_dagster
from mlops_assets.checks import drift
from mlops_assets.checks.remembered import key_of, remembered
from mlops_assets.reviews.sources.review_source import ReviewSource
from mlops_assets.settings import Settings
from mlops_assets.steps.evidence import BLOCKING, Evidence, gather
from mlops_assets.steps.take_imports import read_folder
from mlops_assets.training.champion import read_decision
from mlops_assets.versioning.repository import VersionRepository

if TYPE_CHECKING:
    from mlops_assets.reviews.files.imports import Imports
    from mlops_assets.reviews.quality.claims import Claim

VALIDATED = dg.AssetKey("validated_reviews")


def build() -> list[dg.AssetChecksDefinition]:
    """The checks of `validated_reviews`, in one step."""
    blocking = {name: (why, judge) for name, why, judge in BLOCKING}
    warning = {name: (why, judge) for name, why, judge in _WARNING}
    about = {name: why for name, why, _ in [*BLOCKING, *_WARNING, *_OF_IMPORTS]}
    specs = [
        dg.AssetCheckSpec(name, asset=VALIDATED, description=why, blocking=name in blocking)
        for name, why in about.items()
    ]
    specs.append(dg.AssetCheckSpec(drift.NAME, asset=VALIDATED, description=drift.WHY))

    @dg.multi_asset_check(specs=specs, name="validated_reviews_checks")
    def validated_reviews_checks(
        settings: dg.ResourceParam[Settings],
        review_source: dg.ResourceParam[ReviewSource],
        repository: dg.ResourceParam[VersionRepository],
    ) -> Iterable[dg.AssetCheckResult]:
        with told_to_dagster():
            evidence = gather(settings, review_source, repository)
            imports = read_folder(settings)
        for name, (_, judge) in blocking.items():
            yield told(name, judge(evidence))
        for name, _, judge_imports in _OF_IMPORTS:
            yield told(name, judge_imports(imports), stops=False)

        def costly() -> Iterable[dg.AssetCheckResult]:
            for name, (_, judge) in warning.items():
                yield told(name, judge(evidence), stops=False)
            yield drift.judge_drift(settings, evidence.frame, repository)

        key = key_of(evidence.now, settings.sections, settings.label_rule, read_decision(settings.models), _code())
        yield from remembered(settings.instance_folder / "checks.json", key, costly)[0]

    return [validated_reviews_checks]


def told(name: str, claim: "Claim", *, stops: bool = True) -> dg.AssetCheckResult:
    """A claim as Dagster shows it; one that holds but wants a look is a warning, which never blocks."""
    warns = claim.passed or not stops
    return dg.AssetCheckResult(
        asset_key=VALIDATED,
        check_name=name,
        passed=claim.passed and not claim.warning,
        severity=dg.AssetCheckSeverity.WARN if warns else dg.AssetCheckSeverity.ERROR,
        description=claim.reason,
        metadata={**claim.numbers, **({"examples": metadata.table(claim.rows)} if claim.rows else {})},
    )


def _code() -> str:
    """A digest of the modules that the costly checks are made of."""
    folder = Path(__file__).parents[1]
    paths = [*sorted((folder / "reviews").rglob("*.py")), *sorted((folder / "checks").glob("*.py"))]
    return hashlib.sha256(b"".join(path.read_bytes() for path in paths)).hexdigest()


def _quality() -> Any:
    from mlops_assets.reviews.quality import quality

    return quality


def _imports() -> Any:
    from mlops_assets.reviews.files import imports

    return imports


_WARNING: list[tuple[str, str, Callable[[Evidence], "Claim"]]] = [
    (
        "texts_are_varied",
        "Repeated texts and spam from templates teach the model one sentence many times.",
        lambda given: _quality().texts_are_varied(given.frame, given.options),
    ),
    (
        "languages_are_known",
        "The models learn Indonesian and English; other languages are noise to them.",
        lambda given: _quality().languages_are_known(given.frame, given.options),
    ),
    (
        "stars_match_texts",
        "Stars are the labels. Where they contradict their texts, the scores say little.",
        lambda given: _quality().stars_match_texts(given.frame, given.options),
    ),
]
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
