"""A queue that is full, and clients that leave it."""

import json
import re
import socket
import threading

import httpx
import uvicorn

from mlops_assets.serving.app import create_app
from mlops_assets.serving.options import ServerOptions
from tests.integration.clients import wait_until
from tests.unit.serving.served import GOLDEN, ThreeLines, client_of, loaded, ready


def test_a_full_queue_is_429_with_retry_after():
    go, entered = threading.Event(), threading.Event()

    class Waits(ThreeLines):
        def probabilities(self, texts):
            if "wait" in texts:
                entered.set()
                assert go.wait(60)
            return super().probabilities(texts)

    with client_of(lambda: loaded(Waits()), workers=1, max_queue_texts=1, max_texts=1) as client:
        ready(client)
        statuses = []
        threads = [
            threading.Thread(target=lambda: statuses.append(client.post("/predict", json={"text": "wait"})))
            for _ in range(3)
        ]
        for thread in threads:
            thread.start()
            assert entered.wait(60)
        assert wait_until(lambda: statuses)  # one runs, one waits, the third is refused while both still do
        assert statuses[0].status_code == 429
        assert int(statuses[0].headers["retry-after"]) >= 1
        go.set()
        for thread in threads:
            thread.join()
    assert sorted(reply.status_code for reply in statuses) == [200, 200, 429]


class Held(ThreeLines):
    """Computes `wait` until it is let go, and remembers the texts."""

    def __init__(self):
        self.entered, self.go, self.seen = threading.Event(), threading.Event(), []

    def probabilities(self, texts):
        self.seen += texts
        if "wait" in texts:
            self.entered.set()
            assert self.go.wait(60)
        return super().probabilities(texts)


def test_a_full_queue_refuses_a_body_before_it_arrives():
    model = Held()
    with client_of(lambda: loaded(model), workers=1, max_queue_texts=1, max_texts=1) as client:
        ready(client)
        waiting = [threading.Thread(target=client.post, args=("/predict",), kwargs={"json": {"text": "wait"}})]
        waiting[0].start()
        assert model.entered.wait(60)
        waiting.append(threading.Thread(target=client.post, args=("/predict",), kwargs={"json": {"text": "next"}}))
        waiting[1].start()
        assert wait_until(lambda: "queue_texts 1.0" in client.get("/metrics").text)
        refused = client.post("/predict/batch", content=b"[no JSON", headers={"content-type": "application/json"})
        model.go.set()
        for thread in waiting:
            thread.join()
    assert refused.status_code == 429
    assert int(refused.headers["retry-after"]) >= 1


def test_the_texts_of_a_client_that_disconnects_leave_the_queue():
    model, options = Held(), ServerOptions(workers=1)
    app = create_app(lambda: loaded(model), options=options)
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning"))
    serving = threading.Thread(target=server.run)
    serving.start()
    assert wait_until(lambda: server.started)
    url = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"

    def waiting():
        return float(re.findall(r"^queue_texts (\S+)$", httpx.get(f"{url}/metrics", timeout=60).text, re.MULTILINE)[0])

    try:
        assert wait_until(lambda: httpx.get(f"{url}/ready", timeout=60).status_code == 200)
        asked = {"json": {"text": "wait"}, "timeout": 60}
        first = threading.Thread(target=httpx.post, args=(f"{url}/predict",), kwargs=asked)
        first.start()
        assert model.entered.wait(60)
        with socket.create_connection(server.servers[0].sockets[0].getsockname()) as leaves:
            body = json.dumps({"texts": ["gone"] * 1_000}).encode()
            leaves.sendall(b"POST /predict/batch HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
            assert wait_until(lambda: waiting() == 1_000)
        assert wait_until(lambda: waiting() == 0)
        model.go.set()
        first.join()
        assert httpx.post(f"{url}/predict", json={"text": "next"}, timeout=60).status_code == 200
        assert 'path="/predict/batch",status="499"' in httpx.get(f"{url}/metrics", timeout=60).text
    finally:
        model.go.set()
        server.should_exit = True
        serving.join()
    assert [text for text in model.seen if text != GOLDEN.text] == ["wait", "next"]
