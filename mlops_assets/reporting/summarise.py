"""A run's summary from what Dagster recorded of the run. Pure functions; Dagster's types stay in `automation`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from mlops_assets.reporting.run_summary import (
    SIDES,
    BuiltRelease,
    Champion,
    CheckResult,
    Deployed,
    FailedStep,
    LiveModel,
    ModelScores,
    ReviewCounts,
    RunSummary,
    Score,
    Stage,
    WaitsForApproval,
)
from mlops_assets.settings import Settings

STAGES = (
    "raw_reviews",
    "validated_reviews",
    "versioned_dataset",
    "bert_model",
    "classic_model",
    "champion_model",
    "serving_image",
    "deployed_image",
    "predictions",
    "topics",
)
_PROMOTED_STAGES = ("champion_model", "serving_image", "deployed_image", "predictions", "topics")
"""What a promoting run does in the name of the failed run."""

ROLLBACK = "rollback"
"""The job that puts an earlier release live."""

_OUTPUTS = {
    "new_data_available": "raw_reviews",
    "data_valid": "validated_reviews",
    "dvc_committed": "versioned_dataset",
    "models_trained": "champion_model",
    "bert_accuracy": "bert_model",
    "traditional_accuracy": "classic_model",
}


@dataclass(frozen=True)
class StepEnd:
    """How a step ended in its last attempt. `stopped`: it began, and the run ended before it did.

    `reason` is of a failed or stopped step, `interrupted` of a failed one.
    """

    status: Literal["done", "skipped", "stopped", "failed"]
    reason: str = ""
    interrupted: bool = False
    seconds: float | None = None


@dataclass(frozen=True)
class RunRecord:
    """What Dagster recorded of a run; times in seconds since 1970.

    steps: how each step ended, by its key
    metadata: what the run recorded of each asset, the last partition's if there are several
    failure: why the run failed, empty if it did not
    attempt_of, follows, stopped: as in `RunSummary`
    """

    run_id: str
    job: str
    status: str
    trigger: str
    started: float | None
    ended: float | None
    steps: Mapping[str, StepEnd]
    metadata: Mapping[str, Mapping[str, Any]]
    checks: Sequence[CheckResult]
    failure: str = ""
    attempt_of: str | None = None
    follows: str = ""
    stopped: str = ""

    def of(self, asset: str) -> Mapping[str, Any]:
        """What the run recorded of an asset; empty if it did not touch it."""
        return self.metadata.get(asset, {})


def summarise(
    run: RunRecord,
    settings: Settings,
    *,
    metrics: Mapping[str, Mapping[str, Any] | None],
    champion: Mapping[str, Any] | None,
    live: Mapping[str, Any] | None,
) -> RunSummary:
    """What the run did, stage by stage, and what serves after it.

    metrics: each kind of model with its stored metrics, None without a model
    champion: the last decision as it is stored
    live: the service's answer about itself, None if it does not answer
    """
    raw, dataset = run.of("raw_reviews"), run.of("versioned_dataset")
    return RunSummary(
        run_id=run.run_id,
        job=run.job,
        status=run.status,
        trigger=run.trigger,
        started=_iso(run.started),
        ended=_iso(run.ended),
        duration_s=round(run.ended - run.started, 1) if run.started and run.ended else None,
        source=raw.get("source", settings.source),
        link=f"{settings.dagster_url}/runs/{run.run_id}",
        page=str(settings.instance_folder / "summaries" / f"{run.run_id}.html"),
        attempt_of=run.attempt_of,
        follows=run.follows,
        stopped=run.stopped,
        stages=_stages(run),
        failures=_failed_steps(run),
        checks=run.checks,
        reviews=ReviewCounts(
            new=raw.get("new_reviews"),
            changed=raw.get("changed_reviews"),
            quarantined=run.of("validated_reviews").get("quarantined"),
            masked=run.of("validated_reviews").get("personal_data_masked"),
            labelled=dataset.get("labelled_reviews"),
        ),
        dataset_version=dataset.get("dataset_version"),
        commit=dataset.get("commit"),
        starts_anew=dataset.get("starts_anew"),
        code=dataset.get("code"),
        code_dirty=dataset.get("code_dirty"),
        image=_release(run.of("serving_image")),
        deployed=_deployed(run, live),
        waits_for_approval=_waits_for_approval(run, settings),
        origin=run.of("champion_model").get("origin") or dataset.get("origin"),
        outputs=_outputs(run, kinds=list(metrics)),
        models={kind: _scores(stored) if stored else None for kind, stored in metrics.items()},
        champion=Champion.model_validate(champion) if champion else None,
        live=LiveModel.model_validate(live) if live else None,
    )


def joined(failed: RunSummary, promoting: RunSummary) -> RunSummary:
    """One summary of a failed run and of the run that promoted the model which the failed run did train."""
    later = {row.stage: row for row in promoting.stages}
    durations = failed.duration_s, promoting.duration_s
    changes = {
        "promoted_by": promoting.run_id,
        "ended": promoting.ended,
        "duration_s": None if None in durations else round(sum(filter(None, durations)), 1),
        "stages": [later[row.stage] if row.stage in _PROMOTED_STAGES else row for row in failed.stages],
        "checks": [*failed.checks, *promoting.checks],
        "origin": promoting.origin or failed.origin,
        "image": promoting.image,
        "champion": promoting.champion,
        "deployed": promoting.deployed,
        "waits_for_approval": promoting.waits_for_approval,
        "live": promoting.live,
    }
    return failed.model_copy(update=changes)


def _stages(run: RunRecord) -> list[Stage]:
    """Every stage with `done`, `skipped`, `stopped` or `failed`, and the reason."""
    not_reached = _why_not_reached(run)
    due = {row["stage"]: row["reason"] for row in run.of("versioned_dataset").get("due", [])}
    rows: list[Stage] = []
    for stage in STAGES:
        recorded, end = run.of(stage), run.steps.get(stage)
        status, reason = end.status if end else "skipped", str(recorded.get("reason", ""))
        if end and status == "failed":
            reason = end.reason
            if run.stopped and end.interrupted:
                status, reason = "stopped", run.stopped
        elif end and status == "stopped":
            reason = end.reason
        elif status == "done" and (recorded.get("kept") or not recorded):
            status, reason = "skipped", reason or "skip_deploy is set"
        elif status == "skipped":
            reason = not_reached or due.get(stage, "nothing is due" if end else "not part of this run")
        rows.append(Stage(stage=stage, status=status, reason=reason, seconds=end.seconds if end else None))
    return rows


def _why_not_reached(run: RunRecord) -> str:
    """Why later stages did not run; empty if the run went as it should."""
    if run.stopped:
        return f"the run was {run.stopped}"
    for check in run.checks:
        if check.stops_the_run:
            return f"the check {check.check} failed"
    for stage in STAGES:
        if stage in run.steps and run.steps[stage].status == "failed":
            return f"{stage} failed"
    ended_early = {"CANCELED": "the run was cancelled", "FAILURE": "the run ended before it"}
    return ended_early.get(run.status, "" if "versioned_dataset" in run.metadata else "not part of this run")


def _failed_steps(run: RunRecord) -> list[FailedStep]:
    """Failed steps that are no stage; or the run itself, if it failed and no step did."""
    failed = {step: end.reason for step, end in run.steps.items() if end.status == "failed"}
    if run.failure and not failed:
        return [FailedStep(step="the run", reason=run.failure)]
    # A check that is false stands among the checks; here are those that broke.
    return [
        FailedStep(step=step, reason=reason)
        for step, reason in failed.items()
        if step not in STAGES and "DagsterAssetCheckFailedError" not in reason
    ]


def _release(built: Mapping[str, Any]) -> BuiltRelease | None:
    """What this run built: its release, and the image by digest if the target is docker."""
    if "release" not in built:
        return None
    return BuiltRelease.model_validate({name: built.get(name) for name in BuiltRelease.model_fields})


def _deployed(run: RunRecord, live: Mapping[str, Any] | None) -> Deployed | None:
    """What this run put live; None if the service stayed as it was."""
    recorded = run.of("deployed_image")
    if recorded.get("changed"):
        return Deployed.model_validate({name: str(recorded[name]) for name in Deployed.model_fields})
    if run.job == ROLLBACK and run.status == "SUCCESS" and live:
        return Deployed(model_version=live["model_version"], release=live["release_version"], url=live["url"])
    return None


def _waits_for_approval(run: RunRecord, settings: Settings) -> WaitsForApproval | None:
    waiting = run.of("deployed_image").get("waits_for_approval")
    if not waiting:
        return None
    # The team server's door: Dagster and the pages for people are beside each other.
    door, dagster, path = settings.dagster_url.rpartition("/dagster")
    return WaitsForApproval.model_validate({**waiting, "page": f"{door}/label/release" if dagster and not path else ""})


def _outputs(run: RunRecord, *, kinds: Sequence[str]) -> dict[str, Any]:
    """The six outputs that other programs read; None for a stage that did not run."""
    outputs: dict[str, Any] = {name: run.of(asset).get(name) for name, asset in _OUTPUTS.items()}
    return outputs | {"models_trained": any(run.of(f"{kind}_model").get("models_trained") for kind in kinds)}


def _scores(metrics: Mapping[str, Any]) -> ModelScores:
    """A model's figures, with the data that they were measured on."""
    sides = {
        side: {name: metrics[side].get(name) for name in Score.model_fields} for side in SIDES if metrics.get(side)
    }
    source = {name: metrics.get(name) for name in ("model_version", "dataset_version", "run_id")}
    return ModelScores.model_validate(source | sides)


def _iso(seconds: float | None) -> str | None:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds") if seconds else None
