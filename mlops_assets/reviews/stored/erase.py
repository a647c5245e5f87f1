"""Remove a person's reviews from every current file, and keep them from being collected again; mask what is stored.

Not here: versions in git and DVC, which hold what they held.
"""

import json
import os
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute
import pyarrow.parquet as pq

from mlops_assets.code_version import code_version
from mlops_assets.failures import PermanentFailure
from mlops_assets.files import replace_file, stamp
from mlops_assets.masking import masks_in
from mlops_assets.reviews.play_store.crawl_state import Journal
from mlops_assets.reviews.predictions.older_file import NAME as OLDER_FILE
from mlops_assets.reviews.stored import columns
from mlops_assets.reviews.stored.kept import read_record
from mlops_assets.reviews.stored.privacy import (
    TEXTS,
    AuthorKeyMissing,
    Erased,
    author_hash,
    masked_forms,
    review_digest,
)
from mlops_assets.reviews.stored.reference import reference_folder, reference_store
from mlops_assets.reviews.stored.store import ReviewStore
from mlops_assets.text import text_digest

pc: Any = pyarrow.compute  # its functions are made at import, where no type checker sees them

_MASKED = ".masked.json"
"""In `data/raw`: the stamps of files whose personal data is masked, and the version of the patterns."""

EQUAL_NAMES = "authors with equal display names cannot be told apart: all of their reviews were taken"


class NothingToErase(PermanentFailure):
    """Neither an author nor a review was named."""


@dataclass(frozen=True)
class Erasure:
    """What was removed: rows by file, relative to the folder that holds `data` (older versions of a review are rows
    too), and the reviews' ids.
    """

    rows: dict[str, int]
    review_ids: tuple[str, ...]
    note: str = ""


def erase(
    data: Path,
    *,
    review: str | None = None,
    author: str | None = None,
    author_key: str | None = None,
    copies: Iterable[Path] = (),
    forget_texts: Callable[[frozenset[str]], None] = lambda _: None,
    forget_labels: Callable[[frozenset[str]], None] = lambda _: None,
) -> Erasure:
    """Remove one review by id, or every review of a display name, from raw, history, validated, quarantine,
    predictions, topics, crawls and cleaned imports, also of reference apps, and from the stored files under `copies`.

    `forget_texts` gets the digests of the reviews' texts before a file changes: if it fails, another call finds them.
    `forget_labels` gets those that no other stored review has.
    `author` needs the key that the reviews were collected with. Raises `AuthorKeyMissing`, `NothingToErase`.
    """
    if not review and not author:
        raise NothingToErase("name what to erase: make erase REVIEW=<review id>, or make erase AUTHOR=<display name>")
    if author and not author_key:
        raise AuthorKeyMissing("AUTHOR needs AUTHOR_KEY, the key that the reviews were collected with: set it in .env")
    hashed = author_hash(author_key, author) if author and author_key else None
    stores = _stores(data)
    ids = {review} if review else set[str]()
    aside = [path for folder in copies for path in sorted(folder.rglob("*.parquet"))]
    if hashed:
        ids |= _ids_of_author(data, hashed, aside)
    # First the list: a crawl between here and the end must not bring them back.
    known = Erased.load(data / "raw")
    Erased(
        known.reviews | {review_digest(review_id) for review_id in ids},
        known.authors | ({hashed} if hashed else frozenset()),
    ).save(data / "raw")
    files = [*_parquet_files(data), *_answers(data), *_cleaned_imports(data / "imports"), *aside]
    before = {path: _rows(path) for path in files}
    texts = frozenset(digest for path in files for digest in _text_digests(path, ids))
    forget_texts(texts)
    forget_labels(texts - _texts_of_others(stores, ids) if texts else texts)
    for store in stores:
        for app_id in store.apps():
            store.erase(app_id, ids)
    removed = dict[str, int]()
    for path, rows in before.items():
        if not any(path.is_relative_to(store.folder) for store in stores):
            _filter_file(path, ids)
        removed[path.relative_to(data.parent).as_posix()] = rows - _rows(path)
    for journal in sorted(path for store in stores for path in store.folder.glob(f"*/{Journal.NAME}")):
        removed[journal.relative_to(data.parent).as_posix()] = Journal(journal.parent).erase(ids, hashed)
    removed = {name: rows for name, rows in removed.items() if rows}
    return Erasure(removed, tuple(sorted(ids)), EQUAL_NAMES if author else "")


