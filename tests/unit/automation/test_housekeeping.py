"""Run history past its retention goes with all that it left on the disk; what an asset's page shows stays."""

from pathlib import Path

import dagster as dg
import pytest

from mlops_assets.automation.housekeeping import prune_runs
from mlops_assets.settings import Settings


@dg.asset
def once() -> None:
    """Materialized by the first run alone."""


@dg.op
def say() -> None:
    print("something for the compute log")  # noqa: T201  that is what is captured


@dg.job
def talk() -> None:
    say()


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    (tmp_path / "params.yaml").write_text(
        "apps: [com.example.app]\nversions: {retention: {runs_days: 0}}\n", encoding="utf-8"
    )
    return Settings.load({}, tmp_path)


@pytest.mark.slow
def test_old_runs_go_with_their_files_and_the_latest_materialization_stays(settings: Settings) -> None:
    home = settings.instance_folder
    summaries = home / "summaries"
    summaries.mkdir(parents=True)
    said: list[str] = []
    with dg.DagsterInstance.local_temp(str(home)) as instance:
        shown = dg.materialize([once], instance=instance).run_id
        talked = [talk.execute_in_process(instance=instance).run_id for _ in range(4)]
        for run_id in (shown, *talked):
            for suffix in (".json", ".md", ".html"):
                (summaries / f"{run_id}{suffix}").touch()
        left = _runs_on_disk(home)
        assert prune_runs(instance, settings, said.append, newest=1, dry_run=True) == 3
        assert _runs_on_disk(home) == left

        assert prune_runs(instance, settings, said.append, newest=1) == 3
        assert {run.run_id for run in instance.get_runs()} == {shown, talked[-1]}
        assert _runs_on_disk(home) == {shown, talked[-1]}
        assert instance.get_latest_materialization_event(once.key).run_id == shown
        assert prune_runs(instance, settings, said.append, newest=1) == 0
    assert said[0] == "remove 3 runs that began more than 0 days ago: their events, logs and summaries"


def _runs_on_disk(home: Path) -> set[str]:
    """The runs of which any file is left."""
    names = (part.split(".")[0] for path in home.rglob("*") for part in path.relative_to(home).parts)
    return {name for name in names if len(name) == 36 and name.count("-") == 4}
