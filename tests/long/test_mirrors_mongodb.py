"""MongoDB has the raw reviews as documents, over TCP: whatever happens to it or to a pass, it ends up equal."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from pymongo import MongoClient

from mlops_assets.cli.data import erase_reviews
from mlops_assets.cli.status import print_status
from mlops_assets.reviews.stored.store import ReviewStore
from mlops_assets.settings import Settings
from mlops_assets.steps.mirroring.mirrors import Mirrors
from tests.long.mongo_server import Line, mongo_server, unique_name
from tests.unit.reviews.rows import APP, frame, review
from tests.user_clone import PROJECT, make_clone, settings_of

pytestmark = [pytest.mark.long]
OTHER = "com.example.other"
MONTHS = {"2026-01": 30, "2026-02": 20, "2026-03": 10}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with mongo_server(tmp_path_factory.mktemp("mongo")) as url:
        yield url


@pytest.fixture
def line(server: str) -> Iterator[Line]:
    address = urlsplit(server)
    line = Line(address.hostname or "", address.port or 27017)
    yield line
    line.close()


@pytest.fixture
def settings(tmp_path: Path, server: str) -> Settings:
    """A clone with 60 reviews of three months, and a database of its own."""
    clone = make_clone(tmp_path / "clone", mirrors={"batch": 20, "timeout_s": 5})
    settings = settings_of(clone, MONGO_URL=server, MONGO_DB=unique_name())
    rows = [
        review(f"{month}-{number}", review_date=f"{month}-10T12:00:00Z", review_text=f"teks {number}")
        for month, count in MONTHS.items()
        for number in range(count)
    ]
    ReviewStore(settings.data / "raw").upsert(APP, frame(*rows))
    return settings


@pytest.fixture
def documents(settings: Settings, server: str) -> Iterator["Documents"]:
    with MongoClient[dict[str, Any]](server, tz_aware=True) as client:
        yield Documents(client, settings.mongo_db)
        client.drop_database(settings.mongo_db)


class Documents:
    """The collection as another program sees it."""

    def __init__(self, client: MongoClient[dict[str, Any]], database: str) -> None:
        self.all = client[database]["raw_reviews"]
        self.drop = lambda: client.drop_database(database)

    def of(self, app_id: str) -> dict[str, Any]:
        return {row["review_id"]: row for row in self.all.find({"app_id": app_id})}


def stored(settings: Settings, app_id: str = APP) -> dict[str, dict[str, Any]]:
    """The reviews of the store in the form of the documents, without what the mirror adds."""
    store = ReviewStore(settings.data / "raw")
    rows = [row for month in store.months(app_id) for row in store.read(app_id, month).to_dict("records")]
    return {str(row["review_id"]): row for row in rows}


def equal(settings: Settings, documents: Documents, app_id: str = APP) -> bool:
    wanted, found = stored(settings, app_id), documents.of(app_id)
    same = ("review_text", "rating", "review_date")
    return found.keys() == wanted.keys() and all(
        [found[name][key] for key in same] == [row[key] for key in same]
        and (found[name]["deleted_at"] is None) == (str(row["deleted_at"]) == "NaT")
        for name, row in wanted.items()
    )


def catch_up(settings: Settings) -> list[str]:
    return Mirrors.of(settings).catch_up(lambda _: None)


def through(settings: Settings, port: int, login: str = "") -> Settings:
    """The same, with MongoDB at another port and impatient."""
    url = f"mongodb://{login}127.0.0.1:{port}/?directConnection=true&timeoutMS=1500"
    return settings_of(settings.root, MONGO_URL=url, MONGO_DB=settings.mongo_db)


def test_it_follows_new_edited_moved_deleted_and_erased_reviews(
    settings: Settings, documents: Documents, capsys: pytest.CaptureFixture[str]
) -> None:
    assert catch_up(settings) == []
    assert equal(settings, documents)
    found = documents.of(APP)["2026-01-3"]
    assert {name: found[name] for name in ("_id", "app_id", "month", "rating", "review_date", "author")} == {
        "_id": "2026-01-3",
        "app_id": APP,
        "month": "2026-01",
        "rating": 5,
        "review_date": datetime(2026, 1, 10, 12, tzinfo=UTC),
        "author": None,
    }
    # What is equal is not written: another program's field stays.
    documents.all.update_many({}, {"$set": {"theirs": 1}})
    store = ReviewStore(settings.data / "raw")
    later = {"scraped_at": "2026-03-01T00:00:00Z"}
    store.upsert(APP, frame(
        review("new", review_date="2026-03-11T00:00:00Z"),
        review("2026-03-1", review_date="2026-03-12T00:00:00Z", review_text="berubah", **later),
        review("2026-03-2", review_date="2026-02-12T00:00:00Z", review_text="pindah", **later),
    ))  # fmt: skip
    store.mark_deleted(APP, ["2026-03-3"], datetime(2026, 3, 20, tzinfo=UTC))
    assert catch_up(settings) == []
    assert equal(settings, documents)
    written = {name for name, row in documents.of(APP).items() if "theirs" not in row}
    assert written == {"new", "2026-03-1", "2026-03-2", "2026-03-3"}
    assert erase_reviews(settings, author="", review="2026-01-3") == 0
    assert "MongoDB: 1 documents removed" in capsys.readouterr().out
    assert "2026-01-3" not in documents.of(APP)
    assert equal(settings, documents)
    assert Mirrors.of(settings).behind() == []


def test_two_apps_may_have_reviews_of_one_id(settings: Settings, documents: Documents) -> None:
    store = ReviewStore(settings.data / "raw")
    store.upsert(OTHER, frame(review("2026-01-3", app_id=OTHER, review_text="lain"), review("own", app_id=OTHER)))
    for _ in range(2):
        assert catch_up(settings) == []
        assert equal(settings, documents)
        assert equal(settings, documents, OTHER)
        store.upsert(OTHER, frame(review("2026-01-3", app_id=OTHER, review_text="lagi", scraped_at="2026-04-01")))
    assert erase_reviews(settings, author="", review="2026-01-3") == 0
    assert documents.all.count_documents({"review_id": "2026-01-3"}) == 0


def test_while_it_is_away_status_and_erase_say_so_and_nothing_is_lost(
    settings: Settings, documents: Documents, capsys: pytest.CaptureFixture[str]
) -> None:
    assert catch_up(settings) == []
    away = through(settings, 1, "ana:s3cret-word@")
    (line,) = catch_up(away)
    assert line.startswith("MongoDB lacks 3 of 3 months of reviews, behind since")
    assert line.endswith(": 127.0.0.1:1: [Errno 111] Connection refused")
    print_status(away)
    shown = capsys.readouterr().out
    assert f"Waits: {line}" in shown
    assert erase_reviews(away, author="", review="2026-01-3") == 1
    told = capsys.readouterr().out
    assert "NOT removed from MongoDB: " in told
    assert "s3cret-word" not in shown + told + (settings.instance_folder / "mirrors" / "mongodb.json").read_text()
    assert "2026-01-3" in documents.of(APP)
    assert catch_up(settings) == []
    assert equal(settings, documents)


def test_a_server_that_stops_answering_costs_the_time_out_and_is_caught_up_with(
    settings: Settings, documents: Documents, line: Line
) -> None:
    slow = through(settings, line.port)
    line.hold_up()
    (said,) = catch_up(slow)
    assert "MongoDB lacks 3 of 3 months" in said
    line.let_through()
    assert catch_up(slow) == []
    assert equal(settings, documents)


def test_a_killed_pass_is_finished_and_an_emptied_database_is_filled_again(
    settings: Settings, documents: Documents, server: str
) -> None:
    store = ReviewStore(settings.data / "raw")
    many = [review(f"m{number}", review_date=f"2026-0{1 + number % 3}-15T12:00:00Z") for number in range(240)]
    store.upsert(APP, frame(*many))
    environ = {"PIPELINE_ROOT": str(settings.root), "MONGO_URL": server, "MONGO_DB": settings.mongo_db}
    command = [sys.executable, "-m", "mlops_assets.cli", "mirror"]
    process = subprocess.Popen(command, cwd=PROJECT, env=environ)
    while process.poll() is None and documents.all.count_documents({}) < 20:
        time.sleep(0.02)
    process.kill()
    process.wait()
    assert 20 <= documents.all.count_documents({}) < 300, "killed midway"
    done = subprocess.run(command, cwd=PROJECT, env=environ, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "MongoDB has all months of reviews\n"), done.stderr
    assert equal(settings, documents)
    documents.drop()
    store.mark_deleted(APP, ["m1"], datetime(2026, 3, 20, tzinfo=UTC))
    assert catch_up(settings) == []
    assert equal(settings, documents)
    state = json.loads((settings.instance_folder / "mirrors" / "mongodb.json").read_text(encoding="utf-8"))
    assert state["address"].endswith(f" {settings.mongo_db}.raw_reviews")
