"""The assets that hold reviews: as collected, as validated, as versioned. No training here."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING

import dagster as dg
from pydantic import Field

from mlops_assets.assets import metadata
from mlops_assets.assets.failing import told_to_dagster
from mlops_assets.assets.partitions import months_asked, months_by_app, record_rows
from mlops_assets.assets.resources import RunOptions
from mlops_assets.deploy.service import Service
from mlops_assets.reviews.sources.review_source import CollectRequest, ReviewSource
from mlops_assets.settings import Settings
from mlops_assets.steps.collect import collect
from mlops_assets.steps.parameters import refuse_bad_parameters, validation_options
from mlops_assets.steps.plan import due_below
from mlops_assets.steps.settle import settle
from mlops_assets.steps.take_imports import nothing_taken, take_imports
from mlops_assets.steps.upstream import refuse_missing_upstream
from mlops_assets.steps.version import commit_version
from mlops_assets.versioning.git.history import GitHistory
from mlops_assets.versioning.repository import VersionRepository
from mlops_assets.workspace import known_apps

if TYPE_CHECKING:
    pass

GROUP = "reviews"
OWNERS = ["team:ml-engineering"]
_SHOWN = 20
"""Versions in the table of `versioned_dataset`; `make versions` lists all."""


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


def build(partitions: dg.PartitionsDefinition) -> list[dg.AssetsDefinition]:
    """The three assets; the first two are partitioned by app and month."""

    @dg.asset(
        group_name=GROUP,
        owners=OWNERS,
        kinds={"python", "parquet"},
        code_version="1",
        partitions_def=partitions,
        backfill_policy=dg.BackfillPolicy.single_run(),
        pool="collection",
    )
    def raw_reviews(
        context: dg.AssetExecutionContext,
        settings: dg.ResourceParam[Settings],
        review_source: dg.ResourceParam[ReviewSource],
        repository: dg.ResourceParam[VersionRepository],
        config: CollectConfig,
    ) -> dg.MaterializeResult:
        """App reviews as collected: one row per review, one Parquet file per app and month.

        Files: `data/raw/<app_id>/<YYYY-MM>.parquet`, month and times in UTC. No user name and no avatar is ever
        written. A review that was edited has its newest version here and the older ones under `history/`.
        """
        from mlops_assets.reviews.stored.store import ReviewStore

        store = ReviewStore(settings.data / "raw")
        asked = months_by_app(context)
        with told_to_dagster():
            collected = collect(
                settings, review_source, repository, asked, context.log.info, config.request(context.run)
            )
        record_rows(context, {key: metadata.rows_in(store.path(*key)) for key in months_asked(asked)})
        return dg.MaterializeResult(
            metadata={
                "reason": collected.reason,
                "new_data_available": collected.new + collected.changed > 0,
                "new_reviews": collected.new,
                "changed_reviews": collected.changed,
                "changed_months": ", ".join(collected.months) or "none",
                "source": collected.source,
                "by_app": metadata.table([app.as_row() for app in collected.apps]),
                **metadata.balances(collected.balances),
                "dagster/row_count": sum(store.count(app) for app in asked),
                "dagster/column_schema": metadata.review_schema(),
                "folder": metadata.link(settings.data / "raw"),
            }
        )

    @dg.asset(
        deps=[raw_reviews],
        group_name=GROUP,
        owners=OWNERS,
        kinds={"pandera", "parquet"},
        code_version="1",
        partitions_def=partitions,
        backfill_policy=dg.BackfillPolicy.single_run(),
        pool="repository",
    )
    def validated_reviews(
        context: dg.AssetExecutionContext,
        settings: dg.ResourceParam[Settings],
        review_source: dg.ResourceParam[ReviewSource],
        repository: dg.ResourceParam[VersionRepository],
    ) -> dg.MaterializeResult:
        """The usable reviews: those that keep every rule of the schema and were not deleted by their authors.

        Files: `data/validated/<app_id>/<YYYY-MM>.parquet`. The others lie under `data/quarantine/` with every reason.
        Files that a person put into `data/imports/` are taken in first. Only months whose content changed are validated
        again, those outside the run's range too: an edit moves a review out of its month.
        """
        from mlops_assets.reviews.quality.claims import judge_all
        from mlops_assets.reviews.quality.validate import months_outdated, validate_months
        from mlops_assets.reviews.stored.dataset import read_source

        with told_to_dagster():
            if not context.job_def.has_node_named("raw_reviews"):
                refuse_bad_parameters(settings)
                settle(repository, settings.data, context.log.info, shares=review_source.name != "sample")
            asked = months_by_app(context)
            imported = take_imports(settings, context.log.info) if review_source.name != "sample" else nothing_taken()
            new = imported.months_by_app
            if not context.job_def.has_node_named("raw_reviews"):
                refuse_missing_upstream("validated_reviews", settings, repository, review_source.name)
            due = {
                app: sorted({*asked.get(app, ()), *new.get(app, ()), *months_outdated(settings.data, app)})
                for app in known_apps(settings)
            }
            results = [
                result for app, months in sorted(due.items()) for result in validate_months(settings.data, app, months)
            ]
            everything = read_source(settings.data / "validated", review_source.name, known_apps(settings))
            claims = judge_all(everything, settings.label_rule, validation_options(settings))
        rows = {(one.app_id, one.month): one.good for one in results}
        record_rows(context, {key: rows.get(key, 0) for key in months_asked(asked)})
        reasons = Counter[str]()
        for result in results:
            reasons.update(result.reasons)
        return dg.MaterializeResult(
            metadata={
                "reason": f"{len(everything)} usable, {sum(result.quarantined for result in results)} in quarantine",
                "data_valid": all(claim.passed for claim in claims.values()),
                "dagster/row_count": len(everything),
                "quarantined": sum(result.quarantined for result in results),
                "quarantined_by_reason": metadata.table(
                    [{"reason": k, "reviews": n} for k, n in reasons.most_common()]
                ),
                "quarantine_examples": metadata.table([row for one in results for row in one.examples][:10]),
                "imported_months": sum(len(months) for months in new.values()),
                **metadata.balances(imported.balances, brief=not new),
                "months_validated": sum(not result.unchanged for result in results),
                "months_unchanged": sum(result.unchanged for result in results),
                "dagster/column_schema": metadata.review_schema(),
                "folder": metadata.link(settings.data / "validated"),
            }
        )

    @dg.asset(
        deps=[dg.AssetDep(validated_reviews, partition_mapping=dg.AllPartitionMapping())],
        group_name=GROUP,
        owners=OWNERS,
        kinds={"dvc", "git"},
        code_version="1",
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

        It holds the validated reviews of this run's source. Its name is the first 12 hex digits of the md5 in
        `data/validated.dvc`. Where nothing below is due, it gives nothing, and everything below is skipped.
        """
        with told_to_dagster():
            version, frame = commit_version(settings, review_source, repository, context.run.run_id)
            due = due_below(
                settings,
                service,
                git_history,
                version.dataset_version,
                force_retrain=run_options.force_retrain,
                skip_deploy=run_options.skip_deploy,
            )
            live = service.live()
            versions = [one.row() for one in repository.versions(live.model_version if live else None, newest=_SHOWN)]
        about = {
            "reason": "; ".join(f"{one.stage}: {one.reason}" for one in due if one.due) or "nothing below is due",
            "dataset_version": version.dataset_version,
            "dvc_committed": version.changed,
            "new_data_available": version.changed,
            "commit": version.commit,
            "code": version.code.commit or "none yet",
            **({"code_dirty": version.code.dirty} if version.code.dirty else {}),
            "origin": version.origin,
            **({"starts_anew": version.anew} if version.anew else {}),
            "versions": metadata.table(versions),
            "labelled_reviews": len(frame),
            "dagster/row_count": len(frame),
            "rows_by_side": metadata.table([{str(side): n for side, n in frame["side"].value_counts().items()}]),
            "due": dg.MetadataValue.json([asdict(one) for one in due]),
            "folder": metadata.link(repository.data_folder),
        }
        if any(one.due for one in due):
            pictures = {
                "rating_mix": metadata.rating_mix(frame),
                "positive_share_by_month": metadata.positive_share_by_month(frame),
            }
            known = dg.DataVersion(version.dataset_version)
            yield dg.MaterializeResult(data_version=known, metadata={**about, **pictures})
            return
        context.log_event(dg.AssetObservation(asset_key=context.asset_key, metadata=about))
        context.log.info("Nothing below is due: " + "; ".join(f"{one.stage}: {one.reason}" for one in due))

    return [raw_reviews, validated_reviews, versioned_dataset]
