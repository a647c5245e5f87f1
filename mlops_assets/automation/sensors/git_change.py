"""A run starts when new commits on a release branch touch what a model is made of."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import dagster as dg

from mlops_assets.assets.partitions import range_tags, stored_range
from mlops_assets.automation.code_location import LOCATION, CodeLocation
from mlops_assets.automation.jobs import REFRESH_MODELS
from mlops_assets.automation.requested_run import NextStep, RequestedRun, next_step, outcome_of
from mlops_assets.failures import TransientFailure
from mlops_assets.reviews.sources.review_source import ReviewSource
from mlops_assets.settings import Settings
from mlops_assets.versioning.git.history import GitHistory, Position, Upstream

WATCHED = ("data", "mlops_assets", "dvc.yaml", "params.yaml")


@dataclass(frozen=True)
class _State:
    """The cursor: the commit up to which all is handled, how many causes there were, and the requested run.

    A cursor of an older version has no `asked`: its head is handled.
    """

    head: str | None = None
    runs: int = 0
    asked: RequestedRun | None = None

    @classmethod
    def read(cls, cursor: str | None) -> Self:
        stored = json.loads(cursor) if cursor else {}
        asked = stored.get("asked")
        return cls(stored.get("head"), int(stored.get("runs", 0)), RequestedRun.from_json(asked) if asked else None)

    def after(self, step: NextStep | None) -> Self:
        """The state if no run starts now. A due retry waits until HEAD is on a release branch again."""
        if step is None or step.do == "retry":
            return self
        if step.do == "wait":
            return replace(self, asked=step.asked)
        return replace(self, head=_head_of(step.asked), asked=None)

    def as_json(self) -> str:
        asked = {"asked": self.asked.as_json()} if self.asked else {}
        return json.dumps({"head": self.head, "runs": self.runs, **asked})


def _head_of(asked: RequestedRun) -> str:
    return asked.cause.rpartition(":")[2]


OF_THE_IMAGE = ("locks/pipeline.txt", "locks/dvc.txt")
"""In the stack a container whose image was built from another lock refuses to start."""


@dataclass(frozen=True)
class GitDecision:
    """Whether new commits need a run, and why or why not."""

    run: bool
    reason: str


def decide(
    seen: str | None, position: Position, upstream: Upstream, touched: Sequence[str], branches: Sequence[str]
) -> GitDecision:
    """`seen` is the commit of the last requested run, `touched` the watched files that differ between it and HEAD."""
    head, branch = position.commit, position.release
    if head is None:
        return GitDecision(False, str(position) + ("" if position.problem else ", and there is no commit yet"))
    if branch is None:
        return GitDecision(False, f"{position}, and the release branches are {', '.join(branches)}: set GIT_BRANCH")
    if upstream.problem:
        waiting = f"; {upstream.problem}"
    elif upstream.waiting:
        waiting = f"; {upstream.waiting} commits wait at origin/{branch}: git pull, or set GIT_FAST_FORWARD=1"
    else:
        waiting = ""
    if seen is None:
        return GitDecision(False, f"watching {branch} from {head[:12]} on{waiting}")
    if seen == head:
        return GitDecision(False, f"{branch} is still at {head[:12]}{waiting}")
    moved = f"{branch} moved from {seen[:12]} to {head[:12]}"
    if not touched:
        return GitDecision(False, f"{moved}, and nothing under {', '.join(WATCHED)} differs{waiting}")
    shown = ", ".join(touched[:3]) + (f" and {len(touched) - 3} more" if len(touched) > 3 else "")
    return GitDecision(True, f"{moved}: {shown}{waiting}")


@dg.sensor(
    job_name=REFRESH_MODELS,
    minimum_interval_seconds=60,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description=f"Retrains and deploys when new commits on a release branch (GIT_BRANCH) touch {', '.join(WATCHED)}. "
    "Collects nothing. With GIT_FAST_FORWARD=1 it first takes over the commits that wait at origin.",
)
def run_on_git_change(
    context: dg.SensorEvaluationContext,
    settings: dg.ResourceParam[Settings],
    git_history: dg.ResourceParam[GitHistory],
    review_source: dg.ResourceParam[ReviewSource],
    code_location: dg.ResourceParam[CodeLocation],
) -> dg.RunRequest | dg.SkipReason:
    position = git_history.position(settings.git_branches)
    upstream = git_history.fetch(position.release) if position.release else Upstream()
    if settings.git_fast_forward and upstream.waiting and position.release:
        refused = git_history.fast_forward(position.release, keeping=OF_THE_IMAGE if settings.shared_instance else ())
        if refused is None:
            loaded = context.code_location_origin.location_name if context.code_location_origin else LOCATION
            return dg.SkipReason(_taken_over(position.release, upstream.waiting, code_location, loaded))
        upstream = Upstream(problem=f"{upstream.waiting} commits wait at origin, not taken over: {refused}")
    state, now = _State.read(context.cursor), settings.now()
    asked = state.asked
    step = next_step(asked, outcome_of(context.instance, asked), now) if asked else None
    seen, head = _head_of(asked) if asked else state.head, position.commit
    touched = git_history.touched(seen, head, WATCHED) if seen and head and seen != head else []
    decision = decide(seen, position, upstream, touched, settings.git_branches)
    if not decision.run and (step is None or step.do != "retry" or position.release is None):
        first = head if seen is None and position.release else state.head
        context.update_cursor(replace(state, head=first).after(step).as_json())
        return dg.SkipReason(f"{decision.reason}; {step.reason}" if step else decision.reason)
    reason = decision.reason
    if decision.run:
        # The newer commit replaces a cause that was not handled yet.
        asked = RequestedRun(f"run_on_git_change:{state.runs + 1}:{head}", 0, now)
    elif step is not None:
        asked, reason = step.asked, f"{decision.reason}; {step.reason}"
    span = stored_range(settings, review_source.name)
    if span is None or asked is None:
        return dg.SkipReason(f"{reason}; but no review of source {review_source.name} is stored yet")
    apps, first, last = span
    context.update_cursor(replace(state, runs=state.runs + decision.run, asked=asked).as_json())
    return dg.RunRequest(
        run_key=asked.run_key,
        tags={
            **range_tags(settings, apps, first, last),
            **asked.tags,
            "mlops/trigger": f"run_on_git_change: {reason}",
        },
    )


def _taken_over(branch: str, commits: int, code_location: CodeLocation, loaded: str) -> str:
    """The skip reason after a fast-forward. The next tick runs the new code and decides whether a run is needed."""
    taken = f"took over {commits} commits of origin/{branch}"
    try:
        code_location.reload(loaded)
    except TransientFailure as failure:
        return f"{taken}, but {failure}"
    return f"{taken} and reloaded the code: the next tick decides"
