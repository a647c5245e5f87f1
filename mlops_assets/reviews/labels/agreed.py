"""The label that people agree on, text by text, and how often they do. Pure functions."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from mlops_assets.reviews.labels.table import Given, latest


@dataclass(frozen=True)
class Agreement:
    """How many texts two people or more labelled, and on how many of them all gave the same label."""

    texts: int
    alike: int

    def __str__(self) -> str:
        return f"all agree on {self.alike} of {self.texts} texts that several people labelled"


def agreed(given: Iterable[Given]) -> dict[str, str]:
    """Digest of the text -> label: each person's last label counts once, the majority wins, a tie goes to the newest.

    Feedback to the service decides only about texts that nobody labelled otherwise.
    """
    return {text: _winner(answers) for text, answers in _by_text(given).items()}


def agreement(given: Iterable[Given]) -> Agreement:
    """How often people agree."""
    several = [answers for answers in _by_text(given).values() if len({each.by for each in answers}) > 1]
    return Agreement(len(several), sum(len({each.answer for each in answers}) == 1 for answers in several))


def _by_text(given: Iterable[Given]) -> Mapping[str, list[Given]]:
    own, feedback = defaultdict[str, list[Given]](list), defaultdict[str, list[Given]](list)
    for each in latest(given):
        (feedback if each.how == "feedback" else own)[each.text].append(each)
    return {**feedback, **own}


def _winner(answers: list[Given]) -> str:
    votes = Counter(each.answer for each in answers)
    most = max(votes.values())
    newest = max((each for each in answers if votes[each.answer] == most), key=lambda each: (each.at, each.by))
    return str(newest.answer)
