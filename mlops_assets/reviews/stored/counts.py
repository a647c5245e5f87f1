"""The labelled reviews in numbers, kept by month: after a change only the months that changed are counted again."""

import hashlib
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mlops_assets.files import replace_file, stamp
from mlops_assets.params.choices import LabelRule
from mlops_assets.params.reviews import Sides
from mlops_assets.reviews.stored import months
from mlops_assets.reviews.stored.kept import read_record
from mlops_assets.reviews.stored.label import LABELS, label_of
from mlops_assets.reviews.stored.months import MonthKeys, content_key
from mlops_assets.reviews.stored.split import MANY_TEXTS, SIDES, Split
from mlops_assets.spread.spread import Spread, here
from mlops_assets.text import key_of, text_key

FORMAT = 1
"""Of what is kept. Raise it when the numbers of the same reviews become others."""
NAMES = LABELS["ternary"]
"""Every label that a rule or a person can give."""
_RECORD = "counts.json"


@dataclass(frozen=True)
class Labelling:
    """The rules for labels and sides, and the folder with the keys and numbers of the reviews that were labelled last.

    `people` are labels that people gave, by the digest of the text: they beat the stars. `smallest_gate` is the
    smallest percent that the gate side ever had, None before the first.
    """

    rule: LabelRule
    sides: Sides
    kept: Path
    people: Mapping[str, str] = field(default_factory=dict)
    smallest_gate: int | None = None

    def rules(self) -> str:
        """Changes with the rule, the sides of params.yaml and people's labels."""
        return _digest([self.rule, sorted(self.sides.percents.items()), sorted(self.people.items())])

    def key(self, files: Mapping[str, Path]) -> str:
        """Changes with the files and the rules."""
        return _digest([content_key(files), self.rules()])

    def split(self, texts: int) -> Split:
        """The split of so many distinct labelled texts."""
        return Split.of(self.sides, texts, self.smallest_gate)

    def labels(self, month: MonthKeys) -> tuple[np.ndarray, np.ndarray]:
        """The label of each review (n,), and what people say of its text (n,), as places in `NAMES`; -1 for none.

        What people say beats the stars. A label that the rule does not know leaves the review without any.
        """
        stars = [label_of(rating, self.rule) if rating else None for rating in range(6)]
        label = np.array([NAMES.index(name) if name else -1 for name in stars], dtype=np.int8)[month.ratings]
        person = np.full(len(label), -1, dtype=np.int8)
        if self.people:
            said = sorted((key_of(digest), NAMES.index(name)) for digest, name in self.people.items())
            keys, names = np.array(said, dtype=np.int64).T
            at = np.minimum(np.searchsorted(keys, month.keys), len(keys) - 1)
            person = np.where(keys[at] == month.keys, names[at], -1).astype(np.int8)
            known = np.isin(person, [NAMES.index(name) for name in LABELS[self.rule]])
            label = np.where(person < 0, label, np.where(known, person, -1)).astype(np.int8)
        return label, person


@dataclass(frozen=True)
class Counts:
    """How many labelled reviews there are, by app, label and side, their first and last month, and a digest of what
    training reads of them, and of reference apps: text, label, side and weight. `split` is how texts were dealt to the
    sides. `people_texts` are held-out texts that people labelled, `people_labels` is a digest of these labels.
    """

    rows: Mapping[str, int]
    months: list[str]
    labels: Mapping[str, int]
    sides: Mapping[str, int]
    sources: list[str]
    """Where the reviews came from."""
    training_data: str
    texts: int
    """Distinct labelled texts. From `MANY_TEXTS` on they are not counted: more change no side."""
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


def count(files: Mapping[str, Path], labelling: Labelling, spread: Spread = here) -> Counts:
    """Counts of the labelled reviews. Only files written since the last time are read, handed out by `spread`.

    Raises `UnknownColumns` if one of them does not have the columns of a stored review.
    """
    kept = read_record(labelling.kept / _RECORD)
    if kept.get("format") != FORMAT:
        kept = {}
    counts = Counts(**kept["counts"]) if kept and kept["key"] == labelling.key(files) else None
    if counts and counts.split == str(labelling.split(counts.texts)):
        return counts
    stamps = {name: list(stamp(path)) for name, path in sorted(files.items())}
    texts, looked_at = _texts(files, labelling, kept, stamps)
    split = labelling.split(texts)
    rules = [labelling.rules(), str(split)]
    known = kept["months"] if kept and kept["rules"] == rules else {}
    due = [name for name in stamps if name not in known or known[name]["made_of"] != stamps[name]]
    numbers = spread(partial(_of_month, labelling=labelling, split=split), [files[name] for name in due])
    known |= {name: {"made_of": stamps[name], **of_month} for name, of_month in zip(due, numbers, strict=True)}
    found = {name: known[name] for name in stamps}
    for gone in months.files_below(labelling.kept).keys() - files.keys():
        (labelling.kept / gone).unlink()
    counts = _total(found, split, texts, labelling.people)
    record = {
        "format": FORMAT,
        "key": labelling.key(files),
        "rules": rules,
        "counts": asdict(counts),
        "texts": looked_at,
        "months": found,
    }
    replace_file(labelling.kept / _RECORD, json.dumps(record))
    return counts


