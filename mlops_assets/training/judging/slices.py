"""Parts of the reviews that are worth a score of their own."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
import pandas as pd

from mlops_assets.text import normalise

_OTHERWISE = ""
"""The language of a text that has no list of its own: Indonesian, English, or one that cannot be told."""
_NEGATIONS = {
    _OTHERWISE: "tidak tdk tak gak gk ga g nggak ngga ngak engga enggak ndak kagak kaga bukan bkn belum blm jangan jgn"
    " tanpa kurang not no never",
    "es": "no nunca jamás ni sin tampoco",
    "pt": "não nao nunca jamais nem sem",
    "fr": "ne n pas jamais ni sans aucun aucune",
    "de": "nicht nie niemals kein keine keinen ohne",
    "it": "non mai né senza",
    "nl": "niet nooit geen zonder",
    "tl": "hindi wala walang huwag",
    "vi": "không chưa chẳng đừng",
    "tr": "değil yok hiç asla",
}
_SLANG = (
    "yg bgt bngt bgtt banget gan min gw gue gua lu lo loe udh udah dah sdh aja aj doang klo kalo kl tp jg krn krna"
    " dgn dg utk tuk dr dri sm sma pd bs bsa dpt dpet trs trus lg lgi gmn gimana knp knapa kyk kayak nih sih dong deh"
    " kok mantul mantab mantep joss jos kece gercep cuan cepet bener pake ngelag ngebug lemot gaje anjir anjay"
    " wkwk wkwkwk ribet apk sy sya skrg skrng hrs blg bikin ajah yaa nya"
)
NEGATIONS = {language: frozenset(words.split()) for language, words in _NEGATIONS.items()}
SLANG = {_OTHERWISE: frozenset(_SLANG.split())}
"""Of Indonesian alone: `min`, `sim` and `lo` are common words elsewhere."""
LEAST_OF_A_LANGUAGE = 10
"""Fewer texts of a language have no slice: some are mistakes of the detector."""
_WORD = re.compile(r"\w+")
_EMOJI = re.compile("[\u2190-\u21ff\u2300-\u27bf\u2b00-\u2bff\U0001f000-\U0001faff]")


def slices(frame: pd.DataFrame) -> Iterator[tuple[str, np.ndarray]]:
    """Name and boolean mask (n,) of every slice that holds a review, and of each language with enough of them.

    `frame` has review_text, rating, app_id and review_date, and `language` if it is known (`unknown` where it cannot be
    told).
    """
    texts = [normalise(text) for text in frame["review_text"]]
    words = [_WORD.findall(text) for text in texts]
    languages = frame["language"].to_numpy(dtype=object) if "language" in frame else np.full(len(frame), "unknown")
    masks: dict[str, np.ndarray] = {
        "negation": _listed(words, languages, NEGATIONS),
        "slang": _listed(words, languages, SLANG),
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
    for language in sorted(set(languages) - {"unknown"}):
        if (mask := languages == language).sum() >= LEAST_OF_A_LANGUAGE:
            masks[f"language {language}"] = mask
    yield from ((name, mask) for name, mask in masks.items() if mask.any())


def _listed(
    words: Sequence[Sequence[str]], languages: Iterable[str], lists: Mapping[str, frozenset[str]]
) -> np.ndarray:
    """Mask (n,) of the texts that hold a word from the list of their language."""
    listed = [_of_language(language, lists) for language in languages]
    return np.array([not own.isdisjoint(found) for own, found in zip(listed, words, strict=True)], dtype=bool)


def _of_language(language: str, lists: Mapping[str, frozenset[str]]) -> frozenset[str]:
    return lists.get(language if language in NEGATIONS else _OTHERWISE, frozenset())


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
