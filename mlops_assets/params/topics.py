"""The section about what reviews are about: `topics`."""

from typing import ClassVar

from pydantic import Field

from mlops_assets.params.section import Number, Section, Whole


class TopicRules(Section):
    """How topics of negative and of positive reviews are found; see [topics.md](topics.md)."""

    section: ClassVar[str] = "topics"

    count: Whole = Field(default=12, ge=2, le=50)
    """Topics of each sentiment. Another number finds all topics anew."""
    least_texts: Whole = Field(default=200, ge=20)
    """With fewer distinct texts of a sentiment than this it has no topics: they would be chance."""
    sample_texts: Whole = Field(default=20_000, ge=100, le=1_000_000)
    """Distinct texts of each sentiment that topics are found in. The same reviews always give the same sample."""
    common_percent: Number = Field(default=5, gt=0, le=100)
    """Words in more than this percentage of the negative and of the positive texts are everyday words, which no topic
    is about. Lower it if such words appear in topics."""
    refit_percent: Number = Field(default=20, gt=0, le=1000)
    """Topics are found anew when the reviews have grown by this percentage. Until then new reviews are given to the
    topics that are there."""
    same_meaning: float = Field(default=0.5, gt=0, le=1)
    """A new topic keeps the id of an old one if their words are at least this similar (cosine)."""
