"""The part of `make status` about runs: how the last one ended, whether the next is overdue, what waits."""

import json
from datetime import datetime
from typing import Any

from mlops_assets.deploy.live_model import trained_on
from mlops_assets.deploy.service import Live
from mlops_assets.reporting.messages import WATCHED_JOBS
from mlops_assets.reporting.notifier import Notifier
from mlops_assets.reporting.rules import OperationRules, overdue
from mlops_assets.settings import Settings
from mlops_assets.steps.refresh_dashboards import FactKeeper


def print_warning(settings: Settings, live: Live | None) -> None:
    """What everybody must know of the live model; nothing where it is a real app's."""
    if live and (warning := trained_on(settings, live).warning):
        print(f"Warning: {warning}")


def say_how_it_stands(settings: Settings) -> bool:
    """Print it; False where a run of the pipeline is overdue."""
    ended = [one for one in _summaries(settings) if one["job"] in WATCHED_JOBS and one.get("ended")]
    last = max(ended, key=lambda one: datetime.fromisoformat(one["ended"]), default=None)
    if last is not None:
        how = last.get("stopped") or last["status"].lower()
        print(f"Last run: {last['run_id'][:8]} of {last['job']}, {how}, ended {last['ended']}")
    late = overdue(
        datetime.fromisoformat(last["ended"]) if last else None,
        settings.now(),
        OperationRules.from_params(settings.sections["operations"]),
    )
    if late:
        print(f"Overdue: {late}. make run")
    for line in _held(settings):
        print(f"Waits: {line}")
    for one in Notifier.of(settings).standings():
        if one.waiting or one.error:
            print(f"Waits: {one.waiting} messages for {one.name}{', ' + one.error if one.error else ''}")
    if trouble := FactKeeper.of(settings).trouble():
        print(f"Waits: {trouble}")
    return late is None


def _held(settings: Settings) -> list[str]:
    """Collections that ended before their feed did, or whose deletions nobody has accepted: nothing is trained."""
    from mlops_assets.reviews.play_store.collect import last_collection
    from mlops_assets.reviews.play_store.options import CollectOptions
    from mlops_assets.reviews.stored.store import ReviewStore

    options = CollectOptions.from_params(settings.sections["play_store"])
    store = ReviewStore(settings.data / "raw")
    crawled = [app for app in settings.apps if (store.folder / app / "crawl.json").is_file()]
    found = {app: last_collection(store, app, options) for app in crawled}
    return [f"the collection of {app}, {reason}" for app, (status, reason) in found.items() if status == "partial"]


def _summaries(settings: Settings) -> list[dict[str, Any]]:
    folder = settings.instance_folder / "summaries"
    return [
        json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json")) if path.stem != "latest"
    ]
