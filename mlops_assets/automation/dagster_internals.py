"""The only uses of Dagster's private modules, each because Dagster 1.13 offers no public way.

ruff refuses `dagster._…` everywhere else. Everything loads inside the functions: Dagster's storage brings sqlalchemy,
0.2 s that loading the definitions must not cost.
"""

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

import dagster as dg


def report_with_metadata(
    instance: dg.DagsterInstance, run: dg.DagsterRun, message: str, metadata: Mapping[str, dg.MetadataValue]
) -> None:
    """Add an event with metadata to a run that has ended.

    `DagsterInstance.report_engine_event` is public; the class of its metadata argument is not.
    """
    from dagster._core.events import EngineEventData

    instance.report_engine_event(message, run, EngineEventData(metadata=metadata))


def delete_run(instance: dg.DagsterInstance, run_id: str) -> None:
    """Delete a run with everything that Dagster stored for it, but keep the latest result of each check.

    `DagsterInstance.delete_run` leaves the results of the run's checks (100 kB a run, with plots and tables), and on
    SQLite the emptied database of the run's events (another 100 kB). No public call removes either.
    """
    import sqlalchemy as db
    from dagster._core.storage.event_log.schema import AssetCheckExecutionsTable
    from dagster._core.storage.event_log.sql_event_log import SqlEventLogStorage
    from dagster._core.storage.event_log.sqlite.sqlite_event_log import SqliteEventLogStorage

    events = instance.event_log_storage
    if isinstance(events, SqlEventLogStorage):
        results = AssetCheckExecutionsTable.c
        latest = db.select(db.func.max(results.id)).group_by(results.asset_key, results.check_name, results.partition)
        with events.index_connection() as connection:
            connection.execute(
                AssetCheckExecutionsTable.delete().where(results.run_id == run_id, results.id.not_in(latest))
            )
    # The run itself comes last but for its emptied file: a pruning that was killed before finds the run again.
    instance.delete_run(run_id)
    if isinstance(events, SqliteEventLogStorage):
        shard = Path(events.path_for_shard(run_id))
        for path in shard.parent.glob(f"{shard.name}*"):
            path.unlink()


def make_storage_id(instance: dg.DagsterInstance) -> None:
    """Make the id of the run storage, which Dagster makes on the first request for it.

    A webserver that may only read the database answers 500 if it is the first to ask. The method exists on the SQL
    storage alone, which is private.
    """
    from dagster._core.storage.runs.sql_run_storage import SqlRunStorage

    if isinstance(instance.run_storage, SqlRunStorage):
        instance.run_storage.get_run_storage_id()


def tag_launches(instance: dg.DagsterInstance, tags: Callable[[], Mapping[str, str]]) -> None:
    """Give each run and backfill that this process submits further `tags`, whoever set or inherited other ones.

    A run coordinator could do it for runs alone (`SubmitRunContext.get_request_header`): the webserver hands a backfill
    to the daemon, where nobody knows who asked.
    """
    submitting: Any = instance
    submit_run, add_backfill = instance.submit_run, instance.add_backfill

    def submit_tagged(run_id: str, workspace: Any) -> dg.DagsterRun:
        if added := tags():
            instance.add_run_tags(run_id, added)
        return submit_run(run_id, workspace)

    def add_tagged(backfill: Any) -> None:
        add_backfill(backfill._replace(tags={**(backfill.tags or {}), **tags()}))

    submitting.submit_run, submitting.add_backfill = submit_tagged, add_tagged


def run_dev(arguments: Sequence[str], *, webserver: str) -> NoReturn:
    """Become `dagster dev`, which starts the module `webserver` where Dagster's own starts `dagster_webserver`.

    The command has no option for it. All else that it does stays: one code server for webserver and daemon, which end
    together.
    """
    from dagster._cli import dev as module

    dev: Any = module
    start = dev.open_ipc_subprocess

    def start_ours(command: Sequence[str], **options: Any) -> Any:
        return start([webserver if part == "dagster_webserver" else part for part in command], **options)

    dev.open_ipc_subprocess = start_ours
    sys.exit(dev.dev_command(arguments, prog_name="dagster dev"))
