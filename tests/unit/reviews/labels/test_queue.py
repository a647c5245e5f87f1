"""Which text is next: held-out ones at random until a hundred can score, then what teaches most."""

from datetime import UTC, datetime, timedelta

from mlops_assets.reviews.labels.queue import Queue, Waiting, in_turn
from mlops_assets.reviews.labels.table import Given

AT = datetime(2026, 11, 1, tzinfo=UTC)


def waiting(name: str, why="drawn") -> Waiting:
    return Waiting(name, f"teks {name}", "app", "2026-11-01", why)


DRAWN = [waiting(f"d{n}") for n in range(12)]
CHOSEN = [waiting(f"c{n}", "differ") for n in range(12)]
QUEUE = Queue(DRAWN, CHOSEN, {each.text for each in DRAWN}, {"negative", "positive"}, wanted=3)


def answer(queue: Queue, given: list[Given], by: str, label="positive") -> str:
    found = queue.next(given, by)
    assert found is not None
    given.append(Given(found.text, label, by, (AT + timedelta(seconds=len(given))).isoformat()))
    return found.text


def test_held_out_texts_come_first_until_enough_can_score_then_one_in_five():
    given: list[Given] = []
    asked = [answer(QUEUE, given, "Ani") for _ in range(12)]
    assert asked[:3] == ["d0", "d1", "d2"]
    assert [text[0] for text in asked[3:]] == ["c", "c", "d", "c", "c", "c", "c", "d", "c"]
    progress = QUEUE.progress(given, "Ani")
    assert (progress.mine, progress.labelled, progress.scoring) == (12, 12, 5)


def test_a_label_that_the_rule_does_not_know_does_not_score():
    given: list[Given] = []
    for _ in range(3):
        answer(QUEUE, given, "Ani", "neutral")
    assert QUEUE.progress(given, "Ani").scoring == 0
    assert answer(QUEUE, given, "Ani") == "d3"


def test_a_skipped_text_is_not_asked_again_but_another_person_gets_it():
    given: list[Given] = []
    assert answer(QUEUE, given, "Ani", "skip") == "d0"
    assert answer(QUEUE, given, "Ani") == "d1"
    assert answer(QUEUE, given, "Budi") == "d0"
    assert answer(QUEUE, given, "Budi") == "d2", "d1 is labelled by Ani"


def test_every_tenth_text_is_one_that_another_person_labelled():
    given: list[Given] = []
    theirs = [answer(QUEUE, given, "Ani") for _ in range(4)]
    mine = [answer(QUEUE, given, "Budi") for _ in range(10)]
    assert set(mine[:9]).isdisjoint(theirs)
    assert mine[9] == "d0"
    assert QUEUE.progress(given, "Budi").agreement.texts == 1


def test_nothing_is_left_once_everything_is_answered():
    queue, given = Queue(DRAWN[:1], CHOSEN[:1], {"d0"}, {"positive"}, wanted=3), list[Given]()
    assert [answer(queue, given, "Ani") for _ in range(2)] == ["d0", "c0"]
    assert queue.next(given, "Ani") is None


def test_reasons_take_turns_and_a_text_has_the_first():
    found = in_turn({"differ": ["a", "b"], "contradict": ["b"], "unsure": ["c", "a", "d"]})
    assert found == {"a": "differ", "b": "contradict", "c": "unsure", "d": "unsure"}
