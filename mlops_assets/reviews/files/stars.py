"""One cell's stars, as people and programs write them. Pure; only what is certain is read."""

import re

_COUNT = r"(?P<stars>\d+)(?:[.,]0*)?"
_WORD = r"(?:stars?|bintang)"
_WRITTEN = re.compile(
    rf"(?:rated\s+|rating:?\s+|diberi\s+(?:rating|nilai)\s+)?(?:{_COUNT}|(?P<word>{_WORD})\s+(?P<after>\d))"
    rf"(?:\s+{_WORD})?(?:\s*(?:/|out\s+of|of|dari)\s*(?P<most>\d+|five|lima)(?:[.,]0*)?)?(?:[\s-]*(?:{_WORD}|⭐|★)(?:\s+rating)?)?",
    re.IGNORECASE,
)
_DRAWN = re.compile(r"(?P<full>★+|⭐+|🌟+)(?P<empty>☆*)")
_INVISIBLE = str.maketrans("", "", "\ufe0e\ufe0f")
_MOST = 5


def stars(cell: str) -> int | None:
    """`4`, `4.0`, `4,0`, `4 stars`, `4/5`, `4 dari 5 bintang`, `★★★★☆` as 4; None for all else.

    None too: halves, and stars out of another number than five.
    """
    text = " ".join(cell.translate(_INVISIBLE).split())
    if drawn := _DRAWN.fullmatch(text):
        full, empty = len(drawn["full"]), len(drawn["empty"])
        return full if full <= _MOST and empty in (0, _MOST - full) else None
    written = _WRITTEN.fullmatch(text)
    if written is None or (written["most"] or "5").lower() not in ("5", "five", "lima"):
        return None
    return int(written["stars"] or written["after"])
