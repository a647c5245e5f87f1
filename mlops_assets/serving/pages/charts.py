"""Charts as inline SVG, coloured by classes of overview.css: the policy of the pages forbids styles in the markup."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

_WIDTH, _HEIGHT = 420, 200
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 10, 10, 24


@dataclass(frozen=True)
class Point:
    """A value with its interval, at position `at` of the horizontal axis."""

    at: int
    value: float
    low: float | None = None
    high: float | None = None
    title: str = ""


def lines(
    series: Mapping[str, Sequence[Point]],
    ends: tuple[str, str],
    *,
    about: str,
    colours: Mapping[str, str] | None = None,
) -> str:
    """A line of shares for each series, with its interval as a band. `ends` label both ends of the axis; `colours` are
    classes of overview.css by series.
    """
    points = [point for row in series.values() for point in row]
    if not points:
        return '<p class="none">Nothing to show yet.</p>'
    floor = min(point.value if point.low is None else point.low for point in points)
    ceiling = max(point.value if point.high is None else point.high for point in points)
    room = max((ceiling - floor) * 0.08, 0.01)
    low, high = max(0.0, floor - room), min(1.0, ceiling + room)
    last = max(point.at for point in points)
    classes = {name: (colours or {}).get(name, f"s{number}") for number, name in enumerate(series, start=1)}

    def xy(at: int, value: float) -> str:
        x = _LEFT + (_WIDTH - _LEFT - _RIGHT) * (at / last if last else 0.5)
        y = _TOP + (_HEIGHT - _TOP - _BOTTOM) * (1 - (value - low) / (high - low))
        return f"{x:.1f},{y:.1f}"

    drawn = [_grid(low, high, percent=True), _ends(ends)]
    for name, row in series.items():
        sure = [point for point in row if point.low is not None and point.high is not None]
        if len(sure) > 1:
            up = [xy(point.at, point.high or 0) for point in sure]
            down = [xy(point.at, point.low or 0) for point in reversed(sure)]
            drawn.append(f'<polygon class="band {classes[name]}" points="{" ".join([*up, *down])}"/>')
        elif sure:
            whisker = [xy(sure[0].at, sure[0].low or 0), xy(sure[0].at, sure[0].high or 0)]
            drawn.append(f'<polyline class="whisker {classes[name]}" points="{" ".join(whisker)}"/>')
        drawn.append(f'<polyline class="line {classes[name]}" points="{" ".join(xy(p.at, p.value) for p in row)}"/>')
        for point in row:
            x, y = xy(point.at, point.value).split(",")
            title = f"<title>{escape(f'{name}: {point.title}')}</title>"
            drawn.append(f'<circle class="dot {classes[name]}" cx="{x}" cy="{y}" r="3">{title}</circle>')
    return _figure(drawn, classes, about)


def bars(
    labels: Sequence[str],
    series: Mapping[str, Sequence[float]],
    *,
    about: str,
    colours: Mapping[str, str] | None = None,
) -> str:
    """Stacked bars, one per label; `colours` are classes of overview.css by series, instead of one by its position."""
    totals = [sum(row[index] for row in series.values()) for index in range(len(labels))]
    if not any(totals):
        return '<p class="none">Nothing to show yet.</p>'
    top = _round_up(max(totals))
    classes = {name: (colours or {}).get(name, f"s{number}") for number, name in enumerate(series, start=1)}
    step = (_WIDTH - _LEFT - _RIGHT) / len(labels)
    wide = min(step * 0.8, 40)
    drawn = [_grid(0, top, percent=False), _ends((labels[0], labels[-1] if len(labels) > 1 else ""))]
    for index, label in enumerate(labels):
        x, base = _LEFT + step * index + (step - wide) / 2, float(_HEIGHT - _BOTTOM)
        for name, row in series.items():
            tall = (_HEIGHT - _TOP - _BOTTOM) * row[index] / top
            base -= tall
            title = escape(f"{label}, {name}: {row[index]:g} of {totals[index]:g}")
            shape = f'x="{x:.1f}" y="{base:.1f}" width="{wide:.1f}" height="{tall:.1f}"'
            drawn.append(f'<rect class="bar {classes[name]}" {shape}><title>{title}</title></rect>')
    return _figure(drawn, classes, about)


def _round_up(value: float) -> float:
    """The next number that four grid lines divide well."""
    unit = 10 ** math.floor(math.log10(value))
    return next(step * unit for step in (1, 2, 4, 8, 10) if step * unit >= value)


def _figure(drawn: Sequence[str], classes: Mapping[str, str], about: str) -> str:
    keys = "".join(f'<li><span class="key {kind}"></span>{escape(name)}</li>' for name, kind in classes.items())
    legend = f'<ul class="legend">{keys}</ul>' if len(classes) > 1 else ""
    picture = f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{escape(about)}">{"".join(drawn)}</svg>'
    return f"<figure>{picture}{legend}<figcaption>{escape(about)}</figcaption></figure>"


def _grid(low: float, high: float, *, percent: bool) -> str:
    parts = []
    for step in range(5):
        value = low + (high - low) * step / 4
        y = _TOP + (_HEIGHT - _TOP - _BOTTOM) * (1 - step / 4)
        label = f"{value * 100:.0f} %" if percent else f"{value:.4g}"
        parts.append(f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text class="tick" x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{label}</text>')
    return "".join(parts)


def _ends(ends: tuple[str, str]) -> str:
    y = _HEIGHT - 6
    return (
        f'<text class="tick" x="{_LEFT}" y="{y}">{escape(ends[0])}</text>'
        f'<text class="tick" x="{_WIDTH - _RIGHT}" y="{y}" text-anchor="end">{escape(ends[1])}</text>'
    )
