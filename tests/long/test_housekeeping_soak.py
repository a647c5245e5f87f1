"""Ticks that bring nothing new leave the disk as it was, once what is past its retention goes."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from mlops_assets import outside
from mlops_assets.automation.housekeeping import prune_runs
from mlops_assets.cli.instance import open_instance
from mlops_assets.cli.run import run_pipeline
from mlops_assets.settings import Settings
from mlops_assets.steps.prune import prune
from tests.user_clone import make_clone, settings_of

pytestmark = [pytest.mark.long, pytest.mark.timeout(1500)]
TICKS, BETWEEN, KEPT = 42, 6, 6
EVERY = timedelta(hours=6)
SETTLED = 3
"""Prunings after which the databases have the size that they keep."""
FOLDERS = (".dagster", ".pipeline", ".dvc-remote", ".releases", ".serving", ".git", "data", "models")


def test_ticks_with_nothing_new_do_not_fill_the_disk(tmp_path: Path) -> None:
    retention = {"retention": {"runs_days": 0, "unknown_days": 0}}
    clone = make_clone(tmp_path / "clone", versions=retention)
    used: list[dict[str, int]] = []
    for tick in range(1, TICKS + 1):
        now = datetime(2026, 2, 1, tzinfo=UTC) + tick * EVERY
        settings = settings_of(clone, NOW=now.isoformat(), SKIP_DEPLOY="1", DEPLOY_TARGET="process")
        assert run_pipeline(settings) == 0
        if tick % BETWEEN == 0:
            _prune(settings)
            used.append({name: _bytes(clone / name) for name in FOLDERS})
    print(*used, sep="\n")  # noqa: T201  the figures, with -s
    first, last = used[SETTLED - 1], used[-1]
    grown = {name: last[name] - first[name] for name in FOLDERS if last[name] > first[name]}
    ticks = TICKS - SETTLED * BETWEEN
    assert sum(grown.values()) / ticks < 1000, f"bytes a tick: {grown} over {ticks} ticks"


def _prune(settings: Settings) -> None:
    things = outside.build(settings)
    prune(settings, things["repository"], things["service"], lambda _: None)
    with open_instance(settings) as instance:
        prune_runs(instance, settings, lambda _: None, newest=KEPT)


def _bytes(folder: Path) -> int:
    return sum(path.lstat().st_size for path in folder.rglob("*") if not path.is_dir())
