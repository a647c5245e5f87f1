"""Every section of params.yaml read before a run does anything: a wrong one must not show itself after a training."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from mlops_assets.failures import PermanentFailure
from mlops_assets.settings import Settings
from mlops_assets.trained_on import SAMPLE_APP

if TYPE_CHECKING:
    from mlops_assets.reviews.quality.options import ValidationOptions


def refuse_bad_parameters(settings: Settings) -> None:
    """Raise the failure of the first section that the code which uses it would refuse."""
    from mlops_assets.deploy.rollout import Watching
    from mlops_assets.reporting.rules import OperationRules
    from mlops_assets.reviews.drift.drift import DriftOptions
    from mlops_assets.reviews.play_store.options import CollectOptions
    from mlops_assets.reviews.stored.split import require_percents
    from mlops_assets.training.bert.recipe import BertRecipe
    from mlops_assets.training.judging.evaluate import Evaluation
    from mlops_assets.training.recipe import ClassicRecipe
    from mlops_assets.versioning.retention_plan import RetentionRules

    sections = settings.sections
    require_percents(sections["sides"])
    CollectOptions.from_params(sections["play_store"])
    validation_options(settings)
    DriftOptions.from_params(sections["drift"])
    ClassicRecipe.from_params(sections["classic"])
    BertRecipe.from_params(sections["bert"])
    Evaluation.from_params(sections["evaluate"])
    Watching.from_params(sections["deploy"])
    if unknown := sorted(str(name) for name in sections["versions"].keys() - {"retention"}):
        raise PermanentFailure(f"params.yaml: versions.{unknown[0]} is no parameter, known is retention")
    retention = sections["versions"].get("retention") or {}
    if not isinstance(retention, Mapping):
        raise PermanentFailure(f"params.yaml: versions.retention must be a mapping, got {retention!r}")
    RetentionRules.from_params(retention)
    OperationRules.from_params(sections["operations"])


def validation_options(settings: Settings) -> "ValidationOptions":
    """The section `validation`, which may name the apps of params.yaml, of APP, and those with stored reviews."""
    from mlops_assets.reviews.quality.options import ValidationOptions

    options = ValidationOptions.from_params(settings.sections["validation"])
    stored = {folder.name for folder in (settings.data / "raw").glob("*.*") if folder.is_dir()}
    options.require_apps({*settings.apps, SAMPLE_APP, *stored}, settings.now().date())
    return options
