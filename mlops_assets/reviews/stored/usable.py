"""Usable reviews as frames: all, the newest, or those that somebody chose by their labels, sides and keys."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, cast

import numpy as np
import pandas as pd
import pyarrow as pa

from mlops_assets.params.choices import LabelRule
from mlops_assets.reviews.stored import columns, months
from mlops_assets.reviews.stored.counts import NAMES, Labelling
from mlops_assets.reviews.stored.label import labels_of, with_labels_of_people
from mlops_assets.reviews.stored.months import COLUMNS, MonthKeys, files_below
from mlops_assets.reviews.stored.split import SIDES, Split, add_sides


def read_usable(files: Mapping[str, Path]) -> pd.DataFrame:
    """The reviews in the files: the `COLUMNS` that exist. The caller judges what must exist."""
    frames = [columns.to_frame(table) for _, path in sorted(files.items()) if len(table := months.read(path))]
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns.empty()[list(COLUMNS)])


def read_newest(files: Mapping[str, Path], count: int) -> pd.DataFrame:
    """At least the `count` newest reviews in the files; whole months, so that older ones are not read."""
    wanted: dict[str, Path] = {}
    found, last = 0, ""
    for name, path in sorted(files.items(), key=lambda file: file[1].stem, reverse=True):
        if found >= count and path.stem != last:
            break
        wanted[name], last = path, path.stem
        found += columns.row_count(path)
    return read_usable(wanted)


def outline(files: Mapping[str, Path], labelling: Labelling, split: Split) -> pd.DataFrame:
    """A row of a few bytes for each review: app_id, month, `key` of its text, rating, `label` (null without one),
    `person` (what people say of the text, null: nothing) and `side`. `read_chosen` finds it by `file` and `row`.
    """
    paths = dict(sorted(files.items()))
    each = [months.keys(path, labelling.kept) for path in paths.values()]
    sizes = [len(month.keys) for month in each]
    whole = MonthKeys.together(each)
    label, person = labelling.labels(whole)
    number = np.repeat(np.arange(len(paths), dtype=np.int32), sizes)

    def of_file(values: list[str]) -> pd.Categorical:
        names = sorted(set(values))
        return _categorical(np.array([names.index(value) for value in values], dtype=np.int32)[number], names)

    return pd.DataFrame(
        {
            "app_id": of_file([name.split("/")[0] for name in paths]),
            "month": of_file([path.stem for path in paths.values()]),
            "key": whole.keys,
            "rating": whole.ratings,
            "label": _categorical(label, NAMES),
            "person": _categorical(person, NAMES),
            "side": _categorical(split.side_numbers(whole.keys), SIDES),
            "file": number,
            "row": np.arange(len(number), dtype=np.int32) - np.repeat(np.cumsum([0, *sizes])[:-1], sizes).astype("i4"),
        }
    )


def with_dates(outlined: pd.DataFrame, files: Mapping[str, Path]) -> pd.DataFrame:
    """The rows of `outline` with their `review_date`. No other column of the files is read."""
    dates = np.empty(len(outlined), dtype="datetime64[us]")
    for path, at, rows in _by_file(outlined, files):
        dates[at] = months.read_some(path, ["review_date"])["review_date"].to_numpy()[rows]
    return outlined.assign(review_date=pd.DatetimeIndex(dates, tz="UTC"))


def read_chosen(outlined: pd.DataFrame, files: Mapping[str, Path]) -> pd.DataFrame:
    """The reviews of these rows of `outline`, with label, person and side, by review_date and review_id. Only their
    files are read.
    """
    tables, at = [], [np.zeros(0, dtype=np.int64)]
    for path, places, rows in _by_file(outlined, files):
        tables.append(months.read(path).take(pa.array(rows)))
        at.append(places)
    frame = columns.to_frame(pa.concat_tables(tables)) if tables else columns.empty()[list(COLUMNS)]
    made = outlined.iloc[np.concatenate(at)]
    frame = frame.assign(**{name: made[name].astype("str").array for name in ("label", "person", "side")})
    return frame.sort_values(["review_date", "review_id"], kind="stable", ignore_index=True)


def training_frame(folder: Path, rule: LabelRule, people: Mapping[str, str] = MappingProxyType({})) -> pd.DataFrame:
    """The reviews of a folder with their labels (null without one) and no sides, in order of date; nothing is kept."""
    files = files_below(folder)
    for path in files.values():
        columns.require_schema(path)
    frame = read_usable(files).sort_values(["review_date", "review_id"], kind="stable", ignore_index=True)
    return _with_labels(frame, rule, people)


def train_side(files: Mapping[str, Path], labelling: Labelling, split: Split) -> pd.DataFrame:
    """The labelled reviews of the files that are on the train side of `split`, by app and date; nothing is kept."""
    for path in files.values():
        columns.require_schema(path)
    frame = read_usable(files).sort_values(["app_id", "review_date", "review_id"], kind="stable")
    found = add_sides(labelled(_with_labels(frame, labelling.rule, labelling.people)), split)
    return cast("pd.DataFrame", found[found["side"] == "train"].reset_index(drop=True))


def labelled(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows that have a label."""
    return cast("pd.DataFrame", frame[frame["label"].notna()].reset_index(drop=True))


def unlabelled_texts(frame: pd.DataFrame) -> list[str]:
    """The texts of the train side that have no label, once each."""
    return frame["review_text"][frame["label"].isna() & (frame["side"] == "train")].unique().tolist()


def _categorical(codes: np.ndarray, names: Sequence[str]) -> Any:
    return pd.Categorical.from_codes(codes, dtype=pd.CategoricalDtype(list(names)))


def _by_file(outlined: pd.DataFrame, files: Mapping[str, Path]) -> Iterator[tuple[Path, np.ndarray, np.ndarray]]:
    """Each file that rows of `outline` are of, where these stand among them, and where in the file."""
    paths = [path for _, path in sorted(files.items())]
    number, rows = outlined["file"].to_numpy(), outlined["row"].to_numpy()
    order = np.argsort(number, kind="stable")
    borders = np.flatnonzero(np.diff(number[order])) + 1
    for places in np.split(order, borders):
        if len(places):
            yield paths[number[places[0]]], places, rows[places]


def _with_labels(frame: pd.DataFrame, rule: LabelRule, people: Mapping[str, str]) -> pd.DataFrame:
    return with_labels_of_people(frame.assign(label=labels_of(frame["rating"], rule)), rule, people)
