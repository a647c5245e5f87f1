"""The summary of a run: every stage with its status and reason, written once."""

import contextlib
import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from html import escape
from pathlib import Path

import dagster as dg
import pytest

from mlops_assets.assets import failing
from mlops_assets.automation.promotion import PROMOTES, promotion_request, trained_without_verdict
from mlops_assets.automation.requested_run import RequestedRun
from mlops_assets.automation.run_summary import leave_summary, summary_of
from mlops_assets.automation.why import STARTED_BY
from mlops_assets.failures import PermanentFailure, TransientFailure
from mlops_assets.reporting.messages import messages_of, text_of
from mlops_assets.reporting.summarise import STAGES, joined
from mlops_assets.reporting.summary_pages import as_markdown, as_page, duration, write_summary
from tests.fakes.service import fake_service
from tests.unit.automation.runs import failing_with
from tests.unit.automation.runs import run_of as run_of_sensor
from tests.user_clone import make_clone, settings_of

pytestmark = pytest.mark.slow


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.instance_for_test() as found:
        yield found


def run_of(instance: dg.DagsterInstance, *, fails: str = "", gives_nothing: str = "", trained: bool = True) -> str:
    """A run of eight assets with the pipeline's names, one of which may fail or give nothing."""
    upstream = {
        "validated_reviews": ["raw_reviews"],
        "versioned_dataset": ["validated_reviews"],
        "bert_model": ["versioned_dataset"],
        "classic_model": ["versioned_dataset"],
        "champion_model": ["bert_model", "classic_model"],
        "serving_image": ["champion_model"],
        "deployed_image": ["serving_image"],
    }

    def asset(name: str) -> dg.AssetsDefinition:
        @dg.asset(name=name, deps=upstream.get(name, []), output_required=False)
        def body(context: dg.AssetExecutionContext):
            if name == fails:
                raise dg.Failure("the disk is full: free 2 GB", allow_retries=False)
            if name == gives_nothing:
                due = [{"stage": stage, "due": False, "reason": f"{stage} is as it was"} for stage in STAGES[3:]]
                context.log_event(dg.AssetObservation(asset_key=name, metadata={"due": dg.MetadataValue.json(due)}))
                return
            extra = {"models_trained": trained} if name.endswith("_model") else {}
            yield dg.MaterializeResult(metadata={"reason": f"{name} was made", **extra})

        return body

    done = dg.materialize([asset(name) for name in STAGES], instance=instance, raise_on_error=False)
    return done.run_id


def stages_of(instance: dg.DagsterInstance, run_id: str, root: Path) -> dict[str, tuple[str, str]]:
    summary = summary_of(instance, run_id, settings_of(root), None)
    return {row.stage: (row.status, row.reason) for row in summary.stages}


def test_every_stage_is_done_with_its_reason(instance: dg.DagsterInstance, tmp_path: Path) -> None:
    stages = stages_of(instance, run_of(instance), make_clone(tmp_path / "clone"))
    assert stages == {name: ("done", f"{name} was made") for name in STAGES}


def test_a_failure_gives_its_cause_and_what_is_below_names_it(instance: dg.DagsterInstance, tmp_path: Path) -> None:
    stages = stages_of(instance, run_of(instance, fails="versioned_dataset"), make_clone(tmp_path / "clone"))
    assert stages["validated_reviews"][0] == "done"
    assert stages["versioned_dataset"] == ("failed", "the disk is full: free 2 GB")
    assert stages["bert_model"] == ("skipped", "versioned_dataset failed")
    assert stages["deployed_image"] == ("skipped", "versioned_dataset failed")


@pytest.mark.parametrize("retried", [True, False])
def test_a_failure_of_ours_is_the_cause_and_not_the_librarys_error_below_it(
    instance: dg.DagsterInstance, tmp_path: Path, retried: bool
) -> None:
    @dg.asset(name="bert_model")
    def unreachable() -> None:
        failure = TransientFailure("nobody/model cannot be fetched from the hub: try again")
        failure.__cause__ = OSError(-2, "Name or service not known")
        if retried:
            raise dg.RetryRequested(max_retries=0) from failure
        raise failure

    run = dg.materialize([unreachable], instance=instance, raise_on_error=False)
    stages = stages_of(instance, run.run_id, make_clone(tmp_path / "clone"))
    assert stages["bert_model"] == ("failed", "nobody/model cannot be fetched from the hub: try again")


