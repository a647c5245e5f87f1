"""Claims about the collection: whether anything of the feed is missing, and whether it is stored as it must be."""

from collections.abc import Iterable, Sequence

import dagster as dg

from mlops_assets.assets import metadata
from mlops_assets.assets.partitions import apps_covered
from mlops_assets.document import as_markdown_text
from mlops_assets.reviews.sources.references import NOT_BESIDE_THE_SAMPLE, statuses
from mlops_assets.reviews.sources.review_source import AppStatus, ReviewSource
from mlops_assets.settings import Settings
from mlops_assets.steps.judge_reviews import stored_files_claim

RAW = dg.AssetKey("raw_reviews")
_SPECS = [
    dg.AssetCheckSpec(
        "collection_is_complete",
        asset=RAW,
        blocking=True,
        description="Every collection ended because nothing was left to read. Training on a torn piece of a "
        "feed would teach the model whatever happened to arrive first. The next run goes on where this one stopped.",
    ),
    dg.AssetCheckSpec(
        "stored_reviews_keep_their_schema",
        asset=RAW,
        blocking=True,
        description="Every stored file has the columns and types of a stored review. A column that changed its type "
        "upstream is read as something else below: stop before it is.",
    ),
    dg.AssetCheckSpec(
        "apps_are_known",
        asset=RAW,
        description="The source knows every app that params.yaml names. An app that left the store brings nothing new; "
        "its stored reviews stay in use until its line leaves params.yaml, so this stops nothing.",
    ),
    dg.AssetCheckSpec(
        "reference_apps_are_complete",
        asset=RAW,
        description="Every app of reference_apps was read as far as reference.reviews_per_app asks. What is stored of "
        "the others is used, so this stops nothing: the models only learn less of the language.",
    ),
]


def build() -> list[dg.AssetChecksDefinition]:
    """The checks of `raw_reviews`, in one step."""

    @dg.multi_asset_check(specs=_SPECS, name="raw_reviews_checks")
    def raw_reviews_checks(
        context: dg.AssetCheckExecutionContext,
        settings: dg.ResourceParam[Settings],
        review_source: dg.ResourceParam[ReviewSource],
    ) -> Iterable[dg.AssetCheckResult]:
        from mlops_assets.reviews.stored.store import ReviewStore

        apps = review_source.statuses(ReviewStore(settings.data / "raw"))
        covered = apps_covered(settings, context.run.tags)
        partial = [app for app in apps if app.status == "partial" or (app.status == "never" and app.app_id in covered)]
        yield _result("collection_is_complete", not partial, _named(partial) or _collected(apps), apps)
        schema = stored_files_claim(settings)
        yield _result("stored_reviews_keep_their_schema", schema.passed, schema.reason)
        unknown = [app for app in apps if app.status == "unknown"]
        yield _result(
            "apps_are_known",
            not unknown,
            _named(unknown) or f"all {len(apps)} are known",
            severity=dg.AssetCheckSeverity.WARN,
        )
        references = statuses(settings, review_source.name)
        torn = [app for app in references if app.status != "whole"]
        yield _result(
            "reference_apps_are_complete",
            not torn,
            _named(torn) or _references(settings, review_source.name, references),
            references,
            severity=dg.AssetCheckSeverity.WARN,
        )

    return [raw_reviews_checks]


def _collected(apps: Iterable[AppStatus]) -> str:
    waiting = [app.app_id for app in apps if app.status == "never"]
    later = f"; {', '.join(waiting)} was not asked for yet" if waiting else ""
    return f"{sum(app.status != 'never' for app in apps)} apps are whole{later}"


def _references(settings: Settings, source: str, apps: Sequence[AppStatus]) -> str:
    if not settings.reference_apps:
        return "there are none"
    return f"all {len(apps)} are" if source != "sample" else NOT_BESIDE_THE_SAMPLE


def _result(
    name: str,
    passed: bool,  # noqa: FBT001  read beside the name: collection_is_complete, not partial
    reason: str,
    apps: Iterable[AppStatus] = (),
    severity: dg.AssetCheckSeverity = dg.AssetCheckSeverity.ERROR,
) -> dg.AssetCheckResult:
    rows = [vars(app) for app in apps]
    return dg.AssetCheckResult(
        asset_key=RAW,
        check_name=name,
        passed=passed,
        severity=severity,
        description=as_markdown_text(reason),
        metadata={"apps": metadata.table(rows)} if rows else {},
    )


def _named(apps: Iterable[AppStatus]) -> str:
    return "; ".join(app.reason if app.reason.startswith(app.app_id) else f"{app.app_id}: {app.reason}" for app in apps)
