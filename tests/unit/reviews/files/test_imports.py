import pytest

from mlops_assets.reviews.files.balance import keep_record, record_of
from mlops_assets.reviews.files.imports import (
    SOURCE,
    clean_file,
    earlier_imports,
    files_in,
    imports_are_understood,
    imports_hold_no_names,
    read_imports,
    unpulled,
)
from mlops_assets.reviews.files.rules import FileHints, FileRules
from mlops_assets.reviews.stored import columns
from mlops_assets.reviews.stored.store import ReviewStore

APP = "com.valar.pintu"
LIBRARY = (
    "reviewId;userName;userImage;content;score;thumbsUpCount;reviewCreatedVersion;at;replyContent;repliedAt\n"
    "gp:1;Sekar Ayu;https://x.example/a.png;na;1;0;1.0;2026-01-03 10:00:00;Halo Sekar;2026-01-04 10:00:00\n"
    "gp:2;Bima;https://x.example/b.png;=1+1;5;2;;2026-02-03 10:00:00;;\n"
)


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "imports"
    folder.mkdir()
    return folder


def read(folder, **more):
    return read_imports(folder, FileRules(known_apps=[APP], app_id=APP, source=SOURCE, **more))


def taken(found) -> dict[str, int]:
    return {balance.file: balance.taken for balance in found.balances.files}


def test_a_file_that_is_no_reviews_is_refused_by_name_and_the_others_go_on(folder):
    (folder / "a.csv").write_text("colour,size\nred,3\n")
    (folder / "b.csv").write_text(LIBRARY)
    (folder / "c.parquet").write_bytes(b"PAR1 and then nothing")
    (folder / "d.csv").write_text("")
    found = read(folder)
    assert taken(found) == {"b.csv": 2}
    assert set(found.refused) == {"a.csv", "c.parquet", "d.csv"}
    assert "colour" in found.refused["a.csv"]
    claim = imports_are_understood(found)
    assert claim.warning
    assert all(name in claim.reason for name in found.refused)