@pytest.mark.parametrize(
    ("attempt", "failure", "follows", "alert"),
    [
        (0, TransientFailure("the hub is away"), "retry 1 of 5 follows in 10 min", None),
        (2, TransientFailure("the hub is away"), "retry 3 of 5 follows in 40 min", "the first"),
        (5, TransientFailure("the hub is away"), "given up after 5 retries", None),
        (2, PermanentFailure("rating is missing"), "a retry cannot help, so none follows", None),
        (None, TransientFailure("the hub is away"), "", None),
    ],
)
def test_a_failed_run_of_a_sensor_says_what_follows_and_is_told_again_when_nothing_does(
    instance: dg.DagsterInstance, tmp_path: Path, monkeypatch, attempt, failure, follows, alert
) -> None:
    monkeypatch.setattr(failing, "RETRY_AFTER_S", 0)
    asked = RequestedRun("sensor:1:abc", attempt or 0, datetime.now(UTC), first_run="the first" if attempt else "")
    request = dg.RunRequest(tags=asked.tags if attempt is not None else {})
    run_id = run_of_sensor(instance, request, failing_with(failure))
    summary = summary_of(instance, run_id, settings_of(make_clone(tmp_path / "clone")), None)
    assert (summary.follows, summary.attempt_of) == (follows, alert)
    assert (f"Next: {follows}." in as_markdown(summary)) is bool(follows)
    [message] = messages_of(summary, failed_before=False)
    assert message.id == f"{alert or run_id}:failure"
    assert ("given up after 5 retries" in message.title) is (attempt == 5)


def test_a_run_whose_process_was_lost_says_so(instance: dg.DagsterInstance, tmp_path: Path) -> None:
    @dg.job
    def pipeline() -> None: ...

    run = instance.create_run_for_job(pipeline, status=dg.DagsterRunStatus.STARTED)
    instance.report_run_failed(run, "The process of this run is gone: start the run again.")
    summary = summary_of(instance, run.run_id, settings_of(make_clone(tmp_path / "clone")), None)
    [message] = messages_of(summary, failed_before=False)
    assert message.title == "pipeline failed: the run: The process of this run is gone: start the run again."


@pytest.mark.parametrize(
    ("refusals", "cause"),
    [
        (2, "the run: OSError: server closed the connection unexpectedly"),
        (99, "the run: its container ended with code 1"),
    ],
    ids=["back before the run ends", "away until monitoring ends the run"],
)
def test_a_run_that_lost_its_database_in_a_stage_names_cause_and_stage(
    instance: dg.DagsterInstance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refusals: int, cause: str
) -> None:
    store, asked = instance.event_log_storage.store_event, 0

    def store_or_refuse(entry: dg.EventLogEntry) -> None:
        """Refuses from the moment when `validated_reviews` says that it is done."""
        nonlocal asked
        event = entry.dagster_event
        asked += bool(asked or (event and event.is_step_success and event.step_key == "validated_reviews"))
        if 0 < asked <= refusals:
            raise OSError("server closed the connection unexpectedly")
        store(entry)

    with monkeypatch.context() as away, contextlib.suppress(OSError):
        away.setattr(instance.event_log_storage, "store_event", store_or_refuse)
        run_of(instance)
    (run,) = instance.get_runs()
    if not run.is_finished:
        instance.report_run_failed(run, "its container ended with code 1")
    summary = summary_of(instance, run.run_id, settings_of(make_clone(tmp_path / "clone")), None)
    assert summary.cause == cause
    stages = {row.stage: (row.status, row.reason) for row in summary.stages}
    assert stages["raw_reviews"][0] == "done"
    assert stages["validated_reviews"] == ("stopped", "the run ended while it was at work")
    assert stages["versioned_dataset"] == ("skipped", "the run ended before it")


def test_nothing_due_gives_each_stages_own_reason(instance: dg.DagsterInstance, tmp_path: Path) -> None:
    stages = stages_of(instance, run_of(instance, gives_nothing="versioned_dataset"), make_clone(tmp_path / "clone"))
    assert stages["classic_model"] == ("skipped", "classic_model is as it was")


def test_a_run_has_one_summary_however_often_it_is_told(instance: dg.DagsterInstance, tmp_path: Path) -> None:
    root = make_clone(tmp_path / "clone")
    summary = summary_of(instance, run_of(instance), settings_of(root), None)
    folder = tmp_path / "summaries"
    assert write_summary(folder, summary)
    assert not write_summary(folder, summary.model_copy(update={"status": "FAILURE"}))
    assert (folder / f"{summary.run_id}.md").read_text(encoding="utf-8") == as_markdown(summary)
    assert (folder / f"{summary.run_id}.html").read_text(encoding="utf-8") == as_page(summary)
    assert json.loads((folder / "latest.json").read_text(encoding="utf-8"))["run_id"] == summary.run_id


