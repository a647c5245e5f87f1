"""The assets that hold models: one of each kind that is trained, and the best of them and their blend."""

from functools import partial

import dagster as dg

from mlops_assets import artifact
from mlops_assets.artifact import METRICS_FILES, Kind
from mlops_assets.assets import metadata
from mlops_assets.assets.failing import as_dagster_failure
from mlops_assets.assets.model_page import about_decision, about_members, about_model
from mlops_assets.assets.ray_training import train_on_ray
from mlops_assets.assets.resources import RunOptions
from mlops_assets.assets.reviews import OWNERS
from mlops_assets.code_version import code_version
from mlops_assets.deploy.service import Service
from mlops_assets.settings import Settings
from mlops_assets.steps.choose import choose
from mlops_assets.steps.train import train
from mlops_assets.training.card import model_card
from mlops_assets.training.kinds import BERT, CLASSIC, KINDS
from mlops_assets.training.metrics import Metrics
from mlops_assets.versioning.repository import VersionRepository

GROUP = "training"


@dg.asset(
    deps=["versioned_dataset"],
    group_name=GROUP,
    owners=OWNERS,
    kinds=set(BERT.libraries),
    code_version=BERT.code(),
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
    return _trained("bert", context, settings, repository, run_options)


@dg.asset(
    deps=["versioned_dataset"],
    group_name=GROUP,
    owners=OWNERS,
    kinds=set(CLASSIC.libraries),
    code_version=CLASSIC.code(),
    pool="training",
)
def classic_model(
    context: dg.AssetExecutionContext,
    settings: dg.ResourceParam[Settings],
    repository: dg.ResourceParam[VersionRepository],
    run_options: RunOptions,
) -> dg.MaterializeResult:
    """TF-IDF with logistic regression, and a random forest that has a vote if it earns it: `models/classic/`.

    Stored as plain arrays, so that the server needs no scikit-learn. Its scores are in `models/metrics.json`.
    """
    return _trained("classic", context, settings, repository, run_options)


@dg.asset(
    deps=[bert_model, classic_model],
    group_name=GROUP,
    owners=OWNERS,
    kinds={"python", "dvc"},
    code_version=code_version("mlops_assets.steps.choose"),
    pool="repository",
)
def champion_model(
    context: dg.AssetExecutionContext,
    settings: dg.ResourceParam[Settings],
    repository: dg.ResourceParam[VersionRepository],
    service: dg.ResourceParam[Service],
    run_options: RunOptions,
) -> dg.MaterializeResult:
    """The best of the two models and their blend on the gate side of the data, with the decision and its reason.

    The blend averages the log-odds of both by a weight chosen on validation: `models/blend/`. It costs the time and
    memory of both models. It is made if both were trained on the same reviews; else the reason says why not.

    The model that serves stays unless a new one is better beyond noise, or is as good and wanted because the data
    changed. If no model serves, or a model of other reviews does, the first to go is a model that has shown that its
    answers come from the text. The models, their scores and the decision are committed as one version.
    """
    with as_dagster_failure():
        chosen = choose(settings, repository, service.live, run_id=context.run.run_id, forced=run_options.force_retrain)
    decision, due = chosen.decision, chosen.due
    manifest = artifact.read(settings.models / "champion", verify=False)
    blend = Metrics.read(settings.models / METRICS_FILES["blend"]) if "blend" in decision.candidates else None
    warning = manifest.trained_on.warning
    forward = None if decision.promoted else decision.forward
    return dg.MaterializeResult(
        metadata={
            "model": decision.model,
            "model_version": decision.model_version,
            "promoted": decision.promoted,
            "kept": not due.due,
            "reason": decision.reason if due else due.reason,
            "dataset_version": decision.dataset_version,
            "commit": decision.commit,
            "origin": decision.origin if due else "",
            "trained_on": ", ".join(manifest.trained_on.apps) or "not known",
            **({"warning": warning} if warning else {}),
            **about_decision(decision, Metrics.of(manifest.metrics)),
            **({"blend": about_members(blend.members)} if blend else {}),
            "model_card": dg.MetadataValue.md(
                # Made anew: a card that an older version wrote may hold markup from the base model's README.
                model_card(manifest, decision.model_version, decision=decision, forward=forward)
            ),
            "folder": metadata.link(settings.models / "champion"),
        }
    )


ASSETS = [bert_model, classic_model, champion_model]


def _trained(
    kind: Kind,
    context: dg.AssetExecutionContext,
    settings: Settings,
    repository: VersionRepository,
    options: RunOptions,
) -> dg.MaterializeResult:
    force = options.force_retrain
    on_ray = partial(train_on_ray, context, settings, force=force) if settings.ray_address and kind == "bert" else None
    with as_dagster_failure():
        model = train(
            KINDS[kind],
            settings,
            repository,
            run_id=context.run.run_id,
            force=force,
            report=context.log.info,
            elsewhere=on_ray,
        )
    return dg.MaterializeResult(
        metadata={
            KINDS[kind].accuracy_key: model.metrics.test.accuracy,
            "models_trained": model.due.due,
            "kept": not model.due.due,
            "reason": model.due.reason,
            **about_model(model.metrics, settings.models / kind, model.mistakes),
        }
    )
