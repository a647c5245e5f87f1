"""Every declared check, broken on purpose in the data: that check alone fails, and stops the version or only warns."""

import zlib
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, cast

import dagster as dg
import numpy as np
import pandas as pd
import pytest

from mlops_assets.definitions import build_definitions
from mlops_assets.reporting.notifier import Notifier
from mlops_assets.reviews.drift.history import read_history
from mlops_assets.reviews.predictions.answer import Answering
from mlops_assets.reviews.predictions.scoring import score_months
from mlops_assets.reviews.predictions.stored import Predictions
from mlops_assets.reviews.stored.columns import write_frame
from mlops_assets.reviews.stored.months import files_below
from mlops_assets.reviews.stored.split import Split
from mlops_assets.steps.judge_drift import compare_with_training
from mlops_assets.steps.refresh_dashboards import Dashboards
from mlops_assets.trained_on import TrainedOn
from tests.fakes.service import fake_service
from tests.fakes.version_repository import FakeVersionRepository
from tests.integration.checks.checked_clone import (
    APP,
    CheckedClone,
    failed,
    train_on,
    validated,
)
from tests.integration.checks.violations import BLOCKS, MUTATIONS
from tests.repository import ROOT
from tests.unit.reporting.summaries import FAILED, summary
from tests.unit.reporting.summaries import write as write_summaries
from tests.user_clone import settings_of

ALSO = {"positive_share_is_steady": {"negative_reviews_are_as_usual"}}
"""So many unhappy reviews in a day are a spike too."""


@pytest.mark.parametrize("check", MUTATIONS)
def test_the_violation_fails_just_that_check(clone: CheckedClone, check: str) -> None:
    MUTATIONS[check](clone)
    result = clone.run()
    assert failed(result) - ALSO.get(check, set()) == {check}
    assert result.success is (check not in BLOCKS)
    assert len(clone.repository.commits) == (1 if check in BLOCKS or _same_data(check) else 2)
    [one] = [one for one in result.get_asset_check_evaluations() if one.check_name == check]
    severity = dg.AssetCheckSeverity.ERROR if check in BLOCKS else dg.AssetCheckSeverity.WARN
    assert (one.severity, one.blocking) == (severity, check in BLOCKS)
    assert one.description


def _same_data(check: str) -> bool:
    """Violations beside the reviews themselves: the version is the one that is there."""
    return check in {"imports_are_understood", "apps_are_known", "reference_apps_are_complete"}


def test_every_declared_check_has_a_violation_and_blocks_as_declared() -> None:
    graph = build_definitions(settings_of(ROOT)).resolve_asset_graph()
    declared = {key.name: graph.get_check_spec(key).blocking for key in graph.asset_check_keys}
    assert declared == {name: name in BLOCKS for name in {*MUTATIONS, *OF_SERVING, *OF_PREDICTIONS, *ELSEWHERE}}


def no_lock_of_the_server(clone: CheckedClone) -> str:
    """The clone has no lock of the server, so nothing can be audited."""
    assert clone.settings.serving_lock is None
    return "serving_image"


def a_channel_that_nobody_answers(clone: CheckedClone) -> str:
    """A message waits for a port on which nothing listens."""
    folder = clone.root / ".dagster" / "summaries"
    write_summaries(folder, summary(**FAILED))
    told = Notifier.of(clone.settings).deliver()
    assert [one.waiting for one in told.channels] == [1]
    return "deployed_image"


def a_database_that_is_away(clone: CheckedClone) -> str:
    """What runs left is to go to a database for which nothing listens."""
    clone.environment |= {"POSTGRES_HOST": "127.0.0.1", "POSTGRES_PORT": "9", "POSTGRES_USER": "u", "POSTGRES_DB": "d"}
    write_summaries(clone.root / ".dagster" / "summaries", summary(**FAILED))
    assert Dashboards.of(clone.settings).refresh().trouble
    return "deployed_image"


OF_SERVING = {
    "dashboards_have_every_run": a_database_that_is_away,
    "packages_have_no_known_vulnerability": no_lock_of_the_server,
    "notifications_reach_their_channels": a_channel_that_nobody_answers,
}

OF_PREDICTIONS = ("predictions_have_not_drifted",)
# Broken in unit tests: they need answers of a server, and months of topics.
ELSEWHERE = ("live_accuracy_is_as_measured", "most_negative_reviews_have_a_topic", "topics_kept_their_ids")