def drop_erased(data: Path, erased: Erased | None = None) -> dict[str, int]:
    """Remove again what was erased before, from files that came from somewhere else; rows by file.

    `erased` replaces the list in `data/raw`.
    """
    known = erased or Erased.load(data / "raw")
    if not (known.reviews or known.authors):
        return {}
    removed = dict[str, int]()
    for path in _parquet_files(data):
        table = columns.read_rows(path, ["review_id", "author"])
        ids = {
            review_id
            for review_id, author in zip(table["review_id"].to_pylist(), table["author"].to_pylist(), strict=True)
            if review_digest(review_id) in known.reviews or author in known.authors
        }
        if ids:
            _filter_file(path, ids)
            removed[path.relative_to(data).as_posix()] = table.num_rows - _rows(path)
    return removed


def mask_stored(data: Path, copies: Iterable[Path] = ()) -> Counter[str]:
    """Mask personal data in the stored files and those under `copies`; how many masks were set, by kind.

    Only files that were not known to be masked are read. So what an older version stored, or somebody copied here, is
    masked once. Files are replaced one by one: after a kill, the next call masks the rest.
    """
    stores = _stores(data)
    known, masked, found = _known_as_masked(data), dict[str, list[int]](), Counter[str]()
    aside = [path for folder in copies for path in sorted(folder.rglob("*.parquet"))]
    for path in [*_parquet_files(data), *_cleaned_imports(data / "imports"), *aside]:
        name = os.path.relpath(path, data)
        if known.get(name) != list(stamp(path)):
            if columns.schema_changes(path) not in ([], ["column reasons is unknown"]):
                continue  # It is refused by whoever reads it.
            store = next((store for store in stores if path.is_relative_to(store.folder)), None)
            found += _mask_file_of_store(path, store) if store else _mask_file(path)
        masked[name] = list(stamp(path))
    _keep_as_masked(data, known, masked)
    return found


def know_as_masked(data: Path) -> None:
    """Say that this run wrote the stored files as they are, so with masks: the next run need not search them."""
    files = [*_parquet_files(data), *_cleaned_imports(data / "imports")]
    known = _known_as_masked(data)
    _keep_as_masked(data, known, known | {os.path.relpath(path, data): list(stamp(path)) for path in files})


def _known_as_masked(data: Path) -> dict[str, list[int]]:
    """Stamps by name relative to `data`; none if other patterns masked the files."""
    record = read_record(data / "raw" / _MASKED)
    return record["files"] if record.get("patterns") == code_version("mlops_assets.masking") else {}


def _keep_as_masked(data: Path, before: dict[str, list[int]], files: dict[str, list[int]]) -> None:
    if files != before:
        record = {"patterns": code_version("mlops_assets.masking"), "files": files}
        replace_file(data / "raw" / _MASKED, json.dumps(record))


def _mask_file_of_store(path: Path, store: ReviewStore) -> Counter[str]:
    if not any(masked_forms(texts) for texts in _texts(path).values()):
        return Counter()
    app_id = path.relative_to(store.folder).parts[0]
    store.give_content_ids(app_id)  # An id comes from the unmasked text, as in every later reading of its file.
    with store.writing(app_id):
        return _mask_file(path)


