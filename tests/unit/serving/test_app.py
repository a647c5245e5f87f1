import dataclasses
import gzip
import hashlib
import json
import re
import socket
import threading

import httpx
import numpy as np
import pytest
import uvicorn
from starlette.testclient import TestClient

from mlops_assets.artifact import Golden, Manifest, TrainedWith
from mlops_assets.failures import PermanentFailure
from mlops_assets.serving.app import PATHS, create_app
from mlops_assets.serving.edge import JSON_PATHS
from mlops_assets.serving.models.model import LoadedModel
from mlops_assets.serving.options import ServerOptions
from tests.integration.clients import last_success, wait_until

MANIFEST = Manifest("classic", ("negative", "positive"), 1, TrainedWith("d" * 12, "binary", "r", "c"), {}, {})


class ThreeLines:
    """Positive is the share of the letter a."""

    manifest, labels = MANIFEST, MANIFEST.labels

    def probabilities(self, texts):
        positive = np.array([text.count("a") / len(text) for text in texts])
        return np.stack([1 - positive, positive], axis=1)


GOLDEN = Golden("aaab", (0.25, 0.75))


def loaded(model=None, golden=GOLDEN):
    return LoadedModel(model or ThreeLines(), "m" * 12, (golden,))


def client_of(load=loaded, **options):
    return TestClient(create_app(load, options=ServerOptions(**options)), raise_server_exceptions=False)


def ready(client):
    assert wait_until(lambda: client.get("/ready").status_code == 200), client.get("/ready").text
    return client


@pytest.fixture
def client():
    with client_of() as client:
        yield ready(client)


def test_an_answer_names_label_probabilities_versions_and_request(client):
    reply = client.post("/predict", json={"text": "aaab"})
    answer = reply.json()
    assert reply.status_code == 200
    assert answer.pop("request_id") == reply.headers["x-request-id"]
    assert answer == {
        "sentiment": "positive",
        "confidence": 0.75,
        "probabilities": {"negative": 0.25, "positive": 0.75},
        "model_version": "m" * 12,
        "dataset_version": "d" * 12,
    }


def test_a_batch_keeps_its_order_and_an_unusable_text_has_its_problem_in_its_place(client):
    texts = ["aaaa", "", "bbbb", 7, None, "a\0", "  ", "abab", ["a"]]
    reply = client.post("/predict/batch", json={"texts": texts})
    results = reply.json()["results"]
    assert reply.status_code == 200
    assert [result.get("sentiment") for result in results] == [
        "positive", None, "negative", None, None, None, None, "negative", None,
    ]  # fmt: skip
    assert results[1]["error"]["field"] == "texts.1"
    assert results[3]["error"]["detail"] == "must be a string, got int"
    assert len({result["request_id"] for result in results}) == len(texts)


@pytest.mark.parametrize(
    ("path", "body", "status", "field", "rule"),
    [
        ("/predict", b'{"text": ""}', 422, "text", "must not be empty"),
        ("/predict", b'{"text": " \\n\\t "}', 422, "text", "must not be empty"),
        ("/predict", b'{"text": "a\\u0000"}', 422, "text", "NUL"),
        ("/predict", b'{"text": "\\ud800"}', 422, "text", "surrogate"),
        ("/predict", b'{"text": "' + b"a" * 10_001 + b'"}', 422, "text", "at most 10000 characters, got 10001"),
        ("/predict", b'{"text": "' + b"a" * 1_000_000 + b'"}', 422, "text", "at most 10000"),
        ("/predict", b'{"text": 3}', 422, "text", "string"),
        ("/predict", b'{"text": null}', 422, "text", "string"),
        ("/predict", b"{}", 422, "text", "required"),
        ("/predict", b"[]", 422, "body", ""),
        ("/predict", b"", 422, "body", "required"),
        ("/predict", b'{"text": "a", "more": 1}', 422, "more", "not permitted"),
        ("/predict", b'{"text": "\xff\xfe"}', 400, "body", "UTF-8"),
        ("/predict", b"{", 400, "body", "not JSON"),
        ("/predict", b"[" * 100_000, 400, None, ""),
        ("/predict/batch", b'{"texts": []}', 422, "texts", "1 to 1000 texts, got 0"),
        ("/predict/batch", b'{"texts": "a"}', 422, "texts", "list"),
        ("/predict/batch", b'{"texts": [' + b'"a",' * 1_000 + b'"a"]}', 422, "texts", "got 1001"),
        ("/feedback", b'{"request_id": "x", "label": "positive"}', 422, "request_id", "pattern"),
        ("/feedback", b'{"request_id": "' + b"0" * 32 + b'", "label": "good"}', 422, "label", "one of negative"),
    ],
)
def test_bad_input_is_a_problem_document_that_names_field_and_rule(client, path, body, status, field, rule):
    reply = client.post(path, content=body, headers={"content-type": "application/json"})
    assert reply.status_code == status
    assert reply.headers["content-type"] == "application/problem+json"
    problem = reply.json()
    assert (problem["status"], problem.get("field")) == (status, field)
    assert rule in problem["detail"]


