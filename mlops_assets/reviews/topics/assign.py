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
    and `digest`, that of the text.
    """
    rows = months.read_some(reviews, ["review_id", "review_date", "app_version", "review_text"]).to_pandas()
    said = read_month(answers, ["review_id", "text", "sentiment"]).to_pandas()
    return rows.merge(said.rename(columns={"text": "digest"}), on="review_id", how="inner", validate="one_to_one")


def texts_of(rows: pd.DataFrame, sentiment: str) -> Iterator[tuple[str, str]]:
    """Digest and text of the answered reviews of a sentiment that hold a word."""
    chosen = rows[(rows["sentiment"] == sentiment) & rows["review_text"].notna()].drop_duplicates("digest")
    for digest, text in zip(chosen["digest"], chosen["review_text"], strict=True):
        if words_in(text):
            yield digest, text


def assign(rows: pd.DataFrame, models: Mapping[str, TopicModel]) -> pd.DataFrame:
    """The columns of a stored month for the rows of `answered`."""
    topic = np.full(len(rows), None, dtype=object)
    typical = np.zeros(len(rows))
    for sentiment, model in models.items():
        wanted = ((rows["sentiment"] == sentiment) & rows["review_text"].notna()).to_numpy()
        chosen = rows[wanted]
        texts = chosen.drop_duplicates("digest").set_index("digest")["review_text"]
        found = dict(zip(texts.index, model.topics_of(texts.tolist()), strict=True))
        length = {digest: min(1.0, len(words_in(text)) / _GOOD_EXAMPLE_WORDS) for digest, text in texts.items()}
        topic[wanted] = [found[digest][0] for digest in chosen["digest"]]
        typical[wanted] = [found[digest][1] * length[digest] for digest in chosen["digest"]]
    return rows.assign(topic=topic, typical=typical)[MONTH.names].reset_index(drop=True)
