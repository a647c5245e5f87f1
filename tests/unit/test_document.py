"""One document, three renderers: each says the same, and none takes markup from the text of a stranger."""

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from mlops_assets.checks.reviews import claim_result
from mlops_assets.document import (
    Bullets,
    Code,
    Fields,
    Heading,
    Link,
    Paragraph,
    Picture,
    Table,
    as_markdown_text,
    for_spreadsheet,
    html,
    markdown,
    text,
    text_of_markdown,
)
from mlops_assets.reviews.quality.claims import Claim

GITHUB = MarkdownIt("commonmark").enable(["table", "strikethrough"])
AUTOLINKS = re.compile(r"(?:https?://|www(?=\.))[-.\w]+|[-.\w+]+@[-\w]+(?:\.[-\w]+)+", re.IGNORECASE)
"""What GitHub's Markdown makes a link of, in text whose backslashes are already removed."""
MUTATION = '![](/graphql?query=mutation{setConcurrencyLimit(concurrencyKey:"training",limit:0)})'
pieces = st.sampled_from([
    *"\\`*_{}[]()<>#+-.!|~&:@='\"/ \n\t\r", "https://", "www.", "a@b.example", "![](", "](x)", "<img src=x>", "&amp;",
    "&#60;", "1.", "- ", "```", "~~", "<!--", "-->", "[x]: y", "\x1b[2J", "\x00", "\u202e", "\ud800", "\u2028", "\xa0",
])  # fmt: skip
strangers_text = st.lists(pieces | st.text(max_size=5), max_size=12).map("".join)

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


@given(strangers_text)
@example(MUTATION)
@example("see https\\://evil.example/x.png?`a` and me@evil.example or WWW.evil.example")
@example("a | b\\| c\\\\| www.x|y@z.example `")
def test_no_text_becomes_markup_in_markdown(bad: str) -> None:
    page = markdown(
        Heading(bad), Paragraph(bad), Bullets([bad, bad]), Fields([(bad, bad)]), Table([bad, bad], [[bad, bad]])
    )
    expected = shown_text(bad)
    assert text_of_markdown(as_markdown_text(bad)) == expected
    blocks = [*[expected] * 4, shown_text(f"{bad}: {bad}"), *[expected] * 4]
    assert shown_by_markdown(page) == list(filter(None, blocks))


def test_a_check_shows_a_review_as_text() -> None:
    shown = claim_result("a_claim", Claim(passed=False, reason=MUTATION, rows=[{"text": MUTATION}]))
    for page in (str(shown.description), str(shown.metadata["examples"].value)):
        assert shown_by_markdown(page)[-1] == MUTATION


@given(strangers_text)
@example("```\n![](x)\n~~~~")
def test_code_in_markdown_ends_where_it_should(bad: str) -> None:
    tokens = GITHUB.parse(markdown(Code(bad), Picture(b"png", bad)))
    assert [token.type for token in tokens] == ["fence", "paragraph_open", "inline", "paragraph_close"]
    [picture] = tokens[2].children or []
    assert (picture.type, picture.attrs["src"]) == ("image", "data:image/png;base64,cG5n")


@given(strangers_text)
def test_a_terminal_obeys_no_text(bad: str) -> None:
    shown = text(Heading(bad), Paragraph(bad), Bullets([bad]), Table([bad], [[bad]]), Link(bad), Code(bad))
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", shown)
    assert shown.encode()


@pytest.mark.parametrize(
    ("cell", "shown"),
    [
        ("=HYPERLINK(1)", "'=HYPERLINK(1)"),
        ("@x", "'@x"),
        ("-1+1|cmd", "'-1+1|cmd"),
        ("-1.5", "-1.5"),
        ("bagus", "bagus"),
        (-3, -3),
    ],
)
def test_a_spreadsheet_evaluates_no_text(cell: object, shown: object) -> None:
    assert for_spreadsheet(cell) == shown


@pytest.mark.parametrize("bad", ["javascript:alert(1)", 'https://x"onclick=alert(1)> <b>'])
def test_only_a_web_address_is_a_link(bad: str) -> None:
    assert "<a " not in html("t", Link(bad)).replace('href="https://x&quot;', "")
    assert shown_by_markdown(markdown(Link(bad))) == [bad]


def shown_text(text: str) -> str:
    """The text as a reader sees it: in one line, control characters as escapes."""
    return re.sub(
        r"[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]",
        lambda c: repr(c[0])[1:-1],
        " ".join(text.split()),
    )


def shown_by_markdown(page: str) -> list[str]:
    """The text of each block. Fails if anything but text and code is in it."""
    shown = []
    for token in GITHUB.parse(page):
        assert token.type not in {"hr", "html_block", "code_block", "fence", "blockquote_open", "ordered_list_open"}
        for child in token.children or ():
            assert child.type in {"text", "code_inline", "text_special"}, child
            assert child.type == "code_inline" or not AUTOLINKS.search(child.content), child
        if token.type == "inline" and token.children:
            shown.append("".join(child.content for child in token.children))
    return shown


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
