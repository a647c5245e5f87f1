"""What runs left, in a real PostgreSQL: complete, once, also after the database was away, and gone when erased."""

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from mlops_assets.cli.data import erase_reviews
from mlops_assets.cli.status import print_status
from mlops_assets.deploy.history import DeploymentLog, Entry
from mlops_assets.failures import PermanentFailure
from mlops_assets.reviews.drift import newest
from mlops_assets.reviews.drift.drift import DriftReport, FeatureDrift
from mlops_assets.reviews.drift.history import remember
from mlops_assets.reviews.predictions.scoring import score_months
from mlops_assets.reviews.predictions.stored import Predictions
from mlops_assets.reviews.quality.validate import validate_months
from mlops_assets.reviews.stored import months
from mlops_assets.reviews.stored.months import files_below
from mlops_assets.reviews.stored.store import ReviewStore
from mlops_assets.serving.log.prediction_store import StoreDown, open_store
from mlops_assets.serving.options import prediction_log_address
from mlops_assets.settings import Settings
from mlops_assets.steps.refresh_dashboards import Dashboards
from tests.integration.postgres_server import Postgres, psycopg
from tests.review_reads import ReviewReads
from tests.unit.reporting.summaries import FAILED, summary, write
from tests.unit.reviews.predictions.scored import FakeModel
from tests.unit.reviews.rows import frame, review
from tests.user_clone import make_clone, settings_of

APP = "com.valar.pintu"
SIDE = {"n": 60, "accuracy": 0.8, "accuracy_interval": [0.7, 0.9], "macro_f1": 0.79, "macro_f1_interval": [0.6, 0.9]}
MODELS = {
    "models": {"classic": {"model_version": "m1", "dataset_version": "d1", "run_id": "run-1", "test": SIDE}},
    "champion": {
        "model": "classic",
        "model_version": "m1",
        "dataset_version": "d1",
        "reason": "first",
        "forward": {"model_version": "m1", "n": 12, "accuracy": 0.75, "macro_f1": None},
    },
}


@pytest.fixture
def postgres(postgres: Postgres) -> Postgres:
    """The server with nothing in it."""
    if not (postgres._folder / "data" / "postmaster.pid").exists():
        postgres.start()
    with psycopg.connect(f"postgresql://mlops@127.0.0.1:{postgres.port}/postgres", autocommit=True) as connection:
        connection.execute("DROP SCHEMA IF EXISTS facts CASCADE")
        connection.execute("DROP TABLE IF EXISTS feedback, predictions")
    return postgres


@pytest.fixture
def settings(postgres: Postgres, tmp_path: Path) -> Settings:
    """A clone that a run and some reviews were left in."""
    root = make_clone(tmp_path / "clone")
    write(root / ".dagster" / "summaries", summary("run-1", started="2026-03-01T06:00:00+00:00", **MODELS))
    log = DeploymentLog(root / ".serving" / "deployments.sqlite")
    for at, release, outcome in (("2026-03-01", "r1", "live"), ("2026-03-02", "r2", "live"), ("2026-03-03", "r3", "x")):
        log.add(Entry(f"{at}T06:00:00+00:00", "process", release, "m1", "d1", "run run-1", outcome, ""))
    feature = FeatureDrift("rating", True, 0.3, 0.1, 0.001, 0.002, "before", "now")
    report = DriftReport(drifted=True, reason="", reviews_before=500, reviews_now=200, features=(feature,))
    remember(root / ".dagster", datetime(2026, 3, 1, 6, tzinfo=UTC), "m1", report, "reviews", 3)
    texts = {"bagus": 5, "jelek sekali": 1, "error terus": 2, "": 4}
    stored = frame(*(review(f"r{stars}", app_id=APP, review_text=text, rating=stars) for text, stars in texts.items()))
    ReviewStore(root / "data" / "raw").upsert(APP, stored)
    validate_months(root / "data", APP, ReviewStore(root / "data" / "raw").months(APP))
    return settings_of(root, **postgres.environment, NOW="2026-03-01T08:00:00Z")


def test_what_a_run_left_is_written_once(settings: Settings, postgres: Postgres) -> None:
    dashboards = Dashboards.of(settings)
    assert dashboards.refresh().runs == 1
    assert dashboards.refresh() == type(dashboards.refresh())(runs=0, trouble="")
    assert postgres.rows("SELECT run_id, outcome FROM facts.runs") == [("run-1", "success")]
    scores = postgres.rows(
        "SELECT side, kind, n, accuracy_low, macro_f1_high, champion FROM facts.scores ORDER BY side"
    )
    assert scores == [("forward", "classic", 12, None, None, True), ("test", "classic", 60, 0.7, 0.9, True)]
    served = postgres.rows("SELECT release_version, until::date::text FROM facts.served ORDER BY at")
    assert served == [("r1", "2026-03-02"), ("r2", None)]
    assert postgres.rows("SELECT feature, effect, p, drifted FROM facts.drift") == [("rating", 0.3, 0.002, True)]
    assert postgres.rows('SELECT "raw", validated, quarantined FROM facts.volumes') == [(4, 3, 1)]
    complaints = postgres.rows('SELECT "text" FROM facts.reviews WHERE "text" IS NOT NULL ORDER BY 1')
    assert complaints == [("error terus",), ("jelek sekali",)]


