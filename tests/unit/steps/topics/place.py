"""A clone with reviews of some months and the answers of a model, without the model."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
import yaml

from mlops_assets.files import replace_file
from mlops_assets.reviews.predictions.stored import INDEX
from mlops_assets.reviews.stored import columns
from mlops_assets.reviews.topics.stored import TopicStore
from mlops_assets.settings import Settings
from mlops_assets.steps.topics import find_topics as step
from mlops_assets.text import text_key
from mlops_assets.workspace import TOPICS
from tests.fakes.version_repository import FakeVersionRepository
from tests.unit.reviews.rows import APP, frame, review
from tests.unit.reviews.topics.invented import complaints, everything

RULES = {"count": 4, "least_texts": 50, "sample_texts": 200}


class Place:
    """Its months, rules and topics."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        self.folder = folder
        self.repository = FakeVersionRepository(folder / "clone")
        self.repository.commits.append(
            {"commit": "a" * 40, "files": {"data/validated": f"{0:032}.dir"}, "trailers": {}}
        )
        self.set_rules()

    def set_rules(self, **rules: Any) -> None:
        params = {"apps": [APP], "source": "file", "labels": "binary", "topics": {**RULES, **rules}}
        (self.folder / "params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")
        self.settings = self.settings_with()

    def settings_with(self, **environ: str) -> Settings:
        return Settings.load({"NOW": "2026-03-10T12:00:00Z", **environ}, self.folder)

    def without(self, month: str, text: str) -> None:
        """Remove the reviews with a text from what is stored."""
        path = self.settings.data / "validated" / APP / f"{month}.parquet"
        rows = columns.read_frame(path)
        columns.write_frame(rows[rows["review_text"] != text], path)

    def month(
        self, month: str, texts: list[str], sentiment: str = "negative", version: str = "1.0", day: int = 10
    ) -> None:
        rows = frame(
            *(
                review(f"{month}-{n}", review_text=text, app_version=version, review_date=f"{month}-{day}T12:00:00Z")
                for n, text in enumerate(texts)
            )
        )
        self.put(month, rows, [sentiment] * len(rows))

    def put(self, month: str, rows: pd.DataFrame, sentiments: list[str]) -> None:
        for folder in (self.repository.data_folder, self.settings.data):
            columns.write_frame(rows, folder / "validated" / APP / f"{month}.parquet")
        answers = pa.table(
            {
                "review_id": rows["review_id"].tolist(),
                "text_key": [text_key(text) for text in rows["review_text"]],
                "sentiment": sentiments,
                "probabilities": [[0.9, 0.1]] * len(rows),
                "model_version": ["m1"] * len(rows),
            }
        )
        columns.write_table(answers, self.settings.predictions / APP / f"{month}.parquet")
        replace_file(self.settings.predictions / INDEX, json.dumps({"months": month, "rows": len(rows)}))

    def find(self) -> step.FoundTopics:
        return step.find_topics(self.settings, self.repository)  # pyright: ignore[reportArgumentType]

    @property
    def store(self) -> TopicStore:
        return TopicStore(self.settings.data / TOPICS)


def without_model(patch: pytest.MonkeyPatch) -> None:
    """The answers are there although no model is."""
    patch.setattr(step, "refuse_missing_upstream", lambda *_: None)
    patch.setattr(step, "_model_version", lambda _: "m1")


@pytest.fixture
def no_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same for one test."""
    without_model(monkeypatch)


def two_releases(folder: Path) -> Place:
    """A place whose second release has many complaints about the login, with its topics found."""
    found = Place(folder)
    found.month("2026-01", everything(20, seed=1))
    found.month("2026-02", [*everything(8, seed=2), *complaints("login", 60, seed=5)], version="1.1")
    found.find()
    return found