def test_a_promoting_runs_stages_join_the_summary_of_the_failed_one(
    instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    settings = settings_of(make_clone(tmp_path / "clone"))
    failed = run_of(instance, fails="bert_model")
    assert trained_without_verdict(instance, failed) == "classic_model"
    assert promotion_request(failed, "classic_model").tags[PROMOTES] == failed
    alone = summary_of(instance, failed, settings, None)
    promoting = summary_of(instance, run_of(instance), settings, None)
    folder = tmp_path / "summaries"
    both = joined(alone, promoting)
    assert write_summary(folder, alone)
    assert write_summary(folder, both)
    assert not write_summary(folder, alone)
    kept = json.loads((folder / f"{failed}.json").read_text(encoding="utf-8"))
    status = {row["stage"]: row["status"] for row in kept["stages"]}
    assert (status["bert_model"], status["classic_model"], status["champion_model"]) == ("failed", "done", "done")


def test_a_failure_after_both_trainings_promotes_nothing(instance: dg.DagsterInstance) -> None:
    assert trained_without_verdict(instance, run_of(instance, fails="champion_model")) is None
    assert trained_without_verdict(instance, run_of(instance, fails="bert_model", trained=False)) is None


def test_the_markdown_names_every_stage_and_says_that_nothing_serves(
    instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    root = make_clone(tmp_path / "clone")
    text = as_markdown(summary_of(instance, run_of(instance, fails="serving_image"), settings_of(root), None))
    assert all(f"| {stage} |" in text for stage in STAGES)
    assert "✗ failed | the disk is full" in text
    assert "Live: no service answers." in text


def test_the_newest_window_and_the_forward_score_stand_beside_the_sides(
    instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    root = make_clone(tmp_path / "clone")
    score = {"n": 40, "accuracy": 0.9, "accuracy_interval": [0.8, 0.95], "macro_f1": 0.88}
    metrics = {
        "model_version": "m1",
        "dataset_version": "d1",
        "run_id": "r",
        "gate": score,
        "newest": {**score, "n": 7},
    }
    (root / "models").mkdir(exist_ok=True)
    (root / "models" / "metrics.json").write_text(json.dumps(metrics))
    forward = {**score, "n": 5, "model_version": "m0"}
    champion = {"model": "classic", "model_version": "m1", "run_id": "r", "reason": "first model", "forward": forward}
    (root / "models" / "champion.json").write_text(json.dumps(champion))

    text = as_markdown(summary_of(instance, run_of(instance), settings_of(root), None)).replace("\\", "")
    assert (
        "| classic | m1 | d1 | no reviews | accuracy 0.900 [0.800, 0.950], macro-F1 0.880, n = 40 | not judged " in text
    )
    assert "macro-F1 0.880, n = 7 | fewer than 100 texts |\n" in text
    assert "Forward: model m0 on the reviews that arrived after its data: accuracy 0.900 [0.800, 0.950]" in text


@pytest.mark.parametrize(
    ("tags", "started"),
    [
        ({}, "by hand"),
        ({STARTED_BY: "oki"}, "by oki"),
        ({STARTED_BY: "oki", "dagster/backfill": "abc"}, "backfill abc by oki"),
        ({STARTED_BY: "oki", "mlops/trigger": "make run"}, "make run by oki"),
        ({"dagster/schedule_name": "prune_daily"}, "schedule prune_daily"),
    ],
)
def test_summary_and_message_name_who_started_the_run(
    instance: dg.DagsterInstance, tmp_path: Path, tags: dict[str, str], started: str
) -> None:
    run_id = instance.create_run_for_job(dg.GraphDefinition("pipeline").to_job(), tags=tags).run_id
    summary = summary_of(instance, run_id, settings_of(make_clone(tmp_path / "clone")), None)
    assert f"pipeline, started {started}, never at work" in as_markdown(summary).replace("\\", "")
    assert f"of pipeline, started {started}, ended" in text_of(summary)


def test_the_page_tells_all_that_the_markdown_tells_and_loads_nothing(
    instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    settings = settings_of(make_clone(tmp_path / "clone"))
    summary = summary_of(instance, run_of(instance, fails="serving_image"), settings, None)
    stages = [summary.stages[0].model_copy(update={"reason": "<script>alert(1)</script>"}), *summary.stages[1:]]
    summary = summary.model_copy(update={"stages": stages})
    page = as_page(summary)
    for told in (*STAGES, "failed", "Cause: serving_image: the disk is full: free 2 GB", summary.link, "by hand"):
        assert escape(str(told)) in page
    assert summary.duration_s > 0
    assert duration(summary.duration_s) in page
    assert "<script" not in page
    loaded = re.findall(r"""(?:src|srcset|url|@import)\s*[=("']""", page)
    assert loaded == []
    assert re.findall(r"""href="([^"]*)""", page) == [summary.link]


def test_the_run_itself_shows_its_summary_once_and_names_its_page(instance: dg.DagsterInstance, tmp_path: Path) -> None:
    settings = settings_of(make_clone(tmp_path / "clone"))
    run_id, service = run_of(instance), fake_service(tmp_path)
    for written in (True, False):
        assert leave_summary(instance, run_id, settings, service)[1] is written
    [event] = [
        entry.dagster_event
        for entry in instance.all_logs(run_id, of_type=dg.DagsterEventType.ENGINE_EVENT)
        if entry.dagster_event and entry.dagster_event.message == "The run's summary"
    ]
    shown = event.engine_event_data.metadata
    assert shown["summary"].value.startswith(f"# Run {run_id[:8]}: succeeded")
    page = settings.instance_folder / "summaries" / f"{run_id}.html"
    assert page.is_file()
    assert shown["page"].value == str(page)
    assert instance.get_run_by_id(run_id).tags["mlops/summary"] == "in its events"
