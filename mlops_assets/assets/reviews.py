"""The assets that hold reviews: as collected, as validated, as versioned. No training here."""

from collections.abc import Iterator
from dataclasses import asdict

import dagster as dg
from pydantic import Field

from mlops_assets.assets import metadata
from mlops_assets.assets.failing import as_dagster_failure
from mlops_assets.assets.partitions import months_asked, months_by_app, record_run
from mlops_assets.assets.resources import RunOptions
from mlops_assets.code_version import code_version
from mlops_assets.deploy.service import Service
from mlops_assets.reviews.sources.review_source import CollectRequest, ReviewSource
from mlops_assets.settings import Settings
from mlops_assets.spread.ray_cluster import spread_at
from mlops_assets.steps.collect import collect
from mlops_assets.steps.validate import validate
from mlops_assets.steps.version import make_version, outline_of_version
from mlops_assets.versioning.git.history import GitHistory
from mlops_assets.versioning.repository import VersionRepository

GROUP = "reviews"
OWNERS = ["team:ml-engineering"]

_ASSETS_BY_HAND = "__ASSET_JOB"
"""Dagster's name of the job in which a person materializes chosen assets, in the UI or on the command line."""


class CollectConfig(dg.Config):
    """What a person may ask of one collection."""

    reread: bool = Field(
        default=False,
        description="Read the months again to their first day although they are whole. A backfill always does, and so "
        "does materializing this asset alone.",
    )
    accept_deletions: bool = Field(
        default=False,
        description="Believe a collection that was held because it would mark too many reviews deleted.",
    )

    def request(self, run: dg.DagsterRun) -> CollectRequest:
        by_hand = "dagster/backfill" in run.tags or run.job_name == _ASSETS_BY_HAND
        return CollectRequest(reread=self.reread or by_hand, accept_deletions=self.accept_deletions)


@dg.asset(
    group_name=GROUP,
    owners=OWNERS,
    kinds={"python", "parquet"},
    code_version=code_version("mlops_assets.steps.collect"),
    pool="collection",
)
def raw_reviews(
    context: dg.AssetExecutionContext,
    settings: dg.ResourceParam[Settings],
    review_source: dg.ResourceParam[ReviewSource],
    repository: dg.ResourceParam[VersionRepository],
    config: CollectConfig,
) -> None:
    """App reviews as collected: one row per review, one Parquet file per app and month.

    Files: `data/raw/<app_id>/<YYYY-MM>.parquet`, month and times in UTC. No user name and no avatar is ever
    written. A review that was edited has its newest version here and the older ones under `history/`.
    """
    from mlops_assets.reviews.stored.store import ReviewStore

    store = ReviewStore(settings.data / "raw")
    months = months_by_app(context)
    with as_dagster_failure():
        collected = collect(settings, review_source, repository, months, context.log.info, config.request(context.run))
    record_run(
        context,
        {key: metadata.rows_in(store.path(*key)) for key in months_asked(months)},
        {
            "reason": collected.reason,
            "new_data_available": collected.new + collected.changed > 0,
            "new_reviews": collected.new,
            "changed_reviews": collected.changed,
            "changed_months": ", ".join(collected.months) or "none",
            "source": collected.source,
            "by_app": metadata.table([app.as_row() for app in collected.apps]),
            **metadata.balances(collected.balances),
            **metadata.references(collected.references.rows(), collected.references.notes),
            "dagster/row_count": sum(store.count(app) for app in months),
            "dagster/column_schema": metadata.review_schema(),
            "folder": metadata.link(settings.data / "raw"),
        },
    )


