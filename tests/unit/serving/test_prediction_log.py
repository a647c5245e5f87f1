# ruff: noqa: ARG002 - a stand-in takes what the real one takes
import sqlite3
import threading
import time

import pytest
from starlette.testclient import TestClient

from mlops_assets.serving.app import create_app
from mlops_assets.serving.log.prediction_log import Prediction, ThreadedLog
from mlops_assets.serving.options import ServerOptions
from tests.unit.serving.test_app import ThreeLines, loaded, ready


def rows(path, query):
    connection = sqlite3.connect(path)
    try:
        return connection.execute(query).fetchall()
    finally:
        connection.close()


@pytest.mark.parametrize(("log_texts", "kept"), [(False, None), (True, "aaab")])
def test_predictions_are_on_record_without_the_text_unless_asked(tmp_path, log_texts, kept):
    path = tmp_path / "log.sqlite"
    options = ServerOptions(prediction_log=f"sqlite:{path}", log_texts=log_texts)
    with TestClient(create_app(loaded, options=options)) as client:
        ready(client)
        request_id = client.post("/predict", json={"text": "aaab"}).json()["request_id"]
        client.post("/predict/batch", json={"texts": ["aab", "", "b"]})
    assert rows(path, "select request_id, sentiment, confidence, characters, text from predictions")[0] == (
        request_id,
        "positive",
        0.75,
        4,
        kept,
    )
    assert rows(path, "select count(*) from predictions") == [(3,)]


def test_neither_model_nor_log_nor_explanation_sees_personal_data(tmp_path):
    path, asked = tmp_path / "log.sqlite", list[str]()

    class Remembers(ThreeLines):
        def probabilities(self, texts):
            asked.extend(texts)
            return super().probabilities(texts)

    options = ServerOptions(prediction_log=f"sqlite:{path}", log_texts=True)
    with TestClient(create_app(lambda: loaded(Remembers()), options=options)) as client:
        ready(client)
        asked.clear()
        client.post("/predict", json={"text": "aab 0812-0000-1111"})
        client.post("/predict/batch", json={"texts": ["", "aab contoh@example.com"]})
        explained = client.post("/explain", json={"text": "aab 0812-0000-1111"}).json()
    assert rows(path, "select text from predictions order by at") == [("aab [phone]",), ("aab [email]",)]
    assert [word["word"] for word in explained["words"]] == ["aab", "[phone]"]
    assert asked
    assert not [text for text in asked if "0812" in text or "@" in text]


def test_feedback_is_attached_to_a_prediction_and_the_last_one_counts(tmp_path):
    path = tmp_path / "log.sqlite"
    with TestClient(create_app(loaded, options=ServerOptions(prediction_log=f"sqlite:{path}"))) as client:
        ready(client)
        request_id = client.post("/predict", json={"text": "aaab"}).json()["request_id"]
        for label in ("positive", "negative"):
            reply = client.post("/feedback", json={"request_id": request_id, "label": label})
            assert (reply.status_code, reply.json()) == (200, {"request_id": request_id, "label": label})
        unknown = client.post("/feedback", json={"request_id": "0" * 32, "label": "positive"})
        assert (unknown.status_code, unknown.json()["field"]) == (404, "request_id")
    assert rows(path, "select request_id, label from feedback") == [(request_id, "negative")]


def test_without_a_log_feedback_says_what_to_set():
    with TestClient(create_app(loaded)) as client:
        ready(client)
        reply = client.post("/feedback", json={"request_id": "0" * 32, "label": "positive"})
        assert reply.status_code == 503
        assert "PREDICTION_LOG" in reply.json()["detail"]


def test_a_database_that_is_down_costs_no_request_and_is_counted(tmp_path):
    (tmp_path / "file").touch()
    options = ServerOptions(prediction_log=f"sqlite:{tmp_path / 'file' / 'log.sqlite'}")
    with TestClient(create_app(loaded, options=options)) as client:
        ready(client)
        assert client.post("/predict", json={"text": "aaab"}).status_code == 200
        until = time.monotonic() + 5
        while "prediction_log_dropped_total 1.0" not in client.get("/metrics").text:
            assert time.monotonic() < until


def test_a_slow_database_never_holds_a_request_and_what_finds_no_room_is_counted():
    go = threading.Event()
    dropped: list[float] = []

    class Slow:
        def write(self, rows):
            assert go.wait(10)

        def attach(self, request_id, label, caller, at):
            return True

        def close(self):
            return None

    log = ThreadedLog(Slow(), on_drop=dropped.append, room=10)
    started = time.monotonic()
    for number in range(100):
        log.add(Prediction(str(number), "anonymous", "positive", 1.0, {}, 1, None, "m", "d"))
    assert time.monotonic() - started < 1
    assert len(dropped) >= 80
    go.set()
    log.close()
