"""Topics on disk, below `data/topics`: `topics.json`, and a folder for each model with what it says of the reviews.

    topics.json                        the topics, and which model and months they come from; written last
    <version>/model.npz                the model
    <version>/<app_id>/<month>.parquet a row per review: its sentiment and topic, without its text
    <version>/counts.parquet           reviews by app, month, app version, sentiment and topic

A run that is killed leaves `topics.json` as it was, and the next run does again what it does not name.
"""

import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from io import BytesIO
from pathlib import Path
from typing import Self

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute
import pyarrow.parquet as pq

from mlops_assets.files import replace_file
from mlops_assets.reviews.stored import columns
from mlops_assets.reviews.stored.months import read_some
from mlops_assets.reviews.topics.model import TopicModel

SENTIMENTS = ("negative", "positive")
"""Topics are found in reviews that the serving model answers so."""

_TIME = pa.timestamp("us", tz="UTC")
MONTH = pa.schema(
    [
        pa.field("review_id", pa.string(), nullable=False),
        pa.field("review_date", _TIME, nullable=False),
        pa.field("app_version", pa.string()),
        pa.field("sentiment", pa.string(), nullable=False),
        pa.field("topic", pa.string()),
        pa.field("typical", pa.float64(), nullable=False),
    ]
)
"""One row per review that the serving model answered. `typical`: how good an example of its topic it is."""
COUNTS = pa.schema(
    [
        pa.field("app_id", pa.string(), nullable=False),
        pa.field("month", pa.string(), nullable=False),
        pa.field("app_version", pa.string(), nullable=False),
        pa.field("sentiment", pa.string(), nullable=False),
        pa.field("topic", pa.string(), nullable=False),
        pa.field("reviews", pa.int64(), nullable=False),
        pa.field("first_at", _TIME, nullable=False),
        pa.field("last_at", _TIME, nullable=False),
    ]
)
"""`app_version` and `topic` are empty for reviews without one."""
_ABOUT, _MODEL, _COUNTS = "topics.json", "model.npz", "counts.parquet"

_Example = tuple[str, str, str]
"""App, month and id of a review."""


@dataclass(frozen=True)
class Topic:
    """A topic as people see it: `examples` are reviews by app, month and id, the best first."""

    id: str
    sentiment: str
    words: tuple[str, ...]
    name: str = ""
    examples: tuple[_Example, ...] = ()

    @property
    def title(self) -> str:
        """The name that people gave it, else its first words."""
        return self.name or ", ".join(self.words[:4])


@dataclass(frozen=True)
class StoredTopics:
    """The topics, and what they come from.

    version: of the model, and its folder
    made_of: everything that the whole was made of; equal means nothing to do
    recipe: the parameters that the model was found with
    found_in: distinct texts by sentiment that the model was found in
    found_at: when, as ISO time
    found_data: the data version that the model was found in
    reviews: how many reviews there were then
    ids_kept: how many topics kept their id then, of how many before; None if there were none before
    months: what each month (`<app_id>/<month>`) was made of
    dataset_version, model_version: the reviews, and the serving model whose answers were used last
    """

    version: str
    made_of: str
    recipe: str
    found_in: Mapping[str, int]
    found_at: str
    found_data: str
    reviews: int
    dataset_version: str
    model_version: str
    ids_kept: tuple[int, int] | None = None
    months: Mapping[str, str] = field(default_factory=dict)
    topics: Sequence[Topic] = ()

    @classmethod
    def of_json(cls, text: str) -> Self:
        content = json.loads(text)
        topics = [
            Topic(
                **{
                    **row,
                    "words": tuple(row["words"]),
                    "examples": tuple((app, month, review) for app, month, review in row["examples"]),
                }
            )
            for row in content.pop("topics")
        ]
        kept = content.pop("ids_kept")
        return cls(**content, ids_kept=kept and (kept[0], kept[1]), topics=topics)

    def to_json(self) -> str:
        return json.dumps(asdict(self), ensure_ascii=False, indent=1)


