"""The usable reviews of a set of files, read once in a process; labels and sides are computed once and kept on disk."""

import hashlib
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import cast

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from mlops_assets.files import stamp
from mlops_assets.params.choices import LabelRule
from mlops_assets.params.reviews import Sides
from mlops_assets.reviews.stored import columns
from mlops_assets.reviews.stored.label import labels_of, with_labels_of_people
from mlops_assets.reviews.stored.split import Split, add_sides, places_of
from mlops_assets.text import text_digest

COLUMNS = ("review_id", "app_id", "review_text", "rating", "review_date", "app_version", "source")
"""What models and claims need of a review."""

_COUNTS = b"counts"
_MADE = ("label", "person", "side")
"""The columns that are computed once and kept."""


@dataclass(frozen=True)
class Labelling:
    """The rules for labels and sides, and the file with those of the reviews that were labelled last.

    `people` are labels that people gave, by the digest of the text: they beat the stars. `smallest_gate` is the
    smallest percent that the gate side ever had, None before the first.
    """

    rule: LabelRule
    sides: Sides
    kept: Path
    people: Mapping[str, str] = field(default_factory=dict)
    smallest_gate: int | None = None

    def key(self, files: Mapping[str, Path]) -> str:
        """Changes with the files, the rule, the sides of params.yaml and people's labels."""
        sides = sorted(self.sides.percents.items())
        return _digest([content_key(files), self.rule, sides, sorted(self.people.items())])

    def split(self, texts: int) -> Split:
        """The split of so many distinct labelled texts."""
        return Split.of(self.sides, texts, self.smallest_gate)


@dataclass(frozen=True)
class Counts:
    """How many labelled reviews there are, by app, label and side, their first and last month, and a digest of what
    training reads of them, and of reference apps: text, label, side and weight. `texts` are the distinct texts, `split`
    is how they were dealt to the sides. `people_texts` are held-out texts that people labelled, `people_labels` is a
    digest of these labels.
    """

    rows: Mapping[str, int]
    months: list[str]
    labels: Mapping[str, int]
    sides: Mapping[str, int]
    training_data: str
    texts: int
    split: str
    people_texts: int
    people_labels: str
    references: str = ""
    """A digest of which apps are references and of their weight; empty without any. They are in no number here."""
    unlabelled: str = ""
    """A digest of the texts without a label that a teacher can teach. They are in no number here."""

    @property
    def labelled(self) -> int:
        return sum(self.rows.values())


class _LastFrame:
    """The frame that was read or made last, under every key of its content. A run's steps usually share a process."""

    def __init__(self) -> None:
        self._keys: set[str] = set()
        self._frame: pd.DataFrame | None = None

    def get(self, key: str) -> pd.DataFrame | None:
        """A shallow copy: pandas copies a column when somebody writes to it."""
        return self._frame.copy(deep=False) if self._frame is not None and key in self._keys else None

    def keep(self, key: str, frame: pd.DataFrame) -> None:
        self._keys, self._frame = {key}, frame

    def keep_also_as(self, key: str, other: str) -> None:
        if key in self._keys:
            self._keys.add(other)


_last = _LastFrame()


def files_below(folder: Path) -> dict[str, Path]:
    """The month files of a folder of reviews by relative name (`<app_id>/<YYYY-MM>.parquet`)."""
    return {path.relative_to(folder).as_posix(): path for path in sorted(folder.glob("*/*.parquet"))}


def content_key(files: Mapping[str, Path]) -> str:
    """Changes when a file is written, added or removed; the files are not read for it."""
    return _digest([(name, *stamp(path)) for name, path in sorted(files.items())])


def read_usable(files: Mapping[str, Path]) -> pd.DataFrame:
    """The reviews in the files: the `COLUMNS` that exist. The caller judges what must exist."""
    key = content_key(files)
    if (known := _last.get(key)) is not None:
        return known
    frame = _read(files)
    _last.keep(key, frame)
    return frame.copy(deep=False)


