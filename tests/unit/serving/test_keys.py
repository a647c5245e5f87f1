"""Keys and their rates: who may ask, and how much."""

import hashlib

import pytest

from tests.unit.serving.served import KEYS, client_of, ready


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
