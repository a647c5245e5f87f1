"""Bodies that are too large, in another form, or not what a route takes."""

import gzip
import json

import pytest

from tests.unit.serving.served import client_of, ready


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


def test_a_body_over_the_limit_is_413_whether_announced_or_streamed():
    with client_of(max_body_bytes=2_000) as client:
        ready(client)
        headers = {"content-type": "application/json"}
        assert client.post("/predict", content=b"x" * 2_001, headers=headers).status_code == 413
        reply = client.post("/predict", content=(b"x" * 500 for _ in range(9)), headers=headers)
        assert reply.status_code == 413
        assert reply.json()["detail"].startswith("the body is larger than 2000 bytes")


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
