"""What clients will notice of a switch: how the answers of the old and the new model to the newest reviews differ."""

import time
from collections import Counter
from collections.abc import Sequence
from itertools import cycle, islice
from typing import TYPE_CHECKING, Any

import numpy as np

from mlops_assets.serving.models.model import Model
from mlops_assets.text import text_digest

if TYPE_CHECKING:
    import pandas as pd

NEWEST = 2000
"""So many reviews are compared: of 98 % the interval is then 1.2 points wide, and int8 BERT needs seconds."""
_EXAMPLES = 10
_TIMED_TEXTS = 100


def newest_texts(reviews: "pd.DataFrame") -> list[str]:
    """The texts of the newest reviews, the newest first."""
    rows = reviews[reviews["review_text"].notna()].sort_values(["review_date", "app_id", "review_id"])
    return rows["review_text"].tail(NEWEST).tolist()[::-1]


def compare(old: Model, new: Model, texts: Sequence[str]) -> dict[str, Any]:
    """The comparison as the decision holds it, without any text: examples are named by the digest of theirs.

    Each review counts, as clients ask. `changes` says how many answers went from which label to which, equal ones too.
    """
    distinct = list(dict.fromkeys(texts))
    before, after = _answers(old, distinct), _answers(new, distinct)
    changes = Counter((before[text][0], after[text][0]) for text in texts)
    agreed = sum(count for (was, becomes), count in changes.items() if was == becomes)
    share, low, high = _share(agreed, len(texts))
    milliseconds = _milliseconds({"old": old, "new": new}, texts)
    changed = [text for text in distinct if before[text][0] != after[text][0]]
    changed.sort(key=lambda text: -min(before[text][1], after[text][1]))
    return {
        "n": len(texts),
        "agreed": agreed,
        "share": share,
        "low": low,
        "high": high,
        "changes": [{"from": was, "to": becomes, "n": count} for (was, becomes), count in sorted(changes.items())],
        "examples": [
            {"text": text_digest(text), "from": before[text][0], "to": after[text][0]} for text in changed[:_EXAMPLES]
        ],
        "milliseconds": milliseconds,
        "said": _said(len(texts), len(texts) - agreed, (share, low, high), milliseconds),
    }


def _answers(model: Model, texts: Sequence[str]) -> dict[str, tuple[str, float]]:
    """Text -> label and its probability."""
    rows = model.probabilities(texts)
    return {text: (model.labels[row.argmax()], float(row.max())) for text, row in zip(texts, rows, strict=True)}


def _share(hits: int, count: int) -> tuple[float, float, float]:
    """The share and its 95 % interval (Wilson)."""
    from scipy.stats import binomtest

    bounds = binomtest(hits, count).proportion_ci(method="wilson")
    return hits / count, float(bounds.low), float(bounds.high)


def _milliseconds(models: dict[str, Model], texts: Sequence[str]) -> dict[str, Any]:
    """How long each model takes for a single text. They take turns, so that a busy machine slows both alike."""
    times: dict[str, list[float]] = {name: [] for name in models}
    for text in islice(cycle(texts), _TIMED_TEXTS):
        for name, model in models.items():
            started = time.perf_counter()
            model.probabilities([text])
            times[name].append((time.perf_counter() - started) * 1000)
    return {
        "n": _TIMED_TEXTS,
        **{
            name: {"median": float(np.median(spent)), "slowest_tenth": float(np.quantile(spent, 0.9))}
            for name, spent in times.items()
        },
    }


def _said(n: int, changed: int, share: tuple[float, float, float], milliseconds: dict[str, Any]) -> str:
    rate, low, high = (f"{100 * value:.1f}" for value in share)
    new, old = (
        f"{milliseconds[name]['median']:.1f} ms (slowest tenth {milliseconds[name]['slowest_tenth']:.1f} ms)"
        for name in ("new", "old")
    )
    return (
        f"{rate} % [{low}, {high}] of the newest {n} reviews get the same answer, {changed} another one; "
        f"a text takes the new model {new}, the old one {old}"
    )
