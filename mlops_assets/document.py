"""Documents as data, and their renderers: Markdown, self-contained HTML, and text for a terminal.

Every string of a document is plain text, whoever wrote it: no renderer takes markup from it.
"""

import re
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape as html_escape
from typing import Literal, Self

Tone = Literal["", "good", "bad", "faint"]
"""How HTML colours a line; the words alone must say the same."""


@dataclass(frozen=True)
class Heading:
    """A title; `status` follows it after a colon, in HTML coloured by `tone`."""

    text: str
    level: int = 2
    status: str = ""
    tone: Tone = ""


@dataclass(frozen=True)
class Paragraph:
    """A paragraph in one line."""

    text: str


@dataclass(frozen=True)
class Bullets:
    """A list; with a `fold` title HTML shows it only when that title is clicked."""

    items: Sequence[str]
    fold: str = ""


@dataclass(frozen=True)
class Fields:
    """Names with their values."""

    pairs: Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Table:
    """Rows under a header; `tones` colours the second cell of each row in HTML."""

    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    tones: Sequence[Tone] = ()

    @classmethod
    def of(cls, rows: Sequence[Mapping[str, object]]) -> Self:
        """The keys of the first row are the header; numbers with a fraction keep four digits."""
        names = list(rows[0]) if rows else []
        return cls(names, [[_shown(row.get(name)) for name in names] for row in rows])

    def turned(self) -> "Table":
        """One column for each row."""
        if not self.rows:
            return self
        header, *rows = zip(self.header, *self.rows, strict=True)
        return Table(header, rows)


@dataclass(frozen=True)
class Picture:
    """A PNG, embedded."""

    png: bytes
    alt: str

    @property
    def source(self) -> str:
        """As a data URI."""
        return f"data:image/png;base64,{b64encode(self.png).decode()}"


@dataclass(frozen=True)
class Link:
    """An address that people may open. If it is not a web address, it is shown as text."""

    url: str


@dataclass(frozen=True)
class Code:
    """Lines as they are, in a font of equal widths."""

    text: str


Block = Heading | Paragraph | Bullets | Fields | Table | Picture | Link | Code


def markdown(*blocks: Block, longest_cell: int | None = None) -> str:
    """As Markdown; empty lists and tables are left out, cells beyond `longest_cell` characters are cut."""
    return "\n\n".join(filter(None, (_markdown(block, longest_cell) for block in blocks)))


def text(*blocks: Block) -> str:
    """For a terminal: tables in aligned columns, no markup."""
    return "\n\n".join(filter(None, map(_text, blocks)))


def html(title: str, *blocks: Block) -> str:
    """As one HTML file that loads nothing from anywhere."""
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        + "\n".join(filter(None, map(_html, blocks)))
        + "\n</body>\n</html>\n"
    )


def printable(value: str) -> str:
    """The text with control characters as escapes: a terminal obeys them. Half a surrogate pair fits into no file."""
    return _UNPRINTABLE.sub(lambda found: repr(found[0])[1:-1], value)


def one_line(value: str) -> str:
    """The text as a single printable line: a stranger's line break starts no line of ours."""
    return printable(" ".join(value.split()))


def for_spreadsheet(value: object) -> object:
    """A CSV cell that a spreadsheet does not evaluate: text that looks like a formula gets an apostrophe in front."""
    return f"'{value}" if isinstance(value, str) and _FORMULA.match(value) else value


def as_markdown_text(value: str) -> str:
    """Any text as Markdown that shows exactly this text, in one line: no link, image, HTML, list or table comes of it.

    Backslashes suffice for all but addresses: GitHub's Markdown, which Dagster's UI renders, turns bare addresses into
    links after it has removed the backslashes. Addresses are therefore shown as code.
    """
    line, escaped, end = one_line(value), "", 0
    for address in _AUTOLINKED.finditer(line):
        escaped += _SPECIAL.sub(_BACKSLASHED, line[end : address.start()]) + _as_code(address[0])
        end = address.end()
    return _STARTS_BLOCK.sub(r"\g<1>\\\2", escaped + _SPECIAL.sub(_BACKSLASHED, line[end:]))


def text_of_markdown(escaped: str) -> str:
    """The line that `as_markdown_text` was given."""
    return _ESCAPED.sub(lambda found: found[1] or found[3].strip(" "), escaped)


def _as_code(value: str) -> str:
    fence = "`" * (max(map(len, re.findall("`+", value)), default=0) + 1)
    padding = " " if "`" in value else ""
    return f"{fence}{padding}{value}{padding}{fence}"


def _markdown(block: Block, longest_cell: int | None) -> str:
    match block:
        case Heading():
            rendered = f"{'#' * block.level} {as_markdown_text(_titled(block))}"
        case Paragraph():
            rendered = as_markdown_text(block.text)
        case Bullets():
            rendered = "\n".join(f"- {as_markdown_text(item)}" for item in block.items)
        case Fields():
            rendered = "\n".join(f"- {as_markdown_text(f'{name}: {value}')}" for name, value in block.pairs)
        case Table():
            rows = [f"| {' | '.join(_cell(value, longest_cell) for value in row)} |" for row in block.rows]
            header = f"| {' | '.join(map(as_markdown_text, block.header))} |"
            rendered = "\n".join([header, f"|{' --- |' * len(block.header)}", *rows]) if rows else ""
        case Picture():
            rendered = f"![{as_markdown_text(block.alt)}]({block.source})"
        case Link():
            rendered = f"<{block.url}>" if _WEB_ADDRESS.fullmatch(block.url) else as_markdown_text(block.url)
        case Code():
            lines = printable("\n".join(block.text.splitlines()))
            fence = "`" * max(3, max(map(len, re.findall("`+", lines)), default=0) + 1)
            rendered = f"{fence}text\n{lines}\n{fence}"
    return rendered


