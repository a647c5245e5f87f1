"""Which text a person labels next. Pure: the same table and the same texts give the same answer.

Held-out texts are drawn at random: a score over texts that were chosen because they are hard would say nothing of the
others. Texts of the train side are chosen for what a label would teach.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, zip_longest
from typing import Literal

from mlops_assets.reviews.labels.agreed import Agreement, agreed, agreement
from mlops_assets.reviews.labels.table import Given

Why = Literal["drawn", "doubtful", "differ", "contradict", "unsure", "second"]
_DRAWN_EACH, _SECOND_EACH = 5, 10
"""Once enough held-out texts are labelled, every fifth text is another one of them. Every tenth text is one that
another person labelled, which shows how far people agree."""


@dataclass(frozen=True)
class Waiting:
    """A text to label: `text` is its digest."""

    text: str
    review_text: str
    app_id: str
    written: str
    why: Why


@dataclass(frozen=True)
class Progress:
    """How many texts this person answered, how many texts all labelled, how many of these can score a model."""

    mine: int
    labelled: int
    scoring: int
    wanted: int
    agreement: Agreement

    def __str__(self) -> str:
        enough = "" if self.scoring >= self.wanted else f", {self.wanted} are needed"
        agree = f"; {self.agreement}" if self.agreement.texts else ""
        return (
            f"{self.labelled} texts labelled, {self.scoring} of them are held out and can score a model{enough}{agree}"
        )


@dataclass(frozen=True)
class Queue:
    """`drawn`: held-out texts in random order; `chosen`: texts of the train side, the most telling first; `held_out`:
    the digests of all held-out texts whose label can score; `labels`: those that the label rule knows.
    """

    drawn: Sequence[Waiting]
    chosen: Sequence[Waiting]
    held_out: Collection[str]
    labels: Collection[str]
    wanted: int

    def next(self, given: Sequence[Given], by: str) -> Waiting | None:
        """The text for this person; None if there is none left."""
        mine = {each.text for each in _last(given).values() if each.by == by and each.answer is not None}
        anybody = {each.text for each in _last(given).values() if each.answer not in (None, "skip")}
        second = (
            Waiting(each.text, each.review_text, each.app_id, each.written, "second")
            for each in (*self.drawn, *self.chosen)
            if each.text in anybody
        )
        new_drawn = (each for each in self.drawn if each.text not in anybody)
        new_chosen = (each for each in self.chosen if each.text not in anybody)
        answered = len(mine)
        if self.progress(given, by).scoring < self.wanted or answered % _DRAWN_EACH == 0:
            order = chain(new_drawn, new_chosen, second)
        else:
            order = chain(new_chosen, new_drawn, second)
        if answered % _SECOND_EACH == _SECOND_EACH - 1:
            order = chain(second, order)
        return next((each for each in order if each.text not in mine), None)

    def find(self, text: str) -> Waiting | None:
        """The text with this digest."""
        return next((each for each in (*self.drawn, *self.chosen) if each.text == text), None)

    def progress(self, given: Sequence[Given], by: str) -> Progress:
        """Where this person and all together are."""
        last, known = _last(given), agreed(given)
        return Progress(
            mine=sum(each.by == by and each.answer is not None for each in last.values()),
            labelled=len(known),
            scoring=sum(text in self.held_out and label in self.labels for text, label in known.items()),
            wanted=self.wanted,
            agreement=agreement(given),
        )


def in_turn(lists: Mapping[Why, Iterable[str]]) -> dict[str, Why]:
    """Digests of the lists in turn, one of each, with why; a text counts for the first list that has it."""
    found: dict[str, Why] = {}
    for row in zip_longest(*lists.values()):
        for why, text in zip(lists, row, strict=True):
            if text is not None:
                found.setdefault(text, why)
    return found


def _last(given: Iterable[Given]) -> dict[tuple[str, str], Given]:
    return {(each.text, each.by): each for each in given}
