"""A backfill at work when everything is killed: it goes on after a restart, and what was finished is not done again."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from mlops_assets.cli.instance import open_instance
from tests.dagster_ui import DagsterUi
from tests.fakes.play_store import FakePlayStore, FakeReview, Fault
from tests.fakes.play_wire import serve
from tests.user_clone import make_clone, settings_of

pytestmark = pytest.mark.long
APPS = ("com.example.one", "com.example.two")
MONTHS = ("2026-01", "2026-02", "2026-03")
NOW = datetime(2026, 3, 20, 12, tzinfo=UTC)
PAGE, REVIEWS = 20, 300
LAUNCH = """mutation($params: LaunchBackfillParams!) {
  launchPartitionBackfill(backfillParams: $params) {
    __typename ... on LaunchBackfillSuccess { backfillId } ... on PythonError { message }
  }
}"""
STATUS = "query($id: String!) { partitionBackfillOrError(backfillId: $id) { ... on PartitionBackfill { status } } }"


def reviews(app: str) -> list[FakeReview]:
    return [
        FakeReview(f"{app}{n}", f"Orang {n}", f"bagus {n}", 5, int((NOW - timedelta(hours=6 * n)).timestamp()))
        for n in range(REVIEWS)
    ]


class StopsInTheSecond(FakePlayStore):
    """Answers nothing from the fourth page of an app on if the other app has been read, so that it can be killed."""

    stops = True

    def arrive(self, app_id: str, token: str | None, cookie: str | None) -> Fault | None:
        fault = super().arrive(app_id, token, cookie)
        is_second = all(len(self.tokens(other)) >= REVIEWS // PAGE for other in APPS if other != app_id)
        return Fault("hang") if self.stops and is_second and len(self.tokens(app_id)) > 3 else fault


@pytest.fixture
def store() -> Iterator[tuple[StopsInTheSecond, str]]:
    fake = StopsInTheSecond(page_size=PAGE)
    for app in APPS:
        fake.add(app, reviews(app))
    with serve(fake) as wire:
        yield fake, wire.url


def test_a_backfill_survives_the_death_of_daemon_code_server_and_run(
    tmp_path: Path, store: tuple[StopsInTheSecond, str]
) -> None:
    fake, url = store
    root = make_clone(tmp_path / "clone", apps=list(APPS), play_store={"requests_per_second": 1000})
    environ = {"SOURCE": "play_store", "PLAY_STORE_URL": url, "NOW": NOW.isoformat()}
    ui = DagsterUi(root, **environ)
    ui.start()
    try:
        backfill = _launch(ui)

        def one_done_and_another_at_work() -> tuple[str, str] | None:
            with open_instance(settings_of(root, **environ)) as instance:
                done = {key.partition("|")[0] for key in _materialized(instance)}
                ended = instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.SUCCESS]))
            at_work = [app for app in APPS if app not in done and len(fake.tokens(app)) >= 3]
            return (done.pop(), at_work[0]) if len(done) == len(ended) == len(at_work) == 1 else None

        finished, interrupted = ui.wait_for(one_done_and_another_at_work, "one app to be finished", within_s=900)
        ui.kill()
        read = len(set(fake.tokens(interrupted))) - 1
        fake.stops = False
        fake.requests.clear()
        assert _status(root, environ, backfill) == "REQUESTED"

        ui.start()
        ui.wait_for(
            lambda: ui.ask(STATUS, id=backfill)["partitionBackfillOrError"]["status"] == "COMPLETED_SUCCESS",
            "the backfill to end",
            within_s=900,
        )
    finally:
        ui.stop()
    assert fake.tokens(finished) == []
    assert 0 < len(fake.tokens(interrupted)) <= REVIEWS // PAGE - read + 1
    with open_instance(settings_of(root, **environ)) as instance:
        assert _materialized(instance) == {f"{app}|{month}" for app in APPS for month in MONTHS}
        statuses = [run.status for run in instance.get_runs()]
    assert sorted(one.value for one in statuses) == ["FAILURE", "SUCCESS", "SUCCESS"]


def _launch(ui: DagsterUi) -> str:
    keys = [f"{app}|{month}" for app in APPS for month in MONTHS]
    params: dict[str, Any] = {"assetSelection": [{"path": ["raw_reviews"]}], "partitionNames": keys}
    answer = ui.ask(LAUNCH, params=params)["launchPartitionBackfill"]
    assert answer["__typename"] == "LaunchBackfillSuccess", answer
    return answer["backfillId"]


def _materialized(instance: dg.DagsterInstance) -> set[str]:
    return {str(key) for key in instance.get_materialized_partitions(dg.AssetKey("raw_reviews"))}


def _status(root: Path, environ: dict[str, str], backfill: str) -> str:
    with open_instance(settings_of(root, **environ)) as instance:
        found = instance.get_backfill(backfill)
    assert found is not None
    return found.status.value