def test_a_summary_that_a_promoting_run_joined_replaces_the_one_before(settings: Settings, postgres: Postgres) -> None:
    dashboards = Dashboards.of(settings)
    dashboards.refresh()
    write(settings.instance_folder / "summaries", summary("run-1", promoted_by="run-2", **FAILED))
    assert dashboards.refresh().runs == 1
    assert postgres.rows("SELECT outcome, cause FROM facts.runs") == [
        ("failure", "versioned_dataset: the disk is full: free 2 GB")
    ]
    assert postgres.rows("SELECT count(*) FROM facts.scores") == [(0,)]


def test_a_database_that_is_away_is_said_and_gets_everything_when_it_is_back(
    settings: Settings, postgres: Postgres, capsys: pytest.CaptureFixture[str]
) -> None:
    dashboards = Dashboards.of(settings)
    dashboards.refresh()
    postgres.stop()
    write(settings.instance_folder / "summaries", summary("run-2", ended="2026-03-01T07:00:00+00:00"))
    assert "took nothing" in dashboards.refresh().trouble
    print_status(settings)
    assert "Waits: the database of the dashboards took nothing" in capsys.readouterr().out
    shown = json.loads((settings.service_folder / "shown" / "overview.json").read_text(encoding="utf-8"))
    assert [run["run_id"] for run in shown["pipeline"]["runs"]] == ["run-1", "run-2"]
    assert shown["pipeline"]["facts_behind"] is True
    postgres.start()
    assert dashboards.refresh().runs == 1
    assert dashboards.trouble() == ""
    assert postgres.rows("SELECT count(*) FROM facts.runs") == [(2,)]


def test_an_erased_review_leaves_database_and_overview_and_a_database_that_is_away_is_a_failure(
    settings: Settings, postgres: Postgres, capsys: pytest.CaptureFixture[str]
) -> None:
    Dashboards.of(settings).refresh()
    overview = settings.service_folder / "shown" / "overview.json"
    assert postgres.rows("SELECT review_id FROM facts.reviews WHERE \"text\" = 'jelek sekali'") == [("r1",)]
    assert "jelek sekali" in overview.read_text(encoding="utf-8")
    log = open_store(
        prediction_log_address({name: value.get_secret_value() for name, value in settings.server.items()})
    )
    for request_id, text in (("p1", "Jelek  SEKALI"), ("p2", "bagus")):
        log.write([(request_id, "2026-03-01", "web", "negative", 0.9, "{}", 4, text, "m", "d")])
    log.close()
    postgres.stop()
    with pytest.raises(StoreDown):  # nothing is erased yet, so that the next call finds the texts for the log
        erase_reviews(settings, author="", review="r1")
    postgres.start()
    (settings.instance_folder / newest.NAME).write_bytes(b"jelek sekali")
    assert erase_reviews(settings, author="", review="r1") == 0
    assert not (settings.instance_folder / newest.NAME).exists()
    assert "log of predictions: the text of 1 predictions removed" in capsys.readouterr().out
    assert postgres.rows("SELECT request_id, text FROM predictions ORDER BY 1") == [("p1", None), ("p2", "bagus")]
    assert "jelek sekali" not in overview.read_text(encoding="utf-8")
    assert postgres.rows("SELECT review_id FROM facts.reviews ORDER BY 1") == [("r2",), ("r5",)]


def _month(settings: Settings, month: str, *reviews: dict[str, object]) -> None:
    """Reviews of a month, stored, validated and answered by the model m1."""
    data, values = settings.root / "data", {"app_id": APP, "scraped_at": "2026-04-01T00:00:00Z"}
    values["review_date"] = f"{month}-10T12:00:00Z"
    ReviewStore(data / "raw").upsert(APP, frame(*(row | values for row in reviews)))
    validate_months(data, APP, [month])
    found, model = Predictions.read(settings.predictions), FakeModel().answering(datetime(2026, 3, 1, tzinfo=UTC))
    score_months(found, files_below(data / "validated"), model, lambda: False)
    found.save("m1", "d1")


