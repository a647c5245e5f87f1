"""What starts a run beside the clock, and what ends one: the summary."""

from collections.abc import Sequence
from typing import Any

import dagster as dg

from mlops_assets.automation import git_change, retrain, run_summary
from mlops_assets.settings import Settings


def build(settings: Settings, jobs: Sequence[Any]) -> list[dg.SensorDefinition]:
    """`run_on_git_change`, `retrain_on_drift_or_age` and the summary sensors, one for each way that a run can end."""
    return [git_change.build(settings), retrain.build(settings), *run_summary.build(settings, jobs)]
