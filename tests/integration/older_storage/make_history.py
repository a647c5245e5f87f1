"""A history written by an older Dagster, for the tests of the upgrade: `dagster-1.6.0.sql.gz` (PostgreSQL) and
`dagster-1.6.0-sqlite.tar.gz` (an embedded instance). They were made with

    python3.11 -m venv old
    old/bin/pip install dagster==1.6.0 dagster-postgres==0.22.0 'sqlalchemy<2.1' 'setuptools<80'
    old/bin/python make_history.py FOLDER [HOST PORT USER DATABASE]
    pg_dump --no-owner --no-acl -h HOST -p PORT -U USER DATABASE > dagster-1.6.0.sql

and then, with the paths in its stack traces made neutral, compressed.
"""

import sys
import time
from pathlib import Path

import dagster as dg
from dagster._core.scheduler.instigation import InstigatorType, TickData, TickStatus

RUNS, SCHEDULE = 5, "every_six_hours"
CONFIG = "telemetry: {enabled: false}"
STORAGE = """
storage:
  postgres:
    postgres_db: {{hostname: {0}, port: {1}, username: {2}, password: '', db_name: {3}}}
"""


@dg.asset
def reviews(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
    context.log.info("said by the older version")
    return dg.MaterializeResult(metadata={"rows": 42})


@dg.op
def fail() -> None:
    raise ValueError("an old failure")


@dg.job
def failing() -> None:
    fail()


def main() -> None:
    home = Path(sys.argv[1])
    storage = STORAGE.format(*sys.argv[2:6]) if sys.argv[2:] else ""
    (home / "dagster.yaml").write_text(CONFIG + storage, encoding="utf-8")
    with dg.DagsterInstance.from_config(str(home)) as instance:
        for _ in range(RUNS - 1):
            assert dg.materialize([reviews], instance=instance).success
        assert not failing.execute_in_process(instance=instance, raise_on_error=False).success
        started = {"status": TickStatus.SUCCESS, "run_ids": [run.run_id for run in instance.get_runs(limit=1)]}
        waited = {"status": TickStatus.SKIPPED, "skip_reason": "an old reason"}
        for hours, outcome in enumerate((started, waited)):
            instance.create_tick(
                TickData(
                    instigator_origin_id=SCHEDULE,
                    instigator_name=SCHEDULE,
                    instigator_type=InstigatorType.SCHEDULE,
                    timestamp=time.time() - 3600 * hours,
                    selector_id=SCHEDULE,
                    **outcome,
                )
            )


if __name__ == "__main__":
    main()
