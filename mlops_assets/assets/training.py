"""The assets that hold models: the two candidates and the better of them."""

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg

from mlops_assets import artifact
from mlops_assets.artifact import TrainedWith
from mlops_assets.assets import metadata
from mlops_assets.assets.failing import told_to_dagster
from mlops_assets.assets.model_page import about_decision, about_model
from mlops_assets.assets.resources import RunOptions
from mlops_assets.assets.reviews import OWNERS
from mlops_assets.deploy.service import Service
from mlops_assets.settings import Settings
from mlops_assets.steps.choose import choose
from mlops_assets.steps.plan import bert_trained_with, classic_trained_with
from mlops_assets.steps.upstream import refuse_missing_upstream
from mlops_assets.steps.version import current_dataset_version, labelled_reviews
from mlops_assets.versioning.repository import VersionRepository

if TYPE_CHECKING:
    import pandas as pd

    from mlops_assets.training.due import Due
    from mlops_assets.training.trained import Trained

GROUP = "training"


def build() -> list[dg.AssetsDefinition]:
    """The two models and the champion."""

    @dg.asset(
        deps=["versioned_dataset"],
        group_name=GROUP,
        owners=OWNERS,
        kinds={"pytorch", "huggingface", "onnx"},
        code_version="1",
        pool="training",
    )
    def bert_model(
        context: dg.AssetExecutionContext,
        settings: dg.ResourceParam[Settings],
        repository: dg.ResourceParam[VersionRepository],
        run_options: RunOptions,
    ) -> dg.MaterializeResult:
        """A BERT sentiment classifier, fine-tuned on the versioned reviews: `models/bert/`.

        Exported to ONNX for the server, with the weights beside it, and verified against the training framework.
        Its scores are in `models/bert_metrics.json`. Which BERT is `bert.base_model` in params.yaml.
        """
        from mlops_assets.serving.models.model import load
        from mlops_assets.training.bert.bert import train_bert
        from mlops_assets.training.bert.recipe import BertRecipe
        from mlops_assets.training.judging.evaluate import Evaluation

        recipe = BertRecipe.from_params(settings.sections["bert"])

        def train(frame: "pd.DataFrame", folder: Path, trained_with: TrainedWith) -> "Trained":
            return train_bert(
                frame,
                recipe,
                folder,
                trained_with=trained_with,
                run_id=context.run.run_id,
                report=context.log.info,
                checkpoints=settings.instance_folder / "checkpoints" / "bert",
                load=load,
                rules=Evaluation.from_params(settings.sections["evaluate"]),
            )

        with told_to_dagster():
            refuse_missing_upstream("bert_model", settings, repository)
            wanted = bert_trained_with(settings, current_dataset_version(repository))
            due, metrics = _trained(settings, repository, "bert", "bert_metrics.json", wanted, run_options, train)
        return dg.MaterializeResult(
            metadata={
                "bert_accuracy": metrics["test"].get("accuracy"),
                **_about(settings, repository, due, metrics, "bert"),
            }
        )

    @dg.asset(
        deps=["versioned_dataset"],
        group_name=GROUP,
        owners=OWNERS,
        kinds={"scikitlearn", "numpy"},
        code_version="1",
        pool="training",
    )
    def classic_model(
        context: dg.AssetExecutionContext,
        settings: dg.ResourceParam[Settings],
        repository: dg.ResourceParam[VersionRepository],
        run_options: RunOptions,
    ) -> dg.MaterializeResult:
        """TF-IDF with logistic regression, and a random forest that has a vote where it earns it: `models/classic/`.

        Stored as plain arrays, so that the server needs no scikit-learn. Its scores are in `models/metrics.json`.
        """
        from mlops_assets.serving.models.model import load
        from mlops_assets.training.classic.classic import train_classic
        from mlops_assets.training.judging.evaluate import Evaluation
        from mlops_assets.training.recipe import ClassicRecipe

        recipe = ClassicRecipe.from_params(settings.sections["classic"])

        def train(frame: "pd.DataFrame", folder: Path, trained_with: TrainedWith) -> "Trained":
            return train_classic(
                frame,
                recipe,
                folder,
                trained_with=trained_with,
                run_id=context.run.run_id,
                report=context.log.info,
                load=load,
                rules=Evaluation.from_params(settings.sections["evaluate"]),
            )

        with told_to_dagster():
            refuse_missing_upstream("classic_model", settings, repository)
            wanted = classic_trained_with(settings, current_dataset_version(repository))
            due, metrics = _trained(settings, repository, "classic", "metrics.json", wanted, run_options, train)
        return dg.MaterializeResult(
            metadata={
                "traditional_accuracy": metrics["test"].get("accuracy"),
                **_about(settings, repository, due, metrics, "classic"),
            }
        )

    @dg.asset(
        deps=[bert_model, classic_model],
        group_name=GROUP,
        owners=OWNERS,
        kinds={"python", "dvc"},
        code_version="1",
        pool="repository",
    )
    def champion_model(
        context: dg.AssetExecutionContext,
        settings: dg.ResourceParam[Settings],
        repository: dg.ResourceParam[VersionRepository],
        service: dg.ResourceParam[Service],
        run_options: RunOptions,
    ) -> dg.MaterializeResult:
        """The better of the two models on the gate side of the data, with the decision and its reason.

        The model that serves stays unless a new one is better beyond noise, or is as good and wanted because the data
        changed. Where none serves, or one of other reviews, a model that has shown that its answers come from the text
        goes first. Both models, their scores and the decision are committed as one version.
        """
        from mlops_assets.training.champion import champion_due, known_record

        with told_to_dagster():
            due = champion_due(settings.models)
            if due:
                refuse_missing_upstream("champion_model", settings, repository)
            record = (
                choose(
                    settings,
                    repository,
                    service.live(),
                    run_id=context.run.run_id,
                    forced=run_options.force_retrain,
                )
                if due
                else known_record(settings.models)
            )
        manifest = artifact.read(settings.models / "champion", verify=False)
        warning = manifest.trained_on.warning
        return dg.MaterializeResult(
            metadata={
                "model": record["model"],
                "model_version": record["model_version"],
                "promoted": record["promoted"],
                "kept": not due,
                "reason": record["reason"] if due else due.reason,
                "dataset_version": record["dataset_version"],
                "commit": record["commit"],
                "origin": record["origin"] if due else "",
                "trained_on": ", ".join(manifest.trained_on.apps) or "not known",
                **({"warning": warning} if warning else {}),
                **about_decision(record, manifest.metrics),
                "model_card": dg.MetadataValue.md((settings.models / "champion.md").read_text(encoding="utf-8")),
                "folder": metadata.link(settings.models / "champion"),
            }
        )

    return [bert_model, classic_model, champion_model]


