"""Labels that callers of the service gave as feedback, if the service kept the text and a stored review has it."""

from collections.abc import Collection, Iterable
from datetime import UTC, datetime

from mlops_assets.masking import mask
from mlops_assets.reviews.labels.table import ANSWERS, Answer, Given, LabelTable, person
from mlops_assets.text import text_digest


def take_feedback(
    rows: Iterable[tuple[str, str, str, str]], table: LabelTable, known: Collection[str], anonymous: str
) -> int:
    """Add feedback (text, label, caller, ISO time) on texts whose digest is `known`; how many labels were new.

    Callers without a name of their own do not count: anybody who reaches an open service could relabel reviews.
    """
    given = []
    sentiments: dict[str, Answer] = {each: each for each in ANSWERS if each != "skip"}
    for text, label, caller, at in rows:
        digest = next((form for form in (text_digest(text), text_digest(mask(text))) if form in known), None)
        answer = sentiments.get(label)
        if digest and answer and caller != anonymous:
            instant = datetime.fromisoformat(at).astimezone(UTC).isoformat(timespec="microseconds")
            given.append(Given(digest, answer, person(caller), instant, "feedback"))
    return table.take(given) if given else 0
