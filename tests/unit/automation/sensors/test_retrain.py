"""When drift or age starts a retrain, and what is said when they do not."""

import json
from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest

from mlops_assets.assets import failing
from mlops_assets.automation.sensors.retrain import decide
from mlops_assets.definitions import build_definitions
from mlops_assets.failures import BadSetting, PermanentFailure, TransientFailure
from mlops_assets.params.operations import Triggers
from mlops_assets.training.champion import Decision, write_decision
from tests.unit.automation.runs import failing_with, nothing, run_of
from tests.user_clone import make_clone, settings_of

NOW = datetime(2026, 3, 20, 12, tzinfo=UTC)
OPTIONS = Triggers(retrain_after_days=90, cooldown_days=7)


def days_ago(days: float) -> datetime:
    return NOW - timedelta(days=days)


@pytest.mark.parametrize(
    ("drifted", "trained", "last", "because", "said"),
    [
        (False, None, {}, "", "no model was promoted yet"),
        (False, days_ago(89.99), {}, "", "1 of 3 ticks; the model is 89 days old, retrain_after_days is 90"),
        (False, days_ago(90), {}, "age", "the model is 90 days old"),
        (True, days_ago(1), {}, "drift", "1 of 3 ticks"),
        (True, days_ago(100), {}, "drift", "1 of 3 ticks"),
        (True, days_ago(1), {"drift": days_ago(6.99)}, "", "but drift started a retrain at 2026-03-13"),
        (True, days_ago(1), {"age": days_ago(2)}, "", "but age started a retrain at 2026-03-18"),
        (True, days_ago(1), {"drift": days_ago(7), "age": days_ago(30)}, "drift", "1 of 3 ticks"),
        (True, days_ago(1), {"drift": days_ago(-1)}, "", "but drift started a retrain at 2026-03-21"),
        (True, days_ago(1), {"drift": days_ago(-40), "age": days_ago(30)}, "drift", "1 of 3 ticks"),
        (False, days_ago(-40), {}, "", "the model is of 2026-04-29, ahead of the clock"),
    ],
)
def test_the_decision_and_its_reason(drifted, trained, last, because, said) -> None:
    decision = decide(NOW, drifted=drifted, drift_reason="1 of 3 ticks", trained_at=trained, last=last, options=OPTIONS)
    assert decision.because == because
    assert said in decision.reason


def test_a_limit_of_zero_days_means_never() -> None:
    decision = decide(
        NOW,
        drifted=False,
        drift_reason="no verdict yet",
        trained_at=days_ago(9999),
        last={},
        options=Triggers(retrain_after_days=0),
    )
    assert decision.because == ""
    assert "age never counts" in decision.reason


@pytest.fixture
def clone(tmp_path):
    """A clone whose model is 139 days old at NOW."""
    clone = make_clone(tmp_path / "clone")
    (clone / "models").mkdir()
    write_decision(clone / "models", Decision("abc", since="2025-11-01T00:00:00+00:00"))
    months = clone / "data" / "raw" / "sample.app"
    months.mkdir(parents=True)
    (months / "2026-01.parquet").write_bytes(b"a month")
    return clone


def tick(clone, instance: dg.DagsterInstance, cursor: str | None, now: datetime = NOW):
    definitions = build_definitions(settings_of(clone, NOW=now.isoformat()))
    with dg.build_sensor_context(
        instance=instance,
        cursor=cursor,
        definitions=definitions,
        resources={name: definitions.resources[name] for name in ("settings", "review_source")},
    ) as context:
        return definitions.resolve_sensor_def("retrain_on_drift_or_age").evaluate_tick(context)


def test_an_old_model_starts_one_forced_run_and_then_waits(clone) -> None:
    with dg.instance_for_test() as instance:
        first = tick(clone, instance, None)
        [request] = first.run_requests or []
        assert request.run_config == {"resources": {"run_options": {"config": {"force_retrain": True}}}}
        assert "age: the model is 139 days old" in request.tags["mlops/trigger"]
        assert "its run is not there; retry 1 of 5" in (tick(clone, instance, first.cursor).skip_message or "")
        run_of(instance, request, nothing)
        handled = tick(clone, instance, first.cursor)
        assert (handled.run_requests, "ended well" in (handled.skip_message or "")) == ([], True)
        later = tick(clone, instance, handled.cursor)
        assert later.run_requests == []
        assert "cooldown_days is 7" in (later.skip_message or "")


@pytest.mark.slow
def test_a_retrain_that_failed_for_now_is_retried_while_its_reason_holds_and_cools_down_from_its_start(
    clone, monkeypatch
) -> None:
    monkeypatch.setattr(failing, "RETRY_AFTER_S", 0)
    with dg.instance_for_test() as instance:
        first = tick(clone, instance, None)
        [request] = first.run_requests or []
        run_of(instance, request, failing_with(TransientFailure("the hub is away")))
        waiting = tick(clone, instance, first.cursor)
        assert "the hub is away; retry 1 of 5 at 2026-03-20 12:10 UTC" in (waiting.skip_message or "")
        due = NOW + timedelta(minutes=10)
        again = tick(clone, instance, waiting.cursor, due)
        [retry] = again.run_requests or []
        assert retry.run_key != request.run_key
        assert "age: the model is 139 days old" in retry.tags["mlops/trigger"]
        # Had somebody trained meanwhile, the reason would be gone, and so the retry.
        write_decision(clone / "models", Decision("def", since=NOW.isoformat()))
        dropped = tick(clone, instance, waiting.cursor, due)
        assert (dropped.run_requests, json.loads(dropped.cursor or "")) == ([], {})
        write_decision(clone / "models", Decision("abc", since="2025-11-01T00:00:00+00:00"))
        run_of(instance, retry, failing_with(PermanentFailure("rating is missing")))
        handled = tick(clone, instance, again.cursor, due)
        assert "a retry cannot help: versioned_dataset: rating is missing" in (handled.skip_message or "")
        assert json.loads(handled.cursor or "") == {"age": NOW.isoformat()}


def test_a_cursor_of_the_version_before_holds_times_alone(clone) -> None:
    with dg.instance_for_test() as instance:
        recent = tick(clone, instance, json.dumps({"drift": days_ago(1).isoformat()}))
        assert "drift started a retrain at 2026-03-19" in (recent.skip_message or "")
        assert len(tick(clone, instance, json.dumps({"drift": days_ago(8).isoformat()})).run_requests or []) == 1


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ({"time_zone": "Mars/Olympus"}, "must be a zone such as Asia/Jakarta, got 'Mars/Olympus'"),
        ({"cooldown_days": -1}, "cooldown_days must be a whole number from 0, got -1"),
        ({"retrain_after_days": "90"}, "retrain_after_days must be a whole number .*got '90'"),
        ({"retrain": 1}, "triggers.retrain is no parameter, known are time_zone, retrain_after_days, cooldown_days"),
        ([], None),
        (["x"], "triggers must be a mapping"),
    ],
)
def test_a_wrong_parameter_is_refused_with_its_name(tmp_path, section, said) -> None:
    clone = make_clone(tmp_path / "clone", triggers=section)
    if said is None:
        assert settings_of(clone).triggers == Triggers()
        return
    with pytest.raises(BadSetting, match=said):
        settings_of(clone)
