"""How many steps a training takes if `bert.most_minutes` is too short for all."""

from collections.abc import Callable
from typing import Any

from mlops_assets.training.bert.state import Progress

MEASURED_STEPS, AGAIN_EVERY = 50, 500
"""The speed is known after so many steps, and is looked at again so often."""
AIM = 0.95
"""The share of the minutes that is planned: the last scoring and a busy moment take some."""
LATE = 1.05
"""A plan that would end later than this share of the minutes is made shorter; a training is never planned longer."""


def steps_within(progress: Progress, minutes: float) -> int:
    """The steps to take in all, at the speed so far. At least those that were taken."""
    measured = progress.step - MEASURED_STEPS
    if measured < 0 or measured % AGAIN_EVERY:
        return progress.planned
    allowed_s, a_step_s = 60 * minutes, progress.seconds / progress.step
    if a_step_s * progress.planned <= LATE * allowed_s:
        return progress.planned
    return min(progress.planned, max(progress.step, int(AIM * allowed_s / a_step_s)))


def plan_again(progress: Progress, minutes: float, report: Callable[[str], None]) -> None:
    """Plan fewer steps if the minutes do not suffice for all."""
    fewer = steps_within(progress, minutes)
    if fewer < progress.planned:
        progress.planned = fewer
        report(f"takes {fewer} of {progress.full} steps: bert.most_minutes allows {minutes:g}")


def on_record(progress: Progress, minutes: float) -> dict[str, Any]:
    """What the minutes cost the training, for the metrics; empty if it took all its steps."""
    if progress.planned >= progress.full:
        return {}
    said = (
        f"The training stopped at its budget, after {progress.step:,} of {progress.full:,} steps: bert.most_minutes "
        f"allows {minutes:g}, and it took {progress.seconds / 60:.0f}. Its learning rate was fitted to that."
    )
    return {"most_minutes": minutes, "steps": progress.step, "of_steps": progress.full, "said": said}
