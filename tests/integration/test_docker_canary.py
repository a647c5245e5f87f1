"""A canary with the real engine and gateway: the shares are as said, no request is lost, a bad release is stopped."""

import http.client
import json
import re
import time
from collections import Counter
from contextlib import suppress

import pytest

from mlops_assets.deploy.release import build_release
from mlops_assets.deploy.rollout import RolledBack
from mlops_assets.params.operations import Watching
from tests.docker_engine import REPOSITORY, port_of, servers
from tests.fakes.service import UNWATCHED, silent
from tests.fakes.tiny_model import TEXTS
from tests.integration.clients import ThreadedClients, wait_until
from tests.integration.server_sources import FAILS_AT_TIMES, UNLOVED, server_with
from tests.repository import ROOT
from tests.service_cases import CanaryCases

pytestmark = [pytest.mark.docker, pytest.mark.long]

CANARY = Watching(steps=(5, 25, 100), step_s=3.0, watch_s=0.5)
EVERY = 20
"""One request of so many has the text that the bad release answers with 500."""


@pytest.fixture(scope="session")
def releases(two_releases, tmp_path_factory):
    """`failing` has a server of its own, and the model of `a`."""
    folder = tmp_path_factory.mktemp("canary")
    package = server_with(folder / "server", FAILS_AT_TIMES, "prediction_routes.py")
    model = two_releases["a"].model
    lock = ROOT / "locks" / "serving.txt"
    return {**two_releases, "failing": build_release(model, folder / "built", lock=lock, package=package)}


@pytest.fixture(scope="session")
def images(engine, two_images, releases):
    failing = engine.push(engine.build(releases["failing"], REPOSITORY, silent), (), silent)
    yield {**two_images, "failing": failing}
    with suppress(engine.errors.ImageNotFound):  # Another module may have built and removed an equal one.
        engine.client.images.remove(engine.client.images.get(failing.reference).id, force=True)


class SomeAskTheUnloved(ThreadedClients):
    """Keep-alive clients without a pause that count answers by status and model; what is no answer is lost."""

    def __init__(self, port, count):
        super().__init__(port, count)
        self.answers, self.lost, self.last_error_s = Counter(), [], 0.0

    def _ask(self, place):
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=20)
        number = place
        while not self._stop.is_set():
            number += 1
            text = UNLOVED if number % EVERY == 0 else TEXTS[0]
            try:
                connection.request("POST", "/predict", json.dumps({"text": text}), {"Content-Type": "application/json"})
                response = connection.getresponse()
                answer = json.loads(response.read())
            except Exception as error:  # noqa: BLE001 - whatever a client meets is a failure of the rollout
                self.lost.append(repr(error))
                connection.close()
                continue
            with self._lock:
                self.answers[response.status, answer.get("model_version")] += 1
                if response.status != 200:
                    self.last_error_s = time.monotonic()
        connection.close()


def steps_of(service):
    """The steps on record, the oldest first: the percentage, and the requests of the new one and of the old."""
    said = [entry.reason for entry in reversed(service.log.entries()) if entry.outcome == "step"]
    found = [re.match(r"(\d+) % for \d+ s: ([\d,]+) requests.* the old one ([\d,]+) requests", line) for line in said]
    return [tuple(int(group.replace(",", "")) for group in match.groups()) for match in found]


def test_ten_thousand_requests_meet_a_canary_and_one_that_is_stopped_and_none_is_lost(engine, service, releases):
    service.deploy(releases["a"], silent, watching=UNWATCHED)
    seen = []

    def look(line):
        if "% of the requests for" in line:
            seen.append((service.live().release_version, service.live().canary))

    with SomeAskTheUnloved(port_of(service), 32) as clients:
        assert service.deploy(releases["b"], look, watching=CANARY).changed
        assert seen == [
            (releases["a"].version, f"release {releases['b'].version} has {percent} % of the requests")
            for percent in (5, 25)
        ]
        assert {status for status, _ in clients.answers} == {200}
        taken = steps_of(service)
        assert [percent for percent, *_ in taken] == [5, 25]
        for percent, new, old in taken:
            assert new / (new + old) == pytest.approx(percent / 100, rel=0.2)

        with pytest.raises(RolledBack, match=r"with (5|25) % of the requests: it answered \d+ of \d+ requests .* 0 of"):
            service.deploy(releases["failing"], silent, watching=CANARY)
        back_s = time.monotonic()
        assert clients.last_error_s <= back_s
        assert wait_until(lambda: clients.answers.total() >= 10_000, timeout_s=300)
        assert clients.last_error_s <= back_s
    assert clients.lost == []
    assert set(clients.answers) - {(200, releases[name].model_version) for name in ("a", "b")} == {(500, None)}
    assert clients.answers[500, None] < 0.02 * clients.answers.total()
    assert service.log.entries(1)[0].outcome == "rolled back"
    assert service.live().release_version == releases["b"].version
    assert service.live().canary == ""
    assert len(servers(engine, service)) == 1


def test_a_new_one_that_is_killed_in_a_step_costs_no_request_that_it_had_not_begun(engine, service, releases):
    service.deploy(releases["a"], silent, watching=UNWATCHED)
    killed = []

    def kill(line):
        if "has 25 % of the requests for" in line:
            (new,) = (c for c in servers(engine, service) if c.labels["mlops.release"] == releases["b"].version)
            new.kill("SIGKILL")
            killed.append(time.monotonic())

    with SomeAskTheUnloved(port_of(service), 8) as clients:
        with pytest.raises(RolledBack, match="with 25 % of the requests"):
            service.deploy(releases["b"], kill, watching=Watching(steps=(25, 100), step_s=30))
        asked = clients.answers.total()
        assert wait_until(lambda: clients.answers.total() > asked + 100)
    # What it had begun ends with it, and what it still took while it ended: at most two requests of each client.
    assert sum(count for (status, _), count in clients.answers.items() if status != 200) + len(clients.lost) <= 2 * 8
    assert clients.last_error_s - killed[0] < 5
    assert service.live().release_version == releases["a"].version
    assert len(servers(engine, service)) == 1


class TestOnDocker(CanaryCases):
    pass
