"""The section `operations` of params.yaml: when the digest goes out, and when a run is overdue."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from typing import Any, Self

from mlops_assets.failures import PermanentFailure


@dataclass(frozen=True)
class OperationRules:
    """Hours; `digest_hour` is UTC."""

    digest_hour: int = 7
    interval_hours: float = 6
    slack_hours: float = 2

    @property
    def longest_gap(self) -> timedelta:
        """How long ago the last run may have ended before the next is overdue."""
        return timedelta(hours=self.interval_hours + self.slack_hours)

    @classmethod
    def from_params(cls, section: Mapping[str, Any]) -> Self:
        """Raises `PermanentFailure` that names the parameter and its rule."""
        known = [field.name for field in fields(cls)]
        if unknown := sorted(section.keys() - set(known)):
            raise PermanentFailure(
                f"params.yaml: operations.{unknown[0]} is no parameter, known are {', '.join(known)}"
            )
        rules = cls(**section)
        if type(rules.digest_hour) is not int or not 0 <= rules.digest_hour <= 23:
            raise PermanentFailure(
                f"params.yaml: operations.digest_hour must be a whole hour from 0 to 23, got {rules.digest_hour!r}"
            )
        for name, least in (("interval_hours", 0.01), ("slack_hours", 0)):
            value = getattr(rules, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or value < least:
                raise PermanentFailure(
                    f"params.yaml: operations.{name} must be a number of at least {least}, got {value!r}"
                )
        return rules


def overdue(last_ended: datetime | None, now: datetime, rules: OperationRules) -> str | None:
    """Why a run is overdue; none where one ended within the interval and its slack."""
    if last_ended is None:
        return "no run of the pipeline has ended yet"
    if now - last_ended <= rules.longest_gap:
        return None
    hours = (now - last_ended).total_seconds() / 3600
    return (
        f"the last run of the pipeline ended {hours:.1f} hours ago, and one is expected every "
        f"{rules.interval_hours:g} hours with {rules.slack_hours:g} to spare"
    )
