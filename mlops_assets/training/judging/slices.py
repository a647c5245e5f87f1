"""Parts of the reviews that are worth a score of their own."""

import re
from collections.abc import Iterator

import numpy as np
import pandas as pd

from mlops_assets.text import normalise

_NEGATIONS = (
    "tidak tdk tak gak gk ga g nggak ngga ngak engga enggak ndak kagak kaga bukan bkn belum blm jangan jgn tanpa kurang"
    " not no never"
)
_SLANG = (
    "yg bgt bngt bgtt banget gan min gw gue gua lu lo loe udh udah dah sdh aja aj doang klo kalo kl tp jg krn krna"
    " dgn dg utk tuk dr dri sm sma pd bs bsa dpt dpet trs trus lg lgi gmn gimana knp knapa kyk kayak nih sih dong deh"
    " kok mantul mantab mantep joss jos kece gercep cuan cepet bener pake ngelag ngebug lemot gaje anjir anjay"
    " wkwk wkwkwk ribet apk sy sya skrg skrng hrs blg bikin ajah yaa nya"
)
NEGATIONS = frozenset(_NEGATIONS.split())
SLANG = frozenset(_SLANG.split())
_WORD = re.compile(r"\w+")
_EMOJI = re.compile("[\u2190-\u21ff\u2300-\u27bf\u2b00-\u2bff\U0001f000-\U0001faff]")


def slices(frame: pd.DataFrame) -> Iterator[tuple[str, np.ndarray]]:
    """Name and boolean mask (n,) of every slice that holds a review.

    `frame` has review_text, rating, app_id and review_date.
    """
    texts = [normalise(text) for text in frame["review_text"]]
    words = [_WORD.findall(text) for text in texts]
    masks: dict[str, np.ndarray] = {
        "negation": np.array([not NEGATIONS.isdisjoint(w) for w in words], dtype=bool),
        "slang": np.array([not SLANG.isdisjoint(w) for w in words], dtype=bool),
        "at most two words": np.array([len(w) <= 2 for w in words], dtype=bool),
        "emoji": np.array([bool(_EMOJI.search(text)) for text in texts], dtype=bool),
    }
    for prefix, values in (
        ("stars", frame["rating"].astype("string")),
        ("app", frame["app_id"].astype("string")),
        ("month", months(frame)),
    ):
        plain = values.fillna("none").to_numpy(dtype=object)
        masks |= {f"{prefix} {value}": plain == value for value in sorted(set(plain))}
    yield from ((name, mask) for name, mask in masks.items() if mask.any())


def decides(name: str) -> bool:
    """Whether a slice may stop a promotion.

    Stars are another word for the label: whenever the balance between the labels shifts, a model gains on some of them
    and loses on others. Of the months the newest window decides.
    """
    return not name.startswith(("stars ", "month "))


def months(frame: pd.DataFrame) -> pd.Series:
    """The UTC month of each review as YYYY-MM."""
    return frame["review_date"].dt.strftime("%Y-%m")


def newest_window(frame: pd.DataFrame, newest_months: int) -> np.ndarray:
    """Mask (n,) of the reviews from the latest `newest_months` calendar months up to the newest review of the frame."""
    if frame.empty:
        return np.zeros(0, dtype=bool)
    dates = frame["review_date"]
    number = (dates.dt.year * 12 + dates.dt.month).to_numpy()
    return number > np.nanmax(number) - newest_months
