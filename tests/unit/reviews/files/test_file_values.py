"""Times and stars as people and programs write them, and which order of day and month a column has."""

import pandas as pd
import pytest

from mlops_assets.reviews.files.values import AmbiguousDates, Times, stars, times


def read(*cells: str, zone: str = "UTC", order=None) -> Times:
    return times(
        pd.Series(cells, index=pd.RangeIndex(2, len(cells) + 2, name="line"), name="at", dtype="str"), zone, order
    )


AT_14_05 = "2025-01-13T14:05:00Z"


@pytest.mark.parametrize(
    "cell",
    [
        *("2025-01-13 14:05", "2025-01-13T14:05:00", "2025/01/13 14:05", "2025-01-13 2:05 PM", "20250113T140500"),
        *("13 Januari 2025 14:05", "13 January 2025, 14.05", "13-Jan-2025 14:05:00", "13. Jan. 2025 14:05"),
        *(
            "Jan 13, 2025 2:05 PM",
            "January 13, 2025 at 2:05 PM",
            "Jan 13, 2025, 2:05:00\u202fPM",
            "Jan 13 2025 02:05PM",
        ),
        *("1/13/2025 2:05 PM", "01/13/2025 02:05 p.m.", "13/01/2025 14:05", "13.01.2025 14.05", "13-01-2025 14:05:00"),
        *(
            "Senin, 13 Januari 2025 14:05",
            "Senin 13/01/2025 14:05",
            "13 Januari 2025 pukul 14.05",
            "14:05 13 Januari 2025",
        ),
        *("13-Jan-25 14:05", "13-Jan-25 2:05 PM", "13 Januari 25, 14.05", "Jan 13, 25 2:05 PM", "Jan 13 '25 14:05"),
        *("Mon Jan 13 14:05:00 2025", "13th January 2025 14:05", "2025-Jan-13 14:05"),
    ],
)
def test_a_time_without_a_zone_is_of_the_zone_that_was_said(cell):
    found = read(cell)
    assert found.values.tolist() == [pd.Timestamp(AT_14_05)]
    assert found.zone_given.tolist() == [False]
    assert read(cell, zone="Asia/Jakarta").values.tolist() == [pd.Timestamp("2025-01-13T07:05:00Z")]


@pytest.mark.parametrize(
    "cell",
    [
        *("2025-01-13T14:05:00Z", "2025-01-13 14:05:00 UTC", "2025-01-13 14:05:00 +0000", "13 Jan 2025 14:05 GMT"),
        *("2025-01-13T21:05:00+07:00", "2025-01-13 21:05 WIB", "13 Januari 2025 21.05 WIB", "13 Jan 2025 22:05 WITA"),
        *("13/01/2025 23:05 WIT", "13 Januari 2025 21:05 (WIB)", "21:05 WIB, 13 Januari 2025", "1/13/2025 9:05 PM WIB"),
        *("Mon, 13 Jan 2025 14:05:00 +0000", "Mon Jan 13 2025 21:05:00 GMT+0700 (Western Indonesia Time)"),
        *("2025-01-13 21:05 GMT+7", "2025-01-13 21:05:00 +0700 WIB", "1736777100", "1736777100000", "1736777100000000"),
        *("1736777100.0", "Mon, 13 Jan 25 21:05:00 +0700", "13-Jan-25 21.05 WIB"),
    ],
)
def test_a_cell_that_says_its_zone_is_read_in_that(cell):
    found = read(cell, zone="America/New_York")
    assert found.values.tolist() == [pd.Timestamp(AT_14_05)]
    assert found.zone_given.tolist() == [True]


@pytest.mark.parametrize(
    ("cell", "instant"),
    [
        ("2025-01-13 24:00", "2025-01-14T00:00:00Z"),
        ("2025-01-13T14:05:00.123Z", "2025-01-13T14:05:00.123Z"),
        ("1/13/2025 12:05 AM", "2025-01-13T00:05:00Z"),
        ("1/13/2025 12:05 PM", "2025-01-13T12:05:00Z"),
        ("Jum'at, 31 Oktober 2025", "2025-10-31T00:00:00Z"),
        ("20250113", "2025-01-13T00:00:00Z"),
        ("30 Nopember 2024", "2024-11-30T00:00:00Z"),
    ],
)
def test_days_and_hours_at_their_limits(cell, instant):
    assert read(cell).values.tolist() == [pd.Timestamp(instant)]


@pytest.mark.parametrize(
    "cell",
    ["", "kemarin", "2025", "2025-13-01", "31/02/2025", "99/05/2025", "13/01/25", "25/01/13", "Jan-25",
     "5-Jan", "13 Jan 14:05", "13 Jan 14.05", "13-Jan-025", "2025-01-13 25:00", "5",
     "13/01/2025 14:65", "1/13/2025 13:05 PM", "13 Januari 2025 dan 14 Januari 2025", "45670", "-13 Jan"],
)  # fmt: skip
def test_what_is_no_date_for_certain_is_null_and_keeps_its_row(cell):
    assert read(cell, "2025-01-13", "2025-01-14").values.isna().tolist() == [True, False, False]


def test_each_row_is_read_by_its_own_form():
    found = read("2025-01-05", "1/14/2025 2:05 PM", "13 Jan 2025", "1736777100", "kemarin", "")
    assert found.values.isna().tolist() == [False] * 4 + [True] * 2
    assert (found.order, found.why) == ("month-first", "line 3 holds day 14")


