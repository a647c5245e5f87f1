"""Ticks that bring nothing new leave the disk as it was, once what is past its retention goes."""

import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from mlops_assets import outside
from mlops_assets.automation.housekeeping import prune_runs
from mlops_assets.cli.instance import open_instance
from mlops_assets.cli.run import run_pipeline
from mlops_assets.reporting import outbox
from mlops_assets.settings import Settings
from mlops_assets.steps.prune import prune
from tests.user_clone import make_clone, settings_of

pytestmark = pytest.mark.long
TICKS, BETWEEN, KEPT = 24, 6, 6
EVERY = timedelta(hours=6)
SETTLED = 2
"""Prunings after which whatever is kept for a time is as long as it gets."""
FOLDERS = (".dagster", ".pipeline", ".dvc-remote", ".releases", ".serving", ".git", "data", "models")


def test_ticks_with_nothing_new_do_not_fill_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox, "KEPT", BETWEEN * EVERY)
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
    assert sum(grown.values()) / ticks < 500, f"bytes a tick: {grown} over {ticks} ticks"


def _prune(settings: Settings) -> None:
    things = outside.build(settings)
    prune(settings, things["repository"], things["service"], lambda _: None)
    with open_instance(settings) as instance:
        prune_runs(instance, settings, lambda _: None, newest=KEPT)


def _bytes(folder: Path) -> int:
    return sum(_size(path) for path in folder.rglob("*") if not path.is_dir())


def _size(path: Path) -> int:
    """Of a database what its rows need: its file also has free pages, in steps of 4 KB, which later rows fill."""
    if path.suffix not in {".db", ".sqlite"}:
        return path.lstat().st_size
    with closing(sqlite3.connect(":memory:")) as compact, closing(sqlite3.connect(path)) as database:
        database.backup(compact)
        compact.execute("VACUUM")
        (pages,), (page_size,) = (compact.execute(f"PRAGMA {name}").fetchone() for name in ("page_count", "page_size"))
    return pages * page_size