def _mask_file(path: Path) -> Counter[str]:
    """Mask the texts in a file; a file without personal data stays untouched."""
    forms = {name: masked for name, texts in _texts(path).items() if (masked := masked_forms(texts))}
    if not forms:
        return Counter()
    table, found = columns.read_rows(path), Counter[str]()
    for name, masked in forms.items():
        texts = table[name].to_pylist()
        for text in texts:
            if text in masked:
                found += masks_in(masked[text]) - masks_in(text)
        replaced = pa.array([masked.get(text, text) for text in texts], pa.string())
        table = table.set_column(table.schema.get_field_index(name), table.schema.field(name), replaced)
    columns.write_table(table, path, about=pq.read_metadata(path).metadata)
    return found


def _texts(path: Path) -> dict[str, list[str]]:
    """The distinct texts of each column that people write."""
    table = columns.read_rows(path, TEXTS)
    return {name: table[name].unique().drop_null().to_pylist() for name in TEXTS}


def _parquet_files(data: Path) -> list[Path]:
    return [
        path
        for folder in (data, reference_folder(data))
        for part in ("raw", "validated", "quarantine")
        for path in sorted((folder / part).rglob("*.parquet"))
        # A killed writer's files are no stored ones: the next writer removes them.
        if not any(name.startswith(".") for name in path.relative_to(data).parts)
    ]


def _answers(data: Path) -> list[Path]:
    """Predictions, and the topics of reviews."""
    found = [*(data / "predictions").rglob("*.parquet"), *(data / "topics").glob("*/*/*.parquet")]
    return sorted([*found, *data.glob(OLDER_FILE)])


def _cleaned_imports(folder: Path) -> list[Path]:
    """What `make import` wrote. A file that a person put there, or that DVC tracks, is theirs to change."""
    return [
        path
        for path in sorted(folder.glob("*.parquet"))
        if not path.with_name(f"{path.name}.dvc").exists() and not columns.schema_changes(path)
    ]


def _stores(data: Path) -> list[ReviewStore]:
    """The apps' raw reviews and those of reference apps; what a killed writer had begun is finished."""
    stores = [ReviewStore(data / "raw"), reference_store(data)]
    for store in stores:
        store.apps()
    return stores


def _ids_of_author(data: Path, hashed: str, aside: Iterable[Path]) -> set[str]:
    files = [*_parquet_files(data), *_cleaned_imports(data / "imports"), *aside]
    return {review_id for path in files for review_id in _ids_in(path, hashed)}


def _ids_in(path: Path, hashed: str) -> Iterable[str]:
    table = columns.read_rows(path, ["review_id", "author"])
    return table.filter(pc.equal(table["author"], hashed))["review_id"].to_pylist()


def _text_digests(path: Path, ids: set[str]) -> Iterable[str]:
    if "review_text" not in pq.read_schema(path).names:
        return []  # predictions and topics
    table = columns.read_rows(path, ["review_id", "review_text"])
    hit = pc.is_in(table["review_id"], value_set=pa.array(sorted(ids), pa.string()))
    return (text_digest(text) for text in table.filter(hit)["review_text"].to_pylist() if text)


def _texts_of_others(stores: Iterable[ReviewStore], ids: set[str]) -> set[str]:
    """The digests of the current texts of all other reviews."""
    found = set[str]()
    for path in (store.path(app, month) for store in stores for app in store.apps() for month in store.months(app)):
        table = columns.read_rows(path, ["review_id", "review_text"])
        others = pc.invert(pc.is_in(table["review_id"], value_set=pa.array(sorted(ids), pa.string())))
        found |= {text_digest(text) for text in table.filter(others)["review_text"].unique().to_pylist() if text}
    return found


def _filter_file(path: Path, ids: set[str]) -> None:
    hit = pc.is_in(columns.read_rows(path, ["review_id"])["review_id"], value_set=pa.array(sorted(ids), pa.string()))
    if pc.any(hit).as_py():
        about = pq.read_metadata(path).metadata
        columns.write_table(columns.read_rows(path).filter(pc.invert(hit)), path, about=about)


def _rows(path: Path) -> int:
    return pq.read_metadata(path).num_rows