def test_excels_day_numbers_are_dates_where_most_cells_are_such():
    assert read("45670", "45670.5", "2025-01-15").values.tolist() == [
        pd.Timestamp("2025-01-13", tz="UTC"),
        pd.Timestamp("2025-01-13 12:00", tz="UTC"),
        pd.Timestamp("2025-01-15", tz="UTC"),
    ]
    assert read("45670", "2025-01-14", "2025-01-15").values.isna().tolist() == [True, False, False]
    assert read("12345", "12346").values.isna().all()


class TestOrder:
    @pytest.mark.parametrize(("mark"), ["/", "-", "."])
    def test_one_day_beyond_twelve_decides_for_the_column(self, mark):
        found = read(f"02{mark}03{mark}2026", f"13{mark}03{mark}2026")
        assert (found.values.dt.month.tolist(), found.order, found.why) == ([3, 3], "day-first", "line 3 holds day 13")
        found = read(f"02{mark}03{mark}2026", f"03{mark}13{mark}2026")
        assert (found.values.dt.month.tolist(), found.order) == ([2, 3], "month-first")

    def test_what_fits_both_orders_is_asked_for(self):
        with pytest.raises(AmbiguousDates, match=r"column at .* such as '2/7/2025' in line 3: say which"):
            read("1/1/2025", "2/7/2025", "2025-01-31")
        assert read("2/7/2025", order="month-first").values.dt.month.tolist() == [2]
        assert read("2/7/2025", order="day-first").why == "asked for by DATES"

    def test_the_same_day_and_month_and_iso_dates_leave_nothing_to_ask(self):
        found = read("1/1/2025", "2025-02-03", "5 Mei 2025")
        assert (found.values.dt.month.tolist(), found.order) == ([1, 2, 5], None)

    def test_what_the_file_says_wins_over_what_a_person_said(self):
        found = read("1/5/2025", "1/31/2025", order="day-first")
        assert found.values.dt.month.tolist() == [1, 1]
        assert found.why == "line 3 holds day 31, though DATES is day-first"

    def test_both_orders_in_one_column_are_told_apart_by_their_marks_or_asked_for(self):
        found = read("31.01.2025", "5.1.2025", "1/31/2025", "1/5/2025")
        assert found.values.dt.strftime("%m-%d").tolist() == ["01-31", "01-05", "01-31", "01-05"]
        mixed = ("31/01/2025", "1/31/2025", "1/5/2025")
        with pytest.raises(AmbiguousDates, match=r"'1/5/2025' in line 4 \(.*line 2 holds '31/01/2025'"):
            read(*mixed)
        assert read(*mixed, order="day-first").values.dt.month.tolist() == [1, 1, 5]


class TestYearsOfTwoDigits:
    @pytest.mark.parametrize(
        ("cells", "days"),
        [
            (("13/01/25", "03/02/25"), ["2025-01-13", "2025-02-03"]),
            (("1/13/25 14:05", "2/3/25 2:05 PM"), ["2025-01-13", "2025-02-03"]),
            (("13.01.25", "31.12.24", "01.01.25"), ["2025-01-13", "2024-12-31", "2025-01-01"]),
        ],
    )
    def test_they_end_a_date_that_cannot_begin_with_a_year(self, cells, days):
        assert read(*cells).values.dt.strftime("%Y-%m-%d").tolist() == days

    def test_a_column_that_may_begin_with_the_year_is_not_guessed(self):
        cells = ("13/01/25", "14/01/25")
        assert read(*cells).values.isna().all()
        assert read(*cells, order="day-first").values.dt.day.tolist() == [13, 14]
        assert read("25/01/13", "24/12/03", order="day-first").values.isna().all()

    def test_day_and_month_are_asked_for_as_in_any_date(self):
        with pytest.raises(AmbiguousDates):
            read("1/3/25", "2/3/25")


@pytest.mark.parametrize(
    ("cell", "instant"),
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
        ("13 Januari 2025 14:05", "2025-01-13T14:05:00Z"),
        ("13-Jan-2025", "2025-01-13T00:00:00Z"),
        ("13 Jan 2025 14.05 WIB", "2025-01-13T07:05:00Z"),
        ("45670.5868055556", "2025-01-13T14:05:00Z"),
    ],
)
def test_a_date_of_any_form_is_an_instant(cell, instant):
    assert read(cell).values.tolist() == [pd.Timestamp(instant)]


@pytest.mark.parametrize(
    ("cell", "rating"),
    [
        *(("4", 4), ("4.0", 4), (" 4 ", 4), ("4.5", None), ("", None), ("lima", None), ("9", 9), ("0", 0), ("-1", -1)),
        *(("4,0", 4), ("4 stars", 4), ("1 star", 1), ("4-star", 4), ("4 bintang", 4), ("bintang 4", 4), ("4★", 4)),
        *(("4/5", 4), ("4 / 5", 4), ("4 of 5", 4), ("4.0 out of 5 stars", 4), ("4 dari 5", 4)),
        *(("Rated 4 stars out of five stars", 4), ("Diberi rating 4 dari 5 bintang", 4)),
        *(("★★★★☆", 4), ("★★★★", 4), ("⭐️⭐️⭐️⭐️", 4), ("☆☆☆☆☆", None), ("★★☆", None), ("★★★★★★", None)),
        *(("4,5", None), ("8/10", None), ("4/10", None), ("80%", None), ("4-Jan", None), ("4 5", None)),
        pytest.param("5" * 5_000, None, id="5,000 digits"),
    ],
)
def test_stars_are_whole_numbers_or_missing(cell, rating):
    found = stars(pd.Series([cell, "5"], dtype="str"))
    assert [None if pd.isna(number) else number for number in found] == [rating, 5]
