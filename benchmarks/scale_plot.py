"""Draw what `benchmarks.scale` measured at several sizes, and print it as a table with the slope of each stage.

python -m benchmarks.scale_plot [--folder .bench-scale] [--picture docs/scale.svg]

A slope of 1 is cost in proportion to the reviews, 0 is the same cost at any size.
"""

import argparse
import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from benchmarks.scale import ASSETS, STAGES

SHOWN = STAGES[1:]
"""Not the making of the reviews."""

Figures = Mapping[int, Mapping[str, Mapping[str, float]]]
"""Reviews -> stage -> figure -> value."""


def measured(folder: Path) -> Figures:
    """The figures of every size below the folder, smallest first."""
    found = {int(path.parent.name): json.loads(path.read_text()) for path in folder.glob("[0-9]*/figures.json")}
    return dict(sorted(found.items()))


def slope(sizes: list[int], values: list[float]) -> float | None:
    """Of the logarithm of the values over that of the sizes; None with fewer than two."""
    return float(np.polyfit(np.log(sizes), np.log(values), 1)[0]) if len(sizes) > 1 else None


def table(figures: Figures) -> str:
    """Markdown: of each stage the CPU seconds and the peak memory at each size, and the slope of the CPU seconds."""
    sizes = list(figures)
    lines = [
        f"| Stage | {' | '.join(f'{size:,}' for size in sizes)} | slope |",
        "|---" * (len(sizes) + 2) + "|",
    ]
    for stage in SHOWN:
        known = {size: figures[size][stage] for size in sizes if stage in figures[size]}
        cells = [
            f"{known[size]['cpu_s']:,.1f} s, {known[size]['peak_mb'] / 1000:.2f} GB"
            if size in known
            else "not measured"
            for size in sizes
        ]
        falls = slope(list(known), [each["cpu_s"] for each in known.values()])
        lines.append(f"| {stage} | {' | '.join(cells)} | {'' if falls is None else f'{falls:.2f}'} |")
    return "\n".join(lines)


def draw(figures: Figures, path: Path) -> None:
    """CPU seconds and peak memory over the number of reviews, a line for each stage."""
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 5), layout="constrained")
    FigureCanvasSVG(figure)
    for axes, name, title, unit in zip(
        figure.subplots(1, 2), ("cpu_s", "peak_mb"), ("CPU", "Peak memory"), ("s", "MB"), strict=True
    ):
        for stage in SHOWN:
            known = {size: stages[stage][name] for size, stages in figures.items() if stage in stages}
            style = "-" if stage in ASSETS else "--"
            axes.plot(list(known), list(known.values()), style, marker="o", markersize=3, label=stage)
        axes.set(xscale="log", yscale="log", xlabel="reviews", ylabel=unit, title=title)
        axes.grid(visible=True, alpha=0.3)
    figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="outside right upper", fontsize=8)
    figure.savefig(path, metadata={"Date": None})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path(".bench-scale"))
    parser.add_argument("--picture", type=Path, default=Path("docs/scale.svg"))
    given = parser.parse_args()
    figures = measured(given.folder)
    if not figures:
        raise SystemExit(f"{given.folder} holds no figures: measure with make bench-scale SIZE=10000 and other sizes")
    draw(figures, given.picture)
    print(table(figures))


if __name__ == "__main__":
    main()
