"""Feedback to the service becomes labels in a run; nothing new costs no reading."""

from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
import pytest
import yaml

from mlops_assets.reviews.labels.table import FOLDER, LabelTable
from mlops_assets.reviews.stored import columns
from mlops_assets.settings import Settings
from mlops_assets.steps import version
from tests.review_reads import ReviewReads
from tests.unit.reviews.rows import frame, review

AT = "2026-03-01T00:00:00+00:00"


@dataclass
class PredictionLog:
    rows: list[tuple[str, str, str, str]] = field(default_factory=list)

    def feedback_on_texts(self) -> list[tuple[str, str, str, str]]:
        return self.rows

    def close(self) -> None:
        pass


def month(settings: Settings, name: str, text: str) -> None:
    rows = pd.DataFrame(frame(review(name, review_text=text, review_date=f"{name}-05")))
    columns.write_frame(columns.conform(rows), settings.data / "validated" / "com.example.app" / f"{name}.parquet")


def test_feedback_is_looked_up_when_it_or_the_reviews_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "params.yaml").write_text(yaml.safe_dump({"apps": ["com.example.app"], "labels": "binary"}))
    settings = Settings.load({}, tmp_path)
    log = PredictionLog([("bagus", "negative", "shop", AT), ("baru", "positive", "shop", AT)])
    monkeypatch.setattr(version, "existing_log", lambda _: log)
    month(settings, "2026-01", "bagus")
    assert version._take_feedback(settings).startswith("1 new labels")
    reads = ReviewReads(monkeypatch)
    assert version._take_feedback(settings).startswith("0 new labels")
    assert not reads.of_file
    month(settings, "2026-02", "baru")
    assert version._take_feedback(settings).startswith("1 new labels")
    LabelTable(settings.data / FOLDER).path.unlink()
    assert version._take_feedback(settings).startswith("2 new labels")
