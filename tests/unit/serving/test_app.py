"""What the service answers, and what it says of itself."""

import dataclasses
import threading

import pytest
from starlette.testclient import TestClient

from mlops_assets.artifact import Golden
from mlops_assets.failures import PermanentFailure
from mlops_assets.serving.app import PATHS
from mlops_assets.serving.edge import JSON_PATHS
from tests.integration.clients import last_success, wait_until
from tests.unit.serving.served import MANIFEST, ThreeLines, client_of, loaded, ready


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


def test_texts_at_the_limits_are_answered(client):
    assert client.post("/predict", json={"text": "a" * 10_000}).status_code == 200
    assert len(client.post("/predict/batch", json={"texts": ["a"] * 1_000}).json()["results"]) == 1_000


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
