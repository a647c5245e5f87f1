"""The use cases of the workflow that this project replaces, from the trigger to the service, in their order."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import httpx
import pytest

from mlops_assets.automation.jobs import PIPELINE, REFRESH_MODELS
from mlops_assets.automation.run_summary import leave_summary
from mlops_assets.cli.instance import open_instance
from mlops_assets.definitions import build_definitions
from mlops_assets.deploy.process.backend import ProcessBackend
from mlops_assets.deploy.service import Service
from tests.fakes.play_store import FakePlayStore, FakeReview, reviews
from tests.fakes.play_wire import serve
from tests.user_clone import free_port, git, make_clone, settings_of, sh

APP = "com.valar.pintu"
APART = timedelta(minutes=2)
START = datetime(2026, 3, 20, 12, tzinfo=UTC)
FAST = {
    "play_store": {"requests_per_second": 1000, "retries": 1, "backoff_s": 0, "backoff_most_s": 0},
    # So few reviews show nothing beyond noise: a wide margin lets the new model through.
    "evaluate": {"rounds": 200, "worse_points": 100, "anchor_points": 100},
}
IMPORTED = "review_id,review_text,rating,review_date\n" + "".join(
    f"theirs-{n},{'mantap dan membantu' if n % 3 else 'gagal masuk terus'} {n},{5 if n % 3 else 1},2026-03-1{n % 10}\n"
    for n in range(60)
)


@dataclass
class Team:
    """A clone with its service, a store on loopback, and the clock."""

    root: Path
    store: FakePlayStore
    url: str
    port: int
    now: datetime = START
    cursor: str | None = None

    def settings(self, **environ: str):
        return settings_of(
            self.root,
            **{
                "SOURCE": "play_store",
                "PLAY_STORE_URL": self.url,
                "NOW": self.now.isoformat(),
                "PORT": str(self.port),
                **environ,
            },
        )

    def scheduled(self) -> dict[str, Any]:
        """What the tick of the clock asks for, run as the daemon would."""
        definitions = build_definitions(self.settings())
        with (
            open_instance(self.settings()) as instance,
            dg.build_schedule_context(
                instance=instance, scheduled_execution_time=self.now, resources=dict(definitions.resources or {})
            ) as context,
        ):
            [request] = definitions.resolve_schedule_def("every_six_hours").evaluate_tick(context).run_requests or []
        return self.run(PIPELINE, request)

    def noticed(self, **environ: str) -> dict[str, Any] | str:
        """What the git sensor makes of HEAD: the summary of its run, or why there is none."""
        definitions = build_definitions(self.settings(**environ))
        names = ("settings", "git_history", "review_source", "code_location")
        resources = {name: (definitions.resources or {})[name] for name in names}
        with (
            open_instance(self.settings()) as instance,
            dg.build_sensor_context(
                instance=instance, cursor=self.cursor, definitions=definitions, resources=resources
            ) as context,
        ):
            tick = definitions.resolve_sensor_def("run_on_git_change").evaluate_tick(context)
        self.cursor = tick.cursor or self.cursor
        return self.run(REFRESH_MODELS, tick.run_requests[0]) if tick.run_requests else tick.skip_message or ""

    def run(self, job: str, request: dg.RunRequest, *, force: bool = False, skip: bool = False) -> dict[str, Any]:
        settings = self.settings()
        definitions = build_definitions(settings)
        options = {"force_retrain": force, "skip_deploy": skip}
        with open_instance(settings) as instance:
            done = definitions.resolve_job_def(job).execute_in_process(
                instance=instance,
                tags=dict(request.tags),
                run_config=request.run_config or {"resources": {"run_options": {"config": options}}},
                raise_on_error=False,
            )
            leave_summary(instance, done.run_id, settings, (definitions.resources or {})["service"].built)
        return json.loads((self.root / ".dagster" / "summaries" / "latest.json").read_text(encoding="utf-8"))

    def last_range(self) -> dg.RunRequest:
        """The months and apps of the run before, as a person takes them over in the Launchpad."""
        with open_instance(self.settings()) as instance:
            tags = instance.get_runs(limit=1)[0].tags
        return dg.RunRequest(
            tags={name: value for name, value in tags.items() if name.startswith("dagster/asset_part")}
        )

    def serving(self) -> str:
        return httpx.get(f"http://127.0.0.1:{self.port}/health", timeout=60).json()["model_version"]


@pytest.fixture(scope="module")
def team(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Team]:
    """A team whose pipeline ran once; the tests below go on from each other."""
    store = FakePlayStore(page_size=100)
    store.add(APP, reviews(400, START, "a", APART))
    with serve(store) as wire:
        team = Team(make_clone(tmp_path_factory.mktemp("team") / "clone", **FAST), store, wire.url, free_port())
        assert team.scheduled()["status"] == "SUCCESS"
        yield team
        Service(ProcessBackend(team.root / ".serving", team.port)).stop()


def stages(summary: Any) -> dict[str, str]:
    assert isinstance(summary, dict), summary
    return {row["stage"]: row["status"] for row in summary["stages"]}


def reason(summary: Any, stage: str) -> str:
    return next(row["reason"] for row in summary["stages"] if row["stage"] == stage)


def test_scheduled_retraining_with_new_data(team: Team) -> None:
    before = team.serving()
    team.now += timedelta(hours=6)
    team.store.add(APP, reviews(120, team.now, "b", APART))
    summary = team.scheduled()
    assert summary["outputs"]["new_data_available"] is True
    assert "the training data changed" in reason(summary, "bert_model")
    assert set(stages(summary).values()) == {"done"}
    assert team.serving() == summary["champion"]["model_version"] != before


def test_nothing_new(team: Team) -> None:
    before = team.serving()
    team.now += timedelta(hours=6)
    summary = team.scheduled()
    assert summary["status"] == "SUCCESS"
    assert summary["outputs"]["new_data_available"] is False
    assert {stages(summary)[name] for name in ("bert_model", "classic_model", "deployed_image")} == {"skipped"}
    assert team.serving() == before


def test_manual_retraining_on_the_data_that_is_there(team: Team) -> None:
    asked = len(team.store.requests)
    summary = team.run(REFRESH_MODELS, team.last_range(), force=True)
    assert reason(summary, "classic_model") == reason(summary, "bert_model") == "force_retrain is set"
    assert stages(summary)["raw_reviews"] == "skipped"
    assert len(team.store.requests) == asked


def test_training_without_deployment(team: Team) -> None:
    before = team.serving()
    team.now += timedelta(hours=6)
    team.store.add(APP, reviews(150, team.now, "c", APART))
    range_asked = team.last_range()
    summary = team.run(PIPELINE, range_asked, skip=True)
    assert stages(summary)["bert_model"] == stages(summary)["serving_image"] == "done"
    assert (stages(summary)["deployed_image"], reason(summary, "deployed_image")) == ("skipped", "skip_deploy is set")
    assert team.serving() == before


def test_data_committed_by_hand_and_pushed(team: Team) -> None:
    assert "watching main" in str(team.noticed())
    asked = len(team.store.requests)
    file = team.root / "data" / "imports" / "partner.csv"
    file.parent.mkdir(parents=True)
    file.write_text(IMPORTED, encoding="utf-8")
    dvc = str(team.root / ".venv-dvc" / "bin" / "dvc")
    sh(team.root, dvc, "init", "-q")
    sh(team.root, dvc, "add", "-q", "data/imports/partner.csv")
    git(team.root, "add", "--all")
    git(team.root, "commit", "-qm", "reviews of a partner")
    summary = team.noticed()
    assert stages(summary)["versioned_dataset"] == stages(summary)["bert_model"] == "done"
    assert isinstance(summary, dict)
    assert summary["reviews"]["labelled"] == 400 + 120 + 150 + 60
    assert team.serving() == summary["champion"]["model_version"]
    assert len(team.store.requests) == asked
    assert "still at" in str(team.noticed())


def test_invalid_data_stops_all(team: Team) -> None:
    before, commit = team.serving(), git(team.root, "rev-parse", "pipeline")
    team.now += timedelta(hours=6)
    wrong = [
        FakeReview(f"x{n}", f"Orang x{n}", f"jelek {n}", stars=1, at_s=int(team.now.timestamp()) - n)
        for n in range(2000)
    ]
    team.store.add(APP, wrong)
    summary = team.scheduled()
    assert summary["status"] == "FAILURE"
    failed = [row["check"] for row in summary["checks"] if not row["passed"] and row["severity"] == "ERROR"]
    assert failed == ["positive_share_is_normal"]
    assert {stages(summary)[name] for name in ("versioned_dataset", "bert_model", "deployed_image")} == {"skipped"}
    assert (team.serving(), git(team.root, "rev-parse", "pipeline")) == (before, commit)
    for one in wrong:
        team.store.delete(APP, one.review_id)


def test_not_on_the_release_branch_nothing_is_deployed(team: Team) -> None:
    before = team.serving()
    git(team.root, "checkout", "-q", "-b", "experiment")
    try:
        assert "HEAD is on experiment" in str(team.noticed())
        (team.root / "data" / "raw").rename(team.root / "data" / "raw.aside")
        team.store.add(APP, reviews(90, team.now, "d", APART))
        summary = team.scheduled()
    finally:
        git(team.root, "checkout", "-q", "main")
    assert stages(summary)["bert_model"] == stages(summary)["serving_image"] == "done"
    assert stages(summary)["deployed_image"] == "skipped"
    assert "HEAD is on experiment, and only main, master deploy" in reason(summary, "deployed_image")
    assert team.serving() == before
