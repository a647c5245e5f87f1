"""Figures of a model, or of two compared, on reviews not trained on, each with its sample size and its interval.

What a figure may decide stands in `gate.py`; this module only measures.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from mlops_assets.failures import PermanentFailure
from mlops_assets.params.models import Evaluation
from mlops_assets.text import text_key
from mlops_assets.training.judging import bootstrap, calibration, slices

LABELS = ("negative", "neutral", "positive")
SIDES = ("train", "validation", "gate", "test")
HELD_OUT = ("validation", "gate", "test")
LEAST_TEXTS = 10
"""Figures over fewer distinct texts have no interval; nor have those that no resample moves, such as eleven of eleven
right: a bootstrap knows nothing of answers that it has not seen."""
UNSEEN_TEXTS = 3
"""If no resample moves the difference, as between models that agree everywhere, the bootstrap knows nothing about texts
on which they disagree. By the rule of three, up to 3/n of all texts may be of that kind."""


def label_names(frame: pd.DataFrame) -> tuple[str, ...]:
    """The labels of a training frame in their fixed order; refuses a frame that no model can be trained on."""
    found = set(frame["label"])
    if unknown := sorted(found - set(LABELS)):
        raise PermanentFailure(f"label {unknown[0]!r} is none of {', '.join(LABELS)}: correct the label rule")
    names = tuple(name for name in LABELS if name in found)
    missing = [name for name in names if not ((frame["label"] == name) & (frame["side"] == "train")).any()]
    if missing or len(names) < 2:
        have = ", ".join(name for name in names if name not in missing) or "none"
        raise PermanentFailure(
            f"the train side must hold reviews of at least two labels and of every label in use, it holds {have}"
            f"{f' and lacks {missing[0]}' if missing else ''} ({len(frame)} labelled reviews): collect more reviews"
        )
    return names


def indices(labels: Sequence[str] | pd.Series, names: Sequence[str]) -> np.ndarray:
    """Each label as its place in `names`, shape (n,)."""
    index_of = {name: index for index, name in enumerate(names)}
    # Item by item, a column of Arrow strings is five times slower than the list of it.
    return np.array([index_of[label] for label in np.asarray(labels, dtype=object)], dtype=np.int64)


def confusion(truth: np.ndarray, answered: np.ndarray, how_many: int) -> np.ndarray:
    """Counts (labels, labels), rows true, columns answered."""
    return np.bincount(truth * how_many + answered, minlength=how_many * how_many).reshape(how_many, how_many)


def scores(
    labels: Sequence[str] | pd.Series,
    probabilities: np.ndarray,
    names: Sequence[str],
    *,
    texts: Sequence[int] | Sequence[str] | None = None,
    rules: Evaluation | None = None,
    short: bool = False,
) -> dict[str, Any]:
    """Accuracy, macro-F1, per-class figures, log loss and calibration error of probabilities (n, labels).

    `short`: accuracy and macro-F1 alone.

    Intervals come from a bootstrap over distinct `texts` (over rows without them); they are None over fewer than
    `LEAST_TEXTS`. An empty side has `n` 0 alone. A side with a single label has no macro-F1: the same answer to every
    review would reach 1.
    """
    rules = rules or Evaluation()
    truth, many = indices(labels, names), len(names)
    if not len(truth):
        return {"n": 0}
    answered = probabilities.argmax(axis=1)
    counts = confusion(truth, answered, many)
    drawn = bootstrap.resampled_counts(
        truth * many + answered, many * many, texts=texts, rounds=rules.rounds, seed=rules.seed
    ).reshape(-1, many, many)

    distinct = len(truth) if texts is None else len(set(texts))

    def with_interval(name: str, value: float, values: np.ndarray) -> dict[str, Any]:
        low, high = bootstrap.interval(values, rules.confidence)
        known = distinct >= LEAST_TEXTS and low < high
        return {name: _plain(value), f"{name}_interval": [_plain(low), _plain(high)] if known else None}

    macro_f1, mixed = float(bootstrap.macro_f1_of(counts)), len(set(truth.tolist())) > 1
    none = {"macro_f1": None, "macro_f1_interval": None}
    found = {
        "n": len(truth),
        "distinct_texts": distinct,
        **with_interval("accuracy", float(bootstrap.accuracy_of(counts)), bootstrap.accuracy_of(drawn)),
        **(with_interval("macro_f1", macro_f1, bootstrap.macro_f1_of(drawn)) if mixed else none),
    }
    if short:
        return found
    losses = calibration.log_losses(probabilities, truth)
    drawn_losses = bootstrap.resampled_means(losses, texts=texts, rounds=rules.rounds, seed=rules.seed)
    f1, drawn_f1 = bootstrap.f1_of(counts), bootstrap.f1_of(drawn)
    recall, drawn_recall = _share(counts, axis=-1), _share(drawn, axis=-1)
    precision, drawn_precision = _share(counts, axis=-2), _share(drawn, axis=-2)
    return {
        **found,
        "majority_share": _plain(counts.sum(axis=1).max() / len(truth)),
        **with_interval("log_loss", float(losses.mean()), drawn_losses),
        "calibration_error": _plain(calibration.expected_calibration_error(probabilities, truth)),
        "calibration_error_by_chance": _plain(
            calibration.error_by_chance(probabilities, texts if texts is not None else range(len(truth)))
        ),
        "per_class": {
            name: {
                "n": int(counts[i].sum()),
                **with_interval("precision", float(precision[i]), drawn_precision[:, i]),
                **with_interval("recall", float(recall[i]), drawn_recall[:, i]),
                **with_interval("f1", float(f1[i]), drawn_f1[:, i]),
            }
            for i, name in enumerate(names)
        },
    }


def one_row_a_text(reviews: pd.DataFrame) -> np.ndarray:
    """The positions of one row for each distinct text, in their order.

    A text that has several labels counts with the most frequent one, and with the newest row that has it.
    """
    rows = pd.DataFrame({"text": text_keys(reviews["review_text"]), "label": reviews["label"].to_numpy()})
    rows["often"] = rows.groupby(["text", "label"])["label"].transform("size")
    rows["at"] = reviews["review_date"].to_numpy()
    return np.sort(rows.sort_values(["text", "often", "at"], kind="stable").drop_duplicates("text", keep="last").index)


def judged(
    held_out: pd.DataFrame, probabilities: np.ndarray, names: Sequence[str], rules: Evaluation | None = None
) -> dict[str, Any]:
    """Every figure of a model on the rows of `held_out` (sides validation, gate and test; probabilities in row order).

    Each distinct text counts once; a side's accuracy with each review counted stands beside it. The newest window is
    the part of gate and test from the latest months; slices are of the test side.
    """
    rules = rules or Evaluation()
    frequent = {name: _by_frequency(held_out, probabilities, names, name) for name in HELD_OUT}
    once = one_row_a_text(held_out)
    held_out, probabilities = held_out.iloc[once], probabilities[once]
    side = held_out["side"].to_numpy(dtype=object)

    def part(mask: np.ndarray) -> dict[str, Any]:
        return scores(held_out["label"][mask], probabilities[mask], names, rules=rules)

    test = held_out[side == "test"]
    on_test = probabilities[side == "test"]
    truth = indices(test["label"], names)
    window = slices.newest_window(held_out, rules.newest_months)
    return {
        **{name: {**part(side == name), **frequent[name]} for name in HELD_OUT},
        "newest": part(window & ((side == "gate") | (side == "test"))),
        "confusion_matrix": {
            "side": "test",
            "labels": list(names),
            "counts": confusion(truth, on_test.argmax(axis=1), len(names)).tolist() if len(test) else [],
        },
        "slices": [
            {"slice": name, **_of_slice(part(_within(mask, side == "test")))} for name, mask in slices.slices(test)
        ],
        "reliability": [
            {"n": b.n, "confidence": b.confidence, "accuracy": b.accuracy}
            for b in calibration.reliability(on_test, truth)
        ],
    }


def forward(
    arrived: pd.DataFrame, probabilities: np.ndarray, names: Sequence[str], rules: Evaluation | None = None
) -> dict[str, Any]:
    """The serving model's figures on reviews that arrived after its data version: what deployment really met."""
    texts = text_keys(arrived["review_text"]).tolist()
    return brief(scores(arrived["label"], probabilities, names, texts=texts, rules=rules))


