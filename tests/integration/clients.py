"""Clients of a running service that forgive nothing, and what tests of a service need beside them."""

import http.client
import itertools
import json
import re
import threading
import time
from collections import Counter

import httpx

from mlops_assets import artifact
from mlops_assets.deploy.release import Release
from tests.fakes.tiny_model import TEXTS
from tests.integration.server_sources import UNLOVED


class ThreadedClients:
    """Clients that ask one port within a `with`, each by its place in a thread of its own."""

    def __init__(self, port: int, count: int) -> None:
        self._port = port
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._ask, args=(place,)) for place in range(count)]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_exception) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _ask(self, place: int) -> None:
        """Until `_stop` is set."""
        raise NotImplementedError


class Clients(ThreadedClients):
    """Keep-alive clients that ask without a pause; every exception, status but 200, or odd answer is a failure."""

    def __init__(self, port: int, answers: dict[str, float], count: int = 8, key: str = "") -> None:
        super().__init__(port, count)
        self._headers = {"Content-Type": "application/json", "Authorization": f"Bearer {key}"}
        self.failures: list[str] = []
        self.asked: dict[str, int] = dict.fromkeys(answers, 0)
        self._answers = answers

    def wait_for(self, version: str) -> None:
        """Until this model has answered one of them."""
        assert wait_until(lambda: self.asked[version] > 0)

    def _ask(self, _place: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)
        body = json.dumps({"text": TEXTS[0]})
        while not self._stop.is_set():
            try:
                connection.request("POST", "/predict", body, self._headers)
                response = connection.getresponse()
                answer = json.loads(response.read())
                version = answer["model_version"]
                if response.status != 200 or abs(answer["probabilities"]["positive"] - self._answers[version]) > 1e-4:
                    self.failures.append(f"{response.status} {answer}")
                with self._lock:
                    self.asked[version] += 1
            except Exception as error:  # noqa: BLE001 - whatever a client meets is a failure of the rollout
                self.failures.append(repr(error))
                connection.close()
        connection.close()


class Askers(ThreadedClients):
    """Clients that send the golden texts and one that only they send, in turn, and count what they get."""

    def __init__(self, port: int, count: int = 6) -> None:
        super().__init__(port, count)
        self.statuses: Counter[int] = Counter()

    def wait_for(self, requests: int) -> None:
        """Until so many more were answered."""
        wanted = self.statuses.total() + requests
        assert wait_until(lambda: self.statuses.total() >= wanted)

    def _ask(self, place: int) -> None:
        url = f"http://127.0.0.1:{self._port}/predict"
        # A connection for each request: one that idles may be closed while the next request is on its way.
        with httpx.Client(timeout=60, headers={"Connection": "close"}) as client:
            for number in itertools.count(place):
                if self._stop.wait(0.01):
                    return
                status = client.post(url, json={"text": (*TEXTS, UNLOVED)[number % 4]}).status_code
                with self._lock:
                    self.statuses[status] += 1


def answers_of(*releases: Release) -> dict[str, float]:
    """By model version: the probability of positive for the text that the clients send."""
    return {release.model_version: artifact.read_golden(release.model)[0].probabilities[1] for release in releases}


def wait_until(condition, timeout_s: float = 180.0) -> bool:
    until = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > until:
            return False
        time.sleep(0.02)
    return True


def last_success(metrics: str) -> float | None:
    """What an exposition says of the pipeline's last success."""
    found = re.search(r"^pipeline_last_success_timestamp_seconds (\S+)$", metrics, re.MULTILINE)
    return float(found[1]) if found else None
