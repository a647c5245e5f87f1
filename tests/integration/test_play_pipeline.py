"""Google Play as the source of the pipeline: a torn feed stops everything below it, and the next run goes on."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from mlops_assets.assets.partitions import range_tags
from mlops_assets.cli.run import run_pipeline
from mlops_assets.definitions import build_definitions
from tests.fakes.play_store import FakePlayStore, Fault, reviews
from tests.fakes.play_wire import serve
from tests.user_clone import free_port, make_clone, settings_of

APP = "com.valar.pintu"
NOW = datetime(2026, 3, 20, 12, tzinfo=UTC)
APART = timedelta(minutes=30)
FAST = {"play_store": {"requests_per_second": 1000, "retries": 1, "backoff_s": 0, "backoff_most_s": 0}}


@pytest.fixture
def store() -> Iterator[tuple[FakePlayStore, str]]:
    fake = FakePlayStore(page_size=50)
    fake.add(APP, reviews(400, NOW, "r", APART))
    with serve(fake) as wire:
        yield fake, wire.url


def latest(root: Path) -> dict[str, Any]:
    return json.loads((root / ".dagster" / "summaries" / "latest.json").read_text(encoding="utf-8"))


def test_a_torn_feed_trains_nothing_and_the_next_run_goes_on_from_there(
    tmp_path: Path, store: tuple[FakePlayStore, str]
) -> None:
    fake, url = store
    root = make_clone(tmp_path / "clone", **FAST)
    environ = {
        "SOURCE": "play_store",
        "PLAY_STORE_URL": url,
        "NOW": NOW.isoformat(),
        "PORT": str(free_port()),
        "SKIP_DEPLOY": "1",
    }
    fake.faults = [Fault(kind="429", at=4, times=1000)]
    assert run_pipeline(settings_of(root, **environ)) == 1
    summary = latest(root)
    failed = [row["check"] for row in summary["checks"] if not row["passed"]]
    assert failed[0] == "collection_is_complete"
    assert summary["failures"] == []  # the check says it all: the step that ends with it is not told again
    assert next(row["reason"] for row in summary["checks"] if not row["passed"]).count(APP) == 1
    assert next(row for row in summary["stages"] if row["stage"] == "bert_model")["status"] == "skipped"
    assert not (root / "models").exists() or not list((root / "models").glob("*/manifest.json"))

    fake.faults = []
    fake.requests.clear()
    assert run_pipeline(settings_of(root, **environ)) == 0
    assert latest(root)["reviews"]["labelled"] == 400
    assert len(fake.requests) <= 8


OF_A_JOB = {"dagster/partition/app": APP, "dagster/partition/month": "2026-01"}
"""What a backfill of a job names beside its range: its first month alone."""


@pytest.mark.parametrize("also", [{}, OF_A_JOB], ids=["of assets", "of a job"])
def test_a_backfill_of_months_is_one_run_and_one_pass(
    tmp_path: Path, store: tuple[FakePlayStore, str], also: dict[str, str]
) -> None:
    fake, url = store
    fake.add(APP, reviews(300, datetime(2026, 2, 25, tzinfo=UTC), "old", APART))
    root = make_clone(tmp_path / "clone", **FAST)
    settings = settings_of(root, SOURCE="play_store", PLAY_STORE_URL=url, NOW=NOW.isoformat())
    definitions = build_definitions(settings)
    with dg.instance_for_test() as instance:
        done = dg.materialize(
            [definitions.get_assets_def("raw_reviews")],
            instance=instance,
            resources=definitions.resources,
            tags={**range_tags(settings, [APP], "2026-01", "2026-03"), "dagster/backfill": "test", **also},
        )
        assert done.success
        months = instance.get_materialized_partitions(dg.AssetKey("raw_reviews"))
        latest = instance.get_latest_materialization_event(dg.AssetKey("raw_reviews"))
    assert latest is not None
    assert latest.asset_materialization is not None
    assert latest.asset_materialization.metadata["new_reviews"].value == 700
    assert months == {f"{APP}|2026-0{month}" for month in (1, 2, 3)}
    assert len(fake.requests) == 700 // 50
