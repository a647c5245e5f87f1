"""A model's answers to the reviews of one month: which rows stay, which texts are asked."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import numpy as np
import pyarrow as pa

from mlops_assets.reviews.predictions.month import SCHEMA
from mlops_assets.reviews.stored.split import Split
from mlops_assets.text import text_key

NEEDED = ("review_id", "app_id", "review_date", "review_text")
"""The columns of a review that a prediction needs."""
_ASKED_TOGETHER = 1000
_MOST_REMEMBERED = 200_000


@dataclass(frozen=True)
class Answering:
    """The model that answers, with the split that it was trained with.

    `since` is the time of its first run over the stored reviews, `now` that of this run.
    """

    model_version: str
    labels: Sequence[str]
    probabilities: Callable[[Sequence[str]], np.ndarray]
    split: Split
    since: datetime
    now: datetime
    remembered: dict[int, list[float]] = field(default_factory=dict)
    """Answers of this run by the key of the text: frequent texts are in every month."""

    def ask(self, texts: dict[int, str], out_of_time: Callable[[], bool]) -> tuple[dict[int, list[float]], int]:
        """Probabilities of these texts (by key) by key, until time is out; how many the model was asked."""
        answers = {key: self.remembered[key] for key in texts if key in self.remembered}
        unknown = [key for key in texts if key not in answers]
        asked = 0
        for start in range(0, len(unknown), _ASKED_TOGETHER):
            if out_of_time():
                break
            keys = unknown[start : start + _ASKED_TOGETHER]
            rows = self.probabilities([texts[key] for key in keys]).tolist()
            answers.update(zip(keys, rows, strict=True))
            asked += len(keys)
        if len(self.remembered) > _MOST_REMEMBERED:
            self.remembered.clear()
        self.remembered.update(answers)
        return answers, asked


@dataclass(frozen=True)
class Answered:
    """The month's rows, how many reviews have none yet, and how many distinct texts the model was asked."""

    table: pa.Table
    waiting: int
    asked: int


def answer_month(
    reviews: pa.Table,
    known: pa.Table,
    model: Answering,
    *,
    again: bool,
    first_seen: datetime,
    out_of_time: Callable[[], bool],
) -> Answered:
    """A row for each of `reviews` (`NEEDED`) that has an answer, in their order.

    `known` are the earlier rows: a review that reads as it did keeps its answer, and with `again` only that of this
    model. Each distinct text is asked once, and none when `out_of_time`; what then has an earlier model's answer keeps
    it. `first_seen` is when this model first saw the reviews without an answer.
    """
    texts = [text or "" for text in reviews["review_text"].to_pylist()]
    key_of = {text: text_key(text) for text in set(texts)}
    keys = [key_of[text] for text in texts]
    earlier = {(row["review_id"], row["text_key"]): row for row in known.to_pylist()}
    own: dict[int, list[float]] = {
        row["text_key"]: row["probabilities"] for row in earlier.values() if row["model_version"] == model.model_version
    }
    stays = [earlier.get(pair) for pair in zip(reviews["review_id"].to_pylist(), keys, strict=True)]
    wanted: dict[int, str] = {}
    for text, key, row in zip(texts, keys, stays, strict=True):
        if key not in own and (row is None or (again and row["model_version"] != model.model_version)):
            wanted.setdefault(key, text)
    answers, asked = model.ask(wanted, out_of_time)
    answers |= own
    rows: list[dict[str, Any]] = []
    for review, text, key, row in zip(
        reviews.select(["review_id", "app_id", "review_date"]).to_pylist(), texts, keys, stays, strict=True
    ):
        if key in answers and (row is None or row["model_version"] != model.model_version):
            given = answers[key]
            rows.append(
                {
                    **review,
                    "text_key": key,
                    "side": model.split.side_of(text),
                    "sentiment": model.labels[int(np.argmax(given))],
                    "probabilities": given,
                    "model_version": model.model_version,
                    "first_scored": first_seen if row is None else model.since,
                }
            )
        elif row is not None:
            rows.append({**row, "review_date": review["review_date"]})
    return Answered(pa.Table.from_pylist(rows, schema=SCHEMA), len(texts) - len(rows), asked)
