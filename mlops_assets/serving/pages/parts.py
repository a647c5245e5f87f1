"""What the parts of a page are made of: sections, tables, cards, charts side by side, and values as text."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from html import escape
from typing import Any

_LONG = 32
"""A cell with more characters may be broken into lines."""


def section(title: str, body: str, about: str) -> str:
    note = f'<p class="note">{escape(about)}</p>' if about else ""
    return f"<section><h2>{escape(title)}</h2>{note}{body}</section>"


def chart_row(*charts: tuple[str, str]) -> str:
    return f'<div class="charts">{"".join(f"<div><h3>{escape(title)}</h3>{row}</div>" for title, row in charts)}</div>'


def card_list(cards: Iterable[tuple[str, str]]) -> str:
    return f'<dl class="cards">{"".join(f"<div><dt>{escape(n)}</dt><dd>{escape(v)}</dd></div>" for n, v in cards)}</dl>'


def table(title: str, heads: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    body = "".join(f"<tr>{''.join(_cell(value) for value in row)}</tr>" for row in rows)
    if not body:
        return ""
    head = "".join(f"<th>{escape(name)}</th>" for name in heads)
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    return f'<h3>{escape(title)}</h3><div class="wide">{table}</div>'


def _cell(value: Any) -> str:
    if isinstance(value, int):
        return f'<td class="number">{value}</td>'
    kind = ' class="long"' if len(text := str(value)) > _LONG else ""
    return f"<td{kind}>{escape(text)}</td>"


def utc(iso: str) -> str:
    return datetime.fromisoformat(iso).astimezone(UTC).strftime("%Y-%m-%d %H:%M")


def percent(share: float | None) -> str:
    return "–" if share is None else f"{share:.1%}"
