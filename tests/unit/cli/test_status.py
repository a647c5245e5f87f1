"""`make status` says how the last run ended, what waits, and that a run is overdue."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from filelock import FileLock
from pydantic import SecretStr

from mlops_assets.cli.status import print_service, print_status, print_warning
from mlops_assets.deploy import live_model
from mlops_assets.deploy.release import build_release, read_release
from mlops_assets.deploy.service import Live, Service
from mlops_assets.failures import PermanentFailure
from mlops_assets.params.operations import OperationRules
from mlops_assets.reporting.alerts import FOLDER as ALERTS
from mlops_assets.reporting.alerts import AlertFolder
from mlops_assets.reporting.messages import text_of
from mlops_assets.reporting.notifier import Notifier
from mlops_assets.reporting.summary_pages import serving_lines
from mlops_assets.reviews.play_store.crawl_state import CrawlState
from mlops_assets.settings import Settings
from tests.fakes.service import UNWATCHED, FakeBackend, silent
from tests.fakes.tiny_model import seal_tiny_model
from tests.unit.reporting.summaries import FAILED, summary, write
from tests.unit.reporting.test_alerts import alert, post
from tests.user_clone import PROJECT, free_port, make_clone, settings_of


@pytest.mark.parametrize(
    ("now", "in_time"), [("2026-03-01T14:01:00Z", True), ("2026-03-01T14:01:01Z", False)], ids=["at the limit", "past"]
)
def test_a_run_is_overdue_past_interval_and_slack(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], now: str, in_time: bool
) -> None:
    root = make_clone(tmp_path / "clone")
    write(
        root / ".dagster" / "summaries", summary("a", **FAILED), summary("p", job="prune", ended="2026-03-01T13:00:00Z")
    )
    assert print_status(settings_of(root, NOW=now)) is in_time
    said = capsys.readouterr().out
    assert "Last run: a of pipeline, failure, ended 2026-03-01T06:01:00+00:00" in said
    assert ("Overdue: the last run of the pipeline ended 8.0 hours ago" in said) is not in_time


@pytest.mark.parametrize(("apps", "warned"), [(["sample.app"], True), (["com.gojek.app"], False), ([], False)])
@pytest.mark.parametrize("pruned", [True, False], ids=["release pruned", "release here"])
def test_a_live_model_of_generated_reviews_is_said_to_be_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], apps: list[str], warned: bool, pruned: bool
) -> None:
    settings = settings_of(make_clone(tmp_path / "clone"))
    folder = settings.models / "champion" if pruned else settings.releases / "r1" / "model"
    version = seal_tiny_model(folder, metrics={"data": {"apps": apps}})
    live = Live(version, "r1", "d1", 1, "2026-01-01T00:00:00+00:00", "http://127.0.0.1:1")
    print_warning(settings, live)
    assert ("Warning: This model was trained on generated reviews" in capsys.readouterr().out) is warned
    told = live_model.live_record(settings, live)
    assert told is not None
    assert (told["model_version"], told["trained_on"]["apps"], bool(told["warning"])) == (version, apps, warned)
    shown = "\n".join([*serving_lines(summary(live=told)), text_of(summary(live=told))])
    assert shown.count("Warning: This model was trained on generated reviews") == (2 if warned else 0)
    assert json.loads(json.dumps(told)) == told


@pytest.fixture
def deployed(tmp_path: Path) -> tuple[Settings, FakeBackend, Service]:
    """A clone whose champion serves, and was put there after another release."""
    settings = settings_of(make_clone(tmp_path / "clone"))
    backend = FakeBackend(settings.service_folder)
    service = Service(backend, watching=UNWATCHED)
    for intercept in (0.4, 0.0):
        seal_tiny_model(tmp_path / str(intercept), intercept=intercept)
        release = build_release(tmp_path / str(intercept), settings.releases, lock=settings.serving_lock)
        service.deploy(release, silent, caused_by="run 1")
    version = seal_tiny_model(settings.models / "champion", intercept=0.0)
    record = {"model": "classic", "model_version": version, "dataset_version": "d" * 12}
    (settings.models / "champion.json").write_text(json.dumps(record), encoding="utf-8")
    return settings, backend, service


def test_a_service_that_should_be_closed_and_is_open_is_an_error(
    deployed: tuple[Settings, FakeBackend, Service], capsys: pytest.CaptureFixture[str]
) -> None:
    settings, backend, service = deployed
    assert print_service(settings, service)
    closed = settings.model_copy(update={"server": {"API_KEYS": SecretStr("d:0")}})
    backend.settings = "a key"
    assert not print_service(closed, service)
    said = capsys.readouterr().out
    assert "Waits: these settings of the service changed since it was started: API_KEYS" in said
    assert "Error: API_KEYS is set, and http://127.0.0.1:8080 answers without a key" in said
    service.deploy(read_release(settings.releases / service.log.entries()[0].release_version), silent)
    assert print_service(closed, service)
    assert "Error" not in capsys.readouterr().out


def test_a_rollback_that_holds_is_said(
    deployed: tuple[Settings, FakeBackend, Service], capsys: pytest.CaptureFixture[str]
) -> None:
    settings, backend, service = deployed
    print_service(settings, service)
    assert "Held" not in capsys.readouterr().out
    service.roll_back(settings.releases, "", silent, asked_by="make rollback")
    assert print_service(settings, service)
    assert "Held: release " in capsys.readouterr().out
    backend.serving, backend.died = None, "it used more than its 20 MiB"
    assert not print_service(settings, service)
    said = capsys.readouterr().out
    assert "Live: nothing" in said
    assert "Warning: it used more than its 20 MiB" in said


def test_a_canary_is_said_and_one_whose_deployment_was_killed_waits(
    deployed: tuple[Settings, FakeBackend, Service], capsys: pytest.CaptureFixture[str]
) -> None:
    settings, backend, service = deployed
    other = read_release(settings.releases / service.log.entries()[1].release_version)
    backend.share(backend.start(other), 25)
    assert backend.serving
    shares = f"release {other.version} has 25 % of the requests, release {backend.serving.release.version} the rest"
    with FileLock(settings.service_folder / "lock"):
        assert print_service(settings, service)
    assert f"Canary: {shares}\n" in capsys.readouterr().out
    assert print_service(settings, service)
    assert f"Waits: {shares}, and the deployment that began this has ended. make run" in capsys.readouterr().out


@pytest.mark.parametrize(("serves", "generated", "warned"), [(None, True, 2), ("m2", True, 2), (None, False, 0)])
def test_a_champion_of_generated_reviews_that_is_not_live_is_said_to_be_one(
    serves: str | None, generated: bool, warned: int
) -> None:
    live = serves and {"model_version": serves, "dataset_version": "d", "release_version": "r", "url": "u"}
    record = {"apps": ["sample.app"], "sources": ["sample"], "generated": generated}
    champion = {"model": "bert", "model_version": "m1", "reason": "first model", "trained_on": record}
    told = summary(champion=champion, image=None, live=live or None)
    shown = "\n".join([*serving_lines(told), text_of(told)])
    assert shown.count("Warning: bert m1 was trained on generated reviews, and is not live") == warned


def test_nothing_is_said_of_a_live_model_whose_folder_is_not_here(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = settings_of(make_clone(tmp_path / "clone"))
    print_warning(settings, Live("m1", "r1", "d1", 1, "2026-01-01T00:00:00+00:00", "http://127.0.0.1:1"))
    print_warning(settings, None)
    assert capsys.readouterr().out == ""


def test_a_clone_without_any_run_is_overdue(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert not print_status(settings_of(make_clone(tmp_path / "clone")))
    assert "no run of the pipeline has ended yet" in capsys.readouterr().out


def test_a_held_collection_and_an_undelivered_message_are_said_and_are_not_overdue(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    app = "com.valar.pintu"
    root = make_clone(tmp_path / "clone")
    write(root / ".dagster" / "summaries", summary(**FAILED))
    settings = settings_of(root, NOW="2026-03-01T08:00:00Z", NOTIFY_URLS=f"json://127.0.0.1:{free_port()}/tok3n")
    state = CrawlState("id", last={"status": "partial", "reason": "2026-02 would lose 9 of 90 reviews"})
    state.save(root / "data" / "raw" / app)
    AlertFolder(settings.instance_folder / ALERTS).put(post(alert()))
    Notifier.of(settings).deliver()
    assert print_status(settings)
    said = capsys.readouterr().out
    assert "Alert: ServiceDown, since 2026-03-01T12:00:00+00:00\n" in said
    assert f"Waits: the collection of {app}, 2026-02 would lose 9 of 90 reviews\n" in said
    assert "Waits: 2 messages for json://127.0.0.1" in said
    assert "tok3n" not in said
    state.last["status"] = "whole"
    state.save(root / "data" / "raw" / app)
    print_status(settings)
    assert "collection" not in capsys.readouterr().out


@pytest.mark.parametrize("section", [{"digest_hour": 24}, {"interval_hours": 0}, {"slack_hours": "2"}, {"hour": 1}])
def test_a_parameter_out_of_its_rule_is_refused(section: dict) -> None:
    with pytest.raises(PermanentFailure, match=r"params.yaml: operations\.\w+"):
        OperationRules.from_params(section)


def test_status_loads_no_library_of_the_pipeline(tmp_path: Path) -> None:
    root = make_clone(tmp_path / "clone")
    app = settings_of(root).apps[0]
    CrawlState("id", last={"status": "partial", "reason": "page 3 is missing"}).save(root / "data" / "raw" / app)
    index = {"model_version": "m1", "dataset_version": "d1", "months": {}}
    (root / "data" / "predictions").mkdir()
    (root / "data" / "predictions" / "index.json").write_text(json.dumps(index), encoding="utf-8")
    program = (
        "import sys; from mlops_assets.cli.__main__ import main; sys.argv[1:] = ['status']; main(); "
        "print(sorted({'pandas', 'pyarrow', 'numpy', 'dagster', 'sqlalchemy'} & sys.modules.keys()))"
    )
    environ = {"PIPELINE_ROOT": str(root), "DEPLOY_TARGET": "process", "PORT": str(free_port())}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environ, cwd=PROJECT, capture_output=True, text=True, check=True
    )
    assert "Predictions: model m1 answered 0 of 0 reviews" in done.stdout
    assert f"Waits: the collection of {app}, page 3 is missing" in done.stdout
    assert done.stdout.splitlines()[-1] == "[]"
