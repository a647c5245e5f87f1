"""Bring the predictions up to date with a data version and a model: what changed first, then the newest months."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path

from mlops_assets.files import stamp
from mlops_assets.reviews.predictions.answer import NEEDED, Answering, answer_month
from mlops_assets.reviews.predictions.month import SCHEMA, MadeOf, read_month, write_month
from mlops_assets.reviews.predictions.stored import Month, Predictions
from mlops_assets.reviews.stored import columns, months
from mlops_assets.spread.spread import Spread, here


class Budget:
    """So many minutes by a clock in seconds, from now on."""

    def __init__(self, minutes: float, clock: Callable[[], float]) -> None:
        self._clock, self._end = clock, clock() + 60 * minutes

    def is_spent(self) -> bool:
        return self._clock() >= self._end


@dataclass(frozen=True)
class _Piece:
    """A month to bring up to date: its reviews, its predictions, and what the index says of these.

    again: earlier models' answers are replaced too
    """

    name: str
    reviews: Path
    predictions: Path
    month: Month | None
    again: bool

    @property
    def changed(self) -> bool:
        return self.month is None or self.month.reviews != stamp(self.reviews)


def score_months(
    predictions: Predictions,
    files: Mapping[str, Path],
    model: Answering,
    out_of_time: Callable[[], bool],
    spread: Spread = here,
) -> int:
    """Answer the reviews in `files` (by name) until time is out; how many distinct texts the model was asked.

    First come months whose file changed: what was removed goes, what is new or edited is answered. Then reviews with an
    earlier model's answer, the newest months first. Each month is replaced whole, so a killed run loses the month that
    it was at. The caller saves the index. `spread` hands out the months.
    """
    for name in predictions.months.keys() - files.keys():
        predictions.path(name).unlink(missing_ok=True)
        del predictions.months[name]
    asked = 0
    for again in (False, True):
        pieces = [
            piece
            for name in sorted(sorted(files), key=lambda name: Path(name).stem, reverse=True)
            if _has_work(
                piece := _Piece(name, files[name], predictions.path(name), predictions.months.get(name), again), model
            )
        ]
        for name, month, texts in spread(partial(_score, model, out_of_time), pieces):
            predictions.months[name] = month
            asked += texts
    return asked


def _has_work(piece: _Piece, model: Answering) -> bool:
    if piece.again:
        return bool(piece.month and piece.month.models.keys() - {model.model_version})
    return piece.changed or bool(piece.month and piece.month.waiting)


def _score(model: Answering, out_of_time: Callable[[], bool], piece: _Piece) -> tuple[str, Month, int]:
    """The month's name, what its file then holds, and how many texts were asked."""
    month, path = piece.month, piece.predictions
    if month is not None and (piece.again or not piece.changed) and out_of_time():
        return piece.name, month, 0
    if (month is None or month.file is None) and out_of_time():
        return piece.name, _not_reached(piece.reviews, month, model), 0
    made_of = stamp(piece.reviews)
    exists = path.is_file()
    first_seen = _first_seen(month, model)
    answered = answer_month(
        months.read(piece.reviews).select(list(NEEDED)),
        read_month(path) if exists else SCHEMA.empty_table(),
        model,
        again=piece.again,
        first_seen=first_seen,
        out_of_time=out_of_time,
    )
    named = set(answered.table["model_version"].unique().to_pylist())
    labels = {**(MadeOf.read(path).labels if exists else {}), model.model_version: list(model.labels)}
    labels = {version: labels[version] for version in sorted(named)}
    write_month(answered.table, MadeOf(made_of, answered.waiting, first_seen.isoformat(), labels), path)
    return piece.name, Month.of(path), answered.asked


def _not_reached(reviews: Path, month: Month | None, model: Answering) -> Month:
    seen = _first_seen(month, model).isoformat()
    return Month(file=None, reviews=stamp(reviews), waiting=columns.row_count(reviews), seen=seen)


def _first_seen(month: Month | None, model: Answering) -> datetime:
    """When this model first saw the reviews of the month that have no answer: the earliest time for all of them."""
    if month is None or not month.waiting:
        return model.now
    return max(datetime.fromisoformat(month.seen), model.since)