@dg.asset(
    deps=[raw_reviews],
    group_name=GROUP,
    owners=OWNERS,
    kinds={"pandera", "parquet"},
    code_version=code_version("mlops_assets.steps.validate"),
    pool="repository",
)
def validated_reviews(
    context: dg.AssetExecutionContext,
    settings: dg.ResourceParam[Settings],
    review_source: dg.ResourceParam[ReviewSource],
    repository: dg.ResourceParam[VersionRepository],
) -> None:
    """The usable reviews: those that keep every rule of the schema and were not deleted by their authors.

    Files: `data/validated/<app_id>/<YYYY-MM>.parquet`. The others lie under `data/quarantine/` with every reason.
    Files that a person put into `data/imports/` are taken in first. Only months whose content changed are validated
    again, those outside the run's range too: an edit moves a review out of its month.
    """
    months = months_by_app(context)
    with as_dagster_failure():
        found = validate(
            settings,
            review_source,
            repository,
            months,
            context.log.info,
            collected=context.job_def.has_node_named("raw_reviews"),
            spread=spread_at(settings.ray_address, context.log.info),
        )
    imported = found.imported.months_by_app
    record_run(
        context,
        {key: found.rows.get(key, 0) for key in months_asked(months)},
        {
            "reason": found.reason,
            "data_valid": found.valid,
            "dagster/row_count": found.usable,
            "quarantined": found.quarantined,
            "quarantined_by_reason": metadata.table(found.reasons),
            "quarantine_examples": metadata.table(found.examples),
            "personal_data_masked": sum(row["reviews"] + row["replies"] for row in found.masked),
            "personal_data_masked_by_kind": metadata.table(found.masked),
            "imported_months": sum(map(len, imported.values())),
            **metadata.balances(found.imported.balances, brief=not imported),
            **metadata.references(found.reference_rows),
            "months_validated": sum(not month.unchanged for month in found.months),
            "months_unchanged": sum(month.unchanged for month in found.months),
            "dagster/column_schema": metadata.review_schema(),
            "folder": metadata.link(settings.data / "validated"),
        },
    )


@dg.asset(
    deps=[dg.AssetDep(validated_reviews, partition_mapping=dg.AllPartitionMapping())],
    group_name=GROUP,
    owners=OWNERS,
    kinds={"dvc", "git"},
    code_version=code_version("mlops_assets.steps.version"),
    pool="repository",
    output_required=False,
)
def versioned_dataset(
    context: dg.AssetExecutionContext,
    settings: dg.ResourceParam[Settings],
    review_source: dg.ResourceParam[ReviewSource],
    repository: dg.ResourceParam[VersionRepository],
    service: dg.ResourceParam[Service],
    git_history: dg.ResourceParam[GitHistory],
    run_options: RunOptions,
) -> Iterator[dg.MaterializeResult]:
    """The exact data that models are trained on, as one DVC version on the branch `pipeline`.

    It holds the validated reviews of this run's source, apart from them the newest ones of reference apps, and people's
    labels. Without those two its name is the first 12 hex digits of the md5 in `data/validated.dvc`. If nothing below
    is due, it gives nothing, and everything below is skipped.
    """
    with as_dagster_failure():
        made = make_version(
            settings,
            review_source,
            repository,
            service,
            git_history,
            run_id=context.run.run_id,
            force_retrain=run_options.force_retrain,
            skip_deploy=run_options.skip_deploy,
            spread=spread_at(settings.ray_address, context.log.info),
        )
    version = made.version
    about = {
        "reason": made.reason,
        "dataset_version": version.dataset_version,
        "dvc_committed": version.changed,
        "new_data_available": version.changed,
        "commit": version.commit,
        "code": version.code.commit or "none yet",
        **({"code_dirty": version.code.dirty} if version.code.dirty else {}),
        "origin": version.origin,
        **({"starts_anew": version.anew} if version.anew else {}),
        "versions": metadata.table(made.newest),
        "labelled_reviews": made.counts.labelled,
        "dagster/row_count": made.counts.labelled,
        **metadata.references(
            [{"app_id": app, "reviews": count} for app, count in made.references.items()], made.without
        ),
        **({"feedback": made.feedback} if made.feedback else {}),
        "rows_by_side": metadata.table(made.sides),
        "due": dg.MetadataValue.json([asdict(stage) for stage in made.due]),
        "folder": metadata.link(repository.data_folder),
    }
    if made.anything_due:
        outlined = outline_of_version(settings, repository)
        reviews = outlined[outlined["label"].notna()]
        pictures = {
            "rating_mix": metadata.rating_mix(reviews),
            "positive_share_by_month": metadata.positive_share_by_month(reviews),
        }
        known = dg.DataVersion(version.dataset_version)
        yield dg.MaterializeResult(data_version=known, metadata={**about, **pictures})
        return
    context.log_event(dg.AssetObservation(asset_key=context.asset_key, metadata=about))
    context.log.info("Nothing below is due: " + "; ".join(f"{stage.stage}: {stage.reason}" for stage in made.due))


BY_MONTH = [raw_reviews, validated_reviews]
"""Partitioned by app and month, once the settings name the apps."""
WHOLE = [versioned_dataset]