def _about(
    settings: Settings, repository: VersionRepository, due: "Due", metrics: Mapping[str, Any], kind: str
) -> metadata.Metadata:
    """What a model's page shows, the same for both."""
    return {
        "models_trained": due.due,
        "kept": not due.due,
        "reason": due.reason,
        **about_model(metrics, settings.models / kind, labelled_reviews(settings, repository)),
    }


def _trained(
    settings: Settings,
    repository: VersionRepository,
    kind: str,
    metrics_name: str,
    wanted: TrainedWith,
    options: RunOptions,
    train: Callable[["pd.DataFrame", Path, TrainedWith], "Trained"],
) -> tuple["Due", Mapping[str, Any]]:
    """The model's metrics, after a training where one is due.

    The metrics go first and the model is put in place whole, so that a failed training leaves no scores behind.
    """
    import json

    from mlops_assets.training.due import training_due

    model, metrics = settings.models / kind, settings.models / metrics_name
    due = training_due(model, metrics, wanted, force=options.force_retrain)
    if due:
        metrics.unlink(missing_ok=True)
        scratch = settings.instance_folder / "training" / kind
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir(parents=True)
        trained = train(labelled_reviews(settings, repository), scratch, wanted)
        keep_profile(settings, repository, wanted.dataset_version)
        settings.models.mkdir(exist_ok=True)
        shutil.rmtree(model, ignore_errors=True)
        scratch.replace(model)
        partial = metrics.with_suffix(".partial")
        partial.write_text(json.dumps(trained.metrics, indent=1, sort_keys=True) + "\n", encoding="utf-8")
        partial.replace(metrics)
    return due, json.loads(metrics.read_text(encoding="utf-8"))


def keep_profile(settings: Settings, repository: VersionRepository, dataset_version: str) -> None:
    """The profile of the reviews that a model is trained on, which later ones are compared with."""
    from mlops_assets.reviews.drift.profile import Profile
    from mlops_assets.reviews.stored.dataset import read_source

    path = settings.profile(dataset_version)
    if not path.is_file():
        folder = repository.data_folder / "validated"
        apps = [app.name for app in folder.iterdir()]
        path.parent.mkdir(parents=True, exist_ok=True)
        Profile.of(read_source(folder, None, apps)).save(path)