def test_texts_at_the_limits_are_answered(client):
    assert client.post("/predict", json={"text": "a" * 10_000}).status_code == 200
    assert len(client.post("/predict/batch", json={"texts": ["a"] * 1_000}).json()["results"]) == 1_000


def test_a_body_over_the_limit_is_413_whether_announced_or_streamed():
    with client_of(max_body_bytes=2_000) as client:
        ready(client)
        headers = {"content-type": "application/json"}
        assert client.post("/predict", content=b"x" * 2_001, headers=headers).status_code == 413
        reply = client.post("/predict", content=(b"x" * 500 for _ in range(9)), headers=headers)
        assert reply.status_code == 413
        assert reply.json()["detail"].startswith("the body is larger than 2000 bytes")


@pytest.mark.parametrize(("method", "path", "status"), [("PUT", "/predict", 405), ("GET", "/nothing", 404)])
def test_a_wrong_method_or_path_is_a_problem_document(client, method, path, status):
    reply = client.request(method, path)
    assert reply.status_code == status
    assert reply.headers["content-type"] == "application/problem+json"


def test_it_is_live_but_not_ready_while_the_model_loads():
    go = threading.Event()

    def load():
        assert go.wait(60)
        return loaded()

    with client_of(load) as client:
        assert client.get("/live").status_code == 200
        assert client.get("/ready").json()["status"] == "loading"
        refused = client.post("/predict", json={"text": "a"})
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
        go.set()
        ready(client)
        assert client.post("/predict", json={"text": "a"}).status_code == 200


def broken_folder():
    raise PermanentFailure("weights.npz not as sealed")


@pytest.mark.parametrize(
    ("load", "reason"),
    [
        (lambda: loaded(golden=Golden("aaab", (0.75, 0.25))), "golden sentence 'aaab' is answered 0.5 off"),
        (broken_folder, "weights.npz not as sealed"),
    ],
)
def test_a_model_that_is_not_right_is_never_ready_and_says_why(load, reason):
    with client_of(load) as client:
        assert wait_until(lambda: client.get("/ready").json()["status"] != "loading")
        reply = client.get("/health")
        assert (reply.status_code, reply.json()["status"]) == (503, "broken")
        assert reason in reply.json()["reason"]
        assert reason in client.post("/predict", json={"text": "a"}).json()["detail"]


def test_with_keys_only_the_status_routes_are_open():
    digest = {name: hashlib.sha256(name.encode()).hexdigest() for name in ("old", "new")}
    with client_of(api_keys=digest) as client:
        ready(client)
        for path in ("/live", "/ready", "/health"):
            assert client.get(path).status_code == 200
        refused = client.post("/predict", json={"text": "a"})
        assert (refused.status_code, refused.headers["www-authenticate"]) == (401, "Bearer")
        for header in ("Bearer wrong", "Basic old", "Bearer", "old"):
            assert client.get("/model/info", headers={"authorization": header}).status_code == 401
        for key in ("old", "new"):
            reply = client.post("/predict", json={"text": "a"}, headers={"authorization": f"Bearer {key}"})
            assert reply.status_code == 200


KEYS = {name: hashlib.sha256(name.encode()).hexdigest() for name in ("one", "two")}


def asks_with(client, key):
    """A function that posts to the path with this key and returns the status."""
    return lambda path, body: client.post(path, json=body, headers={"authorization": f"Bearer {key}"}).status_code


def test_each_key_has_its_own_rate():
    with client_of(api_keys=KEYS, rate_limit_per_s=0.01, rate_limit_burst=2) as client:
        ready(client)

        def ask(key):
            return client.get("/model/info", headers={"authorization": f"Bearer {key}"})

        assert [ask("one").status_code for _ in range(3)] == [200, 200, 429]
        assert 1 <= int(ask("one").headers["retry-after"]) <= 100
        assert ask("two").status_code == 200


