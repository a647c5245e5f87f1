"""The label of a review: its stars as sentiment, unless people labelled its text."""

from collections.abc import Mapping
from typing import cast, get_args

import pandas as pd

from mlops_assets.params.choices import LabelRule
from mlops_assets.text import text_digest

LABELS: dict[str, tuple[str, ...]] = {
    "binary": ("negative", "positive"),
    "ternary": ("negative", "neutral", "positive"),
}
"""The labels that each rule gives, worst first."""


def label_of(rating: int, rule: LabelRule) -> str | None:
    """1 and 2 stars negative, 4 and 5 positive; 3 are neutral or, under `binary`, without a label."""
    if rule not in get_args(LabelRule):
        raise ValueError(f"label rule must be one of {', '.join(get_args(LabelRule))}, got {rule!r}")
    if not 1 <= rating <= 5:
        raise ValueError(f"rating must be 1 to 5, got {rating}")
    if rating == 3:
        return "neutral" if rule == "ternary" else None
    return "negative" if rating < 3 else "positive"


def add_labels(frame: pd.DataFrame, rule: LabelRule) -> pd.DataFrame:
    """The rows that have a label under the rule, with it in `label`."""
    labels = labels_of(frame["rating"], rule)
    return cast("pd.DataFrame", frame.assign(label=labels)[labels.notna()])


def labels_of(ratings: pd.Series, rule: LabelRule) -> pd.Series:
    """The label of each rating, null for one without a label."""
    names = {rating: label for rating in range(1, 6) if (label := label_of(rating, rule)) is not None}
    return ratings.map(names).astype("str")


def with_labels_of_people(frame: pd.DataFrame, rule: LabelRule, people: Mapping[str, str]) -> pd.DataFrame:
    """The rows with what people say of their text in `person` (null: nothing), which beats the stars in `label`.

    `people` maps the digest of a text to a label. A label that the rule does not know leaves the row without any.
    """
    answers = {text: people.get(text_digest(text)) for text in frame["review_text"].unique()} if people else {}
    person = frame["review_text"].map(answers).astype("str")
    known = person.where(person.isin(LABELS[rule]))
    return frame.assign(person=person, label=frame["label"].where(person.isna(), known))