def arrived_since(frame: pd.DataFrame, metrics: Mapping[str, Any]) -> pd.DataFrame:
    """The rows of a training frame that are newer than the newest review that these metrics' model was trained with."""
    newest = metrics.get("data", {}).get("newest_review")
    return frame[frame["review_date"] > pd.Timestamp(newest)] if newest else frame.iloc[:0]


@dataclass(frozen=True)
class Difference:
    """First less second, in points of a score from 0 to 100, over n reviews."""

    n: int
    points: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.points:+.1f} points ({self.low:+.1f} to {self.high:+.1f}, n={self.n})"


def difference(
    truth: np.ndarray,
    first: np.ndarray,
    second: np.ndarray,
    texts: Sequence[int] | Sequence[str],
    rules: Evaluation,
    *,
    accuracy: bool = False,
) -> Difference:
    """Macro-F1 (or accuracy) of probabilities `first` less `second`, both (n, labels), by a bootstrap over texts."""
    many = first.shape[1]
    cells = (truth * many + first.argmax(axis=1)) * many + second.argmax(axis=1)
    score = bootstrap.accuracy_of if accuracy else bootstrap.macro_f1_of

    def change(counts: np.ndarray) -> np.ndarray:
        cube = counts.reshape(-1, many, many, many)
        return 100 * (score(cube.sum(axis=3)) - score(cube.sum(axis=2)))

    drawn = bootstrap.resampled_counts(cells, many**3, texts=texts, rounds=rules.rounds, seed=rules.seed)
    low, high = bootstrap.interval(change(drawn), rules.confidence)
    points = float(change(np.bincount(cells, minlength=many**3))[0])
    if low == high:
        reach = 100 * min(1.0, UNSEEN_TEXTS / len(set(texts)))
        low, high = points - reach, points + reach
    return Difference(len(truth), round(points, 4), round(low, 4), round(high, 4))


