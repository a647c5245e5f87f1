"""Pictures of topics, as PNG."""

from collections.abc import Sequence
from io import BytesIO
from typing import Any

from mlops_assets.reviews.topics.figures import Share

_RED, _GREY = "#c44e52", "#8c8c8c"


def plot_trend(months: Sequence[str], shares: Sequence[Share], title: str) -> bytes:
    """A share by month with its 95 % interval."""
    figure, axes = _figure(6.4, 2.4)
    places = range(len(months))
    low, high = zip(*(share.interval for share in shares), strict=True)
    axes.fill_between(places, low, high, color=_RED, alpha=0.2, linewidth=0)
    axes.plot(places, [share.value for share in shares], color=_RED, marker="o", markersize=3, linewidth=1)
    step = max(1, len(months) // 8)
    axes.set_xticks(list(places)[::step], list(months)[::step], fontsize=7)
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    axes.set_title(f"{title}, n = {sum(share.n for share in shares)}", fontsize=9)
    return _png(figure)


def plot_topics(titles: Sequence[str], before: Sequence[Share], now: Sequence[Share], title: str) -> bytes:
    """Shares of topics now, with their 95 % intervals, and before."""
    figure, axes = _figure(6.4, 0.34 * len(titles) + 1)
    places = list(range(len(titles)))[::-1]
    errors = list(zip(*((max(0, s.value - s.interval[0]), max(0, s.interval[1] - s.value)) for s in now), strict=True))
    axes.barh(places, [share.value for share in now], color=_RED, alpha=0.8, xerr=errors, height=0.6, ecolor="#444")
    axes.plot([share.value for share in before], places, "|", color=_GREY, markersize=14, markeredgewidth=3)
    axes.set_yticks(places, titles, fontsize=7)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    axes.set_title(title, fontsize=9)
    return _png(figure)


def _figure(width: float, height: float) -> tuple[Any, Any]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.add_subplot()


def _png(figure: Any) -> bytes:
    buffer = BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()