def training_digest(groups: Mapping[tuple[str, str], tuple[int, int]]) -> str:
    """A digest of what training reads of labelled reviews, whatever their order and their months: 12 hex digits.

    `groups` are the reviews of each label and side: how many, and the sum of their texts' keys. So a month that changed
    needs no other month to be read. Likes, replies, app versions and dates make a data version, but no other model.
    """
    return _digest(sorted((*group, n, keys % 2**64) for group, (n, keys) in groups.items() if n))[:12]


def digest_of_frame(frame: pd.DataFrame) -> str:
    """The `training_digest` of labelled reviews with sides: review_text, label and side."""
    keys = frame["review_text"].map({text: text_key(text) for text in frame["review_text"].unique()})
    number, total = Counter[tuple[str, str]](), Counter[tuple[str, str]]()
    for label, side, key in zip(frame["label"], frame["side"], keys, strict=True):
        number[label, side] += 1
        total[label, side] += key
    return training_digest({group: (n, total[group]) for group, n in number.items()})


def beside_references(counts: Counts, references: pd.DataFrame, own_weight: int) -> Counts:
    """Counts of the same reviews, with digests of the labelled `references` that training reads too."""
    if references.empty:
        return counts
    training_data = _digest([counts.training_data, digest_of_frame(references), own_weight])[:12]
    which = _digest([sorted(references["app_id"].unique()), own_weight])[:12]
    return replace(counts, training_data=training_data, references=which)


def with_unlabelled(counts: Counts) -> Counts:
    """Counts of the same reviews, with a digest of training data that covers the texts without a label."""
    return replace(counts, training_data=_digest([counts.training_data, counts.unlabelled])[:12])


def _texts(
    files: Mapping[str, Path], labelling: Labelling, kept: Mapping[str, Any], stamps: Mapping[str, list[int]]
) -> tuple[int, dict[str, list[int]]]:
    """Distinct labelled texts, and the stamps of the months that tell so: as few as have `MANY_TEXTS`, else all.

    While the months that had so many last time are the same, no keys are read.
    """
    looked_at: dict[str, list[int]] = {}
    if kept and kept["counts"]["texts"] == MANY_TEXTS and kept["rules"][0] == labelling.rules():
        looked_at = kept["texts"]
        if all(stamps.get(name) == made_of for name, made_of in looked_at.items()):
            return MANY_TEXTS, looked_at
    looked_at, distinct = {}, np.zeros(0, dtype=np.int64)
    for name, made_of in stamps.items():
        month, looked_at[name] = months.keys(files[name], labelling.kept), made_of
        distinct = np.union1d(distinct, month.keys[labelling.labels(month)[0] >= 0])
        if len(distinct) >= MANY_TEXTS:
            return MANY_TEXTS, looked_at
    return len(distinct), looked_at


def _of_month(path: Path, labelling: Labelling, split: Split) -> dict[str, Any]:
    """The numbers of one file: labelled reviews and the sum of their keys by label and side; the same of the distinct
    texts of the train side without a label; keys and labels of what people say of held-out texts.
    """
    month = months.keys(path, labelling.kept)
    (label, person), side = labelling.labels(month), split.side_numbers(month.keys)
    groups = []
    for at, name in enumerate(NAMES):
        for number, of_side in enumerate(SIDES):
            own = month.keys[(label == at) & (side == number)]
            if len(own):
                groups.append([name, of_side, len(own), sum(own.tolist())])
    taught = np.array([split.lasting(name) == "train" for name in SIDES])[side]
    others = np.unique(month.keys[(label < 0) & taught])
    said = (label >= 0) & (person >= 0) & (side != SIDES.index("train"))
    people = {(int(key), NAMES[at]) for key, at in zip(month.keys[said], label[said], strict=True)}
    sources = list(month.sources)
    return {
        "groups": groups,
        "sources": sources,
        "unlabelled": [len(others), sum(others.tolist())],
        "people": sorted(people),
    }


def _total(found: Mapping[str, Any], split: Split, texts: int, people: Mapping[str, str]) -> Counts:
    rows, labels, sides, lasting = (Counter[Any]() for _ in range(4))
    keys: Counter[tuple[str, str]] = Counter()
    for name, month in found.items():
        for label, side, n, own in month["groups"]:
            rows[name.split("/")[0]] += n
            labels[label] += n
            sides[side] += n
            group = (label, split.lasting(side))
            lasting[group] += n
            keys[group] += own
    stems = sorted(Path(name).stem for name, month in found.items() if month["groups"])
    digests = {key_of(digest): digest for digest in people}
    said = sorted({(digests[key], label) for month in found.values() for key, label in month["people"]})
    return Counts(
        rows=dict(sorted(rows.items())),
        months=[stems[0], stems[-1]] if stems else [],
        labels=dict(sorted(labels.items())),
        sides=dict(sides.most_common()),
        sources=sorted({source for month in found.values() if month["groups"] for source in month["sources"]}),
        training_data=training_digest({group: (n, keys[group]) for group, n in lasting.items()}),
        texts=texts,
        split=str(split),
        people_texts=len(said),
        people_labels=_digest(said)[:12] if said else "",
        unlabelled=_digest([sum(month["unlabelled"][at] for month in found.values()) for at in (0, 1)])[:12],
    )


def _digest(value: object) -> str:
    return hashlib.sha256(repr(value).encode()).hexdigest()
