"""A summary as people read it: what the lines say in each case."""

import pytest

from mlops_assets.reporting.summary_pages import as_markdown, as_text, change, duration
from tests.unit.reporting.summaries import FAILED, summary


def test_a_branch_that_origin_did_not_take_is_a_warning() -> None:
    assert "origin" not in as_markdown(summary())
    told = as_markdown(summary(origin="not pushed: the remote is read-only"))
    assert "Warning: the branch pipeline is here alone, origin did not take it: not pushed: the remote" in told
    told = as_markdown(summary(origin="kept here: versions of generated reviews are not shared"))
    assert "The branch pipeline is kept here: versions of generated reviews are not shared." in told
    assert "Warning" not in told
    told = as_markdown(summary(starts_anew="this clone starts anew: neither cache nor remote holds it"))
    assert "New start: this clone starts anew: neither cache nor remote holds it." in told


def test_each_models_change_against_the_serving_one_stands_beside_its_score() -> None:
    points = {"points": 1.25, "low": -0.5, "high": 3.0, "n": 65}
    champion = {
        "model": "classic",
        "model_version": "m1",
        "reason": "better",
        "run_id": "run-1",
        "against": "m0",
        "candidates": {"bert": "m0", "classic": "m1"},
        "figures": {"changes": {"classic": points}},
    }
    assert change(summary("run-1", champion=champion), "classic") == (
        "+1.2 points macro-F1 [-0.5, +3.0], n = 65, against m0"
    )
    figures = {"measure": "accuracy", "changes": {"classic": points}}
    told = change(summary("run-1", champion={**champion, "figures": figures}), "classic")
    assert told == "+1.2 points accuracy [-0.5, +3.0], n = 65, against m0"
    assert change(summary("run-1", champion=champion), "bert") == "serves already"
    assert change(summary("run-1", champion={**champion, "against": None}), "classic") == "no model served before"
    assert change(summary("run-2", champion=champion), "classic") == "not judged"
    assert change(summary("run-0", promoted_by="run-1", champion=champion), "classic").startswith("+1.2")


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(8.24, "8.2 s"), (59.9, "59.9 s"), (60, "1 min 0 s"), (185, "3 min 5 s"), (3720, "1 h 2 min")],
)
def test_durations_are_said_as_people_say_them(seconds: float, words: str) -> None:
    assert duration(seconds) == words


def test_a_terminal_gets_one_column_for_each_model_and_the_live_model_last() -> None:
    gate = {"n": 40, "accuracy": 0.9, "macro_f1": 0.88}
    models = {
        "bert": {"model_version": "b1", "dataset_version": "d1", "gate": gate},
        "classic": {"model_version": "c1", "dataset_version": "d1"},
    }
    shown = as_text(summary(**FAILED, models=models))
    assert "Cause: versioned_dataset: the disk is full: free 2 GB.\n" in shown
    assert "Model                           bert" in shown
    assert "Gate                            accuracy 0.900, macro-F1 0.880, n = 40  no reviews" in shown
    assert shown.splitlines()[-1].startswith("Live: model m0")
    assert "|" not in shown


def test_the_comparison_is_told_by_the_run_that_decided_and_not_by_later_ones():
    decided = {"model": "bert", "model_version": "m1", "reason": "better", "comparison": {"said": "97.9 % alike"}}
    shown = [as_markdown(summary(champion={**decided, "run_id": run_id})) for run_id in ("run-1", "run-0")]
    assert ["Before the switch: 97.9 % alike." in page for page in shown] == [True, False]
