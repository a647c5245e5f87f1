import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mlops_assets.reviews.files import UnknownApp, UnreadableFile, UnusableFile, read_reviews
from mlops_assets.reviews.privacy import author_hash
from tests.unit.reviews.rows import APP

HEADER = "review_id,app_id,review_text,rating,review_date"


@pytest.fixture
def written(tmp_path):
    def write(content: str | bytes, name: str = "reviews.csv"):
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write


def only(path, **options) -> dict:
    (row,) = read_reviews(path, **options).frame.to_dict("records")
    return row


def test_the_replaced_projects_schema_is_read_without_names_and_pictures(written):
    header = "review_id,user_name,user_image,review_text,rating,thumbs_up,app_version,review_date,reply_text,reply_date"
    path = written(
        f"{header},scraped_at,app_id\r\n"
        f"1,Budi Santoso,https://example.org/b.png,Mantap,5,2,3.86.0,2025-12-07 08:10:14,Terima kasih,"
        f"2025-12-07 10:00:00,2025-12-08 10:00:54.923821,{APP}\r\n"
    )
    read = read_reviews(path)
    (row,) = read.frame.to_dict("records")
    assert (row["review_text"], row["rating"], row["thumbs_up"], row["app_version"]) == ("Mantap", 5, 2, "3.86.0")
    assert row["review_date"] == pd.Timestamp("2025-12-07T08:10:14Z")
    assert row["scraped_at"] == pd.Timestamp("2025-12-08T10:00:54.923821Z")
    assert row["source"] == "file"
    assert "Budi" not in read.frame.to_csv()
    assert "example.org" not in read.frame.to_csv()
    assert read.balance.left_behind == ("user_name", "user_image")
    assert any("user_name" in line for line in read.balance)


def test_the_scrapers_own_columns_are_read(written):
    path = written(
        "reviewId,userName,userImage,content,score,thumbsUpCount,reviewCreatedVersion,at,replyContent,repliedAt,appVersion\n"
        "1,Budi,x,Mantap,4,1,2.0,2025-12-07 08:10:14,Makasih,2025-12-08 00:00:00,2.1\n"
    )
    row = only(path, app_id=APP)
    assert (row["review_text"], row["rating"], row["app_version"], row["reply_text"]) == ("Mantap", 4, "2.0", "Makasih")
    assert row["app_id"] == APP


@pytest.mark.parametrize(
    "text", ["na", "null", "NaN", "None", "=1+1", "+62", "@x", "👍🏻", "a\u200bb", "\ufeffx", "a\r\nb", "a\nb"]
)
def test_texts_that_programs_trip_over_survive_unchanged(written, text):
    assert only(written(f'{HEADER}\n1,{APP},"{text}",5,2026-01-01\n'))["review_text"] == text


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "cp1252"])
def test_any_separator_and_encoding(written, separator, encoding):
    lines = [HEADER.split(","), ["1", APP, "café, enak; banget", "5", "2026-01-01"]]
    quoted = "\n".join(separator.join(f'"{cell}"' for cell in line) for line in lines)
    read = read_reviews(written(quoted.encode(encoding)))
    assert read.frame["review_text"].tolist() == ["café, enak; banget"]
    assert read.balance.assumed[0].endswith(f"separated by {separator!r}")


def test_parquet_keeps_its_types(tmp_path):
    table = pa.table(
        {
            "review_id": ["r1", "r2"],
            "app_id": [APP, APP],
            "content": ["na", None],
            "score": pa.array([5, None], pa.int64()),
            "at": pa.array([1_767_225_600_000_000 - 1, 1_767_225_600_000_000], pa.timestamp("us")),
        }
    )
    pq.write_table(table, tmp_path / "reviews.parquet")
    frame = read_reviews(tmp_path / "reviews.parquet").frame
    assert frame["review_text"].tolist() == ["na", ""]
    assert frame["rating"].tolist() == [5, pd.NA]
    assert frame["review_date"].tolist()[1] == pd.Timestamp("2026-01-01", tz="UTC")


@pytest.mark.parametrize(
    ("written_as", "instant"),
    [
        ("2026-01-31", "2026-01-31T00:00:00Z"),
        ("2026-01-31 12:30:00", "2026-01-31T12:30:00Z"),
        ("2026-01-31T12:30:00+07:00", "2026-01-31T05:30:00Z"),
        ("2026-01-31 12:30:00 UTC", "2026-01-31T12:30:00Z"),
        ("2026-01-31T12:30:00.123456Z", "2026-01-31T12:30:00.123456Z"),
        ("1767225600", "2026-01-01T00:00:00Z"),
        ("1767225600000", "2026-01-01T00:00:00Z"),
        ("31/01/2026", "2026-01-31T00:00:00Z"),
        ("31-01-2026 08:15", "2026-01-31T08:15:00Z"),
        ("01/31/2026", "2026-01-31T00:00:00Z"),
        ("February 9, 2025", "2025-02-09T00:00:00Z"),
        ("9 Februari 2025", "2025-02-09T00:00:00Z"),
        ("17 Agustus 2025", "2025-08-17T00:00:00Z"),
    ],
)
def test_dates_as_people_write_them(written, written_as, instant):
    row = only(written(f'{HEADER}\n1,{APP},x,5,"{written_as}"\n'))
    assert row["review_date"] == pd.Timestamp(instant)


def test_an_ambiguous_date_has_its_day_first_unless_the_column_says_otherwise(written):
    frame = read_reviews(written(f"{HEADER}\n1,{APP},x,5,02/03/2026\n2,{APP},x,5,13/03/2026\n")).frame
    assert frame["review_date"].dt.month.tolist() == [3, 3]
    frame = read_reviews(written(f"{HEADER}\n1,{APP},x,5,02/03/2026\n2,{APP},x,5,03/13/2026\n")).frame
    assert frame["review_date"].dt.month.tolist() == [2, 3]