def _text(block: Block) -> str:
    match block:
        case Heading():
            rendered = one_line(_titled(block))
        case Paragraph() | Code():
            rendered = printable(block.text)
        case Bullets():
            rendered = "\n".join(f"- {one_line(item)}" for item in block.items)
        case Fields():
            rendered = _aligned(block.pairs)
        case Table():
            rendered = _aligned([block.header, *block.rows]) if block.rows else ""
        case Picture():
            rendered = f"[{one_line(block.alt)}]"
        case Link():
            rendered = one_line(block.url)
    return rendered


def _html(block: Block) -> str:
    match block:
        case Heading():
            status = f' <span class="{block.tone}">{escape(block.status)}</span>' if block.status else ""
            rendered = f"<h{block.level}>{escape(block.text)}{status}</h{block.level}>"
        case Paragraph():
            rendered = f"<p>{escape(block.text)}</p>"
        case Bullets():
            items = f"<ul>{''.join(f'<li>{escape(item)}</li>' for item in block.items)}</ul>" if block.items else ""
            rendered = f"<details><summary>{escape(block.fold)}</summary>{items}</details>" if block.fold else items
        case Fields():
            rendered = _html_table((), block.pairs)
        case Table():
            rendered = _html_table(block.header, block.rows, block.tones) if block.rows else ""
        case Picture():
            rendered = f'<img src="{block.source}" alt="{escape(block.alt)}">'
        case Link():
            url = escape(block.url)
            rendered = f'<p><a href="{url}">{url}</a></p>' if _WEB_ADDRESS.fullmatch(block.url) else f"<p>{url}</p>"
        case Code():
            rendered = f"<pre>{escape(block.text)}</pre>"
    return rendered


def _html_table(header: Sequence[str], rows: Sequence[Sequence[str]], tones: Sequence[Tone] = ()) -> str:
    top = f"<thead><tr>{''.join(f'<th>{escape(name)}</th>' for name in header)}</tr></thead>" if header else ""
    body = ""
    for number, (name, *values) in enumerate(rows):
        tone = f' class="{tones[number]}"' if tones else ""
        cells = "".join(f"<td{_NO_BREAK if len(value) < 20 else ''}>{escape(value)}</td>" for value in values)
        body += f'<tr{tone}><th scope="row">{escape(name)}</th>{cells}</tr>'
    return f'<div class="wide"><table>{top}<tbody>{body}</tbody></table></div>'


def escape(value: str) -> str:
    """For HTML: text and attributes."""
    return html_escape(printable(value))


def _titled(heading: Heading) -> str:
    return f"{heading.text}: {heading.status}" if heading.status else heading.text


def _aligned(lines: Sequence[Sequence[str]]) -> str:
    flat = [list(map(one_line, line)) for line in lines]
    widths = [max(map(len, column)) for column in zip(*flat, strict=True)]
    padded = (map(str.ljust, line, widths) for line in flat)
    return "\n".join("  ".join(line).rstrip() for line in padded)


def _cell(value: str, longest: int | None) -> str:
    return as_markdown_text(value if longest is None or len(value) <= longest else f"{value[: longest - 1]}…")


def _shown(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str("" if value is None else value)


_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters except tab and newline, characters that reverse the text around them, lone surrogates."""
_FORMULA = re.compile(r"[=+@\t\r-](?![\d.,]+$)")
_SPECIAL = re.compile(r"[\\`*\[\]<>~|]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])|&(?=[#\w])|(?<!\S)#")
_BACKSLASHED = r"\\\g<0>"
_ESCAPED = re.compile(r"\\([!-/:-@\[-`{-~])|(`+)(.+?)(?<!`)\2(?!`)")
_STARTS_BLOCK = re.compile(r"^(\d{0,9})([-+=](?=[\s=-]|$)|[.)](?=\s|$))")
_AUTOLINKED = re.compile(r"[^\s|]*(?:://|www\.|@)[^\s|]*", re.IGNORECASE)
_WEB_ADDRESS = re.compile(r"https?://[^\s<>\\]+")
_NO_BREAK = ' class="short"'
_STYLE = """
:root { color-scheme: light dark; --line: #8885; --soft: #8882; --good: #1a7f4b; --bad: #c0392b; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 68rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; margin: 0 0 .25rem; } h2 { font-size: 1.1rem; margin: 1.75rem 0 .5rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; vertical-align: top; padding: .35rem .75rem .35rem 0; border-top: 1px solid var(--line); }
thead th { border-top: 0; font-weight: 600; white-space: nowrap; } tbody th { font-weight: 400; white-space: nowrap; }
td { overflow-wrap: anywhere; } td.short { white-space: nowrap; }
span.good, tr.good td:nth-child(2) { color: var(--good); }
span.bad, tr.bad td:nth-child(2) { color: var(--bad); } tr.bad td:nth-child(2) { font-weight: 600; }
tr.bad { background: var(--soft); } tr.faint { opacity: .65; }
ul { margin: 0; padding-left: 1.2rem; } summary { cursor: pointer; }
"""
