"""The section `operations`: when the digest goes out, and when a run is overdue."""

from datetime import timedelta
from typing import ClassVar

from pydantic import Field

from mlops_assets.params.section import Section


class OperationRules(Section):
    """When messages go out, and when a run of the pipeline is overdue."""

    section: ClassVar[str] = "operations"

    digest_hour: int = Field(default=7, ge=0, le=23)
    """The hour (UTC) from which on runs with nothing new are reported, once a day."""
    interval_hours: float = Field(default=6.0, ge=0.01)
    """A run of the pipeline is expected this often, in hours. `make status` fails if it is overdue."""
    slack_hours: float = Field(default=2.0, ge=0)
    """Hours that a run may be late."""

    @property
    def longest_gap(self) -> timedelta:
        """How long ago the last run may have ended before the next is overdue."""
        return timedelta(hours=self.interval_hours + self.slack_hours)