@pytest.mark.parametrize("check", OF_SERVING)
def test_a_violation_beside_the_data_is_a_warning(clone: CheckedClone, check: str) -> None:
    one = _judge(clone, OF_SERVING[check](clone), check)
    assert (one.passed, one.severity, one.blocking) == (False, dg.AssetCheckSeverity.WARN, False)


@pytest.mark.parametrize("check", OF_PREDICTIONS)
@pytest.mark.parametrize("unsure", [False, True])
def test_a_model_that_grows_unsure_of_the_newest_is_a_warning(clone: CheckedClone, check: str, unsure: bool) -> None:
    """The newest reviews are those of the store once more, a year later; the model meets them after its own."""
    reviews = validated(clone)

    def scored(rows: pd.DataFrame, top: float, day: int) -> None:
        def sure(texts: Sequence[str]) -> np.ndarray:
            best = top - np.array([zlib.crc32(text.encode()) % 1000 for text in texts]) / 10_000
            return np.stack([1 - best, best], axis=1)

        time, name = datetime(2027, 4, day, tzinfo=UTC), f"{APP}/2026-0{day}.parquet"
        found = Predictions.read(clone.settings.predictions)
        model = Answering(
            "m" * 12,
            ("negative", "positive"),
            sure,
            Split.nested(5),
            since=found.first_run("m" * 12) or time,
            now=time,
        )
        folder = clone.settings.instance_folder / "answered"
        write_frame(rows, folder / name)
        score_months(found, files_below(folder), model, lambda: False)
        found.save("m" * 12, "d" * 12)

    later = reviews.assign(
        review_id=reviews["review_id"] + "-later", review_date=reviews["review_date"] + pd.Timedelta(days=365)
    )
    scored(reviews, 0.99, 1)
    scored(later, 0.8 if unsure else 0.99, 2)
    one = _judge(clone, "predictions", check)
    assert (one.passed, one.severity, one.blocking) == (not unsure, dg.AssetCheckSeverity.WARN, False)
    assert ("confidence: mean 0.9" in (one.description or "")) is unsure
    point = read_history(clone.settings.instance_folder)[-1]
    assert (point.of, point.model_version, point.features) == (
        "predictions",
        "m" * 12,
        ("confidence",) if unsure else (),
    )


def _judge(clone: CheckedClone, asset: str, check: str) -> dg.AssetCheckEvaluation:
    """The one check alone; what it says."""
    definitions = build_definitions(clone.settings, {"service": fake_service(clone.settings.service_folder)})
    key = dg.AssetCheckKey(dg.AssetKey(asset), check)
    job = definitions.resolve_implicit_global_asset_job_def().get_subset(
        asset_selection=set(), asset_check_selection={key}
    )
    with dg.DagsterInstance.ephemeral() as instance:
        result = job.execute_in_process(instance=instance)
    assert result.success
    [one] = result.get_asset_check_evaluations()
    return one


def test_reviews_like_those_of_the_training_break_nothing(clone: CheckedClone) -> None:
    train_on(clone, validated(clone))
    result = clone.run()
    assert failed(result) == set()
    assert {one.check_name for one in result.get_asset_check_evaluations()} == set(MUTATIONS)


@pytest.mark.parametrize(
    ("trained_on", "said"),
    [
        ({"apps": ["sample.app"], "sources": ["sample"]}, "was trained on generated reviews, and these are reviews of"),
        ({"apps": ["com.other.app"], "sources": ["file"]}, "was trained on reviews of com.other.app, and these are"),
        ({"apps": [APP, "com.other.app"], "sources": ["file"]}, None),
        ({}, None),
    ],
)
def test_reviews_that_the_serving_model_was_never_made_for_are_no_drift(
    clone: CheckedClone, trained_on: dict[str, Any], said: str | None
) -> None:
    train_on(clone, validated(clone).assign(rating=1, review_text="jelek sekali"), trained_on=trained_on)
    reviews = validated(clone)
    data = TrainedOn.of([APP], ["file"])
    verdict = compare_with_training(clone.settings, cast("Any", FakeVersionRepository()), data, lambda _: reviews)
    assert verdict.drifted is not bool(said)
    assert said is None or said in verdict.reason
    assert len(read_history(clone.settings.instance_folder)) == (0 if said else 1)
