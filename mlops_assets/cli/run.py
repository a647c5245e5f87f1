"""`make run`: the whole pipeline in this process, its summary, and the model left serving."""

import logging
import shutil
from collections.abc import Mapping
from typing import Any

import dagster as dg
from filelock import FileLock, Timeout

from mlops_assets import outside
from mlops_assets.assets.partitions import range_tags
from mlops_assets.automation.jobs import PIPELINE, PROMOTE
from mlops_assets.automation.promotion import promotion_request, trained_without_verdict
from mlops_assets.automation.run_summary import leave_summary
from mlops_assets.automation.sensors.dashboards import refresh
from mlops_assets.automation.sensors.notifications import tell
from mlops_assets.automation.why import MADE_BY_HAND, STARTED_BY
from mlops_assets.cli.console import ask_to_cancel, cancelled, console_of
from mlops_assets.cli.instance import end_killed_runs, open_instance
from mlops_assets.definitions import build_definitions
from mlops_assets.deploy.approval import user_of_machine
from mlops_assets.failures import BadSetting, TransientFailure
from mlops_assets.reporting.summary_pages import as_text
from mlops_assets.settings import Settings
from mlops_assets.steps.preconditions import refuse_bad_parameters

_MIRRORED_WITHIN_S = 30
"""After so many seconds the mirrors wait for `make mirror`, the daemon or the next run."""

STOPPED = 130
"""Exit code after Ctrl-C, as a shell gives it."""

LEAST_FREE_MB = 50
"""With less free space no run starts: SQLite maps its files, and on a full disk a process dies without a message."""


class RunInProgress(TransientFailure):
    """Another `make run` works in this clone."""


class NoRoom(TransientFailure):
    """The file system of the clone is full."""


def run_pipeline(settings: Settings, replace: Mapping[str, Any] | None = None) -> int:
    """Run the job `pipeline` over the months that the source and FROM name. Returns 0 if every stage succeeded.

    Ctrl-C cancels the run; its summary is written nevertheless, and the next run continues from there.
    """
    refuse_bad_parameters(settings)
    free_mb = shutil.disk_usage(settings.root).free // 1_000_000
    if free_mb < LEAST_FREE_MB:
        raise NoRoom(
            f"{free_mb} MB are free on the file system of {settings.root}, a run begins with at least {LEAST_FREE_MB}: "
            "make room and run again; the service goes on meanwhile"
        )
    things = {**outside.build(settings), **(replace or {})}
    if not settings.skip_deploy:
        things["service"].refuse_steps_without_shares()
    tags = _range_of(settings, things["review_source"])
    settings.instance_folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(settings.instance_folder / "run.lock")
    try:
        locked = lock.acquire(timeout=0)
    except Timeout:
        raise RunInProgress(
            f"another run works in {settings.root}: wait until it ends, or stop it with Ctrl-C where it was started"
        ) from None
    with locked, open_instance(settings) as instance:
        settings.service_folder.mkdir(parents=True, exist_ok=True)
        settings.port_file.write_text(f"{settings.port}\n", encoding="utf-8")
        end_killed_runs(instance, settings, things["service"])
        logging.getLogger("alembic").setLevel(logging.WARNING)
        console = console_of(lambda run_id: ask_to_cancel(instance, run_id))
        definitions = build_definitions(settings, things, loggers={"console": console})

        person = {STARTED_BY: user} if (user := user_of_machine()) else {}

        def execute(job: str, tags: Mapping[str, str]) -> dg.ExecuteInProcessResult:
            return definitions.resolve_job_def(job).execute_in_process(
                instance=instance,
                tags={"mlops/trigger": "make run", MADE_BY_HAND: "1", **person, **tags},
                run_config={"loggers": {"console": {}}},
                raise_on_error=False,
            )

        result = execute(PIPELINE, tags)
        last = result.run_id
        if trained := trained_without_verdict(instance, result.run_id):
            leave_summary(instance, result.run_id, settings, things["service"])
            print(f"Only {trained} was trained; it is judged and deployed alone.", flush=True)
            last = execute(PROMOTE, dict(promotion_request(result.run_id, trained).tags)).run_id
        stopped = cancelled(instance, last)
        summary, _ = leave_summary(instance, last, settings, things["service"])
        warnings = [tell(instance, things["notifier"], wait_s=30), refresh(instance, things["dashboards"])]
    print(f"\n{as_text(summary)}\n", flush=True)
    for line in things["review_source"].balances():
        print(line)
    for warning in filter(None, warnings):
        print(warning)
    if stopped:
        print("Stopped by you (Ctrl-C): make run goes on from here.")
    _say_what_next(settings, things["service"].live())
    for line in things["mirrors"].catch_up(lambda _: None, within_s=_MIRRORED_WITHIN_S):
        print(f"Warning: {line}. make mirror goes on.", flush=True)
    return STOPPED if stopped else 0 if result.success else 1


def _range_of(settings: Settings, source: Any) -> dict[str, str]:
    """The range of the run as tags. Refuses months outside the source or the partitions before anything starts."""
    first, last = source.months()
    if settings.from_month and settings.from_month < settings.first_month:
        raise BadSetting(
            f"FROM must not be before first_month {settings.first_month} of params.yaml, got {settings.from_month}"
        )
    if settings.from_month and settings.from_month > last:
        raise BadSetting(f"FROM must not be after {last}, the source's last month, got {settings.from_month}")
    apps = source.apps() if settings.from_month else source.due_apps()
    return range_tags(settings, apps, settings.from_month or first, last)


def _say_what_next(settings: Settings, live: Any) -> None:
    if live is not None:
        print("Try it:   curl -s " + live.url + "/predict -H 'Content-Type: application/json' "
              """-d '{"text": "Aplikasinya bagus, mudah dipakai"}'""")  # fmt: skip
    print(f"See it:   make ui, then {settings.dagster_url}")
    print(f"Summary:  {settings.instance_folder / 'summaries' / 'latest.json'}")
