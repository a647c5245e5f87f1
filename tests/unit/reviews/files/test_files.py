import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mlops_assets.reviews.files.apps import UnknownAppName
from mlops_assets.reviews.files.files import UnknownApp, UnreadableFile, UnusableFile, read_reviews
from mlops_assets.reviews.files.rules import FileHints
from mlops_assets.reviews.files.values import AmbiguousDates
from mlops_assets.reviews.stored.privacy import author_hash
from tests.unit.reviews.rows import APP

HEADER = "review_id,app_id,review_text,rating,review_date"


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
    "header",
    [
        "id,userName,version,score,text,updated,replyText",
        "Review ID,Author,Version,Rating,Reviews,Date Created,Response",
        "ID Ulasan,Nama,Versi,Jumlah Bintang,Ulasan Pengguna,Tgl,Tanggapan",
        "position,Reviewer,App Version,Ratings,Snippet,iso_date,Developer Response",
    ],
)
def test_headers_of_other_scrapers_and_tools_are_read(written, header):
    row = only(written(f"{header}\ngp:1,Budi,3.1,5,Mantap,2025-01-13T10:00:00-07:00,Halo Budi\n"), app_id=APP)
    assert (row["review_text"], row["rating"], row["reply_text"]) == ("Mantap", 5, "Halo [name]")
    assert row["review_date"] == pd.Timestamp("2025-01-13T17:00:00Z")


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


def test_an_ambiguous_date_has_its_day_first_unless_the_column_says_otherwise(written):
    frame = read_reviews(written(f"{HEADER}\n1,{APP},x,5,02/03/2026\n2,{APP},x,5,13/03/2026\n")).frame
    assert frame["review_date"].dt.month.tolist() == [3, 3]
    frame = read_reviews(written(f"{HEADER}\n1,{APP},x,5,02/03/2026\n2,{APP},x,5,03/13/2026\n")).frame
    assert frame["review_date"].dt.month.tolist() == [2, 3]


def test_dates_that_fit_both_orders_are_not_guessed(written):
    path = written(f"{HEADER}\n1,{APP},x,5,1/5/2025\n2,{APP},x,5,2/7/2025\n")
    with pytest.raises(
        AmbiguousDates, match=r"such as '1/5/2025' in line 2: .*DATES=day-first or DATES=month-first"
    ) as no:
        read_reviews(path)
    assert str(no.value).startswith(str(path))
    months = {
        order: read_reviews(path, hints=FileHints(date_order=order)).frame["review_date"].dt.month.tolist()
        for order in ("day-first", "month-first")
    }
    assert months == {"day-first": [5, 7], "month-first": [1, 2]}


def test_one_column_of_dates_decides_for_the_others_of_the_file(written):
    path = written(f"{HEADER},reply_date\n1,{APP},x,5,1/5/2025,1/6/2025\n2,{APP},x,5,2/7/2025,2/28/2025\n")
    read = read_reviews(path)
    assert read.frame["review_date"].dt.month.tolist() == [1, 2]
    assert "month-first, line 3 holds day 28" in " ".join(read.balance)


def test_two_forms_of_dates_in_one_column_are_each_read(written):
    days = [f"{n},{APP},x,5,2025-01-0{n} 10:00:00" for n in range(1, 6)]
    american = [f"{n},{APP},x,5,1/{n + 8}/2025 2:05 PM" for n in range(6, 11)]
    frame = read_reviews(written("\n".join([HEADER, *days, *american]))).frame
    assert len(frame) == 10
    assert frame["review_date"].dt.month.tolist() == [1] * 10
    assert frame["review_date"].dt.hour.tolist() == [10] * 5 + [14] * 5


def test_headers_of_google_plays_console_and_with_spaces_are_read(written):
    row = only(
        written(
            "Package Name,App Version Name,Review Submit Date and Time,Star Rating,Review Title,Review Text,"
            f"Developer Reply Date and Time,Developer Reply Text\n{APP},3.1.0,2026-05-01T03:28:05Z,5,,Mantap,"
            "2026-05-02T03:28:05Z,Terima kasih\n"
        )
    )
    assert (row["app_id"], row["app_version"], row["rating"], row["review_text"]) == (APP, "3.1.0", 5, "Mantap")
    assert row["reply_text"] == "Terima kasih"
    assert row["reply_date"] == pd.Timestamp("2026-05-02T03:28:05Z")
    row = only(
        written("Review Id,Text,Score,review_time,review_created_version,thumbs_up_count\nr1,x,5,2026-01-01,2.0,7\n"),
        app_id=APP,
    )
    assert (row["review_id"], row["app_version"], row["thumbs_up"]) == ("r1", "2.0", 7)


