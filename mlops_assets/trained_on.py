"""Whose reviews a model was trained on, and the warning if they were generated."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Self

SAMPLE_APP, SAMPLE_SOURCE = "sample.app", "sample"
"""App and source of the generated reviews that come with the pipeline."""


@dataclass(frozen=True)
class TrainedOn:
    """Whose reviews a model was trained on. Empty where its folder does not say.

    `sources` are those of the reviews: sample, file, play_store, import. Models sealed before they were kept have none.
    """

    apps: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()

    @classmethod
    def of(cls, apps: Iterable[str], sources: Iterable[str] = ()) -> Self:
        """Of reviews with these apps and sources, however often each is named."""
        return cls(tuple(sorted(set(apps))), tuple(sorted(set(sources))))

    @property
    def generated(self) -> bool:
        """Whether it was trained on the generated reviews alone."""
        return self.sources == (SAMPLE_SOURCE,) if self.sources else self.apps == (SAMPLE_APP,)

    @property
    def warning(self) -> str | None:
        """What everybody who meets the model must know; None for the model of a real app."""
        if not self.generated:
            return None
        return (
            "This model was trained on generated reviews, not on those of a real app: do not rely on its answers. "
            "make run REVIEWS=reviews.csv APP=package.name trains one on yours"
        )

    def record(self) -> dict[str, Any]:
        """As JSON."""
        return {"apps": list(self.apps), "sources": list(self.sources), "generated": self.generated}
