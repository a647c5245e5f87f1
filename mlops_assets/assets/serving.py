"""The asset that holds what the serving model says of the stored reviews."""

import dagster as dg

from mlops_assets.assets import metadata
from mlops_assets.assets.failing import as_dagster_failure
from mlops_assets.assets.reviews import OWNERS
from mlops_assets.code_version import code_version
from mlops_assets.settings import Settings
from mlops_assets.steps.score import score
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
    """What the serving model says of every review of the data version: `data/predictions.parquet`.

    One row per review with its sentiment and probabilities, without its text. Reviews that the same model scored
    before keep their answer, so a tick scores only what is new.
    """
    with as_dagster_failure():
        scores = score(settings, repository)
    context.log.info(f"{scores.texts_scored} distinct texts scored, {scores.count} predictions: {scores.due.reason}")
    return dg.MaterializeResult(
        metadata={
            "reason": scores.due.reason,
            "kept": not scores.due,
            "dataset_version": scores.dataset_version,
            "texts_scored": scores.texts_scored,
            "dagster/row_count": scores.count,
            "mean_confidence": scores.mean_confidence,
            "predicted": metadata.table([scores.labels]),
            "file": metadata.link(settings.predictions),
        }
    )


ASSETS = [predictions]
