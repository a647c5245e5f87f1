"""A model of three lines behind the real application, for tests of the service."""

import hashlib

import numpy as np
from starlette.testclient import TestClient

from mlops_assets.artifact import Golden, Manifest, TrainedWith
from mlops_assets.serving.app import create_app
from mlops_assets.serving.models.model import LoadedModel
from mlops_assets.serving.options import ServerOptions
from tests.integration.clients import wait_until

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


KEYS = {name: hashlib.sha256(name.encode()).hexdigest() for name in ("one", "two")}
