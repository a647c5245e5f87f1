"""The page on which people approve a release: what it shows, records and refuses."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import pytest
from starlette.testclient import TestClient

from mlops_assets.automation.jobs import decide_release
from mlops_assets.automation.sensors.approval import deploy_approved_release
from mlops_assets.automation.why import STARTED_BY
from mlops_assets.cli.label.page import LabelPage, guarded
from mlops_assets.cli.label.release_page import ReleasePage
from mlops_assets.deploy.service import Service
from mlops_assets.reviews.labels.table import LabelTable
from mlops_assets.serving.overview_file import OVERVIEW, publish
from mlops_assets.training.champion import Decision, write_decision
from tests.unit.steps.test_put_live import ASKING, Steps
from tests.user_clone import make_clone, settings_of

URL = "http://127.0.0.1:3001"
HOSTILE = "<img src=x onerror=alert(1)> bagus"


class Place(Steps):
    """A first release serves and a second one waits."""

    def __init__(self, folder: Path) -> None:
        super().__init__(settings_of(make_clone(folder)))
        self.choose(0.0)
        self.put_live()
        self.service = Service(self.backend, watching=ASKING)
        self.choose(0.4)
        waiting = self.put_live().waiting
        assert waiting is not None
        self.release, self.model = waiting.entry.release_version, waiting.entry.model_version

    def page(self, *, door: bool = False) -> TestClient:
        labels = LabelPage(lambda: None, LabelTable(self.settings.data), lambda: datetime(2026, 3, 1, tzinfo=UTC), door)
        releases = ReleasePage(self.settings, self.service, door).routes("/label")
        return TestClient(guarded(labels.app("/label", releases), URL, "set LABEL_PORT"), base_url=URL)

    def outcomes(self) -> list[str]:
        return [entry.outcome for entry in self.service.log.entries()]


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path / "clone")


def test_it_shows_what_the_release_changes_and_records_one_decision(place: Place) -> None:
    compared = {
        "said": "97.9 % alike",
        "changes": [{"from": "negative", "to": "positive", "n": 41}],
        "examples": [{"text": "0" * 64, "from": "negative", "to": "positive"}],
    }
    write_decision(
        place.settings.models, Decision(place.model, "classic", "d" * 12, reason="better", comparison=compared)
    )
    page = place.page()
    state = page.post("/label/release/state", json={}).json()
    assert state["waiting"]["release"] == place.release
    assert ["Why it was chosen", "better"] in state["waiting"]["about"]
    assert state["waiting"]["comparison"] == {**compared, "examples": []}  # no text is known, and no digest is shown
    shown = {**compared, "model_version": place.model, "examples": [{"text": HOSTILE, "from": "a", "to": "b"}]}
    publish(place.settings.service_folder, OVERVIEW, _overview(shown))
    assert page.post("/label/release/state", json={}).json()["waiting"]["comparison"] == shown
    asked = {"release": place.release, "decision": "approve", "comment": "fine", "by": "Ani"}
    done = page.post("/label/release/decide", json=asked).json()
    assert "is approved by Ani (page); it goes live within a minute" in done["done"]
    assert done["waiting"] is None
    again = page.post("/label/release/decide", json={**asked, "decision": "reject"})
    assert (again.status_code, "approved already (Ani (page))" in again.json()["error"]) == (400, True)
    assert place.outcomes() == ["approved", "waits", "live"]
    assert place.service.log.entries()[0].reason == "fine"


def _overview(comparison: object) -> str:
    import json

    return json.dumps({"format": 1, "models": {"comparison": comparison}})


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"decision": "approve", "by": "Ani"}, "a decision names a release"),
        ({"decision": "maybe", "by": "Ani", "release": "x"}, "is approve or reject"),
        ({"decision": "approve", "by": "", "release": "RELEASE"}, "a name must have"),
        ({"decision": "approve", "by": "Ani", "release": "0" * 12}, "does not wait"),
    ],
)
def test_what_is_no_decision_is_refused_and_nothing_is_recorded(place: Place, body: dict[str, str], said: str) -> None:
    given = {name: place.release if value == "RELEASE" else value for name, value in body.items()}
    refused = place.page().post("/label/release/decide", json=given)
    assert (refused.status_code, said in refused.json()["error"]) == (400, True)
    assert place.outcomes() == ["waits", "live"]


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": "https://evil.example"}, 403),
        ({"Host": "evil.example"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Content-Type": "text/plain"}, 415),
    ],
)
def test_a_page_of_another_site_cannot_decide(place: Place, headers: dict[str, str], status: int) -> None:
    content = f'{{"by": "Ani", "release": "{place.release}", "decision": "approve"}}'
    sent = {"Content-Type": "application/json", **headers}
    assert place.page().post("/label/release/decide", content=content, headers=sent).status_code == status
    assert place.page().get("/label/release/decide").status_code == 405
    assert place.outcomes() == ["waits", "live"]


def test_the_page_runs_no_markup_and_loads_nothing_from_elsewhere(place: Place) -> None:
    page = place.page()
    got = page.get("/label/release")
    assert "default-src 'none'" in got.headers["content-security-policy"]
    assert "innerHTML" not in page.get("/label/release.js").text


def test_behind_the_door_the_login_is_the_name_and_the_sensor_deploys_what_was_approved(place: Place) -> None:
    asked = {"release": place.release, "decision": "approve", "by": "somebody else"}
    place.page(door=True).post("/label/release/decide", json=asked, headers={"X-Door-User": "siti"})
    with dg.instance_for_test() as instance:
        context = dg.build_sensor_context(instance, resources={"service": place.service})
        request = deploy_approved_release(context)
        assert isinstance(request, dg.RunRequest)
        run = decide_release.execute_in_process(
            instance=instance, run_config=request.run_config, tags=dict(request.tags), resources=_resources(place)
        )
        assert run.success
        assert isinstance(deploy_approved_release(context), dg.SkipReason)
        deployed = instance.get_latest_materialization_event(dg.AssetKey("deployed_image"))
    assert deployed is not None
    assert deployed.asset_materialization is not None
    assert deployed.asset_materialization.metadata["release"].value == place.release
    live, approved, *_ = place.service.log.entries()
    assert (live.outcome, live.release_version, approved.caused_by) == ("live", place.release, "siti (page)")


def _resources(place: Place) -> dict[str, object]:
    return {"settings": place.settings, "service": place.service}


DECISIONS: dict[str, tuple[Callable[[Place], None], bool, list[str]]] = {
    "waiting": (lambda _: None, True, ["rejected", "waits", "live"]),
    "superseded": (lambda place: place.choose(0.8), False, ["waits", "live"]),
}


@pytest.mark.parametrize(("before", "succeeds", "outcomes"), DECISIONS.values(), ids=DECISIONS.keys())
def test_the_job_records_the_login_at_the_door_and_fails_if_nothing_can_be_decided(
    place: Place, before: Callable[[Place], None], succeeds: bool, outcomes: list[str]
) -> None:
    before(place)
    config = {"ops": {"decide_about_a_release": {"config": {"decision": "reject", "by": "me", "comment": "no"}}}}
    run = decide_release.execute_in_process(
        run_config=config, tags={STARTED_BY: "siti"}, resources=_resources(place), raise_on_error=False
    )
    assert (run.success, place.outcomes()) == (succeeds, outcomes)
    if succeeds:
        assert place.service.log.entries()[0].caused_by == f"siti (run {run.run_id[:8]})"
