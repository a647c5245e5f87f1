"""Drift as two pictures for the UI."""

import io
from typing import TYPE_CHECKING

from mlops_assets.reviews.drift.drift import DriftReport
from mlops_assets.reviews.drift.features import LANGUAGES

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_BEFORE, _NOW, _DRIFTED = "#9aa5b1", "#2563eb", "#dc2626"


def plot_features(report: DriftReport) -> bytes:
    """PNG: every feature's effect as a multiple of its floor; red where it drifted."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 3), layout="constrained")
    axes = figure.subplots()
    features = report.features[::-1]
    # An AUC is nothing at 0.5, every other effect at 0.
    zero = [0.5 if feature.name == "content" else 0.0 for feature in features]
    ratios = [
        max(feature.effect - at, 0) / max(feature.floor - at, 1e-9) for feature, at in zip(features, zero, strict=True)
    ]
    axes.barh(
        [feature.name for feature in features],
        ratios,
        color=[_DRIFTED if feature.drifted else _NOW for feature in features],
    )
    for row, feature in enumerate(features):
        axes.text(ratios[row], row, f" p {feature.corrected:.2g}", va="center", fontsize=8)
    axes.axvline(1, color="black", linewidth=0.8, linestyle="--")
    axes.set_xlabel("effect as a multiple of its floor")
    axes.set_title(f"{report.reviews_now} new reviews against {report.reviews_before}", fontsize=10)
    axes.margins(x=0.15)
    return _png(figure)


def plot_mixes(report: DriftReport) -> bytes:
    """PNG: every mix of the report, before and now."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3), layout="constrained")
    mixes = report.mixes or {}
    for axes, (name, (before, now)) in zip(
        figure.subplots(1, max(len(mixes), 1), squeeze=False)[0], mixes.items(), strict=False
    ):
        places = range(len(before))
        axes.bar([row - 0.2 for row in places], before, 0.4, color=_BEFORE, label="before")
        axes.bar([row + 0.2 for row in places], now, 0.4, color=_NOW, label="now")
        axes.set_title(name, fontsize=10)
        axes.set_xticks(list(places), _names(name, len(before)), fontsize=7)
    if mixes:
        figure.axes[0].legend(fontsize=7)
    return _png(figure)


def _names(mix: str, count: int) -> list[str]:
    if mix == "rating":
        return [f"{stars}★" for stars in range(1, 6)]
    if mix in {"label", "predicted"}:
        return ["neg", "pos"] if count == 2 else ["neg", "neu", "pos"]
    if mix == "language":
        return list(LANGUAGES)
    if mix == "confidence":
        return ["unsure", *[""] * (count - 2), "sure"][:count]
    return ["short", *[""] * (count - 2), "long"][:count]


def _png(figure: "Figure") -> bytes:
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=90)
    return content.getvalue()
