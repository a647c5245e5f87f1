"""Labels from a file and into one: the forms, encodings and formula cells that files of reviews have too."""

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

import pandas as pd

from mlops_assets.document import for_spreadsheet
from mlops_assets.failures import PermanentFailure
from mlops_assets.files import replacing
from mlops_assets.masking import mask
from mlops_assets.reviews.files.columns import folded, recognise
from mlops_assets.reviews.files.tables.tables import read_table
from mlops_assets.reviews.labels.table import NAME, Answer, Given, LabelTable, latest, person
from mlops_assets.text import text_digest

COLUMNS = ("review_text", "label", "labelled_by", "labelled_at", "text_digest")
_ANSWERS: Mapping[str, Answer] = {
    **dict.fromkeys(("positive", "positif", "pos", "+"), "positive"),
    **dict.fromkeys(("neutral", "netral", "neu"), "neutral"),
    **dict.fromkeys(("negative", "negatif", "neg", "-"), "negative"),
    "skip": "skip",
}
_ALIASES = {
    "label": ("label", "sentiment", "sentimen", "polarity"),
    "labelled_by": ("labelled_by", "labeled_by", "annotator", "by"),
    "labelled_at": ("labelled_at", "labeled_at"),
    "text_digest": ("text_digest",),
}
_DIGEST = re.compile(r"[0-9a-f]{64}")


class BadLabelFile(PermanentFailure):
    """A file holds no labels that can be taken in."""


def write_labels(path: Path, table: LabelTable, reviews: pd.DataFrame) -> Path:
    """Each person's last label of each text as CSV, with the text if it is among `reviews`; the file's path."""
    path = path / "labels.csv" if path.is_dir() else path
    text_of = {text_digest(text): text for text in reviews["review_text"].dropna().unique()}
    rows = [(text_of.get(each.text, ""), each.answer, each.by, each.at, each.text) for each in latest(table.given())]
    cells = pd.DataFrame(sorted(rows, key=lambda row: row[3]), columns=pd.Index(COLUMNS)).map(for_spreadsheet)
    with replacing(path) as scratch:
        cells.to_csv(scratch, index=False, encoding="utf-8-sig")  # Excel takes a file without the mark for cp1252
    return path


def read_labels(path: Path, table: LabelTable, texts: Iterable[str], *, by: str, now: datetime) -> list[str]:
    """Take in the labels of a file whose texts are among `texts`; what became of the rows, as lines.

    `by` names the person of rows that do not. A label that a person gave already is not given again. Raises
    `BadLabelFile` before anything is taken in.
    """
    if path.name == NAME:
        added = table.merge(path.read_text(encoding="utf-8"))
        return [f"{added} labels of {path} are new"]
    found = read_table(path)
    used = _columns(path, found.cells)
    known = {text_digest(text) for text in texts}
    last = {(each.text, each.by): each.answer for each in latest(table.given())}
    timed, others, empty, unknown, same = list[Given](), dict[str, list[tuple[str, Answer | None]]](), 0, 0, 0
    for number, row in found.cells[list(used.values())].rename(columns={v: k for k, v in used.items()}).iterrows():
        cells = cast("Mapping[str, str]", {name: str(cell).strip() for name, cell in row.items()})
        if not cells["label"]:
            empty += 1
            continue
        answer, text = _answer(cells["label"], f"{found.cells.index.name} {number} of {path}"), _text(cells, known)
        who = cells.get("labelled_by") or by
        if not who:
            raise BadLabelFile(
                f"{found.cells.index.name} {number} of {path} does not say who labelled it: give the file a column "
                "labelled_by, or make labels FILE=… BY=<name>"
            )
        if text is None:
            unknown += 1
        elif last.get((text, person(who))) == answer:
            same += 1
        elif at := _time(cells.get("labelled_at", "")):
            timed.append(Given(text, answer, person(who), at, "file"))
        else:
            others.setdefault(person(who), []).append((text, answer))
    taken = table.take(timed)
    for who, answers in others.items():
        taken += len(table.add_all(answers, who, how="file", now=now))
    lines = [f"{path}, {found.form}: {taken} labels taken in"]
    lines += [f"{same} rows say what the same person said before"] if same else []
    lines += [f"{empty} rows have no label"] if empty else []
    lines += (
        [f"{unknown} rows are of texts that no review of the newest version has, and were left out"] if unknown else []
    )
    return lines


def _columns(path: Path, cells: pd.DataFrame) -> dict[str, str]:
    names = {folded(str(name)): str(name) for name in reversed(cells.columns)}
    used = {
        column: next(names[folded(alias)] for alias in aliases if folded(alias) in names)
        for column, aliases in _ALIASES.items()
        if any(folded(alias) in names for alias in aliases)
    }
    if text := recognise(cells.columns).get("review_text"):
        used["review_text"] = text
    if "label" not in used or not {"review_text", "text_digest"} & used.keys():
        raise BadLabelFile(
            f"{path} has the columns {', '.join(map(str, cells.columns))}: labels need a column label and a column "
            "review_text (or text_digest); make labels TO=labels.csv writes such a file"
        )
    return used


def _answer(cell: str, where: str) -> Answer:
    answer = _ANSWERS.get(cell.lstrip("'").casefold())
    if answer is None:
        raise BadLabelFile(f"{where}: the label must be positive, neutral, negative, skip or empty, got {cell[:40]!r}")
    return answer


def _text(cells: Mapping[str, str], known: set[str]) -> str | None:
    """The digest of the row's text, if a stored review has it; a spreadsheet may have changed the text's cell."""
    digest = cells.get("text_digest", "").casefold()
    if _DIGEST.fullmatch(digest) and digest in known:
        return digest
    text = cells.get("review_text", "")
    forms = (text_digest(form) for form in (text, mask(text), mask(text.removeprefix("'"))) if form)
    return next((form for form in forms if form in known), None)


def _time(cell: str) -> str:
    """The time as the table has it; empty if the cell holds none with a zone."""
    try:
        at = datetime.fromisoformat(cell)
    except ValueError:
        return ""
    return at.astimezone(UTC).isoformat(timespec="microseconds") if at.tzinfo else ""