def test_a_changed_month_alone_is_read_and_written(
    settings: Settings, postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    _month(settings, "2026-02", review("2026-02 a", review_text="bagus"), review("2026-02 b", review_text="jelek"))
    newest = [review(f"2026-03 {number:02}", review_text=f"jelek {number}", rating=1) for number in range(12)]
    _month(settings, "2026-03", *newest)
    dashboards = Dashboards.of(settings)
    dashboards.refresh()
    answers = "SELECT month::text, model_version, reviews FROM facts.answers ORDER BY 1"
    assert postgres.rows(answers) == [("2026-01-01", "m1", 3), ("2026-02-01", "m1", 2), ("2026-03-01", "m1", 12)]
    shown = settings.service_folder / "shown" / "overview.json"
    assert json.loads(shown.read_text())["reviews"]["models"] == [{"model_version": "m1", "reviews": 17}]
    _month(settings, "2026-03", review("2026-03 new", review_text="bagus", rating=5))
    monkeypatch.setattr(months, "_remembered", months._Remembered())  # of the predictions above
    reads = ReviewReads(monkeypatch)
    assert dashboards.refresh().trouble == ""
    assert {name[:7] for name in reads.of_review} == {"2026-03"}
    written = "SELECT part FROM facts.synced WHERE at = (SELECT max(at) FROM facts.synced) ORDER BY 1"
    assert postgres.rows(written) == [(f"{APP}/2026-03",), ("data",)]
    assert postgres.rows("SELECT count(*) FROM facts.reviews") == [(18,)]
    assert [row["n"] for row in json.loads(shown.read_text())["reviews"]["months"]] == [3, 2, 13]
    reads.of_review.clear()
    dashboards.refresh()
    assert not reads.of_review


def test_complaints_of_older_months_take_the_place_of_those_that_went(settings: Settings, postgres: Postgres) -> None:
    """Only the newest 50 complaints of an app have their text."""
    for month in ("2026-02", "2026-03"):
        _month(settings, month, *(review(f"{month} {n}", review_text=f"jelek {n}", rating=1) for n in range(40)))
    Dashboards.of(settings).refresh()
    with_text = 'SELECT month::text, count(*) FROM facts.reviews WHERE "text" IS NOT NULL GROUP BY 1 ORDER BY 1'
    assert postgres.rows(with_text) == [("2026-02-01", 10), ("2026-03-01", 40)]
    for part in ("raw", "validated", "predictions"):
        (settings.data / part / APP / "2026-03.parquet").unlink()
    Dashboards.of(settings).refresh()
    assert postgres.rows(with_text) == [("2026-01-01", 2), ("2026-02-01", 40)]


def test_migrations_run_once_and_a_newer_schema_is_left_alone(settings: Settings, postgres: Postgres) -> None:
    dashboards = Dashboards.of(settings)
    version = dashboards.prepare()
    applied = postgres.rows("SELECT version, applied_at FROM facts.schema_version")
    dashboards.prepare()
    dashboards.refresh()
    assert postgres.rows("SELECT version, applied_at FROM facts.schema_version") == applied
    assert [one for one, _ in applied] == list(range(1, (version or 0) + 1))
    with psycopg.connect(f"postgresql://mlops@127.0.0.1:{postgres.port}/postgres") as connection:
        connection.execute("INSERT INTO facts.schema_version VALUES (99)")
    with pytest.raises(PermanentFailure, match="schema version 99, and this code knows 3"):
        dashboards.prepare()
    assert "schema version 99" in dashboards.refresh().trouble


def test_the_role_of_the_dashboards_reads_and_changes_nothing(settings: Settings, postgres: Postgres) -> None:
    owner = f"postgresql://mlops@127.0.0.1:{postgres.port}/postgres"
    dashboards = Dashboards.of(settings)
    dashboards.refresh()
    with psycopg.connect(owner) as connection:
        connection.execute("CREATE ROLE reader LOGIN")
    dashboards.refresh()
    with psycopg.connect(owner) as connection:
        connection.execute("GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader")
    dashboards.refresh()
    with psycopg.connect(owner.replace("mlops@", "reader@"), autocommit=True) as reader:
        reader.execute("SELECT count(*) FROM facts.reviews")
        reader.execute(
            "SELECT count(*), max(sentiment), max(label) FROM predictions LEFT JOIN feedback USING (request_id)"
        )
        for refused in (
            "DELETE FROM facts.runs",
            "SELECT text FROM predictions",
            "SELECT caller FROM predictions",
            "SELECT caller FROM feedback",
            "CREATE TABLE facts.mine (x INTEGER)",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                reader.execute(refused)


def test_without_a_database_only_the_overview_is_kept(settings: Settings, tmp_path: Path) -> None:
    alone = settings_of(settings.root)
    dashboards = Dashboards.of(alone)
    assert dashboards.refresh().trouble == ""
    assert not (alone.instance_folder / "facts.json").exists()
    shown: dict[str, Any] = json.loads((alone.service_folder / "shown" / "overview.json").read_text(encoding="utf-8"))
    assert shown["reviews"]["volumes"] == [{"app_id": APP, "raw": 4, "validated": 3, "quarantined": 1, "deleted": 0}]
    assert re.fullmatch(r"[0-9a-f]{16}", shown["data_digest"])