@pytest.mark.parametrize(
    ("path", "body", "texts"),
    [("/predict/batch", {"texts": ["a", "", "a"]}, 3), ("/explain", {"text": "a b"}, 3), ("/predict", {"text": 7}, 1)],
)
def test_the_rate_counts_texts_and_refused_requests(path, body, texts):
    with client_of(api_keys=KEYS, rate_limit_per_s=0.001, rate_limit_burst=2 * texts) as client:
        ready(client)
        ask = asks_with(client, "one")
        assert [ask(path, body) == 429 for _ in range(3)] == [False, False, True]


def test_a_batch_larger_than_the_burst_is_answered_and_paid_for_later():
    with client_of(api_keys=KEYS, rate_limit_per_s=0.5, rate_limit_burst=2) as client:
        ready(client)
        assert asks_with(client, "one")("/predict/batch", {"texts": ["a"] * 12}) == 200
        refused = client.get("/model/info", headers={"authorization": "Bearer one"})
        assert refused.status_code == 429
        assert 10 < int(refused.headers["retry-after"]) <= 22  # ten texts of debt and one for the request


def test_a_path_that_only_the_router_takes_needs_a_key_too():
    with client_of(api_keys=KEYS) as client:
        ready(client)
        for path in ("/predict%0a", "/explain%0A"):
            assert client.post(path, json={"text": "a"}).status_code == 404


def test_every_answer_carries_security_headers_and_no_cross_origin_permission(client):
    for reply in (client.get("/"), client.get("/live", headers={"origin": "https://evil.example"})):
        assert reply.headers["x-content-type-options"] == "nosniff"
        assert "default-src 'none'" in reply.headers["content-security-policy"]
        assert "access-control-allow-origin" not in reply.headers


def test_a_failure_of_the_model_is_a_problem_document_without_a_trace():
    class Fails(ThreeLines):
        def probabilities(self, texts):
            if "fail" in texts:
                raise RuntimeError("secret detail")
            return super().probabilities(texts)

    with client_of(lambda: loaded(Fails())) as client:
        ready(client)
        reply = client.post("/predict", json={"text": "fail"})
        assert reply.status_code == 500
        assert reply.headers["content-type"] == "application/problem+json"
        assert "secret" not in reply.text


def test_metrics_count_requests_labels_and_name_the_model(client):
    client.post("/predict", json={"text": "aaab"})
    client.post("/predict", json={"text": ""})
    lines = client.get("/metrics").text
    assert 'http_requests_total{method="POST",path="/predict",status="200"} 1.0' in lines
    assert 'errors_total{kind="422"} 1.0' in lines
    assert 'predictions_total{label="positive"} 1.0' in lines
    named = f'dataset_version="{"d" * 12}",device="cpu",kind="classic",model_version="{"m" * 12}"'
    assert f"model_info{{{named}" in lines


def test_the_device_that_the_model_computes_on_is_told():
    class OnGpu(ThreeLines):
        device = "cuda"

    for model, device in ((ThreeLines(), "cpu"), (OnGpu(), "cuda")):
        with client_of(lambda model=model: loaded(model)) as client:
            assert ready(client).get("/model/info").json()["device"] == device
            assert f'device="{device}"' in client.get("/metrics").text


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


def test_metrics_show_when_the_pipeline_last_succeeded_as_the_file_stands_at_that_moment(tmp_path):
    path = tmp_path / "last_success"
    with client_of(last_success_file=path) as client:
        ready(client)
        assert last_success(client.get("/metrics").text) is None
        for at_s in (1772330400, 1772330401):
            path.write_text(f"{at_s}\n")
            assert last_success(client.get("/metrics").text) == at_s


def test_head_answers_as_get_does_without_the_body(client):
    app, sent = client.app, []

    async def recording(scope, receive, send):
        async def send_recorded(message):
            if scope["type"] == "http" and scope["method"] == "HEAD":
                sent.append(message.get("body", b""))
            await send(message)

        await app(scope, receive, send_recorded)

    client = TestClient(recording)
    for path in PATHS:
        if path in JSON_PATHS:
            assert client.head(path).status_code == 405
            continue
        asked, answered = client.head(path), client.get(path)
        assert (asked.status_code, asked.content) == (200, b""), path
        assert asked.headers["content-type"] == answered.headers["content-type"]
        assert asked.headers["x-request-id"]
    assert client.head("/nowhere").status_code == 404
    assert client.head("/health").headers["content-length"] == str(len(client.get("/health").content))
    assert len(sent) > len(PATHS)
    assert not any(sent)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"content-type": "application/json; charset=utf-8"},
        {"content-type": 'Application/JSON;charset="UTF-8"'},
        {"content-type": "application/vnd.review+json"},
        {"content-type": "application/json", "content-encoding": "identity"},
    ],
)
def test_json_is_taken_with_and_without_its_header(client, headers):
    body = json.dumps({"text": "aaab ünïcode"}, ensure_ascii=False).encode()
    assert client.post("/predict", content=body, headers=headers).status_code == 200


