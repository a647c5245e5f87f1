"""The section `sides`: how texts are shared out among training, validation, gate and test."""

from typing import Annotated, ClassVar, Self

from pydantic import Field, model_validator

from mlops_assets.params.section import Section

Share = Annotated[float, Field(gt=0, lt=100)]


class Sides(Section):
    """The percentages of distinct texts on each side, 100 together. A change deals all texts anew and retrains."""

    section: ClassVar[str] = "sides"

    train: Share
    """Texts that the models learn from."""
    validation: Share
    """Texts that choose among settings during a training."""
    gate: Share
    """Texts that decide whether a new model replaces the live one."""
    test: Share
    """Texts that only measure the models."""

    @model_validator(mode="after")
    def _make_the_whole(self) -> Self:
        total = self.train + self.validation + self.gate + self.test
        if abs(total - 100) > 1e-9:
            raise ValueError(f"sides must add up to 100 percent, got {total:g}")
        return self