def mistakes(held_out: pd.DataFrame, probabilities: np.ndarray, names: Sequence[str], most: int = 20) -> pd.DataFrame:
    """The wrong answers that the model was surest of, surest first (they are usually wrong stars)."""
    answered = probabilities.argmax(axis=1)
    table = held_out[["review_id", "app_id", "rating", "label", "review_text"]].assign(
        answered=np.asarray(names, dtype=object)[answered], confidence=probabilities.max(axis=1)
    )
    wrong = table[answered != indices(held_out["label"], names)]
    return wrong.sort_values(["confidence", "review_id"], ascending=[False, True]).head(most).reset_index(drop=True)


def data_figures(frame: pd.DataFrame) -> dict[str, Any]:
    """What the model was trained with, for the metrics and the card."""
    newest = frame["review_date"].max()
    return {
        "rows": len(frame),
        "sides": {side: int((frame["side"] == side).sum()) for side in SIDES},
        "texts": {side: int(frame["review_text"][frame["side"] == side].nunique()) for side in SIDES},
        "labels": {name: int((frame["label"] == name).sum()) for name in LABELS if (frame["label"] == name).any()},
        "apps": sorted(set(frame["app_id"])),
        "sources": sorted(set(frame["source"])) if "source" in frame else [],
        "oldest_review": frame["review_date"].min().isoformat() if len(frame) else None,
        "newest_review": newest.isoformat() if len(frame) else None,
    }


def text_keys(texts: pd.Series) -> np.ndarray:
    """The `text_key` of each text (n,): rows with equal keys are one text to a model."""
    return np.array([text_key(text) for text in texts], dtype=np.int64)


def brief(full: Mapping[str, Any]) -> dict[str, Any]:
    keep = ("n", "distinct_texts", "accuracy", "accuracy_interval", "macro_f1", "macro_f1_interval")
    return {name: full[name] for name in keep if name in full}


def _by_frequency(held_out: pd.DataFrame, probabilities: np.ndarray, names: Sequence[str], side: str) -> dict[str, Any]:
    """The accuracy on a side with each review counted, and the number of its reviews; empty without any."""
    rows = (held_out["side"] == side).to_numpy()
    if not rows.any():
        return {}
    right = probabilities[rows].argmax(axis=1) == indices(held_out["label"][rows], names)
    return {"reviews": len(right), "accuracy_by_frequency": _plain(right.mean())}


def _of_slice(full: Mapping[str, Any]) -> dict[str, Any]:
    """Size and accuracy, and macro-F1 if the slice holds more than one label."""
    mixed = full["macro_f1"] is not None
    return {name: value for name, value in brief(full).items() if mixed or not name.startswith("macro_f1")}


def _within(mask: np.ndarray, of: np.ndarray) -> np.ndarray:
    """A mask over the rows of `of` as one over all rows."""
    wide = np.zeros(len(of), dtype=bool)
    wide[np.flatnonzero(of)[mask]] = True
    return wide


def _share(counts: np.ndarray, axis: int) -> np.ndarray:
    total = counts.sum(axis=axis)
    right = np.diagonal(counts, axis1=-2, axis2=-1)
    return np.divide(right, total, out=np.full(np.shape(total), np.nan), where=total > 0)


def _plain(value: float) -> float | None:
    """A number for JSON with six digits; None if the figure has no value."""
    return round(float(value), 6) if np.isfinite(value) else None