@pytest.mark.parametrize(
    ("headers", "field", "said"),
    [
        ({"content-type": "application/x-www-form-urlencoded"}, "Content-Type", "with the header Content-Type: applic"),
        ({"content-type": "text/plain"}, "Content-Type", "Content-Type 'text/plain' is not read"),
        ({"content-type": "multipart/form-data; boundary=x"}, "Content-Type", "'multipart/form-data' is not read"),
        ({"content-type": "json"}, "Content-Type", "Content-Type 'json' is not read"),
        ({"content-type": "application/json; charset=latin-1"}, "Content-Type", "charset 'latin-1'"),
        ({"content-type": "application/json; charset=utf-16"}, "Content-Type", "charset 'utf-16'"),
        ({"origin": "https://elsewhere.example"}, "Content-Type", "the body has no Content-Type"),
        ({"content-type": "application/json", "content-encoding": "gzip"}, "Content-Encoding", "'gzip' is not read"),
        ({"content-encoding": "br, gzip"}, "Content-Encoding", "send the body as it is, uncompressed"),
    ],
)
@pytest.mark.parametrize("path", ["/predict", "/predict/batch", "/explain", "/feedback"])
def test_a_body_in_another_form_is_415_and_names_the_header(client, path, headers, field, said):
    body = b'{"text": "aaab"}'
    reply = client.post(path, content=gzip.compress(body) if "gzip" in str(headers) else body, headers=headers)
    assert reply.status_code == 415
    assert reply.headers["content-type"] == "application/problem+json"
    assert (reply.json()["field"], said in reply.json()["detail"]) == (field, True)
    assert reply.json()["request_id"] == reply.headers["x-request-id"]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (
            gzip.compress(b'{"text": "aaab"}', mtime=0),
            "the body is compressed (gzip): send the JSON as it is, uncompressed",
        ),
        ('{"text": "aäb"}'.encode("latin-1"), "the body is not in UTF-8 (byte 12): send JSON in UTF-8"),
    ],
)
def test_a_body_whose_header_does_not_say_its_form_is_400_and_named(client, body, said):
    reply = client.post("/predict", content=body, headers={"content-type": "application/json"})
    assert (reply.status_code, reply.json()["field"], reply.json()["detail"]) == (400, "body", said)


def trained_on(apps, sources=()):
    """A service of the three-line model, whose folder says what it was trained on."""
    model = ThreeLines()
    model.manifest = dataclasses.replace(MANIFEST, metrics={"data": {"apps": list(apps), "sources": list(sources)}})
    return client_of(lambda: loaded(model))


ASKED = {
    "/predict": {"text": "aaab"},
    "/predict/batch": {"texts": ["aaab", ""]},
    "/explain": {"text": "aab aab"},
}


@pytest.mark.parametrize("sources", [["sample"], []])
def test_a_model_of_generated_reviews_says_so_in_every_answer_and_on_both_pages(sources):
    with trained_on(["sample.app"], sources) as client:
        ready(client)
        warnings = {path: client.post(path, json=body).json()["warning"] for path, body in ASKED.items()}
        info = client.get("/model/info").json()
        assert set(warnings.values()) == {info["warning"]}
        assert info["warning"].startswith("This model was trained on generated reviews, not on those of a real app")
        assert info["trained_on"] == {"apps": ["sample.app"], "sources": sources, "generated": True}
        assert info["warning"] in client.get("/overview/content").text
        assert 'id="warning"' in client.get("/").text


@pytest.mark.parametrize(("apps", "sources"), [(["com.gojek.app"], ["file"]), (["com.gojek.app"], []), ([], [])])
def test_the_model_of_a_real_app_names_its_apps_and_its_answers_are_not_longer(apps, sources):
    with trained_on(apps, sources) as client:
        ready(client)
        assert not any("warning" in client.post(path, json=body).json() for path, body in ASKED.items())
        info = client.get("/model/info").json()
        assert info["trained_on"] == {"apps": apps, "sources": sources, "generated": False}
        assert "warning" not in client.get("/overview/content").text


def test_the_interface_documents_the_warning(client):
    schemas = client.get("/openapi.json").json()["components"]["schemas"]
    for name in ("PredictAnswer", "BatchAnswer", "Explanation", "ModelInfo"):
        assert "generated reviews" in schemas[name]["properties"]["warning"]["description"]
        assert "warning" not in schemas[name]["required"]
