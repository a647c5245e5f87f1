"""Columns that say who people are, and names in replies, on every way into the store."""

import pytest

from mlops_assets.reviews.files.files import read_reviews
from mlops_assets.reviews.files.imports import clean_file
from mlops_assets.reviews.files.people import name_columns, person_columns
from mlops_assets.reviews.files.rules import FileRules
from mlops_assets.reviews.stored import columns
from mlops_assets.reviews.stored.privacy import author_hash, is_mask_of, mask_name
from tests.unit.reviews.rows import APP, frame, review

NAMES = [
    *("user_name", "userName", "USERNAME", "username", "User Name", "Nama Pengguna", "nama_pengguna", "NamaPengguna"),
    *("author", "Author Name", "author_name", "reviewer", "Reviewer Name", "reviewerName", "nama", "name", "Nama User"),
    *("display name", "profile_name", "customer_name", "nickname", "full_name", "Nama Lengkap", "penulis", "Oleh"),
    *("reviewed_by", "first_name", "account name"),
]
OTHERS = [
    *("user_image", "userImage", "user_image_url", "User Image URL", "userimageurl", "avatar", "Avatar URL", "photo"),
    *("profile_image", "profilePic", "foto profil", "reviewer_photo_url", "user_id", "userId", "author_url", "email"),
    *("No HP pengguna email", "image_url"),
]
NOBODYS = [
    *("app_name", "Nama Aplikasi", "Package Name", "App Version Name", "Reviewer Language", "Device", "content", "at"),
    *(
        "score",
        "reviewId",
        "review_title",
        "user_review",
        "file name",
        "developer_reply",
        "Star Rating",
        "app icon url",
    ),
    *("thumbsUpCount", "product_name", "Review Link", "label", "url"),
]


@pytest.mark.parametrize("name", NAMES)
def test_a_column_of_names_is_known_in_any_spelling(name):
    assert name_columns([name]) == (name,)
    assert person_columns([name]) == (name,)


@pytest.mark.parametrize("name", OTHERS)
def test_a_column_that_leads_to_a_person_is_known(name):
    assert person_columns([name]) == (name,)
    assert name_columns([name]) == ()


@pytest.mark.parametrize("name", NOBODYS)
def test_a_column_about_things_is_nobodys(name):
    assert person_columns([name]) == ()


@pytest.mark.parametrize("header", ["Nama Pengguna", "userName", "author", "reviewer_name"])
@pytest.mark.parametrize("source", ["file", "import"])
def test_a_reply_names_nobody_whichever_way_the_file_comes(tmp_path, header, source):
    path = tmp_path / "a.csv"
    path.write_text(
        f"reviewId,{header},user_image_url,content,score,at,replyContent\n"
        "gp:1,Sekar Ayu 🔥,https://x.example/a.png,bagus,5,2026-01-10,Halo kak SEKAR! Terima kasih\n"
        "gp:2,Bima,,bagus,5,2026-01-10,\n",
        encoding="utf-8",
    )
    rules = FileRules(app_id=APP, source=source, author_key="key")
    found = read_reviews(path, rules)
    assert found.frame["reply_text"].dropna().tolist() == ["Halo kak [name]! Terima kasih"]
    assert found.frame["author"].tolist() == [author_hash("key", "Sekar Ayu 🔥"), author_hash("key", "Bima")]
    assert found.balance.left_behind == (header, "user_image_url")
    assert "masked in 1 replies" in "\n".join(found.balance)
    target, _ = clean_file(path, tmp_path / "imports", rules)
    said = columns.read_frame(target).to_csv() + target.read_bytes().decode("latin-1")
    assert not any(word in said.casefold() for word in ("sekar", "bima", "x.example"))


def test_a_file_in_the_stored_form_with_names_where_the_hash_belongs_loses_them(tmp_path):
    path = tmp_path / "theirs.parquet"
    hashed = author_hash("key", "Bima")
    rows = frame(
        review("gp:1", author="Sekar Ayu", reply_text="Halo Sekar"),
        review("gp:2", author=hashed, reply_text="Halo Kak"),
    )
    columns.write_frame(rows, path)
    found = read_reviews(path).frame
    assert found["author"].fillna("").tolist() == ["", hashed]
    assert found["reply_text"].tolist() == ["Halo [name]", "Halo Kak"]


def test_a_file_without_names_says_that_its_replies_are_as_they_were(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("reviewId,content,score,at,replyContent\ngp:1,bagus,5,2026-01-10,Halo Budi\n")
    assert any("no column has names" in line for line in read_reviews(path, app_id=APP).balance)


@pytest.mark.parametrize(
    ("masked", "text", "fits"),
    [
        ("Halo [name], maaf", "Halo Budi Santoso, maaf", True),
        ("[name]", "Budi", True),
        ("Halo [name] dan [name]", "Halo Budi dan Santoso", True),
        ("Halo [name], maaf", "Halo Budi, terima kasih", False),
        ("Halo [name], maaf", "Halo , maaf", False),
        ("Halo Kak", "Halo Kak", False),
        ("[name]", "x" * 101, False),
        ("Halo [name]", "Halo Budi, kami sudah memperbaikinya", False),
        ("Halo [name]", "Halo [name], sudah baik", False),
    ],
)
def test_a_masked_reply_is_known_as_the_mask_of_another(masked, text, fits):
    assert is_mask_of(masked, text) == fits
    assert not fits or is_mask_of(mask_name(text, "Budi Santoso"), text)
