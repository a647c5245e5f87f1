"""One document, three renderers: each says the same, and HTML escapes whatever it is handed."""

import re

import pytest

from mlops_assets.document import Bullets, Code, Fields, Heading, Link, Paragraph, Picture, Table, html, markdown, text

EVERY_KIND = (
    Heading("Run 1", level=1, status="failed", tone="bad"),
    Paragraph("a paragraph"),
    Bullets(["an item", "another item"]),
    Fields([("Trigger", "by hand"), ("Job", "pipeline")]),
    Table(["stage", "status"], [["train", "done"], ["a|b", "two\nlines"]], tones=["good", "bad"]),
    Link("http://127.0.0.1/runs/1"),
    Code("x  y"),
)


def test_markdown_keeps_every_table_row_whole() -> None:
    assert markdown(*EVERY_KIND) == "\n\n".join(
        [
            "# Run 1: failed",
            "a paragraph",
            "- an item\n- another item",
            "- Trigger: by hand\n- Job: pipeline",
            "| stage | status |\n| --- | --- |\n| train | done |\n| a\\|b | two lines |",
            "<http://127.0.0.1/runs/1>",
            "```text\nx  y\n```",
        ]
    )


def test_a_terminal_gets_aligned_columns_and_no_markup() -> None:
    shown = text(*EVERY_KIND)
    assert shown.startswith("Run 1: failed\n\na paragraph\n\n- an item\n")
    assert "Trigger  by hand\nJob      pipeline" in shown
    assert "stage  status\ntrain  done\n" in shown


@pytest.mark.parametrize(("longest", "cell"), [(9, "123456789"), (8, "1234567…")], ids=["at the limit", "past it"])
def test_long_cells_are_cut(longest: int, cell: str) -> None:
    assert markdown(Table(["a"], [["123456789"]]), longest_cell=longest).endswith(f"| {cell} |")


@pytest.mark.parametrize("render", [markdown, text])
def test_what_is_empty_leaves_no_gap(render) -> None:
    assert render(Paragraph("a"), Bullets([]), Table(["x"], []), Paragraph(""), Paragraph("b")) == "a\n\nb"


def test_html_escapes_everything_and_loads_nothing() -> None:
    bad = "<script>alert('1')</script>\"&"
    page = html(
        bad,
        Heading(bad, status=bad),
        Paragraph(bad),
        Bullets([bad], fold=bad),
        Fields([(bad, bad)]),
        Table([bad, bad], [[bad, bad]], tones=["bad"]),
        Link(bad),
        Code(bad),
        Picture(b"png", bad),
    )
    assert "<script" not in page
    assert re.findall(r'src="([^"]*)"', page) == ["data:image/png;base64,cG5n"]
    assert "@import" not in page


def test_html_marks_how_a_row_ended_and_folds_long_lists() -> None:
    page = html("t", *EVERY_KIND, Bullets(["rare"], fold="1 check passed"))
    assert '<h1>Run 1 <span class="bad">failed</span></h1>' in page
    assert '<tr class="good"><th scope="row">train</th>' in page
    assert "<details><summary>1 check passed</summary><ul><li>rare</li></ul></details>" in page


def test_a_table_of_records_rounds_numbers_and_turns() -> None:
    table = Table.of([{"side": "gate", "score": 0.123456, "n": 40}, {"side": "test", "score": None, "n": 7}])
    assert table.rows == [["gate", "0.1235", "40"], ["test", "", "7"]]
    assert table.turned() == Table(("side", "gate", "test"), [("score", "0.1235", ""), ("n", "40", "7")])
    assert Table.of([]).rows == []
