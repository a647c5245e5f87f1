"""`make status` says how the last run ended, what waits, and that a run is overdue."""

from pathlib import Path

import pytest

from mlops_assets.cli.status import say_how_it_stands
from mlops_assets.failures import PermanentFailure
from mlops_assets.operations.rules import OperationRules
from tests.unit.operations.summaries import FAILED, summary, write
from tests.user_clone import make_clone, settings_of


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
    assert say_how_it_stands(settings_of(root, NOW=now)) is in_time
    said = capsys.readouterr().out
    assert "Last run: a of pipeline, failure, ended 2026-03-01T06:01:00+00:00" in said
    assert ("Overdue: the last run of the pipeline ended 8.0 hours ago" in said) is not in_time


def test_a_clone_without_any_run_is_overdue(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert not say_how_it_stands(settings_of(make_clone(tmp_path / "clone")))
    assert "no run of the pipeline has ended yet" in capsys.readouterr().out


@pytest.mark.parametrize("section", [{"digest_hour": 24}, {"interval_hours": 0}, {"slack_hours": "2"}, {"hour": 1}])
def test_a_parameter_out_of_its_rule_is_refused(section: dict) -> None:
    with pytest.raises(PermanentFailure, match=r"params.yaml: operations\.\w+"):
        OperationRules.from_params(section)
