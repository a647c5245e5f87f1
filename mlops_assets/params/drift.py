"""The section `drift`: when new reviews count as different from those that the live model learned from."""

from typing import ClassVar

from pydantic import Field

from mlops_assets.params.section import Section, Whole


class DriftOptions(Section):
    """When new reviews count as different from those that the live model was trained on; see [drift.md](drift.md).

    A feature has drifted if its change is beyond chance and also reaches its floor, the smallest change that matters.
    """

    section: ClassVar[str] = "drift"

    alpha: float = Field(default=0.05, gt=0, le=0.2)
    """The share of false alarms if nothing drifted, over all features together. Lower it for fewer alarms."""
    recent_reviews: Whole = Field(default=500, ge=1)
    """The newest reviews that are compared. More of them show smaller changes, but later."""
    least_reviews: Whole = Field(default=50, ge=1)
    """With fewer new reviews than this nothing is judged."""
    sustained_ticks: Whole = Field(default=3, ge=1)
    """Runs in a row that must find drift in the same feature before a retrain starts."""
    floor_mix: float = Field(default=0.05, ge=0, lt=1)
    """Floor of ratings, labels, lengths and languages: the share of reviews that changed their category."""
    floor_vocabulary: float = Field(default=0.02, ge=0, lt=1)
    """Floor of the vocabulary: the rise of the share of unknown words."""
    floor_auc: float = Field(default=0.55, ge=0, lt=1)
    """Floor of the content: the AUC of a classifier that tells new reviews from old ones. 0.5 is a coin toss."""
