"""The embedded Dagster instance, created before any other process needs it."""

import os
from typing import TYPE_CHECKING

import dagster as dg

from mlops_assets.automation.sensors.orphans import end_orphans
from mlops_assets.automation.storage import bring_up_to_date
from mlops_assets.settings import Settings

if TYPE_CHECKING:
    from mlops_assets.deploy.service import Service


def open_instance(settings: Settings) -> dg.DagsterInstance:
    """The instance in `.dagster/`, its database created or migrated by this process alone. In the stack: its own."""
    if settings.shared_instance:
        return dg.DagsterInstance.get()
    home = settings.instance_folder
    home.mkdir(parents=True, exist_ok=True)
    link = home / "dagster.yaml"
    if not link.exists():
        link.unlink(missing_ok=True)
        link.symlink_to(os.path.relpath(settings.root / "dagster.yaml", home))
    instance = dg.DagsterInstance.from_config(str(home))
    made_by = home / "made-by-dagster"
    if not made_by.exists() or made_by.read_text(encoding="utf-8") != dg.__version__:
        bring_up_to_date(instance)
        made_by.write_text(dg.__version__, encoding="utf-8")
    return instance


def end_killed_runs(instance: dg.DagsterInstance, settings: Settings, service: "Service") -> None:
    """End runs whose process is gone, free their pools and write their summaries.

    The daemon's sensors write those too, but only if a daemon has run here before.
    """
    from mlops_assets.automation.run_summary import leave_summary  # loaded here: `make why` opens the instance alone

    for run_id in end_orphans(instance):
        leave_summary(instance, run_id, settings, service)
        print(f"Run {run_id[:8]} was killed; ended it and freed its pools.", flush=True)
