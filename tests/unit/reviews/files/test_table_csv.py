"""Separated values: each row has the header's fields or is refused with line, rule and remedy; bytes are text."""

import warnings

import pytest

from tests.unit.reviews.files.test_tables import HEADER, as_csv, rows


class TestSeparatedValues:
    def test_a_reader_with_no_strict_warnings_cuts_no_text(self, read):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # as users run it
            table = read("at,score,content\n2025-01-10,1,Jelek, tidak bisa login, uang hilang\n2025-01-11,5,Bagus\n")
        assert table.cells["content"].tolist() == ["Jelek, tidak bisa login, uang hilang", "Bagus"]
        assert table.notes == ("line 2: ',' in a text without quotes, read as part of content",)

    @pytest.mark.parametrize(
        ("content", "texts"),
        [
            (
                "content;score;at\nBagus, sekali;5;2025-01-10\nJelek; parah;1;2025-01-11\n",
                ["Bagus, sekali", "Jelek; parah"],
            ),
            ("score,content,at\n5,a,b,c,2025-01-10\n", ["a,b,c"]),
            ("at,score,content\n2025-01-10,5,a,\n2025-01-10,5,b,c\n", None),
            ("content,score,at,\nJelek, parah,5,2025-01-10\n", ["Jelek, parah"]),
        ],
    )
    def test_a_separator_in_a_text_is_part_of_it_where_that_is_certain(self, read, refusal, content, texts):
        if texts is None:
            assert "fields" in refusal(content) or "closing" in refusal(content)
        else:
            assert read(content).cells["content"].tolist() == texts

    @pytest.mark.parametrize(
        "content",
        [
            "content,reply,score,at\nBagus,Halo, kak,5,2025-01-10\n",  # the reply may hold it as well
            "content,note,score,at\na,b,c,5,2025-01-10\n",
            "userName,score,at,content\nBudi, S.Kom,5,2025-01-10,Bagus\n",
            "score,at,content\n5,February 9, 2025,Bagus\n",
            "content,score,at\nBagus,5,February 9, 2025\n",
            'content,score,at\n"a",b,5,2025-01-10\n',
            "content,score,at\nsatu\ndua,5,2025-01-10\n",
            "content,score,at\nBagus,5\n",
            "content,score,at\nJelek, parah,5,2025-01-10,\n",
        ],
    )
    def test_a_row_whose_fields_may_be_shifted_is_refused_with_its_line(self, refusal, content):
        message = refusal(content)
        assert "is no table (line 2 has " in message
        assert "double quotes" in message

    def test_the_refusal_names_line_and_both_numbers_of_fields(self, refusal):
        message = refusal("content,reply,score,at\na,b,5,2025-01-10\nc,d,e,5,2025-01-10\n")
        assert "line 3 has 5 fields, and the header 4" in message
        assert "','" in message

    @pytest.mark.parametrize(
        ("content", "line"),
        [
            ('content,score,at\n"Bagus,5,2025-01-10\nJelek,1,2025-01-11\n', 2),
            ('content,score,at\nBagus,5,2025-01-10\n"Jelek" sekali,1,2025-01-11\n', 3),
            ('content,score,at\n"a,5,2025-01-10\nb,1,2025-01-11\nc",1,2025-01-11\n', 2),
            ('at,score,content\n2025-01-10,5,"a\n2025-01-11,1,b\n2025-01-12,1,c"\n', 2),
            ('score,content,at\n5,"a,2025-01-10\n4,b",2025-01-11\n', 2),
        ],
    )
    def test_a_quote_that_swallows_lines_is_refused_with_its_line(self, refusal, content, line):
        message = refusal(content)
        assert f"line {line}" in message
        assert "quote" in message

    def test_numbers_of_lines_are_those_of_an_editor(self, read):
        table = read(
            'content,score,at\n"satu\ndua\r\ntiga",5,2025-01-10\n\nlagi,4,2025-01-11\n,,\n"x",1,2025-01-12\n\n'
        )
        assert table.cells.index.name == "line"
        assert table.cells.index.tolist() == [2, 5, 6, 7, 8]
        assert table.cells["content"].tolist() == ["satu\ndua\r\ntiga", "", "lagi", "", "x"]

    @pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
    def test_any_line_end(self, read, end):
        table = read(end.join(["content,score,at", "a,5,2025-01-10", "b,4,2025-01-11"]))
        assert rows(table) == [["a", "5", "2025-01-10"], ["b", "4", "2025-01-11"]]
        assert table.cells.index.tolist() == [2, 3]

    def test_a_first_line_that_names_the_separator_is_no_header(self, read):
        table = read("sep=;\ncontent;score;at\nBagus, sekali;5;2025-01-10\n")
        assert rows(table) == [["Bagus, sekali", "5", "2025-01-10"]]
        assert table.cells.index.tolist() == [3]

    def test_titles_and_blank_lines_before_the_header_are_left_out_with_a_note(self, read):
        table = read("Ekspor ulasan\n\nPeriode,Januari 2025\n\ncontent,score,at\nBagus,5,2025-01-10\n")
        assert table.cells.index.tolist() == [6]
        assert table.notes == ("lines 1 and 3 before the header left out",)

    def test_separators_that_end_every_row_are_no_columns(self, read):
        for content in ("content,score,at,\na,5,2025-01-10,\n", "content,score,at\na,5,2025-01-10,\nb,4,2025-01-11,\n"):
            assert read(content).cells.columns.tolist() == HEADER

    def test_a_row_may_end_before_columns_that_reviews_can_do_without(self, read):
        table = read("content,score,at,replyContent\na,5,2025-01-10\nb,4,2025-01-11,Halo\n")
        assert table.cells["replyContent"].tolist() == ["", "Halo"]
        assert table.notes == ("line 2: ends before the last columns, which are empty there",)

    def test_a_column_without_a_name_is_kept_under_its_place(self, read):
        table = read(",content,score,at\n0,a,5,2025-01-10\n")
        assert table.cells.columns.tolist() == ["(column 1)", *HEADER]

    def test_two_columns_of_one_name_are_refused_unless_they_are_equal(self, read, refusal):
        assert "two columns named 'content'" in refusal("content,content,score,at\na,b,5,2025-01-10\n")
        assert read("content,score,at,Content\na,5,2025-01-10,a\n").cells.columns.tolist() == HEADER
        assert read("content,score,at,x,x\na,5,2025-01-10,1,2\n").cells.columns.tolist()[3:] == ["x", "x (2)"]

    def test_a_header_that_stands_again_is_no_review(self, read):
        table = read("content,score,at\na,5,2025-01-10\ncontent,score,at\nb,4,2025-01-11\n")
        assert table.cells["content"].tolist() == ["a", "b"]
        assert table.notes == ("line 3: the header again, left out",)

    def test_a_text_longer_than_any_limit_is_whole(self, read):
        long = "panjang " * 40_000
        assert read(as_csv([HEADER, [long, "5", "2025-01-10"]])).cells["content"].tolist() == [long]

    def test_a_space_after_each_separator_is_no_part_of_a_cell(self, read):
        assert rows(read('content, score, at\n"Bagus, sekali", 5, 2025-01-10\n')) == [
            ["Bagus, sekali", "5", "2025-01-10"]
        ]


