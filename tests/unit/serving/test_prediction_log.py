# ruff: noqa: ARG002 - a stand-in takes what the real one takes
import sqlite3
import threading

import pytest
from starlette.testclient import TestClient

from mlops_assets.serving.app import create_app
from mlops_assets.serving.log.prediction_log import Prediction, ThreadedLog
from mlops_assets.serving.log.prediction_store import StoreDown, open_store
from mlops_assets.serving.log.spool import Spool
from mlops_assets.serving.options import ServerOptions
from tests.integration.clients import wait_until
from tests.unit.serving.served import KEYS, ThreeLines, loaded, ready


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


def test_feedback_belongs_to_the_key_that_asked(tmp_path):
    path = tmp_path / "log.sqlite"
    options = ServerOptions(prediction_log=f"sqlite:{path}", api_keys=KEYS)
    with TestClient(create_app(loaded, options=options)) as client:
        ready(client)

        def post(to, body, key):
            return client.post(to, json=body, headers={"authorization": f"Bearer {key}"})

        request_id = post("/predict", {"text": "aaab"}, "one").json()["request_id"]
        assert post("/feedback", {"request_id": request_id, "label": "positive"}, "one").status_code == 200
        other = post("/feedback", {"request_id": request_id, "label": "negative"}, "two")
        assert (other.status_code, other.json()["field"]) == (404, "request_id")
    assert rows(path, "select label, caller from feedback") == [("positive", "one")]


def files_of(folder):
    return {path: path.stat().st_mode & 0o777 for path in folder.rglob("*")}


def test_nobody_else_may_read_the_log(tmp_path):
    def log(path):
        store = open_store(f"sqlite:{path}")
        store.write([row_of("1", "secret text")])
        return store

    store = log(tmp_path / "new" / "log.sqlite")
    assert set(files_of(tmp_path).values()) == {0o700, 0o600}
    store.close()
    older = tmp_path / "log.sqlite"
    older.touch(0o644)
    older.chmod(0o644)
    log(older).close()
    assert older.stat().st_mode & 0o777 == 0o600


def row_of(request_id, text=None, at="2026-01-01T00:00:00+00:00"):
    return (request_id, at, "anonymous", "positive", 1.0, "{}", 4, text, "m", "d")


def test_texts_are_forgotten_to_the_last_byte_and_their_predictions_stay(tmp_path):
    path = tmp_path / "log.sqlite"
    store = open_store(f"sqlite:{path}")
    store.write([row_of("1", "secret text"), row_of("2", "secret text"), row_of("3", "other"), row_of("4")])
    assert store.forget_texts(lambda text: text.startswith("secret")) == 2
    store.close()
    assert rows(path, "select request_id, text from predictions") == [
        ("1", None),
        ("2", None),
        ("3", "other"),
        ("4", None),
    ]
    assert not any(b"secret" in file.read_bytes() for file in tmp_path.iterdir())


def test_old_predictions_are_removed_with_their_feedback(tmp_path):
    path = tmp_path / "log.sqlite"
    store = open_store(f"sqlite:{path}")
    store.write([row_of("old", at="2026-01-01T00:00:00+00:00"), row_of("new", at="2026-01-02T00:00:00+00:00")])
    for request_id in ("old", "new"):
        store.attach(request_id, "positive", "anonymous", "2026-02-01T00:00:00+00:00")
    assert store.remove_before("2026-01-02T00:00:00+00:00", dry_run=True) == 1
    assert len(rows(path, "select 1 from predictions")) == 2
    assert store.remove_before("2026-01-02T00:00:00+00:00") == 1
    store.close()
    assert rows(path, "select request_id from predictions union select request_id from feedback") == [("new",)]


def test_without_a_log_feedback_says_what_to_set():
    with TestClient(create_app(loaded)) as client:
        ready(client)
        reply = client.post("/feedback", json={"request_id": "0" * 32, "label": "positive"})
        assert reply.status_code == 503
        assert "PREDICTION_LOG" in reply.json()["detail"]


