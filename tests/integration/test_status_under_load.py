"""A real server whose inference is saturated still says at once how it is."""

import http.client
import json
import statistics
import sys
import threading
import time

import pytest

from benchmarks.serving_load import STATUS, asked_meanwhile, running
from mlops_assets.artifact import Golden, TrainedWith
from mlops_assets.serving.models.model import load
from tests.user_clone import free_port

pytestmark = pytest.mark.long

LABELS = ("negative", "positive")
TEXTS = [f"aplikasi {'sangat ' * (number % 40)}bagus nomor {number}" for number in range(1_000)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A BERT of random weights, large enough that two cores cannot keep up with its clients."""
    from mlops_assets.params.models import BertRecipe
    from mlops_assets.training.bert.compact import build
    from mlops_assets.training.bert.export import Exporter

    recipe = BertRecipe(vocabulary_size=500, layers=4, hidden=256, heads=4, max_length=128)
    base, folder = build(TEXTS, recipe, LABELS), tmp_path_factory.mktemp("model") / "model"
    exporter = Exporter(base, folder, LABELS, recipe, TrainedWith("0" * 12, "binary", recipe.digest(), "test"), load)
    exporter.write()
    answers = exporter.answers("fp32", TEXTS[:3])
    golden = [Golden(text, tuple(map(float, row))) for text, row in zip(TEXTS[:3], answers, strict=True)]
    exporter.seal(exporter.runtime("fp32"), metrics={}, golden=golden)
    return folder


def test_the_status_endpoints_answer_promptly_while_inference_is_saturated(folder):
    """The benchmark shows them within 50 ms on a quiet machine; here others may be at work."""
    port = free_port()
    command = [sys.executable, "-m", "mlops_assets.serving", "--model", str(folder), "--port", str(port)]
    one, many = (json.dumps(body).encode() for body in ({"text": TEXTS[39]}, {"texts": TEXTS[:100]}))
    stop, statuses, took_ms = threading.Event(), set(), []

    def ask(path, body):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        while not stop.is_set():
            began = time.perf_counter()
            connection.request("POST", path, body, {"Content-Type": "application/json"})
            reply = connection.getresponse()
            reply.read()
            statuses.add(reply.status)
            if reply.status == 200:
                took_ms.append(1000 * (time.perf_counter() - began))
            stop.wait(0.2 if reply.status == 429 else 0)
        connection.close()

    with running(command, port, folder):
        asking = [threading.Thread(target=ask, args=("/predict", one)) for _ in range(16)]
        asking += [threading.Thread(target=ask, args=("/predict/batch", many)) for _ in range(2)]
        for thread in asking:
            thread.start()
        told = asked_meanwhile(port, seconds=5)
        stop.set()
        for thread in asking:
            thread.join()
    assert set(told) == {path.removeprefix("/") for path in STATUS}
    assert statuses <= {200, 429}
    waited_ms = statistics.median(took_ms)
    for name, figures in told.items():
        assert figures["p50_ms"] < waited_ms / 2, (name, figures, waited_ms)
