"""The topic of each review of a month that the serving model has answered."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from mlops_assets.reviews.predictions.month import read_month
from mlops_assets.reviews.stored import months
from mlops_assets.reviews.topics.model import TopicModel, words_in
from mlops_assets.reviews.topics.stored import MONTH

_GOOD_EXAMPLE_WORDS = 6
"""An example of fewer words is worth less: it names the topic and tells nothing about it."""


def answered(reviews: Path, answers: Path) -> pd.DataFrame:
    """The reviews of a month's file that have an answer: review_id, review_date, app_version, review_text, sentiment,
    and `text_key`.
    """
    rows = months.read_some(reviews, ["review_id", "review_date", "app_version", "review_text"]).to_pandas()
    said = read_month(answers, ["review_id", "text_key", "sentiment"]).to_pandas()
    return rows.merge(said, on="review_id", how="inner", validate="one_to_one")


def texts_of(rows: pd.DataFrame, sentiment: str) -> Iterator[tuple[int, str]]:
    """Key and text of the answered reviews of a sentiment that hold a word."""
    chosen = rows[(rows["sentiment"] == sentiment) & rows["review_text"].notna()].drop_duplicates("text_key")
    for key, text in zip(chosen["text_key"], chosen["review_text"], strict=True):
        if words_in(text):
            yield key, text


def assign(rows: pd.DataFrame, models: Mapping[str, TopicModel]) -> pd.DataFrame:
    """The columns of a stored month for the rows of `answered`."""
    topic = np.full(len(rows), None, dtype=object)
    typical = np.zeros(len(rows))
    for sentiment, model in models.items():
        wanted = ((rows["sentiment"] == sentiment) & rows["review_text"].notna()).to_numpy()
        chosen = rows[wanted]
        texts = chosen.drop_duplicates("text_key").set_index("text_key")["review_text"]
        found = dict(zip(texts.index, model.topics_of(texts.tolist()), strict=True))
        length = {key: min(1.0, len(words_in(text)) / _GOOD_EXAMPLE_WORDS) for key, text in texts.items()}
        topic[wanted] = [found[key][0] for key in chosen["text_key"]]
        typical[wanted] = [found[key][1] * length[key] for key in chosen["text_key"]]
    return rows.assign(topic=topic, typical=typical)[MONTH.names].reset_index(drop=True)
