"""Estimate how often the live model's answers are right, from the log of its answers. No label is needed."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from mlops_assets import artifact
from mlops_assets.deploy.live_model import folder_of
from mlops_assets.deploy.service import Live
from mlops_assets.serving.log.prediction_store import StoreDown
from mlops_assets.settings import Settings
from mlops_assets.steps.prune import existing_log

WINDOW_DAYS = 28
MOST_ANSWERS = 100_000


@dataclass(frozen=True)
class LiveAccuracy:
    """Whether the traffic is answered as well as the test side, and why; `score` is what a summary shows of it."""

    passed: bool
    reason: str
    score: dict[str, Any] | None = None


def estimate_live_accuracy(settings: Settings, live: Live | None) -> LiveAccuracy:
    """The estimate for the live model's answers of the last `WINDOW_DAYS`, at most the newest `MOST_ANSWERS`."""
    from mlops_assets.training.judging.live_accuracy import FLOOR, LEAST_ANSWERS, estimate

    if live is None:
        return LiveAccuracy(passed=True, reason="not estimated: no service answers")
    folder, log = folder_of(settings, live), existing_log(settings)
    if folder is None or log is None:
        missing = "its folder is not on this machine" if folder is None else "there is no log of its answers here"
        return LiveAccuracy(passed=True, reason=f"not estimated for the live model {live.model_version}: {missing}")
    since = (settings.now() - timedelta(days=WINDOW_DAYS)).isoformat()
    try:
        found = log.confidences(live.model_version, since, MOST_ANSWERS)
    except StoreDown as down:
        return LiveAccuracy(passed=False, reason=f"not estimated: {down}")
    finally:
        log.close()
    import numpy as np

    manifest = artifact.read(folder, verify=False)
    result = estimate(np.array(found), manifest.metrics.get("reliability", ()))
    if result is None:
        reason = (
            f"not estimated: the live model {live.model_version} gave {len(found)} logged answers in {WINDOW_DAYS} "
            f"days, {LEAST_ANSWERS} are needed, and its calibration on the test side"
        )
        return LiveAccuracy(passed=True, reason=reason)
    measured = (
        f"{result.accuracy:.3f} [{result.low:.3f}, {result.high:.3f}] of the {result.n} newest answers of the live "
        f"model {live.model_version} in {WINDOW_DAYS} days are right, estimated from their confidence. On the "
        f"{result.texts} texts of the test side of data {live.dataset_version}, where confidence was compared with "
        f"labels, {result.on_test:.3f} are"
    )
    if result.is_as_measured:
        said = "A model that is wrong and as sure as before does not show here, only in the forward score"
    else:
        said = (
            f"The traffic is harder than the test side, by more than chance and {100 * FLOOR:g} points: look at what "
            "is asked, and label some of it (make label)"
        )
    score = {
        "model_version": live.model_version,
        "n": result.n,
        "accuracy": round(result.accuracy, 6),
        "accuracy_interval": [round(result.low, 6), round(result.high, 6)],
    }
    return LiveAccuracy(result.is_as_measured, f"{measured}. {said}", score)
