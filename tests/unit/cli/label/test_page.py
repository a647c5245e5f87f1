"""The page on which people label: what it keeps, shows and refuses."""

from collections import deque
from datetime import UTC, datetime
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from mlops_assets.cli.label import texts
from mlops_assets.cli.label.page import LabelPage, guarded
from mlops_assets.cli.label.texts import NewestQueue
from mlops_assets.failures import PermanentFailure
from mlops_assets.reviews.labels.queue import Queue, Waiting
from mlops_assets.reviews.labels.table import LabelTable

URL = "http://127.0.0.1:3001"
DRAWN = [Waiting(f"d{n}", f"<b>teks {n}</b>", "app", "2026-11-01", "drawn") for n in range(3)]


def client(folder: Path, *, door: bool = False, prefix: str = "") -> TestClient:
    queue = Queue(DRAWN, [], {"d0", "d1", "d2"}, {"negative", "positive"}, wanted=2)
    page = LabelPage(lambda: queue, LabelTable(folder), lambda: datetime(2026, 11, 1, tzinfo=UTC), door)
    return TestClient(guarded(page.app(prefix), URL, "set LABEL_PORT"), base_url=URL)


def test_each_answer_is_on_disk_before_the_next_text_is_shown_and_can_be_taken_back(tmp_path: Path):
    page, table = client(tmp_path), LabelTable(tmp_path)
    first = page.post("/state", json={"by": " Ani "}).json()
    assert (first["by"], first["waiting"]["text"], first["mine"]) == ("Ani", "d0", 0)
    second = page.post("/label", json={"by": "Ani", "text": "d0", "answer": "positive"}).json()
    assert second["waiting"]["text"] == "d1"
    assert [(each.text, each.answer, each.by, each.how) for each in table.given()] == [
        ("d0", "positive", "Ani", "page")
    ]
    page.post("/label", json={"by": "Ani", "text": "d1", "answer": "skip"})
    assert page.post("/undo", json={"by": "Ani"}).json()["waiting"]["text"] == "d1"
    back = page.post("/undo", json={"by": "Ani"}).json()
    assert (back["waiting"]["text"], back["mine"], back["scoring"]) == ("d0", 0, 0)
    refused = page.post("/undo", json={"by": "Ani"})
    assert (refused.status_code, refused.json()["error"]) == (400, "there is nothing to take back")


def test_stars_and_models_answers_are_not_shown(tmp_path: Path):
    shown = client(tmp_path).post("/state", json={"by": "Ani"}).json()["waiting"]
    assert shown == {
        "text": "d0",
        "review": "<b>teks 0</b>",
        "about": "app, 2026-11-01",
        "why": "drawn at random, for the score by people",
    }


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"by": "", "text": "d0", "answer": "positive"}, "a labeller's name"),
        ({"by": "Ani", "text": "unknown", "answer": "positive"}, "not in the queue"),
        ({"by": "Ani", "text": "d0", "answer": "great"}, "got 'great'"),
        (["Ani"], "a JSON object"),
        ({"by": "A" * 5000}, "at most 4096 bytes"),
    ],
)
def test_what_is_no_answer_is_refused_and_nothing_is_kept(tmp_path: Path, body: object, said: str):
    refused = client(tmp_path).post("/label", json=body)
    assert refused.status_code == 400
    assert said in refused.json()["error"]
    assert LabelTable(tmp_path).given() == []


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": "https://evil.example"}, 403),
        ({"Host": "evil.example"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Content-Type": "text/plain"}, 415),
    ],
)
def test_a_page_of_another_site_cannot_label(tmp_path: Path, headers: dict[str, str], status: int):
    content = '{"by": "Ani", "text": "d0", "answer": "positive"}'
    refused = client(tmp_path).post("/label", content=content, headers={"Content-Type": "application/json", **headers})
    assert refused.status_code == status
    assert LabelTable(tmp_path).given() == []


def test_the_page_loads_nothing_from_elsewhere_and_no_other_page_can_frame_it(tmp_path: Path):
    page = client(tmp_path, prefix="/label")
    got = page.get("/label/")
    assert "default-src 'none'" in got.headers["content-security-policy"]
    assert "frame-ancestors 'none'" in got.headers["content-security-policy"]
    for name in ("page.css", "page.js", "ask.js"):
        assert name in got.text
        assert page.get(f"/label/{name}").status_code == 200
    assert "innerHTML" not in page.get("/label/page.js").text


def test_behind_the_door_the_login_is_the_name(tmp_path: Path):
    page = client(tmp_path, door=True)
    named = page.post("/state", json={"by": "somebody else"}, headers={"X-Door-User": "siti"}).json()
    assert (named["by"], named["named"]) == ("siti", True)
    assert page.post("/state", json={"by": "somebody else"}).status_code == 400


def test_a_newer_version_brings_another_queue_and_what_went_wrong_is_told_and_tried_again(tmp_path, monkeypatch):
    monkeypatch.setattr(texts, "_LOOK_EACH_S", -1)
    versions, made = ["v1"], list[str]()

    def make() -> Queue:
        made.append(versions[-1])
        if versions[-1] == "broken":
            raise PermanentFailure("the disk is full")
        return Queue([Waiting(versions[-1], "teks", "app", "2026-11-01", "drawn")], [], set(), set(), wanted=2)

    newest = NewestQueue(lambda: versions[-1], make)
    newest.wait()
    versions.append("broken")
    with pytest.raises(PermanentFailure, match="the disk is full"):
        deque(iter(newest, "never"))
    versions.append("v2")
    while (queue := newest()) is None or queue.find("v2") is None:
        pass
    assert set(made) == {"v1", "broken", "v2"}
    with pytest.raises(PermanentFailure, match="no data version to label yet"):
        NewestQueue(lambda: None, make)()


def test_the_page_says_that_it_is_being_prepared(tmp_path: Path):
    page = LabelPage(lambda: None, LabelTable(tmp_path), lambda: datetime(2026, 11, 1, tzinfo=UTC))
    client = TestClient(guarded(page.app(), URL, ""), base_url=URL)
    assert client.post("/state", json={"by": "Ani"}).json() == {"preparing": True, "named": False}
