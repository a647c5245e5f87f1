"""What every backend must do behind the service: the same tests run on the one in memory and on real processes."""

import pytest

from mlops_assets.deploy.rollout import DeploymentRefused
from mlops_assets.params.operations import Watching
from tests.fakes.service import UNWATCHED, silent


class ServiceCases:
    """Needs the fixtures `service` and `releases`, by name: `a`, `b` and `wrong`, which must be refused."""

    def test_a_second_deployment_of_the_same_release_starts_nothing(self, service, releases):
        assert service.deploy(releases["a"], silent, watching=UNWATCHED).changed
        before = service.live()
        assert not service.deploy(releases["a"], silent, watching=UNWATCHED).changed
        assert service.live() == before

    def test_a_deployment_says_what_it_replaced(self, service, releases):
        first = service.deploy(releases["a"], silent, watching=UNWATCHED)
        second = service.deploy(releases["b"], silent, watching=UNWATCHED)
        assert (first.previous, second.previous) == (None, releases["a"].version)
        assert service.live().release_version == releases["b"].version

    def test_a_release_that_is_refused_leaves_the_old_one_and_is_on_record(self, service, releases):
        service.deploy(releases["a"], silent, watching=UNWATCHED)
        before = service.live()
        with pytest.raises(DeploymentRefused):
            service.deploy(releases["wrong"], silent, watching=UNWATCHED)
        assert service.live() == before
        assert [entry.outcome for entry in service.log.entries()] == ["refused", "live"]

    def test_a_rollback_goes_to_the_release_before_and_holds(self, service, releases):
        for name in ("a", "b"):
            service.deploy(releases[name], silent, watching=UNWATCHED, caused_by="run 1")
        done = service.roll_back(releases["a"].folder.parent, "", silent, asked_by="make rollback")
        assert done.release_version == service.live().release_version == releases["a"].version
        assert service.held_back(releases["b"].version) is not None

    def test_a_stop_is_on_record(self, service, releases):
        service.deploy(releases["a"], silent, watching=UNWATCHED, caused_by="run 1")
        assert service.stop(caused_by="make stop")
        assert [(entry.outcome, entry.caused_by) for entry in service.log.entries()] == [
            ("stopped", "make stop"),
            ("live", "run 1"),
        ]
        assert service.live() is None
        assert service.log.newest().outcome == "stopped"
        assert not service.stop(caused_by="make stop")
        assert len(service.log.entries()) == 2


class CanaryCases:
    """As above, for a target that can share the requests by percentage."""

    def test_a_canary_that_nobody_asks_is_judged_by_the_golden_sentences_and_a_rollback_goes_at_once(
        self, service, releases
    ):
        watching = Watching(steps=(5, 25, 100), step_s=0.2, watch_s=0)
        service.deploy(releases["a"], silent, watching=watching)
        service.deploy(releases["b"], silent, watching=watching, caused_by="run 1")
        entries = service.log.entries()
        assert [entry.outcome for entry in entries] == ["live", "step", "step", "live"]
        for entry, percent in zip(entries[1:3], (25, 5), strict=True):
            assert entry.reason.startswith(f"{percent} % for 1 s: 0 requests, 0 failed")
            assert entry.reason.endswith("judged by the golden sentences")
            assert (entry.release_version, entry.caused_by) == (releases["b"].version, "run 1")
        assert service.live().release_version == releases["b"].version
        assert service.live().canary == ""
        service.roll_back(releases["a"].folder.parent, "", silent, asked_by="make rollback")
        assert [entry.outcome for entry in service.log.entries()] == ["live", *(entry.outcome for entry in entries)]
        assert service.live().release_version == releases["a"].version
