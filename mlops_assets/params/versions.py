"""The section `versions`: how long old data, models and runs are kept."""

from typing import Annotated, ClassVar

from pydantic import Field

from mlops_assets.params.section import ByName, Section


class RetentionRules(Section):
    """How long the nightly job `prune` keeps what was replaced. Days count from the moment when a later version
    replaced a version; what is current is never removed.
    """

    section: ClassVar[str] = "versions.retention"

    data_days: int = Field(default=30, ge=0)
    """Days that a replaced version of the data is kept."""
    models_days: int = Field(default=90, ge=0)
    """Days that a replaced version of a model is kept."""
    runs_days: int = Field(default=30, ge=0)
    """Days that Dagster's history is kept: events, logs and summaries. The newest 20 runs always stay."""
    predecessors: int = Field(default=2, ge=0)
    """Models deployed before the live one that stay ready for a rollback, with the data that they were trained on."""
    unknown_days: int = Field(default=1, ge=0)
    """Days that objects which no version names are kept: they may belong to a commit that is still under way."""


class Versions(Section):
    """What is kept of earlier versions."""

    section: ClassVar[str] = "versions"

    retention: Annotated[RetentionRules, ByName] = Field(default_factory=RetentionRules)
    """How long replaced versions stay: the keys of `versions.retention`."""