def read_newest(files: Mapping[str, Path], count: int) -> pd.DataFrame:
    """At least the `count` newest reviews in the files; whole months, so that older ones are not read."""
    if (known := _last.get(content_key(files))) is not None:
        return known
    wanted: dict[str, Path] = {}
    found, last = 0, ""
    for name, path in sorted(files.items(), key=lambda file: file[1].stem, reverse=True):
        if found >= count and path.stem != last:
            break
        wanted[name], last = path, path.stem
        found += columns.row_count(path)
    return _read(wanted)


def are_copies(files: Mapping[str, Path], copies: Mapping[str, Path]) -> None:
    """Record that `copies` are equal to `files`, so that they are not read again."""
    _last.keep_also_as(content_key(files), content_key(copies))


def with_labels_and_sides(files: Mapping[str, Path], labelling: Labelling) -> pd.DataFrame:
    """The reviews by review_date and review_id, with their `side`, their `label` (null without one), and `person`: what
    people say of the text (null: nothing).

    Raises `UnknownColumns` if a file does not have the columns of a stored review.
    """
    counts = _kept_counts(labelling, files)
    key = f"{labelling.key(files)} {counts.split}" if counts else ""
    if (known := _last.get(key)) is not None:
        return known
    frame = _in_order(files)
    if counts is None:
        frame, counts = _label(frame, labelling)
        _keep(frame, labelling.kept, labelling.key(files), counts)
        key = f"{labelling.key(files)} {counts.split}"
    else:
        kept = columns.to_frame(pq.read_table(labelling.kept))
        frame = frame.assign(**{name: kept[name] for name in _MADE})
    _last.keep(key, frame)
    return frame.copy(deep=False)


def training_frame(folder: Path, rule: LabelRule, people: Mapping[str, str] = MappingProxyType({})) -> pd.DataFrame:
    """The reviews of a folder with their labels (null without one) and no sides, in order of date; nothing is kept."""
    return _with_labels(_in_order(files_below(folder)), rule, people)


def train_side(files: Mapping[str, Path], labelling: Labelling, split: Split) -> pd.DataFrame:
    """The labelled reviews of the files that are on the train side of `split`, by app and date. Neither kept nor
    remembered, so the frame that was read last stays.
    """
    for path in files.values():
        columns.require_schema(path)
    frame = _read(files).sort_values(["app_id", "review_date", "review_id"], kind="stable")
    found = add_sides(labelled(_with_labels(frame, labelling.rule, labelling.people)), split)
    return cast("pd.DataFrame", found[found["side"] == "train"].reset_index(drop=True))


