"""Labels from files and into them: what spreadsheets do to cells, encodings, and texts that nobody knows."""

from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import pytest

from mlops_assets.reviews.labels.agreed import agreed
from mlops_assets.reviews.labels.exchange import BadLabelFile, read_labels, write_labels
from mlops_assets.reviews.labels.table import LabelTable
from mlops_assets.text import text_digest

NOW = datetime(2026, 11, 1, tzinfo=UTC)
TEXTS = ["bagus sekali", '=HYPERLINK("http://x")', "jelek, «lambat»\nsekali", "biasa"]


def take(path: Path, table: LabelTable, by: str = "Ani") -> list[str]:
    return read_labels(path, table, TEXTS, by=by, now=NOW)


def test_what_is_written_can_be_taken_in_again(tmp_path: Path):
    here, there = LabelTable(tmp_path / "here"), LabelTable(tmp_path / "there")
    for text, answer in zip(TEXTS, ("positive", "neutral", "negative"), strict=False):
        here.add(text_digest(text), answer, "Ani", now=NOW)
    here.add(text_digest(TEXTS[0]), "negative", "Budi", now=NOW)
    path = write_labels(tmp_path, here, pd.DataFrame({"review_text": TEXTS}))
    assert path == tmp_path / "labels.csv"
    assert "'=HYPERLINK" in path.read_text("utf-8-sig")
    assert take(path, there)[0].endswith("4 labels taken in")
    assert agreed(there.given()) == agreed(here.given())
    assert {(each.by, each.at) for each in there.given()} == {(each.by, each.at) for each in here.given()}
    assert take(path, there)[1] == "4 rows say what the same person said before"


def test_a_spreadsheet_of_texts_and_labels_in_another_encoding_is_taken_in(tmp_path: Path):
    path, table = tmp_path / "x.csv", LabelTable(tmp_path)
    rows = ["Ulasan;Sentimen", "Bagus  SEKALI;Positif", "'" + TEXTS[1] + ";negatif", "belum pernah;positif", "biasa;"]
    path.write_bytes("\n".join(rows).encode("utf-16"))
    assert take(path, table)[1:] == [
        "1 rows have no label",
        "1 rows are of texts that no review of the newest version has, and were left out",
    ]
    assert agreed(table.given()) == {text_digest(TEXTS[0]): "positive", text_digest(TEXTS[1]): "negative"}
    assert {each.by for each in table.given()} == {"Ani"}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("text,label\nbagus sekali,great\n", "line 2 of .*positive, neutral, negative, skip or empty, got 'great'"),
        ("text,stars\nbagus sekali,5\n", "labels need a column label"),
        ("label\npositive\n", "labels need a column label and a column review_text"),
    ],
)
def test_a_file_without_labels_is_refused_whole(tmp_path: Path, content: str, said: str):
    path, table = tmp_path / "x.csv", LabelTable(tmp_path)
    path.write_text(content)
    with pytest.raises(BadLabelFile, match=said):
        take(path, table)
    assert not table.path.exists()


def test_somebody_must_have_labelled(tmp_path: Path):
    path = tmp_path / "x.csv"
    path.write_text("text,label\nbagus sekali,positive\n")
    with pytest.raises(BadLabelFile, match="BY=<name>"):
        take(path, LabelTable(tmp_path), by="")
