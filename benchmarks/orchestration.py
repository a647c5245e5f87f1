"""What orchestration costs: loading the definitions, and a run with nothing new, each against its minimum.

Loading is compared with `import dagster` in a fresh process; the run with a job of eight empty assets in the same
partitions. `python -m benchmarks.orchestration` prints one JSON object.
"""

import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import dagster as dg

from mlops_assets.assets.partitions import range_tags, review_partitions
from mlops_assets.cli.instance import open_instance
from mlops_assets.cli.run import run_pipeline
from mlops_assets.deploy.process.backend import ProcessBackend
from mlops_assets.deploy.service import Service
from mlops_assets.settings import Settings
from mlops_assets.trained_on import SAMPLE_APP

CLOCK = "2026-04-15T00:00:00Z"


def loading(rounds: int = 7) -> dict[str, float]:
    """Seconds of a process that imports Dagster, and of one that imports the definitions, in turn."""
    programs = {"import dagster": "import dagster", "definitions": "import mlops_assets.definitions"}
    times: dict[str, list[float]] = {name: [] for name in programs}
    for _ in range(rounds):
        for name, program in programs.items():
            started = time.perf_counter()
            subprocess.run([sys.executable, "-c", program], check=True)
            times[name].append(time.perf_counter() - started)
    medians = {name: statistics.median(values) for name, values in times.items()}
    return {
        "import_dagster_s": medians["import dagster"],
        "definitions_s": medians["definitions"],
        "ratio": medians["definitions"] / medians["import dagster"],
        "rounds": rounds,
    }


def nothing_new(rounds: int = 9) -> dict[str, float]:
    """Seconds of a run that finds nothing new, and of an empty job of eight assets over the same partitions.

    Once as processes of their own, as Dagster launches a run, once within this process, where everything is loaded. The
    fastest of `rounds` in turn: other load on the machine only ever adds.
    """
    from tests.user_clone import free_port, make_clone

    with tempfile.TemporaryDirectory() as folder:
        root = make_clone(Path(folder) / "clone")
        port = free_port()
        settings = Settings.load({"NOW": CLOCK, "PORT": str(port), "DEPLOY_TARGET": "process"}, root)
        if run_pipeline(settings):
            raise RuntimeError("the first run failed: see its summary above")
        runs, empty = [], []
        whole: dict[str, list[float]] = {"nothing new": [], "empty": []}
        try:
            for _ in range(rounds):
                started = time.perf_counter()
                run_pipeline(settings)
                runs.append(time.perf_counter() - started)
                empty.append(_empty_run(settings))
                for name, times in whole.items():
                    started = time.perf_counter()
                    subprocess.run(
                        [sys.executable, "-m", "benchmarks.orchestration", name, str(root), str(port)],
                        check=True,
                        capture_output=True,
                    )
                    times.append(time.perf_counter() - started)
        finally:
            Service(ProcessBackend(root / ".serving", port)).stop()
    return {
        "nothing_new_process_s": min(whole["nothing new"]),
        "empty_job_process_s": min(whole["empty"]),
        "ratio_of_processes": min(whole["nothing new"]) / min(whole["empty"]),
        "nothing_new_s": min(runs),
        "empty_job_s": min(empty),
        "ratio_within_a_process": min(runs) / min(empty),
        "rounds": rounds,
    }


def _empty_run(settings: Settings) -> float:
    """Seconds of the empty job on the same instance."""
    partitions = review_partitions(settings)
    policy = dg.BackfillPolicy.single_run()

    @dg.asset(partitions_def=partitions, backfill_policy=policy)
    def one() -> dg.MaterializeResult:
        return dg.MaterializeResult()

    @dg.asset(deps=[one], partitions_def=partitions, backfill_policy=policy)
    def two() -> dg.MaterializeResult:
        return dg.MaterializeResult()

    assets: list[dg.AssetsDefinition] = [one, two]
    for number in range(3, 9):
        upstream = dg.AssetDep(assets[-1], partition_mapping=dg.AllPartitionMapping() if number == 3 else None)

        @dg.asset(name=f"empty_{number}", deps=[upstream])
        def rest() -> dg.MaterializeResult:
            return dg.MaterializeResult()

        assets.append(rest)
    definitions = dg.Definitions(
        assets=assets, jobs=[dg.define_asset_job("empty", selection="*", executor_def=dg.in_process_executor)]
    )
    started = time.perf_counter()
    with open_instance(settings) as instance:
        definitions.resolve_job_def("empty").execute_in_process(
            instance=instance, tags=range_tags(settings, [SAMPLE_APP], "2025-12", "2026-03")
        )
    return time.perf_counter() - started


def main() -> None:
    if len(sys.argv) > 1:
        what, root, port = sys.argv[1:]
        settings = Settings.load({"NOW": CLOCK, "PORT": port, "DEPLOY_TARGET": "process"}, Path(root))
        _empty_run(settings) if what == "empty" else run_pipeline(settings)
        return
    figures: dict[str, Any] = {"loading": loading(), "nothing_new": nothing_new()}
    print(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
