"""The assets that hold what the serving model says of the stored reviews, and what those are about."""

import dagster as dg

from mlops_assets.assets import metadata
from mlops_assets.assets.failing import as_dagster_failure
from mlops_assets.assets.reviews import OWNERS
from mlops_assets.assets.topic_page import about_topics
from mlops_assets.code_version import code_version
from mlops_assets.settings import Settings
from mlops_assets.spread.ray_cluster import spread_at
from mlops_assets.steps.score import score
from mlops_assets.steps.topics.find_topics import find_topics
from mlops_assets.versioning.repository import VersionRepository


@dg.asset(
    deps=["versioned_dataset", "champion_model"],
    group_name="serving",
    owners=OWNERS,
    kinds={"onnx", "parquet"},
    code_version=code_version("mlops_assets.steps.score"),
    pool="repository",
)
def predictions(
    context: dg.AssetExecutionContext,
    settings: dg.ResourceParam[Settings],
    repository: dg.ResourceParam[VersionRepository],
) -> dg.MaterializeResult:
    """What the serving model says of the reviews of the data version: a file for each app and month, without texts.

    Each row names the model that answered. Only months with new, edited or removed reviews are touched. After a
    promotion the newest months are scored at once; the rest keeps the earlier model's answers until the next runs have
    scored it, each for at most `predictions.most_minutes` (params.yaml).
    """
    with as_dagster_failure():
        scores = score(settings, repository, spread=spread_at(settings.ray_address, context.log.info))
    progress = scores.progress
    context.log.info(f"{scores.texts_scored} distinct texts scored, {progress}: {scores.due.reason}")
    return dg.MaterializeResult(
        metadata={
            "reason": scores.due.reason,
            "kept": not scores.due,
            "dataset_version": progress.dataset_version,
            "model_version": progress.model_version,
            "texts_scored": scores.texts_scored,
            "dagster/row_count": scores.count,
            "scored_by_live_model": progress.answered,
            "scored_by_earlier_models": sum(progress.earlier.values()),
            "not_scored_yet": progress.waiting,
            "mean_confidence": scores.mean_confidence,
            "predicted": metadata.table([scores.labels]),
            "folder": metadata.link(settings.predictions),
        }
    )


@dg.asset(
    deps=[predictions],
    group_name="serving",
    owners=OWNERS,
    kinds={"scikitlearn", "parquet"},
    code_version=code_version("mlops_assets.steps.topics.find_topics"),
    pool="repository",
)
def topics(
    context: dg.AssetExecutionContext,
    settings: dg.ResourceParam[Settings],
    repository: dg.ResourceParam[VersionRepository],
) -> dg.MaterializeResult:
    """What negative and positive reviews are about, by the serving model's answers.

    Topics have words, a share, examples, and a trend by month and by app version. A topic keeps its id while its
    meaning stays; name it by its id in `topics.yaml`. New reviews are given to the topics that are there. Topics are
    found anew when the reviews have grown by `topics.refit_percent` (params.yaml).
    """
    with as_dagster_failure():
        found = find_topics(settings, repository)
    context.log.info(f"{len(found.about.topics)} topics, {len(found.months)} months counted: {found.due.reason}")
    return dg.MaterializeResult(metadata=about_topics(found, settings))


ASSETS = [predictions, topics]
