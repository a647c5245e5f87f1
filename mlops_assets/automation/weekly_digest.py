"""The job that writes the weekly digest and sends it to the channels of NOTIFY_URLS, and its schedule."""

import dagster as dg

from mlops_assets.assets.failing import as_dagster_failure
from mlops_assets.reporting.messages import Message
from mlops_assets.reporting.notifier import Notifier
from mlops_assets.settings import Settings
from mlops_assets.steps.topics.weekly_digest import write_digest
from mlops_assets.workspace import TOPICS


@dg.op
def write_and_tell(
    context: dg.OpExecutionContext, settings: dg.ResourceParam[Settings], notifier: dg.ResourceParam[Notifier]
) -> None:
    """Write the digest, then put its message into the outbox. A second run in the same week sends no second message."""
    with as_dagster_failure():
        digest = write_digest(settings)
        notifier.tell(Message(digest.id, "weekly", context.run_id, digest.title, digest.text, str(digest.path)))
    context.log.info(f"{digest.title}: {digest.path}")


@dg.job(
    executor_def=dg.in_process_executor,
    description="Writes what reviews said in the last seven days to .dagster/digests, and sends it: topics, versions, "
    "two releases compared.",
)
def weekly_digest() -> None:
    write_and_tell()


@dg.schedule(
    job=weekly_digest,
    name="digest_every_monday",
    cron_schedule="0 7 * * 1",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Writes and sends the digest of the last seven days, on Mondays at 07:00 UTC, once there are topics.",
)
def every_monday(
    context: dg.ScheduleEvaluationContext, settings: dg.ResourceParam[Settings]
) -> dg.RunRequest | dg.SkipReason:
    if not (settings.data / TOPICS / "topics.json").is_file():
        return dg.SkipReason("there are no topics yet: the first run of the pipeline finds them")
    return dg.RunRequest(run_key=context.scheduled_execution_time.isoformat())
