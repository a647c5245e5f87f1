"""A budget of minutes: a training that would take longer is planned shorter, once its speed is known."""

from itertools import count
from pathlib import Path

import pytest

from mlops_assets.training.bert import minutes, state
from mlops_assets.training.bert import train as bert
from mlops_assets.training.bert.minutes import steps_within
from mlops_assets.training.bert.state import Progress
from tests.unit.training.bert.test_train import Stopped, same, train

pytestmark = pytest.mark.usefixtures("one_thread")

EPOCHS = 10
STEPS = 12 * EPOCHS


@pytest.fixture
def a_second_each_look(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock that goes on by a second whenever it is read: once a step."""
    clock = count()
    monkeypatch.setattr(state.time, "monotonic", lambda: float(next(clock)))


@pytest.mark.parametrize(
    ("step", "seconds", "allowed", "planned"),
    [
        (49, 490, 1, 1000),  # not known yet
        (50, 50, 1000 / 60, 1000),
        (50, 50, 500 / 60, 475),
        (50, 500, 1 / 60, 50),
        (51, 5100, 1, 1000),  # looked at again later
        (550, 550, 960 / 60, 1000),  # a little late is no reason to change the plan
        (550, 1100, 1500 / 60, 712),
    ],
)
def test_the_plan_follows_the_speed(step: int, seconds: float, allowed: float, planned: int) -> None:
    assert steps_within(Progress(step=step, seconds=seconds, full=1000, planned=1000), allowed) == planned


def test_a_plan_never_grows() -> None:
    assert steps_within(Progress(step=550, seconds=1, full=1000, planned=600), 60) == 600


@pytest.mark.usefixtures("a_second_each_look")
def test_a_training_with_too_few_minutes_ends_early_at_a_rate_of_zero_and_says_so(monkeypatch) -> None:
    rates, said = dict[int, float](), list[str]()
    really = bert.rate_at
    monkeypatch.setattr(bert, "rate_at", lambda step, *given: rates.setdefault(step, really(step, *given)))
    _, progress = train(said=said, epochs=EPOCHS, most_minutes=1)
    assert (progress.step, progress.planned, progress.full, max(rates)) == (57, 57, STEPS, 56)
    assert rates[56] < 0.05 < rates[40]
    assert [epoch["epoch"] for epoch in progress.epochs] == [1, 2, 3, 4, 5]
    assert f"takes 57 of {STEPS} steps: bert.most_minutes allows 1" in said
    record = minutes.on_record(progress, 1)
    assert (record["steps"], record["of_steps"]) == (57, STEPS)
    assert record["said"].startswith(f"The training stopped at its budget, after 57 of {STEPS} steps")


@pytest.mark.usefixtures("a_second_each_look")
def test_killed_after_it_was_planned_shorter_it_goes_on_with_that_plan(tmp_path: Path, monkeypatch) -> None:
    whole, _ = train(epochs=EPOCHS, most_minutes=1)
    really = bert.validate
    epochs = count(1)

    def stopping(*given):
        if next(epochs) == 5:
            raise Stopped
        return really(*given)

    with monkeypatch.context() as patched:
        patched.setattr(bert, "validate", stopping)
        with pytest.raises(Stopped):
            train(tmp_path, epochs=EPOCHS, most_minutes=1, checkpoint_steps=5)
    resumed, progress = train(tmp_path, epochs=EPOCHS, most_minutes=1, checkpoint_steps=5)
    assert (progress.planned, progress.step, progress.resumed_at) == (57, 57, [55])
    assert same(whole, resumed)
    again, progress = train(tmp_path, epochs=EPOCHS, most_minutes=1, checkpoint_steps=5)
    assert (progress.step, len(progress.epochs)) == (57, 5)
    assert same(whole, again)


def test_a_training_with_time_enough_says_nothing() -> None:
    _, progress = train()
    assert progress.step == progress.planned == progress.full
    assert minutes.on_record(progress, 120) == {}