def test_naive_times_are_utc_unless_a_zone_is_named(written):
    path = written(f"{HEADER}\nr1,{APP},x,5,2026-02-01 06:59:00\nr2,{APP},y,5,2026-02-01T06:59:00Z\n")
    times = read_reviews(path, naive_zone="Asia/Jakarta").frame.set_index("review_id")["review_date"]
    assert times.loc["r1"] == pd.Timestamp("2026-01-31T23:59:00Z")
    assert times.loc["r2"] == pd.Timestamp("2026-02-01T06:59:00Z")


@pytest.mark.parametrize(
    ("cell", "stars"), [("4", 4), ("4.0", 4), (" 4 ", 4), ("4.5", None), ("", None), ("lima", None), ("9", 9)]
)
def test_stars_are_whole_numbers_or_missing(written, cell, stars):
    frame = read_reviews(written(f"{HEADER}\n1,{APP},x,{cell},2026-01-01\n2,{APP},x,5,2026-01-02\n")).frame
    rating = frame["rating"].iloc[0]
    assert (None if pd.isna(rating) else rating) == stars


def test_rows_without_an_id_get_the_same_one_in_every_reading(written):
    path = written(
        f"app_id,review_text,rating,review_date\n{APP},x,5,2026-01-01\n{APP},x,5,2026-01-01\n{APP},y,5,2026-01-01\n"
    )
    first, second = (read_reviews(path).frame["review_id"].tolist() for _ in range(2))
    assert first == second
    assert len(set(first)) == 3


def test_blank_and_undated_rows_are_counted_and_left_out(written):
    read = read_reviews(written(f"{HEADER}\n1,{APP},x,5,2026-01-01\n,,,,\n3,{APP},x,5,kemarin\n"))
    balance = read.balance
    assert (balance.rows, balance.taken, balance.quarantined, balance.blank) == (2, 1, 1, 1)
    assert "line 4: 'kemarin'" in "\n".join(balance)


def test_who_wrote_it_is_hashed_and_masked_where_asked(written):
    path = written(
        f"{HEADER},user_name,reply_text\nr1,{APP},x,5,2026-01-01,Budi,Halo Budi\nr2,{APP},x,5,2026-01-01,,Halo Kak\n"
    )
    frame = read_reviews(path, author_key="key").frame
    assert frame["author"].fillna("none").tolist() == [author_hash("key", "Budi"), "none"]
    assert frame["reply_text"].tolist() == ["Halo [name]", "Halo Kak"]
    assert read_reviews(path).frame["author"].isna().all()


def test_a_row_that_does_not_say_when_it_was_scraped(written):
    path = written(f"{HEADER},reply_date\n1,{APP},x,5,2026-01-01,2026-01-03\n")
    assert only(path)["scraped_at"] == pd.Timestamp("2026-01-03", tz="UTC")
    now = pd.Timestamp("2026-05-01", tz="UTC")
    assert only(path, collected_at=now.to_pydatetime())["scraped_at"] == now


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"is empty: give a file with a header"),
        (b"  \n \n", r"is empty"),
        (HEADER.encode() + b"\n", r"holds no reviews, only a header"),
        (HEADER.encode() + b"\n,,,,\n", r"holds no reviews"),
        (b"PK\x03\x04rest", r"is a damaged zip file or workbook"),
        (b"\x00\x01\x02\x00\x00\x00", r"is in no form that can be read .*: save it as CSV"),
        (b"PAR1garbagePAR1", r"is damaged Parquet"),
        ((HEADER + '\n1,"open quote,5\n').encode(), r"is no table .*quote"),
        ((HEADER + "\n1,a,b,5,2026-01-01,extra,more\n").encode(), r"is no table"),
    ],
)
def test_a_file_that_is_no_table_is_refused_by_name(written, content, message):
    path = written(content)
    with pytest.raises(UnreadableFile, match=message) as refused:
        read_reviews(path)
    assert str(path) in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    with pytest.raises(UnreadableFile, match="does not exist"):
        read_reviews(tmp_path / "none.csv")
    with pytest.raises(UnreadableFile, match="cannot be read"):
        read_reviews(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a,b\n1,2\n", "none of the required columns: looked for review_text as .*; rating as .*; found 'a', 'b'"),
        ("text,label\nx,positive\n", "no rating, review_date"),
        (
            f"{HEADER}\n1,{APP},x,5,kemarin\n",
            "none of 1 dates in column review_date is understood, the first is 'kemarin'",
        ),
        (f"{HEADER}\n1,{APP},x,lima,2026-01-01\n", "none of 1 ratings in column rating is a whole number"),
        (
            "review_text,rating,review_date\nx,5,2026-01-01\n",
            "does not say the app of 1 of its rows: add a column app_id",
        ),
    ],
)
def test_a_table_that_holds_no_reviews_is_refused_with_what_was_looked_for(written, content, message):
    with pytest.raises(UnusableFile, match=message):
        read_reviews(written(content))


def test_an_app_that_is_not_known_is_refused_with_the_line_to_add(written):
    path = written(f"{HEADER}\n1,{APP},x,5,2026-01-01\n")
    with pytest.raises(UnknownApp, match=rf"add '  - {APP}' under apps: in params\.yaml, or set APP={APP}"):
        read_reviews(path, known_apps=["com.valar.pintu"])
    assert read_reviews(path, known_apps=[APP]).balance.taken == 1