class Away:
    """A store that may be down."""

    def __init__(self, path):
        self.down, self.store, self.asked = False, open_store(f"sqlite:{path}"), 0

    def write(self, rows):
        self.asked += 1
        if self.down:
            raise StoreDown("no route to it")
        self.store.write(rows)

    def close(self):
        self.store.close()


def prediction(name):
    return Prediction(name, "anonymous", "positive", 0.5, {}, 4, "text", "m", "d")


def test_no_prediction_is_lost_while_the_database_is_away(tmp_path):
    path, dropped = tmp_path / "log.sqlite", []
    away, spool = Away(path), Spool(tmp_path / "spool.sqlite")
    away.down = True
    log = ThreadedLog(away, on_drop=dropped.append, spool=spool, retry_s=0.05)
    for number in range(200):
        log.add(prediction(f"id-{number}"))
    log.close()
    assert (len(spool), dropped) == (200, [])
    assert (tmp_path / "spool.sqlite").stat().st_mode & 0o777 == 0o600
    again = ThreadedLog(away, on_drop=dropped.append, spool=spool, retry_s=0.05)  # the server of the next release
    away.down = False
    assert wait_until(lambda: len(spool) == 0)
    again.add(prediction("later"))
    again.close()
    assert rows(path, "select count(*) from predictions where text = 'text'") == [(201,)]
    assert dropped == []


def test_a_spool_that_is_full_drops_and_counts(tmp_path):
    dropped = []
    away, spool = Away(tmp_path / "log.sqlite"), Spool(tmp_path / "spool.sqlite", most=3)
    away.down = True
    log = ThreadedLog(away, on_drop=dropped.append, spool=spool)
    for number in range(5):
        log.add(prediction(f"id-{number}"))
    log.close()
    assert (len(spool), sum(dropped), away.asked) == (3, 2, 1), "a database that is down is not asked for each request"
    nowhere = Spool(tmp_path / "file" / "spool.sqlite")
    assert nowhere.add([row_of("1")]) == 1


def test_a_database_that_is_down_costs_no_request_and_is_counted(tmp_path):
    (tmp_path / "file").touch()
    options = ServerOptions(prediction_log=f"sqlite:{tmp_path / 'file' / 'log.sqlite'}")
    with TestClient(create_app(loaded, options=options)) as client:
        ready(client)
        assert client.post("/predict", json={"text": "aaab"}).status_code == 200
        assert wait_until(lambda: "prediction_log_dropped_total 1.0" in client.get("/metrics").text)


def test_a_slow_database_never_holds_a_request_and_what_finds_no_room_is_counted():
    writes, go = threading.Event(), threading.Event()
    dropped: list[float] = []

    class Slow:
        def write(self, rows):
            writes.set()
            assert go.wait(60)

        def attach(self, request_id, label, caller, at):
            return True

        def close(self):
            return None

    log = ThreadedLog(Slow(), on_drop=dropped.append, room=10)
    prediction = Prediction("1", "anonymous", "positive", 1.0, {}, 1, None, "m", "d")
    log.add(prediction)
    assert writes.wait(60)
    try:
        for _ in range(100):  # none of them waits: the write ends only after them
            log.add(prediction)
    finally:
        go.set()
        log.close()
    assert len(dropped) == 90


def test_feedback_on_kept_texts_is_read_with_its_caller(tmp_path):
    store = open_store(f"sqlite:{tmp_path / 'log.sqlite'}")
    store.write([row_of("1", "bagus"), row_of("2")])
    for request_id in ("1", "2"):
        store.attach(request_id, "negative", "anonymous", "2026-01-02T00:00:00+00:00")
    assert store.feedback_on_texts() == [("bagus", "negative", "anonymous", "2026-01-02T00:00:00+00:00")]
    store.close()
