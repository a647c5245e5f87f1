"""Every section of params.yaml read before a run does anything: a wrong one must not show itself after a training."""

from collections.abc import Mapping

from mlops_assets.failures import PermanentFailure
from mlops_assets.settings import Settings


def refuse_bad_parameters(settings: Settings) -> None:
    """Raise the failure of the first section that the code which uses it would refuse."""
    from mlops_assets.deploy.rollout import Watching
    from mlops_assets.operations.rules import OperationRules
    from mlops_assets.resources.retention_plan import RetentionRules
    from mlops_assets.reviews.collect_options import CollectOptions
    from mlops_assets.reviews.drift import DriftOptions
    from mlops_assets.reviews.quality import ValidationOptions
    from mlops_assets.reviews.split import require_percents
    from mlops_assets.training.bert_recipe import BertRecipe
    from mlops_assets.training.evaluate import Evaluation
    from mlops_assets.training.recipe import ClassicRecipe

    sections = settings.sections
    require_percents(sections["sides"])
    CollectOptions.from_params(sections["play_store"])
    ValidationOptions.from_params(sections["validation"])
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
