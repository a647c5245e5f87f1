"""Ctrl-C in `make run`: the run is cancelled, people are told so in plain words, and the next run goes on."""

import json
import os
import signal
from pathlib import Path

import dagster as dg
import pytest

from mlops_assets.cli.instance import open_instance
from mlops_assets.cli.run import STOPPED, run_pipeline
from mlops_assets.cli.status import print_status
from mlops_assets.reviews.sources.review_source import SampleSource
from tests.user_clone import free_port, make_clone, settings_of

CLOCK = "2026-04-15T00:00:00Z"


class Interrupted(SampleSource):
    """A person presses Ctrl-C while it collects."""

    def collect(self, *_arguments, **_more):
        os.kill(os.getpid(), signal.SIGINT)
        raise AssertionError("the signal comes first")


def test_a_run_that_is_stopped_by_hand_is_cancelled_and_says_so_everywhere(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = settings_of(make_clone(tmp_path / "clone"), NOW=CLOCK, PORT=str(free_port()))
    assert run_pipeline(settings, {"review_source": Interrupted(settings.now)}) == STOPPED == 130
    printed = capsys.readouterr()
    assert "    raw_reviews: stopped by you (Ctrl-C)\n" in printed.out
    assert "was stopped by you (Ctrl-C)\n" in printed.out
    assert "make run goes on from here" in printed.out
    assert "Interrupted" not in printed.out + printed.err
    assert "Traceback" not in printed.out + printed.err

    summary = json.loads((settings.instance_folder / "summaries" / "latest.json").read_text(encoding="utf-8"))
    stages = {row["stage"]: (row["status"], row["reason"]) for row in summary["stages"]}
    assert summary["status"] == "CANCELED"
    assert stages["raw_reviews"] == ("stopped", "stopped by you (Ctrl-C)")
    assert stages["bert_model"] == ("skipped", "the run was stopped by you (Ctrl-C)")
    print_status(settings)
    assert "of pipeline, stopped by you (Ctrl-C), ended" in capsys.readouterr().out
    with open_instance(settings) as instance:
        [run] = instance.get_runs()
        assert run.status is dg.DagsterRunStatus.CANCELED
        assert "dagster/will_retry" not in run.tags
        assert instance.event_log_storage.get_concurrency_info("collection").slot_count == 1
        assert not instance.event_log_storage.get_concurrency_info("collection").active_run_ids