class TopicStore:
    """The folder `data/topics`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def about(self) -> StoredTopics | None:
        """What is there, None before the first run."""
        path = self._folder / _ABOUT
        return StoredTopics.of_json(path.read_text(encoding="utf-8")) if path.is_file() else None

    def models(self, version: str) -> dict[str, TopicModel]:
        """The model of each sentiment."""
        with np.load(self._folder / version / _MODEL, allow_pickle=False) as arrays:
            return {
                sentiment: TopicModel(
                    tuple(arrays[f"{sentiment}.words"].tolist()),
                    arrays[f"{sentiment}.rarity"],
                    arrays[f"{sentiment}.vectors"],
                    tuple(arrays[f"{sentiment}.ids"].tolist()),
                    int(arrays[f"{sentiment}.given"]),
                )
                for sentiment in SENTIMENTS
            }

    def write_models(self, models: Mapping[str, TopicModel]) -> str:
        """Write the models; their version. A folder of the same models that a killed run left is used again."""
        arrays: dict[str, np.ndarray] = {}
        digest = hashlib.sha256()
        for sentiment, model in models.items():
            parts = {
                "words": np.array(model.words, dtype=np.str_),
                "rarity": np.asarray(model.rarity, dtype=np.float64),
                "vectors": np.asarray(model.vectors, dtype=np.float64),
                "ids": np.array(model.ids, dtype=np.str_),
                "given": np.array(model.given),
            }
            for name, array in parts.items():
                arrays[f"{sentiment}.{name}"] = array
                digest.update(repr((sentiment, name, array.shape)).encode() + array.tobytes())
        version = digest.hexdigest()[:12]
        sink = BytesIO()
        np.savez_compressed(sink, **arrays)  # pyright: ignore[reportArgumentType]  # its stub takes allow_pickle only
        replace_file(self._folder / version / _MODEL, sink.getvalue())
        return version

    def write_month(self, version: str, app_id: str, month: str, rows: pd.DataFrame) -> None:
        """Replace the rows of a month."""
        table = pa.Table.from_pandas(rows, schema=MONTH, preserve_index=False)
        columns.write_table(table, self._folder / version / app_id / f"{month}.parquet")

    def read_month(self, app_id: str, month: str, names: Sequence[str] | None = None) -> pd.DataFrame:
        """What the current model says of a month's reviews: the columns of `MONTH`; no rows if it says nothing."""
        about = self.about()
        path = self._folder / (about.version if about else "") / app_id / f"{month}.parquet"
        if about is None or not path.is_file():
            return MONTH.empty_table().to_pandas()
        return pq.read_table(path, columns=None if names is None else list(names)).to_pandas()

    def counts(self, version: str | None = None) -> pd.DataFrame:
        """Reviews by app, month, app version, sentiment and topic: the columns of `COUNTS`."""
        if version is None:
            about = self.about()
            version = about.version if about else None
        path = self._folder / version / _COUNTS if version else None
        return (pq.read_table(path) if path and path.is_file() else COUNTS.empty_table()).to_pandas()

    def write_counts(self, version: str, counts: pd.DataFrame) -> None:
        """Replace the counts."""
        columns.write_table(
            pa.Table.from_pandas(counts, schema=COUNTS, preserve_index=False), self._folder / version / _COUNTS
        )

    def write_about(self, about: StoredTopics) -> None:
        """Make this the current state, and remove what belongs to none."""
        replace_file(self._folder / _ABOUT, about.to_json())
        kept = {f"{name}.parquet" for name in about.months}
        for folder in self._folder.iterdir():
            if folder.is_dir() and folder.name != about.version:
                shutil.rmtree(folder)
        current = self._folder / about.version
        for path in current.glob("*/*.parquet"):
            if path.relative_to(current).as_posix() not in kept:
                path.unlink()

    def examples(self, about: StoredTopics, each: int, most_months: int = 12) -> dict[str, list[_Example]]:
        """The best examples of each topic among the newest months, by id; older months are read for what is missing."""
        found: dict[str, list[_Example]] = {topic.id: [] for topic in about.topics}
        for key in sorted(about.months, key=lambda name: name.rsplit("/", 1)[-1], reverse=True)[:most_months]:
            if all(len(examples) >= each for examples in found.values()):
                break
            app_id, month = key.rsplit("/", 1)
            path = self._folder / about.version / app_id / f"{month}.parquet"
            rows = pq.read_table(path, columns=["review_id", "topic", "typical"]).to_pandas()
            best = rows[rows["topic"].notna()].sort_values(["typical", "review_id"], ascending=[False, True])
            for topic, group in best.groupby("topic", sort=False):
                if (examples := found.get(str(topic))) is not None:
                    wanted = group["review_id"].head(each - len(examples)).tolist() if len(examples) < each else []
                    examples += [(app_id, month, review_id) for review_id in wanted]
        return found


def counts_of(app_id: str, month: str, rows: pd.DataFrame) -> pd.DataFrame:
    """The counts of a month's rows."""
    if rows.empty:
        return COUNTS.empty_table().to_pandas()
    keyed = rows.assign(app_version=rows["app_version"].fillna(""), topic=rows["topic"].fillna(""))
    grouped = keyed.groupby(["app_version", "sentiment", "topic"], sort=True)["review_date"]
    found = grouped.agg(["size", "min", "max"]).reset_index()
    found = found.rename(columns={"size": "reviews", "min": "first_at", "max": "last_at"})
    return found.assign(app_id=app_id, month=month)[COUNTS.names]


def texts_of_examples(data: Path, examples: Sequence[_Example], longest: int) -> dict[str, str]:
    """Review id -> text, cut, of examples that are stored now; an erased review is not among them."""
    found: dict[str, str] = {}
    for path, ids in _by_file(data, examples):
        table = read_some(path, ["review_id", "review_text"])
        chosen = table.filter(pyarrow.compute.is_in(table["review_id"], value_set=pa.array(ids, pa.string())))  # pyright: ignore[reportAttributeAccessIssue]  # made at import
        for row in chosen.to_pylist():
            found[row["review_id"]] = (row["review_text"] or "").replace("\0", "")[:longest]
    return found


def _by_file(data: Path, examples: Sequence[_Example]) -> Iterator[tuple[Path, list[str]]]:
    months: dict[tuple[str, str], list[str]] = {}
    for app_id, month, review_id in examples:
        months.setdefault((app_id, month), []).append(review_id)
    for (app_id, month), ids in months.items():
        path = data / "validated" / app_id / f"{month}.parquet"
        if path.is_file():
            yield path, ids


def with_examples(about: StoredTopics, examples: Mapping[str, Sequence[_Example]]) -> StoredTopics:
    """The same with these examples."""
    topics = [replace(topic, examples=tuple(examples.get(topic.id, ()))) for topic in about.topics]
    return replace(about, topics=topics)
