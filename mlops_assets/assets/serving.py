"""The asset that holds what the serving model says of the stored reviews."""

from typing import TYPE_CHECKING

import dagster as dg

from mlops_assets.assets import metadata
from mlops_assets.assets.failing import told_to_dagster
from mlops_assets.assets.reviews import OWNERS
from mlops_assets.failures import PermanentFailure
from mlops_assets.settings import Settings
from mlops_assets.steps.plan import predictions_due
from mlops_assets.steps.upstream import refuse_missing_upstream
from mlops_assets.steps.version import current_dataset_version
from mlops_assets.versioning.repository import VersionRepository

if TYPE_CHECKING:
    import pandas as pd

GROUP = "serving"


def build() -> list[dg.AssetsDefinition]:
    """The predictions."""

    @dg.asset(
        deps=["versioned_dataset", "champion_model"],
        group_name=GROUP,
        owners=OWNERS,
        kinds={"onnx", "parquet"},
        code_version="1",
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
        from mlops_assets.reviews.stored.predictions import read

        path = settings.predictions
        with told_to_dagster():
            refuse_missing_upstream("predictions", settings, repository)
            dataset_version = current_dataset_version(repository)
            due = predictions_due(settings, dataset_version)
            scored = _score(settings, repository, dataset_version) if due else 0
            frame = read(path)
        context.log.info(f"{scored} distinct texts scored, {len(frame)} predictions: {due.reason}")
        return dg.MaterializeResult(
            metadata={
                "reason": due.reason,
                "kept": not due,
                "dataset_version": dataset_version,
                "texts_scored": scored,
                "dagster/row_count": len(frame),
                "mean_confidence": round(float(frame["confidence"].mean()), 4) if len(frame) else 0.0,
                "predicted": metadata.table([_mix(frame)]),
                "file": metadata.link(path),
            }
        )

    return [predictions]


def _mix(frame: "pd.DataFrame") -> dict[str, int]:
    return {str(label): int(n) for label, n in frame["sentiment"].value_counts().sort_index().items()}


def _score(settings: Settings, repository: VersionRepository, dataset_version: str) -> int:
    """Write the predictions of the champion for the data version; how many texts it was asked."""
    from mlops_assets.reviews.stored.dataset import read_source
    from mlops_assets.reviews.stored.predictions import About, predict, read, sides_digest, write
    from mlops_assets.serving.models.model import load
    from mlops_assets.training.champion import champion_folder, last_decision

    folder = champion_folder(settings.models)
    if folder is None:
        raise PermanentFailure("there is no champion to predict with: materialize champion_model")
    model_version = last_decision(settings.models).model_version
    model = load(folder)
    sides = settings.sections["sides"]
    about = About(model_version, dataset_version, tuple(model.labels), sides_digest(sides))
    before = About.read(settings.predictions)
    same = before is not None and (before.model_version, before.sides) == (model_version, about.sides)
    validated = repository.data_folder / "validated"
    apps = sorted(path.name for path in validated.iterdir() if path.is_dir())
    frame, scored = predict(
        read_source(validated, None, apps),
        model.labels,
        model.probabilities,
        known=read(settings.predictions) if same else None,
        now=settings.now(),
        percents=sides,
    )
    write(frame, about, settings.predictions)
    return scored
