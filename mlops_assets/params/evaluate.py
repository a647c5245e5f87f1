"""The section `evaluate`: how models are measured, and when one may replace another."""

from typing import ClassVar

from pydantic import Field

from mlops_assets.params.section import Section, Seed


class Evaluation(Section):
    """How models are measured, and when one may replace another. A change judges both models again."""

    section: ClassVar[str] = "evaluate"

    newest_months: int = Field(default=3, ge=1, le=120)
    """The latest months of the gate and test sides that are also measured by themselves, as the newest reviews."""
    rounds: int = Field(default=2000, ge=200, le=100_000)
    """Resamples of each bootstrap. More make intervals steadier and the evaluation slower."""
    confidence: float = Field(default=0.95, ge=0.5, le=0.999)
    """Confidence of the intervals."""
    margin_points: float = Field(default=3.0, ge=0, le=20)
    """If a retrain was asked for, the new model may be worse by this many points of macro-F1, its interval included."""
    slice_points: float = Field(default=2.0, ge=0, le=100)
    """The new model is refused if its accuracy on a slice (such as one app's reviews, or those with slang) falls by
    more than this many points, with the whole interval beyond it."""
    slice_reviews: int = Field(default=30, ge=1, le=100_000)
    """A slice with fewer reviews on the gate side is shown, but decides nothing."""
    max_calibration_error: float = Field(default=0.15, ge=0.01, le=1)
    """The largest calibration error (ECE) of a model that may go live, unless chance explains a larger one."""
    max_milliseconds: float = Field(default=250.0, gt=0)
    """The longest median time to answer one review, in milliseconds, of a model that may go live."""
    max_megabytes: float = Field(default=1500.0, gt=0)
    """The largest size of a model that may go live, in megabytes."""
    seed: Seed = 7
    """Seed of the resamples."""
