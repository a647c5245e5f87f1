"""A run in which one of two trainings failed still promotes the model that it did train, once."""

import dagster as dg

from mlops_assets.automation.jobs import PROMOTE
from mlops_assets.training.kinds import KINDS

PROMOTES = "mlops/promotes"
"""Tag of a promoting run: the run whose model it promotes."""

_TRAININGS = tuple(kind.asset for kind in KINDS.values())


def trained_without_verdict(instance: dg.DagsterInstance, run_id: str) -> str | None:
    """The training that went well in a run whose other training failed; none where there is nothing to promote."""
    run = instance.get_run_by_id(run_id)
    if run is None or run.status is not dg.DagsterRunStatus.FAILURE or PROMOTES in run.tags:
        return None
    ended = {step.step_key: step.status.value for step in instance.get_run_step_stats(run_id) if step.status}
    failed = [step for step in _TRAININGS if ended.get(step) == "FAILURE"]
    trained = [
        entry.dagster_event.asset_key.to_user_string()
        for entry in instance.all_logs(run_id, of_type=dg.DagsterEventType.ASSET_MATERIALIZATION)
        if entry.dagster_event and entry.dagster_event.asset_key and _trained(entry.dagster_event)
    ]
    done = [step for step in trained if step in _TRAININGS]
    return done[0] if failed and done else None


def promotion_request(run_id: str, trained: str) -> dg.RunRequest:
    """The run of job `promote` for a failed run; one run key, so that it is launched once."""
    return dg.RunRequest(
        run_key=f"promote:{run_id}",
        job_name=PROMOTE,
        tags={PROMOTES: run_id, "mlops/trigger": f"run {run_id[:8]}, in which only {trained} was trained"},
    )


def _trained(event: dg.DagsterEvent) -> bool:
    trained = event.step_materialization_data.materialization.metadata.get("models_trained")
    return bool(trained and trained.value)
