"""When a run of the pipeline is overdue."""

from datetime import datetime

from mlops_assets.params.operations import OperationRules


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
