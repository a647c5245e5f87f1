"""The models that served, as the branch tells, and which of them are the anchor now or later."""

from typing import TYPE_CHECKING

from mlops_assets.settings import Settings
from mlops_assets.versioning.repository import VersionRepository

if TYPE_CHECKING:
    from mlops_assets.training.judging.anchor import Reign


def anchor_models(settings: Settings, repository: VersionRepository) -> list[str]:
    """The anchor and the models that will be: `make prune` keeps them."""
    return list(dict.fromkeys(reign.model_version for reign in anchors_of(settings, reigns_of(repository))))


def reigns_of(repository: VersionRepository) -> "list[Reign]":
    """The models that served, newest first."""
    from mlops_assets.training.judging.anchor import Reign

    return [Reign(*champion) for champion in repository.champions()]


def anchors_of(settings: Settings, reigns: "list[Reign]") -> "list[Reign]":
    """The anchor and what came after it, oldest first."""
    from mlops_assets.params.models import Evaluation
    from mlops_assets.training.judging.anchor import anchors

    return anchors(reigns, settings.now(), settings.section(Evaluation).anchor_days)
