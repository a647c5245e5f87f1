"""How promptly Dagster's UI and `make status` answer with 1,200 and with 10,000 partitions, on PostgreSQL.

python -m benchmarks.partitions [PARTITIONS …] [--pictures FOLDER]

A clone with that many months of made-up apps and an instance on a PostgreSQL of its own, in which every partition of
raw_reviews and validated_reviews is materialized. Chromium opens the pages of an asset and waits for their figures.
Each GraphQL request is timed too. Prints JSON objects.
"""

import argparse
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import pandas as pd
import psutil
import yaml
from dagster._core.events import DagsterEvent, StepMaterializationData
from dagster._core.events.log import EventLogEntry

from mlops_assets.assets.partitions import review_partitions
from mlops_assets.cli.instance import open_instance
from mlops_assets.definitions import build_definitions
from mlops_assets.settings import Settings
from mlops_assets.trained_on import SAMPLE_APP

SIZES = {1_200: (50, 24), 10_000: (100, 100)}
"""Apps and months."""
ROUNDS = 3
PARTITIONED = ("raw_reviews", "validated_reviews")
VIEWS = {"partitions": r"Materialized \([1-9]", "overview": "Latest materialization"}
"""Of an asset's page, each with what it shows once its figures are there."""


def make_root(folder: Path, apps: int, months: int) -> Path:
    """A clone with three reviews in each month of each app; Dagster's cost does not depend on how many there are."""
    from mlops_assets.reviews.quality.validate import validate_months
    from mlops_assets.reviews.sources import sample
    from mlops_assets.reviews.stored.store import ReviewStore
    from tests.user_clone import make_clone

    now = pd.Timestamp.now()
    spans = [f"{month:%Y-%m}" for month in pd.period_range(end=now.to_period("M"), periods=months, freq="M")]
    names = [f"com.example.app{number:03d}" for number in range(apps)]
    root = make_clone(folder / "clone", apps=names, first_month=spans[0])
    few = pd.concat(sample.generate("2026-01").head(3).assign(month=month) for month in spans)
    few["review_id"] += few["month"]
    few["review_date"] = pd.to_datetime(few.pop("month") + "-01", utc=True)
    ReviewStore(root / "data" / "raw").upsert(SAMPLE_APP, few)
    validate_months(root / "data", SAMPLE_APP, spans)
    for stage in ("raw", "validated"):
        for name in names:
            shutil.copytree(root / "data" / stage / SAMPLE_APP, root / "data" / stage / name, copy_function=os.link)
        shutil.rmtree(root / "data" / stage / SAMPLE_APP)
    return root


def name_postgres(root: Path, port: int) -> None:
    """The instance of the clone keeps its history in the database `dagster` there."""
    config = yaml.safe_load((root / "dagster.yaml").read_text(encoding="utf-8"))
    database = {"username": "mlops", "password": "", "hostname": "127.0.0.1", "port": port, "db_name": "dagster"}
    config["storage"] = {"postgres": {"postgres_db": {"scheme": "postgresql+psycopg2", **database}}}
    (root / ".dagster").mkdir()
    (root / ".dagster" / "dagster.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")


def materialize_everything(settings: Settings, instance: dg.DagsterInstance) -> None:
    """Write an event for each partition of both assets, a thousand together: a run writes its plan one by one."""
    events = [
        EventLogEntry(
            error_info=None,
            level="info",
            user_message="",
            run_id="",
            timestamp=time.time(),
            dagster_event=DagsterEvent(
                "ASSET_MATERIALIZATION",
                job_name="",
                event_specific_data=StepMaterializationData(dg.AssetMaterialization(name, partition=partition)),
            ),
        )
        for name in PARTITIONED
        for partition in review_partitions(settings).get_partition_keys()
    ]
    for start in range(0, len(events), 1000):
        instance.event_log_storage.store_event_batch(events[start : start + 1000])


def commands(root: Path) -> dict[str, dict[str, float]]:
    """Median seconds of the commands, each a process as `make` starts it, and the least CPU time of them."""

    def run(command: str) -> tuple[float, float]:
        started, before = time.perf_counter(), os.times()
        program = [sys.executable, "-m", "mlops_assets.cli", command]
        environ = {"PIPELINE_ROOT": str(root), "PATH": "/usr/bin:/bin"}
        done = subprocess.run(program, cwd=root, env=environ, capture_output=True, check=False)
        assert done.returncode in (0, 1), done.stderr  # 1: nothing is live
        after = os.times()
        cpu = after.children_user + after.children_system - before.children_user - before.children_system
        return time.perf_counter() - started, cpu

    found: dict[str, dict[str, float]] = {}
    for name in ("status", "why"):
        took, cpu = zip(*(run(name) for _ in range(ROUNDS)), strict=True)
        found[f"make {name}"] = {"wall_s": statistics.median(took), "cpu_s": min(cpu)}
    return found


