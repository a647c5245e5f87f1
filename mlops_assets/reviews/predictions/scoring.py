"""Bring the predictions up to date with a data version and a model: what changed first, then the newest months."""

from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path

from mlops_assets.files import stamp
from mlops_assets.reviews.predictions.answer import NEEDED, Answering, answer_month
from mlops_assets.reviews.predictions.month import SCHEMA, MadeOf, read_month, write_month
from mlops_assets.reviews.predictions.stored import Month, Predictions
from mlops_assets.reviews.stored import columns


class Budget:
    """So many minutes by a clock in seconds, from now on."""

    def __init__(self, minutes: float, clock: Callable[[], float]) -> None:
        self._clock, self._end = clock, clock() + 60 * minutes

    def is_spent(self) -> bool:
        return self._clock() >= self._end


def score_months(
    predictions: Predictions, files: Mapping[str, Path], model: Answering, out_of_time: Callable[[], bool]
) -> int:
    """Answer the reviews in `files` (by name) until time is out; how many distinct texts the model was asked.

    First come months whose file changed: what was removed goes, what is new or edited is answered. Then reviews with an
    earlier model's answer, the newest months first. Each month is replaced whole, so a killed run loses the month that
    it was at. The caller saves the index.
    """
    for name in predictions.months.keys() - files.keys():
        predictions.path(name).unlink(missing_ok=True)
        del predictions.months[name]
    newest_first = sorted(sorted(files), key=lambda name: Path(name).stem, reverse=True)
    asked = 0
    for name in newest_first:
        month = predictions.months.get(name)
        changed = month is None or month.reviews != stamp(files[name])
        if not changed and (not (month and month.waiting) or out_of_time()):
            continue
        if (month is None or month.file is None) and out_of_time():
            predictions.months[name] = _not_reached(files[name], month, model)
        else:
            asked += _score(predictions, name, files[name], model, out_of_time, again=False)
    for name in newest_first:
        if out_of_time():
            break
        if predictions.months[name].models.keys() - {model.model_version}:
            asked += _score(predictions, name, files[name], model, out_of_time, again=True)
    return asked


def _score(
    predictions: Predictions,
    name: str,
    reviews: Path,
    model: Answering,
    out_of_time: Callable[[], bool],
    *,
    again: bool,
) -> int:
    made_of, path, month = stamp(reviews), predictions.path(name), predictions.months.get(name)
    exists = path.is_file()
    first_seen = _first_seen(month, model)
    answered = answer_month(
        columns.read_rows(reviews, NEEDED),
        read_month(path) if exists else SCHEMA.empty_table(),
        model,
        again=again,
        first_seen=first_seen,
        out_of_time=out_of_time,
    )
    named = set(answered.table["model_version"].unique().to_pylist())
    labels = {**(MadeOf.read(path).labels if exists else {}), model.model_version: list(model.labels)}
    labels = {version: labels[version] for version in sorted(named)}
    write_month(answered.table, MadeOf(made_of, answered.waiting, first_seen.isoformat(), labels), path)
    predictions.months[name] = Month.of(path)
    return answered.asked


def _not_reached(reviews: Path, month: Month | None, model: Answering) -> Month:
    seen = _first_seen(month, model).isoformat()
    return Month(file=None, reviews=stamp(reviews), waiting=columns.row_count(reviews), seen=seen)


def _first_seen(month: Month | None, model: Answering) -> datetime:
    """When this model first saw the reviews of the month that have no answer: the earliest time for all of them."""
    if month is None or not month.waiting:
        return model.now
    return max(datetime.fromisoformat(month.seen), model.since)