class TestApps:
    @pytest.mark.parametrize("column", ["app", "app_name", "source_app_id", "Nama Aplikasi", "Package Name", "appId"])
    def test_a_column_that_holds_packages_says_the_app_whatever_its_name(self, written, column):
        path = written(f"content,score,at,{column}\na,5,2025-01-10,com.a.b\nb,4,2025-01-11,com.c.d\n")
        assert read_reviews(path, app_id=APP).frame["app_id"].tolist() == ["com.a.b", "com.c.d"]

    THREE = "content,score,at,app\na,5,2025-01-10,BRImo\nb,4,2025-01-11,Livin\nc,4,2025-01-12,MyTelkomsel\n"

    @pytest.mark.parametrize("app_id", [None, APP])
    def test_names_of_several_apps_are_never_one_app(self, written, app_id):
        path = written(self.THREE)
        with pytest.raises(
            UnknownAppName, match=r"'BRImo', 'Livin', 'MyTelkomsel' in column app are no package names"
        ) as no:
            read_reviews(path, app_id=app_id)
        assert 'app_names: {"BRImo": <package>, "Livin": <package>, "MyTelkomsel": <package>}' in str(no.value)
        assert "APP=" not in str(no.value)
        names = {"brimo": "id.co.bri.brimo", "Livin": "id.bmri.livin"}
        with pytest.raises(UnknownAppName, match="'MyTelkomsel' in column app is no package name"):
            read_reviews(path, app_id=app_id, hints=FileHints(app_names=names))
        names["MyTelkomsel "] = "com.telkomsel.telkomselcm"
        assert read_reviews(path, hints=FileHints(app_names=names)).frame["app_id"].tolist() == list(names.values())

    def test_one_name_is_the_app_that_a_person_named_and_not_the_only_one_in_the_parameters(self, written):
        path = written("content,score,at,Nama Aplikasi\na,5,2025-01-10,InfoApp\nb,5,2025-01-10,\n")
        read = read_reviews(path, app_id=APP)
        assert set(read.frame["app_id"]) == {APP}
        assert f"'InfoApp' in Nama Aplikasi is {APP}" in read.balance.assumed
        with pytest.raises(UnknownAppName, match=r"'InfoApp' in column Nama Aplikasi .* or set APP=<package>"):
            read_reviews(path, app_id=APP, hints=FileHints(app_asked=False))

    def test_packages_win_over_names_and_an_empty_column_is_no_obstacle(self, written):
        both = written("content,score,at,app_name,source_app_id\na,5,2025-01-10,BRImo,id.co.bri.brimo\n")
        assert only(both)["app_id"] == "id.co.bri.brimo"
        empty = written("content,score,at,app_id,app\na,5,2025-01-10,,com.a.b\n", "empty.csv")
        assert only(empty)["app_id"] == "com.a.b"
        nothing = written("content,score,at,app\na,5,2025-01-10,\n", "nothing.csv")
        assert only(nothing, app_id=APP, hints=FileHints(app_asked=False))["app_id"] == APP


def test_naive_times_are_utc_unless_a_zone_is_named(written):
    path = written(f"{HEADER}\nr1,{APP},x,5,2026-02-01 06:59:00\nr2,{APP},y,5,2026-02-01T06:59:00Z\n")
    times = read_reviews(path, naive_zone="Asia/Jakarta").frame.set_index("review_id")["review_date"]
    assert times.loc["r1"] == pd.Timestamp("2026-01-31T23:59:00Z")
    assert times.loc["r2"] == pd.Timestamp("2026-02-01T06:59:00Z")


def test_a_rating_that_is_not_understood_is_no_missing_one(written):
    rows = "".join(f"{n},{APP},x,{cell},2026-01-0{n}\n" for n, cell in enumerate(["5", "8/10", ""], start=1))
    assert [reason for reason, *_ in read_reviews(written(f"{HEADER}\n{rows}")).balance.reasons()] == [
        "with a rating that is not understood: write it as 1 to 5",
        "rating is missing",
    ]


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
    with pytest.raises(UnreadableFile, match="is a folder"):
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
        (f"{HEADER}\n1,{APP},x,5,13/01/25\n", "the first is '13/01/25': write them as .*, or say DATES=day-first"),
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