def ticks(settings: Settings, instance: dg.DagsterInstance) -> dict[str, float]:
    """Seconds of the second tick of each schedule and sensor. The first one reads what is new."""
    definitions = build_definitions(settings)
    repository, resources = definitions.get_repository_def(), definitions.resources
    took: dict[str, float] = {}
    triggers = {
        **{
            sensor: dg.build_sensor_context(instance, resources=resources, repository_def=repository)
            for sensor in repository.sensor_defs
            if not isinstance(sensor, dg.RunStatusSensorDefinition)
        },
        **{
            schedule: dg.build_schedule_context(instance, datetime.now(UTC), resources, repository)
            for schedule in repository.schedule_defs
        },
    }
    for trigger, context in [*triggers.items()] * 2:
        with context as within:
            started = time.perf_counter()
            trigger.evaluate_tick(within)
            took[trigger.name] = time.perf_counter() - started
    return took


@contextmanager
def user_interface(root: Path) -> Iterator[str]:
    from tests.dagster_ui import DagsterUi

    ui = DagsterUi(root)
    ui.start()
    try:
        yield ui.url
    finally:
        ui.stop()


def pages(url: str, pictures: Path | None) -> dict[str, Any]:
    """Seconds until each view of an asset shows its figures, CPU of the servers, and the slowest GraphQL requests."""
    from tests.browser import open_page

    shown: dict[str, Any] = {}
    for view, what in VIEWS.items():
        whole: list[float] = []
        cpu: list[float] = []
        requests: dict[str, list[float]] = {}
        for number in range(ROUNDS):
            with open_page(width=1500, height=1000) as page:
                answered: list[Any] = []

                def note(request: Any, answered: list[Any] = answered) -> None:
                    if "/graphql" in request.url:
                        answered.append(request)

                page.on("requestfinished", note)
                started, before = time.perf_counter(), _cpu_s()
                page.goto(f"{url}/assets/{PARTITIONED[1]}?view={view}")
                page.get_by_text(re.compile(what)).first.wait_for()
                whole.append(time.perf_counter() - started)
                page.wait_for_load_state("networkidle")
                cpu.append(_cpu_s() - before)
                for request in answered:
                    name = (request.post_data_json or {}).get("operationName", "?")
                    requests.setdefault(name, []).append(request.timing["responseEnd"] / 1000)
                if pictures and number == ROUNDS - 1:
                    page.screenshot(path=str(pictures / f"{view}.png"))
        slowest = sorted(requests.items(), key=lambda item: -statistics.median(item[1]))[:6]
        shown[view] = {
            "page_s": statistics.median(whole),
            "fastest_page_s": min(whole),
            "server_cpu_s": statistics.median(cpu),
            "requests_s": {name: statistics.median(times) for name, times in slowest},
        }
    return shown


def _cpu_s() -> float:
    """CPU time of the webserver and the code location so far, without the daemon's."""
    servers = [
        child for child in psutil.Process().children(recursive=True) if "daemon" not in " ".join(child.cmdline())
    ]
    return sum(
        child.cpu_times().user + child.cpu_times().system for child in servers if "dagster" in str(child.cmdline())
    )


def measure(partitions: int, pictures: Path | None) -> None:
    from tests.integration.postgres_server import running_postgres

    apps, months = SIZES[partitions]
    with tempfile.TemporaryDirectory() as folder, running_postgres() as postgres:
        root = make_root(Path(folder), apps, months)
        name_postgres(root, postgres.port)
        postgres.create("dagster")
        settings = Settings.load({}, root)
        with open_instance(settings) as instance:
            materialize_everything(settings, instance)
            figures: dict[str, Any] = {
                "partitions": len(review_partitions(settings).get_partition_keys()),
                "ticks_s": ticks(settings, instance),
            }
        figures["commands_s"] = commands(root)
        print(json.dumps({partitions: figures}, indent=1), flush=True)
        with user_interface(root) as url:
            print(json.dumps({partitions: pages(url, pictures)}, indent=1), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("partitions", nargs="*", type=int, choices=SIZES, default=list(SIZES))
    parser.add_argument("--pictures", type=Path)
    given = parser.parse_args()
    for partitions in given.partitions:
        pictures = given.pictures and given.pictures / str(partitions)
        if pictures:
            pictures.mkdir(parents=True, exist_ok=True)
        measure(partitions, pictures)


if __name__ == "__main__":
    main()
