"""New commits on the watched branch that touch what a model is made of start a run."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

import dagster as dg

from mlops_assets.assets.partitions import range_tags, stored_range
from mlops_assets.automation.jobs import REFRESH_MODELS
from mlops_assets.resources.git_history import GitHistory
from mlops_assets.resources.review_source import ReviewSource
from mlops_assets.settings import Settings

WATCHED = ("data", "mlops_assets", "dvc.yaml", "params.yaml")


@dataclass(frozen=True)
class GitDecision:
    """Whether new commits call for a run, and why or why not."""

    run: bool
    reason: str


def decide(seen: str | None, head: str | None, branch: str | None, touched: Sequence[str]) -> GitDecision:
    """`seen` is the head that was handled last, `touched` the watched files that differ between it and `head`."""
    if branch is None or head is None:
        return GitDecision(False, "none of the watched branches exists here: set GIT_BRANCH")
    if seen is None:
        return GitDecision(False, f"watching {branch} from {head[:12]} on")
    if seen == head:
        return GitDecision(False, f"{branch} is still at {head[:12]}")
    if not touched:
        return GitDecision(
            False, f"{branch} moved from {seen[:12]} to {head[:12]}, and nothing under {', '.join(WATCHED)} differs"
        )
    shown = ", ".join(touched[:3]) + (f" and {len(touched) - 3} more" if len(touched) > 3 else "")
    return GitDecision(True, f"{branch} moved from {seen[:12]} to {head[:12]}: {shown}")


def build(settings: Settings) -> dg.SensorDefinition:
    """The sensor `run_on_git_change`."""

    @dg.sensor(
        job_name=REFRESH_MODELS,
        minimum_interval_seconds=60,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=f"Retrains and deploys when new commits touch {', '.join(WATCHED)}. Collects nothing.",
    )
    def run_on_git_change(
        context: dg.SensorEvaluationContext,
        git_history: dg.ResourceParam[GitHistory],
        review_source: dg.ResourceParam[ReviewSource],
    ) -> dg.RunRequest | dg.SkipReason:
        branch, head = git_history.watched_head(settings.git_branches)
        handled = json.loads(context.cursor) if context.cursor else {"head": None, "runs": 0}
        seen = handled["head"]
        touched = git_history.touched(seen, head, WATCHED) if seen and head and seen != head else []
        decision = decide(seen, head, branch, touched)
        if not decision.run:
            if seen is None and head is not None:
                context.update_cursor(json.dumps({"head": head, "runs": 0}))
            return dg.SkipReason(decision.reason)
        span = stored_range(settings, review_source.name)
        if span is None:
            return dg.SkipReason(f"{decision.reason}; but no review of source {review_source.name} is stored yet")
        apps, first, last = span
        runs = handled["runs"] + 1
        context.update_cursor(json.dumps({"head": head, "runs": runs}))
        return dg.RunRequest(
            run_key=f"{runs}:{head}",
            tags={**range_tags(settings, apps, first, last), "mlops/trigger": f"git change: {decision.reason}"},
        )

    return run_on_git_change
