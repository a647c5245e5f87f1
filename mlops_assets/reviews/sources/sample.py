"""The embedded reviews of `sample.app`: generated, the same on every machine, no real person's words.

A month depends only on its name: existing months never change, and new months appear as the clock moves on.
"""

import hashlib
import random
import uuid
from datetime import UTC, datetime, timedelta

import pandas as pd

from mlops_assets.reviews.sources import sample_words as words
from mlops_assets.reviews.stored import columns
from mlops_assets.trained_on import SAMPLE_APP as APP

FIRST_MONTH = "2025-12"
REVIEWS_PER_MONTH = 250

_STARS = (5, 4, 3, 2, 1)
_STAR_WEIGHTS = (63, 11, 6, 5, 15)
_OPPOSITE_SHARE = 0.045  # stars that contradict their text, on top of vague texts that fit any star
_VAGUE_SHARE = 0.04
_SHORT_SHARE = {5: 0.38, 4: 0.22, 3: 0.3, 2: 0.1, 1: 0.15}
_REPLY_SHARE = {5: 0.15, 4: 0.2, 3: 0.4, 2: 0.55, 1: 0.6}


def months(first: str, now: datetime) -> list[str]:
    """Complete months from `first` (never before `FIRST_MONTH`) to the month before `now`."""
    current = now.astimezone(UTC).strftime("%Y-%m")
    found = []
    month = max(first, FIRST_MONTH)
    while month < current:
        found.append(month)
        month = _next(month)
    return found


def generate(*months: str) -> pd.DataFrame:
    """The months' reviews in the stored form."""
    return columns.conform(pd.DataFrame([row for month in months for row in _rows(month)]))


def _rows(month: str) -> list[dict[str, object]]:
    chance = random.Random(f"{APP} {month}")  # noqa: S311 - repeatable by design, nothing secret
    count = REVIEWS_PER_MONTH + chance.randint(-20, 20)
    return [_review(month, number, chance) for number in range(count)]


def _review(month: str, number: int, chance: random.Random) -> dict[str, object]:
    start = datetime.strptime(month, "%Y-%m").replace(tzinfo=UTC)
    end = datetime.strptime(_next(month), "%Y-%m").replace(tzinfo=UTC)
    collected = end + timedelta(hours=1)
    written = start + timedelta(seconds=chance.randrange(int((end - start).total_seconds())))
    (stars,) = chance.choices(_STARS, _STAR_WEIGHTS)
    replied = chance.random() < _REPLY_SHARE[stars]
    reply_time = min(written + timedelta(minutes=chance.randint(5, 3000)), collected)
    age = (start.year - 2025) * 12 + start.month - 12
    return {
        "review_id": str(uuid.UUID(bytes=hashlib.sha256(f"{APP} {month} {number}".encode()).digest()[:16], version=4)),
        "app_id": APP,
        "review_text": _text(stars, chance),
        "rating": stars,
        "thumbs_up": chance.choices((0, 1, 2, 3, 7, 25), (80, 9, 5, 3, 2, 1))[0],
        "app_version": None if chance.random() < 0.18 else f"3.{max(age - chance.choice((0, 0, 0, 1, 2)), 0)}.0",
        "review_date": written,
        "reply_text": chance.choice(words.REPLY_GOOD if stars > 3 else words.REPLY_BAD) if replied else None,
        "reply_date": reply_time if replied else None,
        "scraped_at": collected,
        "source": "sample",
    }


def _text(stars: int, chance: random.Random) -> str:
    mood = "good" if stars > 3 else "bad" if stars < 3 else "mixed"
    if chance.random() < _OPPOSITE_SHARE:
        mood = "bad" if mood == "good" else "good"
    if chance.random() < _VAGUE_SHARE:
        return _as_typed(chance.choice(words.VAGUE), "mixed", chance)
    if chance.random() < _SHORT_SHARE[stars]:
        short = {"good": words.GOOD_SHORT, "bad": words.BAD_SHORT, "mixed": words.MIXED_SHORT}[mood]
        # The first texts are far more frequent, so that some texts repeat.
        return _as_typed(short[min(int(chance.expovariate(0.16)), len(short) - 1)], mood, chance, short=True)
    frames = {"good": words.GOOD_FRAMES, "bad": words.BAD_FRAMES, "mixed": words.MIXED_FRAMES}[mood]
    sentence = _sentence(chance.choice(frames), chance)
    if chance.random() < 0.22:
        sentence += chance.choice((". ", "\n", ", ")) + _sentence(chance.choice(frames), chance)
    return _as_typed(sentence, mood, chance)


def _sentence(frame: str, chance: random.Random) -> str:
    (names, good, bad), (names2, good2, bad2) = chance.sample(words.ASPECTS, 2)
    return frame.format(
        aspect=chance.choice(names),
        good=chance.choice(good),
        bad=chance.choice(bad),
        aspect2=chance.choice(names2),
        good2=chance.choice(good2),
        bad2=chance.choice(bad2),
        verdict_good=chance.choice(words.VERDICT_GOOD),
        verdict_bad=chance.choice(words.VERDICT_BAD),
        wish_good=chance.choice(words.WISH_GOOD),
        wish_bad=chance.choice(words.WISH_BAD),
        since=chance.choice(words.SINCE),
        who=chance.choice(words.WHO),
    )


def _as_typed(text: str, mood: str, chance: random.Random, *, short: bool = False) -> str:
    """Slang, typing errors, capitals, repeated signs and emoji, each in a part of the texts."""
    spelled = " ".join(_spell(word, 0.12 if short else 0.35, chance) for word in text.split(" "))
    if not short and chance.random() < 0.25:
        spelled = _mistype(spelled, chance)
    style = chance.random()
    if style < 0.06:
        spelled = spelled.upper()
    elif style < 0.45:
        spelled = spelled[:1].upper() + spelled[1:]
    if chance.random() < 0.15:
        spelled += chance.choice(("!", "!!", "!!!", "..", "...", " ya", "."))
    if mood != "mixed" and chance.random() < 0.14:
        spelled += " " + chance.choice(words.GOOD_EMOJI if mood == "good" else words.BAD_EMOJI)
    return spelled


def _spell(word: str, share: float, chance: random.Random) -> str:
    bare = word.rstrip(",.")
    if bare in words.SLANG and chance.random() < share:
        return chance.choice(words.SLANG[bare]) + word[len(bare) :]
    return word


def _mistype(text: str, chance: random.Random) -> str:
    index = chance.randrange(1, max(len(text) - 1, 2))
    kind = chance.randrange(4)
    if kind == 0:
        return text[:index] + text[index + 1 :]
    if kind == 1:
        return text[: index - 1] + text[index : index + 1] + text[index - 1 : index] + text[index + 1 :]
    if kind == 2:
        return text[:index] + text[index - 1 : index] * chance.randint(1, 3) + text[index:]
    return text.replace("ng", "g", 1)


def _next(month: str) -> str:
    year, number = int(month[:4]), int(month[5:])
    return f"{year + number // 12}-{number % 12 + 1:02d}"