class TestEncodings:
    @pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252"])
    def test_the_encoding_is_found(self, read, encoding):
        table = read(as_csv([HEADER, ["café “enak”", "5", "2025-01-10"]]).decode().encode(encoding))
        assert table.cells["content"].tolist() == ["café “enak”"]
        assert encoding[:6].upper().removesuffix("-") in table.form.upper()

    @pytest.mark.parametrize("bad", [b"\xff", b"\x92", b"\xf0\x9f\x98", b"\x81"])
    def test_a_bad_byte_among_utf_8_is_marked_and_its_line_named(self, read, bad):
        table = read("content,score,at\nBagus 😀 café,5,2025-01-10\nteks ".encode() + bad + b" rusak,1,2025-01-11\n")
        assert table.cells["content"].tolist() == ["Bagus 😀 café", "teks � rusak"]
        assert table.notes == ("line 3 has a byte that is no text: kept as '�'",)

    def test_a_character_cut_in_plain_text_is_no_western_letter(self, read):
        assert read(b"content,score,at\nbagus \xf0\x9f\x98,5,2025-01-10\n").cells["content"].tolist() == ["bagus �"]

    def test_a_zero_byte_goes_and_its_line_is_named(self, read):
        table = read(b"content,score,at\n" + b"biasa,5,2025-01-10\n" * 9 + b"ba\0gus,5,2025-01-10\n")
        assert table.cells["content"].iloc[-1] == "bagus"
        assert table.notes == ("line 11 has a zero byte: left out",)