def test_every_file_is_read_or_refused_by_name_whatever_its_ending(folder):
    (folder / "a.json").write_text('[{"content": "na", "score": 5, "at": "2025-01-10"}]')
    (folder / "b").write_text(LIBRARY)
    (folder / "photo.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"\0\1\2" * 100)
    (folder / "old").mkdir()
    (folder / "old" / "c.csv").write_text(LIBRARY)
    for name in (".gitignore", ".gitkeep", "README.md", "c.csv.dvc"):
        (folder / name).write_text("x\n")
    found = read(folder)
    assert taken(found) == {"a.json": 1, "b": 2}
    assert set(found.refused) == {"old", "photo.png"}
    assert "is a folder" in found.refused["old"]


def test_a_file_whose_dates_fit_both_orders_is_refused_alone_until_a_person_says_which(folder):
    (folder / "a.csv").write_text("content,score,at\nx,1,1/5/2025\ny,5,2/7/2025\n")
    (folder / "b.csv").write_text(LIBRARY)
    found = read(folder)
    assert set(found.refused) == {"a.csv"}
    assert "DATES=day-first or DATES=month-first" in found.refused["a.csv"]
    assert taken(found) == {"b.csv": 2}
    told = read(folder, hints=FileHints(date_order="month-first"))
    assert told.refused == {}
    assert "2025-01" in told.rows_by_app[APP]["review_date"].dt.strftime("%Y-%m").tolist()


def test_the_librarys_columns_are_mapped_and_keep_literal_texts(folder):
    (folder / "b.csv").write_text("\ufeff" + LIBRARY, encoding="utf-8")
    rows = read(folder).rows_by_app[APP]
    assert rows["review_text"].tolist() == ["na", "=1+1"]
    assert set(rows["source"]) == {"import"}
    assert rows["reply_text"].iloc[0] == "Halo [name]"
    assert rows["author"].isna().all()


def test_columns_about_people_are_a_warning_that_names_file_and_command(folder):
    (folder / "b.csv").write_text(LIBRARY)
    claim = imports_hold_no_names(read(folder))
    assert claim.warning
    assert "data/imports/b.csv" in claim.reason
    assert "make import FILE=" in claim.reason


def test_a_cleaned_file_holds_no_names_and_the_same_rows(tmp_path, folder):
    source = tmp_path / "mine.csv"
    source.write_text(LIBRARY)
    rules = FileRules(known_apps=[APP], app_id=APP, author_key="key")
    target, _ = clean_file(source, folder, rules)
    assert clean_file(source, folder, rules)[0] == target
    assert files_in(folder) == [target]
    text = columns.read_frame(target).to_csv()
    assert not any(word in text for word in ("Sekar", "Bima", "x.example"))
    found = read(folder)
    assert not imports_hold_no_names(found).warning
    assert found.rows_by_app[APP]["author"].notna().all()
    (folder / "by-hand.csv").write_text(LIBRARY)
    by_hand = read(folder, author_key="key").rows_by_app[APP]
    assert by_hand.groupby("review_id")["author"].nunique().tolist() == [1, 1]


def test_no_file_holds_personal_data_from_texts_and_the_balance_counts_it(tmp_path, folder):
    path = tmp_path / "reviews.csv"
    path.write_text(
        "id,text,stars,date,reply\n"
        "a,hubungi 0812-0000-1111,1,2026-01-05,tulis ke cs@example.com\n"
        "b,bagus,0812-0000-1111,2026-01-06,\n"
        "c,jelek,1,telepon 0812-0000-1111,\n"
    )
    target, balance = clean_file(path, folder, FileRules(app_id=APP, source=SOURCE))
    keep_record(balance, tmp_path / "data")
    assert columns.read_frame(target)["review_text"].tolist() == ["hubungi [phone]", "bagus"]
    assert columns.read_frame(target)["reply_text"].dropna().tolist() == ["tulis ke [email]"]
    assert "  personal data masked in texts and replies: 1 phone, 1 email" in list(balance)
    written = [target.read_bytes(), (tmp_path / "data" / record_of(balance)).read_bytes(), "\n".join(balance).encode()]
    assert not [content for content in written if b"0812" in content]


def test_an_import_of_the_mended_file_names_the_one_it_may_replace(tmp_path, folder):
    (folder / "mine-too-01234567.parquet").touch()
    source, rules = tmp_path / "mine.csv", FileRules(app_id=APP)
    source.write_text(LIBRARY)
    first, _ = clean_file(source, folder, rules)
    assert earlier_imports(first) == []
    source.write_text(LIBRARY.replace("2026", "2025"))
    assert earlier_imports(clean_file(source, folder, rules)[0]) == [first]


def test_importing_twice_changes_nothing(tmp_path, folder):
    (folder / "b.csv").write_text(LIBRARY)
    store = ReviewStore(tmp_path / "raw")
    assert store.upsert(APP, read(folder).rows_by_app[APP]).new == 2
    assert store.upsert(APP, read(folder).rows_by_app[APP]).months == ()


def test_an_app_that_is_not_in_the_parameters_is_refused_also_in_a_cleaned_file(tmp_path, folder):
    source = tmp_path / "mine.csv"
    source.write_text(LIBRARY)
    clean_file(source, folder, FileRules(known_apps=["com.other.app"], app_id="com.other.app"))
    [reason] = read(folder).refused.values()
    assert "com.other.app" in reason


def test_a_pointer_without_its_file_is_known(folder):
    (folder / "x.csv.dvc").write_text("outs: []\n")
    (folder / "y.csv.dvc").write_text("outs: []\n")
    (folder / "y.csv").write_text(LIBRARY)
    assert [path.name for path in unpulled(folder)] == ["x.csv.dvc"]
    assert [path.name for path in files_in(folder)] == ["y.csv"]


def test_a_folder_that_is_not_there_holds_nothing(tmp_path):
    found = read(tmp_path / "none")
    assert (taken(found), found.refused, found.rows_by_app) == ({}, {}, {})
