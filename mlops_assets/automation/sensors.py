"""What starts a run beside the clock, and what ends one: the summary."""

from collections.abc import Sequence
from typing import Any

import dagster as dg

from mlops_assets.automation import dashboard_facts, git_change, notifications, orphans, retrain, run_summary
from mlops_assets.settings import Settings


def build(settings: Settings, jobs: Sequence[Any]) -> list[dg.SensorDefinition]:
    """What starts runs, what ends those whose process is gone, a summary for each way to end, who is told, and what
    dashboards show.
    """
    return [
        git_change.build(settings),
        retrain.build(settings),
        orphans.build(),
        *run_summary.build(settings, jobs),
        notifications.build(),
        dashboard_facts.build(),
    ]