def labelled(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows of `with_labels_and_sides` that have a label."""
    return cast("pd.DataFrame", frame[frame["label"].notna()].reset_index(drop=True))


def unlabelled_texts(frame: pd.DataFrame) -> list[str]:
    """The texts of the train side of `with_labels_and_sides` that have no label, once each."""
    return frame["review_text"][frame["label"].isna() & (frame["side"] == "train")].unique().tolist()


def count(files: Mapping[str, Path], labelling: Labelling) -> Counts:
    """Counts of the labelled reviews. The files are read only if nobody labelled their reviews before."""
    if (kept := _kept_counts(labelling, files)) is None:
        with_labels_and_sides(files, labelling)
        kept = _kept_counts(labelling, files)
    if kept is None:
        raise RuntimeError(f"{labelling.kept} does not hold what was just written to it: is another run at work?")
    return kept


def counts_of(frame: pd.DataFrame, split: Split, texts: int) -> Counts:
    """Counts of a frame of labelled reviews with so many distinct texts."""
    return Counts(
        rows={str(app): int(n) for app, n in frame["app_id"].value_counts().sort_index().items()},
        months=[f"{frame['review_date'].min():%Y-%m}", f"{frame['review_date'].max():%Y-%m}"] if len(frame) else [],
        labels={str(label): int(n) for label, n in frame["label"].value_counts().sort_index().items()},
        sides={str(side): int(n) for side, n in frame["side"].value_counts().items()},
        training_data=training_digest(frame.assign(side=split.lasting(frame["side"]))),
        texts=texts,
        split=str(split),
        people_texts=len(people := _people_on_held_out(frame)),
        people_labels=_digest(people)[:12] if people else "",
    )


def _people_on_held_out(frame: pd.DataFrame) -> list[tuple[str, str]]:
    rows = frame[(frame["side"] != "train") & frame["person"].notna()]
    return sorted({(text_digest(text), label) for text, label in zip(rows["review_text"], rows["label"], strict=True)})


def training_digest(frame: pd.DataFrame) -> str:
    """A digest of what training reads of labelled reviews, whatever their order: 12 hex digits.

    Likes, replies, app versions and dates make a data version, but no other model. Nor does a gate side that became
    smaller, as after a restore, if `side` holds lasting sides.
    """
    digest = hashlib.sha256()
    for row, count in sorted(Counter(zip(frame["review_text"], frame["label"], frame["side"], strict=True)).items()):
        digest.update(json.dumps([*row, count]).encode())
    return digest.hexdigest()[:12]


def beside_references(counts: Counts, references: pd.DataFrame, own_weight: int) -> Counts:
    """Counts of the same reviews, with digests of the labelled `references` that training reads too."""
    if references.empty:
        return counts
    training_data = _digest([counts.training_data, training_digest(references), own_weight])[:12]
    which = _digest([sorted(references["app_id"].unique()), own_weight])[:12]
    return replace(counts, training_data=training_data, references=which)


def with_unlabelled(counts: Counts) -> Counts:
    """Counts of the same reviews, with a digest of training data that covers the texts without a label."""
    return replace(counts, training_data=_digest([counts.training_data, counts.unlabelled])[:12])


def _read(files: Mapping[str, Path]) -> pd.DataFrame:
    frames = []
    for _, path in sorted(files.items()):
        found = pq.read_schema(path).names
        rows = columns.to_frame(columns.read_rows(path, [name for name in COLUMNS if name in found]))
        if len(rows):
            frames.append(rows)
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns.empty()[list(COLUMNS)])


def _in_order(files: Mapping[str, Path]) -> pd.DataFrame:
    for path in files.values():
        columns.require_schema(path)
    return read_usable(files).sort_values(["review_date", "review_id"], kind="stable", ignore_index=True)


def _with_labels(frame: pd.DataFrame, rule: LabelRule, people: Mapping[str, str]) -> pd.DataFrame:
    return with_labels_of_people(frame.assign(label=labels_of(frame["rating"], rule)), rule, people)


def _label(frame: pd.DataFrame, labelling: Labelling) -> tuple[pd.DataFrame, Counts]:
    """The rows with label and side, and the counts of those that have a label."""
    frame, places = _with_labels(frame, labelling.rule, labelling.people), places_of(frame["review_text"])
    texts = int(places[frame["label"].notna()].nunique())
    split = labelling.split(texts)
    frame = frame.assign(side=split.sides_at(places))
    lasting = unlabelled_texts(frame.assign(side=split.lasting(frame["side"])))
    counts = counts_of(labelled(frame), split, texts)
    return frame, replace(counts, unlabelled=_digest(sorted(lasting))[:12])


def _keep(frame: pd.DataFrame, path: Path, key: str, counts: Counts) -> None:
    table = pa.table({name: pa.array(frame[name], pa.string(), from_pandas=True) for name in _MADE})
    columns.write_table(table, path, about={_COUNTS: json.dumps({"key": key, **asdict(counts)}).encode()})


def _kept_counts(labelling: Labelling, files: Mapping[str, Path]) -> Counts | None:
    """The counts in the file of labels; None if that is of other files or rules, or if the split is another one now."""
    if not labelling.kept.is_file():
        return None
    about = json.loads((pq.read_metadata(labelling.kept).metadata or {}).get(_COUNTS, b"{}"))
    if about.pop("key", None) != labelling.key(files) or about.keys() != Counts.__annotations__.keys():
        return None
    counts = Counts(**about)
    return counts if counts.split == str(labelling.split(counts.texts)) else None


def _digest(value: object) -> str:
    return hashlib.sha256(repr(value).encode()).hexdigest()
