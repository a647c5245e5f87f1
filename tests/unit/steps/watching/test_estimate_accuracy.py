"""The live model's accuracy on traffic: estimated from its own log alone, and told with what it was measured on."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml

from mlops_assets.artifact import Golden, TrainedWith, seal
from mlops_assets.deploy.service import Live
from mlops_assets.reporting.dashboard_rows import score_rows
from mlops_assets.reporting.summary_pages import serving_lines
from mlops_assets.serving.log.prediction_store import open_store
from mlops_assets.settings import Settings
from mlops_assets.steps.watching.estimate_accuracy import WINDOW_DAYS, estimate_live_accuracy
from tests.unit.reporting.summaries import summary

NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)
BINS = [{"n": 200, "confidence": 0.6, "accuracy": 0.55}, {"n": 200, "confidence": 0.95, "accuracy": 0.9}]


@dataclass
class Serving:
    settings: Settings
    live: Live

    def answered(self, confidence: float, count: int, *, model: str = "", days_ago: float = 1) -> None:
        at, name = (NOW - timedelta(days=days_ago)).isoformat(), model or self.live.model_version
        store = open_store(f"sqlite:{self.settings.root / 'log.sqlite'}")
        rows = [(f"{confidence}{name}{days_ago}{n}", at, "a", "positive", confidence + n * 1e-6) for n in range(count)]
        store.write([(*row, "{}", 4, None, name, "d") for row in rows])
        store.close()


@pytest.fixture
def serving(tmp_path: Path) -> Serving:
    (tmp_path / "params.yaml").write_text(yaml.safe_dump({"apps": ["com.example.app"]}))
    settings = Settings.load({"NOW": NOW.isoformat(), "PREDICTION_LOG": str(tmp_path / "log.sqlite")}, tmp_path)
    folder = settings.models / "champion"
    folder.mkdir(parents=True)
    (folder / "weights.bin").write_text("w")
    version = seal(
        folder,
        kind="classic",
        labels=["negative", "positive"],
        text_version=1,
        trained_with=TrainedWith("d" * 12, "binary", "r", "c"),
        metrics={"reliability": BINS},
        golden=[Golden("bagus", (0.1, 0.9))],
    )
    return Serving(settings, Live(version, "r1", "d" * 12, 1, NOW.isoformat(), url="http://127.0.0.1:8080"))


def test_the_estimate_is_of_the_live_models_newest_answers_and_says_what_it_was_measured_on(serving: Serving) -> None:
    serving.answered(0.95, 300)
    serving.answered(0.6, 100)
    serving.answered(0.6, 500, model="other")
    serving.answered(0.6, 500, days_ago=WINDOW_DAYS + 1)
    found = estimate_live_accuracy(serving.settings, serving.live)
    assert found.passed
    assert found.score is not None
    assert (found.score["n"], round(found.score["accuracy"], 3)) == (400, 0.813)
    for part in (
        "0.813 [0.7",
        "400 newest answers",
        serving.live.model_version,
        "On the 400 texts",
        "labels, 0.725 are",
        "d" * 12,
    ):
        assert part in found.reason


def test_traffic_that_the_model_is_unsure_of_breaks_the_claim(serving: Serving) -> None:
    serving.answered(0.6, 2000)
    found = estimate_live_accuracy(serving.settings, serving.live)
    assert not found.passed
    assert "The traffic is harder than the test side" in found.reason


def test_without_a_service_a_log_or_enough_answers_nothing_is_estimated(serving: Serving) -> None:
    assert estimate_live_accuracy(serving.settings, None).reason == "not estimated: no service answers"
    assert "there is no log of its answers here" in estimate_live_accuracy(serving.settings, serving.live).reason
    serving.answered(0.9, 99)
    found = estimate_live_accuracy(serving.settings, serving.live)
    assert (found.passed, found.score) == (True, None)
    assert "gave 99 logged answers in 28 days, 100 are needed" in found.reason


def test_a_log_that_cannot_be_read_is_told_and_stops_nothing(serving: Serving) -> None:
    (serving.settings.root / "log.sqlite").write_text("this is no database, and long enough to be read as one" * 40)
    found = estimate_live_accuracy(serving.settings, serving.live)
    assert not found.passed
    assert "the prediction log cannot be used" in found.reason


def test_it_stands_beside_the_forward_score() -> None:
    score = {"n": 400, "accuracy": 0.81, "accuracy_interval": [0.78, 0.84], "model_version": "m1"}
    check = {"check": "c", "passed": True, "severity": "WARN", "reason": "", "live_score": score}
    champion = {"model": "classic", "model_version": "m1", "reason": "first model"}
    run = summary(champion=champion, checks=[check])
    assert "On live traffic: model m1, accuracy 0.810 [0.780, 0.840], n = 400 answers" in "\n".join(serving_lines(run))
    [row] = [row for row in score_rows(run) if row["side"] == "live, estimated"]
    assert (row["model_version"], row["n"], row["accuracy_low"], row["macro_f1"]) == ("m1", 400, 0.78, None)
