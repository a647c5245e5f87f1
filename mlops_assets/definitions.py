"""The front door: the whole graph, assembled.

    raw_reviews → validated_reviews → versioned_dataset ─┬→ bert_model ────┐
    (Play Store)  (pandera, drift)    (DVC + git)        └→ classic_model ─┴→ champion_model
                                                                     → serving_image → deployed_image
                                         and with versioned_dataset → predictions → topics

Tests and production use `build_definitions`; Dagster loads `defs`.
"""

from collections.abc import Mapping
from typing import Any

import dagster as dg

from mlops_assets import checks, outside
from mlops_assets.assets import deploy as deploy_assets
from mlops_assets.assets import reviews as review_assets
from mlops_assets.assets import serving as serving_assets
from mlops_assets.assets import training as training_assets
from mlops_assets.assets.partitions import partitioned
from mlops_assets.assets.resources import RunOptions, shown
from mlops_assets.automation import housekeeping, jobs, schedules, weekly_digest
from mlops_assets.automation.code_location import CodeLocation
from mlops_assets.automation.executors import step_executor
from mlops_assets.automation.sensors import (
    approval,
    dashboards,
    git_change,
    mirrors,
    notifications,
    orphans,
    retrain,
    summaries,
)
from mlops_assets.params.operations import Watching
from mlops_assets.settings import Settings


def build_definitions(
    settings: Settings | None = None,
    replace: Mapping[str, Any] | None = None,
    loggers: Mapping[str, dg.LoggerDefinition] | None = None,
) -> dg.Definitions:
    """Assets, checks, jobs, schedule, sensors and resources; `replace` stands in for resources by name."""
    settings = settings or Settings.load()
    by_month = partitioned(settings, review_assets.BY_MONTH)
    whole = [*review_assets.WHOLE, *training_assets.ASSETS, *deploy_assets.ASSETS, *serving_assets.ASSETS]
    assets = schedules.keep_fresh(settings, [*by_month, *whole])
    every_check = checks.build()
    executor = step_executor(settings.step_pods, [each.node_def.name for each in (*assets, *every_check)])
    things = outside.build(settings)
    mirrored = bool(things["mirrors"].addresses)
    return dg.Definitions(
        assets=assets,
        asset_checks=every_check,
        jobs=[
            jobs.pipeline,
            jobs.refresh_models,
            jobs.promote,
            jobs.rollback,
            jobs.decide_release,
            housekeeping.prune_job,
            weekly_digest.weekly_digest,
            *([mirrors.mirror] if mirrored else []),
        ],
        schedules=[schedules.every_six_hours(settings), housekeeping.prune_every_night, weekly_digest.every_monday],
        sensors=[
            git_change.run_on_git_change,
            retrain.retrain_on_drift_or_age,
            orphans.end_orphaned_runs,
            summaries.summarise_success,
            summaries.summarise_failure,
            summaries.summarise_cancelled,
            notifications.deliver_notifications,
            dashboards.record_facts,
            *([mirrors.keep_mirrors_up_to_date] if mirrored else []),
            *([approval.deploy_approved_release] if settings.section(Watching).approval == "required" else []),
        ],
        resources={
            "settings": settings,
            "run_options": RunOptions.configure_at_launch(
                force_retrain=settings.force_retrain, skip_deploy=settings.skip_deploy
            ),
            "code_location": CodeLocation(url=settings.reload_url),
            **shown(settings, things),
            **(replace or {}),
        },
        executor=executor,
        loggers=loggers,
    )


defs = build_definitions()
