"""Two hundred ticks, six hours apart by the pipeline's clock, of a store that adds, edits, deletes and fails.

Each tick is what `make run` does, with a channel that is down now and then and a pruning a day. What it measures:
memory of the process, bytes on the disk, and how often each run's summary was delivered. `--ticks` makes it shorter;
`python -m benchmarks.soak` prints one JSON object.
"""

import argparse
import json
import re
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable
from contextlib import ExitStack, redirect_stdout
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psutil

from mlops_assets import outside
from mlops_assets.automation.housekeeping import prune_runs
from mlops_assets.cli.instance import open_instance
from mlops_assets.cli.run import run_pipeline
from mlops_assets.deploy.process.backend import ProcessBackend
from mlops_assets.deploy.service import Service
from mlops_assets.reporting.notifier import Notifier
from mlops_assets.settings import Settings
from mlops_assets.steps.prune import prune

APP = "com.valar.pintu"
EVERY, APART, CYCLE = timedelta(hours=6), timedelta(hours=1), 10
ADDS, EDITS, FAILS, CHANNEL_IS_DOWN = 1, 4, 7, 8
"""Places in the cycle of ten ticks; in the others there is nothing new."""
A_DAY = 4
FOLDERS = (".dagster", ".pipeline", ".dvc-remote", ".releases", ".serving", ".git", "data", "models")
RETENTION = {"retention": {"data_days": 5, "models_days": 5, "runs_days": 0, "unknown_days": 0}}
KEPT_RUNS = 20


class Clone:
    """The clone, its store on loopback, its channel and the clock."""

    def __init__(self, folder: Path, url: str, hook_port: int, port: int, store: Any) -> None:
        from tests.user_clone import make_clone

        self.root = make_clone(
            folder / "clone",
            # A young month has few reviews, of which one deleted would be held for a person to look at.
            play_store={
                "requests_per_second": 1000,
                "retries": 0,
                "backoff_s": 0,
                "backoff_most_s": 0,
                "deletions_percent": 100,
            },
            versions=RETENTION,
        )
        self.store, self.now = store, datetime.now(UTC)
        self._environ = {
            "SOURCE": "play_store",
            "PLAY_STORE_URL": url,
            "DEPLOY_TARGET": "process",
            "PORT": str(port),
            "NOTIFY_URLS": f"json://127.0.0.1:{hook_port}/",
        }

    @property
    def settings(self) -> Settings:
        return Settings.load({**self._environ, "NOW": self.now.isoformat()}, self.root)

    def tick(self, number: int) -> str:
        """What the store does before this tick, and the run; its id."""
        from tests.fakes.play_store import Fault, reviews

        self.now += EVERY
        place = number % CYCLE
        self.store.faults = [Fault("503", times=1000)] if place == FAILS else []
        if place == ADDS:
            self.store.add(APP, reviews(5, self.now, f"tick{number}-", APART))
        elif place == EDITS:
            newest = sorted(self.store.apps[APP].values(), key=lambda one: one.at_s)
            self.store.edit(APP, newest[-2].review_id, text=f"diubah, bagus {number}", at_s=int(self.now.timestamp()))
            self.store.delete(APP, newest[-1].review_id)
        failed = run_pipeline(self.settings)
        if bool(failed) != (place == FAILS):
            raise RuntimeError(f"tick {number} ended with {failed}: see the summaries in {self.root}")
        return str(self.latest()["run_id"])

    def latest(self) -> dict[str, Any]:
        return json.loads((self.root / ".dagster" / "summaries" / "latest.json").read_text(encoding="utf-8"))

    def prune(self) -> None:
        """What the job `prune` does every night."""
        settings = self.settings
        things = outside.build(settings)
        prune(settings, things["repository"], things["service"], lambda _: None)
        with open_instance(settings) as instance:
            prune_runs(instance, settings, lambda _: None, newest=KEPT_RUNS)

    def tell_the_rest(self) -> None:
        """The digest of the last day, and what a channel missed."""
        self.now += timedelta(days=1)
        Notifier.of(self.settings).deliver(wait_s=30)


def soak(ticks: int) -> dict[str, Any]:
    """Figures of so many ticks."""
    from tests.fakes.play_store import FakePlayStore, reviews
    from tests.fakes.play_wire import serve
    from tests.integration.receivers import Hooks
    from tests.user_clone import free_port

    store, hooks, port = FakePlayStore(page_size=100), Hooks(free_port()), free_port()
    process, memory, disk, runs = psutil.Process(), list[float](), list[float](), list[str]()
    with tempfile.TemporaryDirectory() as folder, serve(store) as wire:
        clone = Clone(Path(folder), wire.url, hooks.port, port, store)
        store.add(APP, reviews(400, clone.now, "first", APART))
        started = time.perf_counter()
        try:
            for number in range(ticks):
                with ExitStack() as up, redirect_stdout(sys.stderr):
                    if number % CYCLE != CHANNEL_IS_DOWN:
                        up.enter_context(hooks.up())
                    runs.append(clone.tick(number))
                if number % A_DAY == A_DAY - 1:
                    clone.prune()
                    disk.append(sum(_bytes(clone.root / name) for name in FOLDERS) / 1e6)
                memory.append(process.memory_info().rss / 2**20)
            with hooks.up():
                clone.tell_the_rest()
        finally:
            Service(ProcessBackend(clone.root / ".serving", port)).stop()
    told = delivered(runs, hooks.bodies)
    return {
        "ticks": ticks,
        "seconds_per_tick": (time.perf_counter() - started) / ticks,
        "memory_mib_by_quarter": [round(statistics.median(part), 1) for part in _quarters(memory)],
        "disk_mb_by_quarter": [round(statistics.median(part), 2) for part in _quarters(disk)],
        "summaries": len(set(runs)),
        "summaries_delivered_once": sum(count == 1 for count in told.values()),
        "summaries_delivered_more_or_less_often": sum(count != 1 for count in told.values()),
    }


def delivered(runs: Iterable[str], bodies: Iterable[dict[str, str]]) -> dict[str, int]:
    """How often each run was told: in a message of its own, or by a line of a digest."""
    told: Counter[str] = Counter()
    for body in bodies:
        kind = body["message"].rpartition("[")[2].rstrip("]").partition(":")
        told.update(
            re.findall(r", run (\w{8})$", body["message"], re.MULTILINE) if kind[0] == "digest" else [kind[0][:8]]
        )
    return {run_id: told[run_id[:8]] for run_id in runs}


def _quarters(values: list[float]) -> list[list[float]]:
    size = max(1, len(values) // 4)
    return [values[start : start + size] for start in range(0, size * 4, size) if values[start : start + size]]


def _bytes(folder: Path) -> int:
    return sum(path.lstat().st_size for path in folder.rglob("*") if not path.is_dir())


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=__doc__)
    parser.add_argument("--ticks", type=int, default=200)
    print(json.dumps(soak(parser.parse_args().ticks), indent=1))


if __name__ == "__main__":
    main()
