"""Pictures of a model's figures, as PNG bytes."""

from collections.abc import Mapping, Sequence
from io import BytesIO
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_BLUE, _RED, _GREY = "#4c72b0", "#c44e52", "#8c8c8c"


def confusion_matrix(matrix: Mapping[str, Any]) -> bytes:
    """`{"side", "labels", "counts"}` as in the metrics: rows are true labels, columns answers."""
    labels, counts = matrix["labels"], matrix["counts"] or [[0] * len(matrix["labels"])] * len(matrix["labels"])
    figure, axes = _figure(3.4, 3.0)
    axes.imshow(counts, cmap="Blues")
    axes.set_xticks(range(len(labels)), labels, fontsize=8)
    axes.set_yticks(range(len(labels)), labels, fontsize=8)
    axes.set_xlabel("answered", fontsize=8)
    axes.set_ylabel("true", fontsize=8)
    most = max(map(max, counts))
    for y, row in enumerate(counts):
        for x, count in enumerate(row):
            axes.text(x, y, str(count), ha="center", va="center", color="white" if count > most / 2 else "black")
    axes.set_title(f"{matrix['side']} side, n = {sum(map(sum, counts))}", fontsize=9)
    return _png(figure)


def reliability(bins: Sequence[Mapping[str, Any]]) -> bytes:
    """`[{"n", "confidence", "accuracy"}]`: how often answers of like confidence were right, within two errors."""
    figure, axes = _figure(3.4, 3.0)
    sure, right = [b["confidence"] for b in bins], [b["accuracy"] for b in bins]
    reach = [2 * (b["accuracy"] * (1 - b["accuracy"]) / b["n"]) ** 0.5 for b in bins]
    axes.plot([0, 1], [0, 1], color=_GREY, linewidth=1, linestyle="--")
    axes.errorbar(sure, right, yerr=reach, color=_BLUE, marker="o", markersize=4, linewidth=1, capsize=2)
    low = min([*sure, *right, 0.5])
    axes.set_xlim(low - 0.03, 1.03)
    axes.set_ylim(min(low, 0.5) - 0.03, 1.03)
    axes.set_xlabel("confidence", fontsize=8)
    axes.set_ylabel("share that is right", fontsize=8)
    axes.set_title(f"Reliability on test, n = {sum(b['n'] for b in bins)}", fontsize=9)
    return _png(figure)


def learning_curve(points: Sequence[Mapping[str, Any]]) -> bytes:
    """`[{"rows", "n", "accuracy", "accuracy_interval"}]`: accuracy on test by reviews trained on."""
    figure, axes = _figure(3.8, 2.8)
    rows, accuracy = [p["rows"] for p in points], [p["accuracy"] for p in points]
    axes.plot(rows, accuracy, color=_BLUE, marker="o", markersize=4, linewidth=1)
    known = [p for p in points if p["accuracy_interval"]]
    low, high = ([p["accuracy_interval"][end] for p in known] for end in (0, 1))
    axes.fill_between([p["rows"] for p in known], low, high, color=_BLUE, alpha=0.15, linewidth=0)
    if points:
        axes.set_xscale("log")
        axes.set_xticks(rows, [f"{count:,}" for count in rows])
        axes.minorticks_off()
    axes.set_xlabel("reviews trained on", fontsize=8)
    axes.set_ylabel("accuracy on test", fontsize=8)
    axes.set_title(f"Logistic regression alone, n = {points[0]['n'] if points else 0}", fontsize=9)
    return _png(figure)


def training_curve(losses: Sequence[tuple[int, float]], epochs: Sequence[Mapping[str, float]]) -> bytes:
    """Training loss by step, and accuracy on validation after each of `[{"accuracy", …}]` evenly spaced epochs."""
    figure, axes = _figure(3.8, 2.8)
    steps = [step for step, _ in losses]
    axes.plot(steps, [loss for _, loss in losses], color=_BLUE, linewidth=1, label="training loss")
    axes.set_xlabel("step", fontsize=8)
    axes.set_ylabel("loss", fontsize=8, color=_BLUE)
    right = axes.twinx()
    last = steps[-1] if steps else len(epochs)
    ends = [last * (number + 1) / len(epochs) for number in range(len(epochs))]
    scored = [(end, epoch["accuracy"]) for end, epoch in zip(ends, epochs, strict=True) if "accuracy" in epoch]
    right.plot(
        [end for end, _ in scored], [own for _, own in scored], color=_RED, marker="o", markersize=4, linewidth=1
    )
    right.set_ylabel("accuracy on validation", fontsize=8, color=_RED)
    axes.set_title("Training", fontsize=9)
    return _png(figure)


def _figure(width: float, height: float) -> "tuple[Figure, Any]":
    # Without pyplot: it keeps every figure alive, and is not safe between threads.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.tick_params(labelsize=8)
    return figure, axes


def _png(figure: "Figure") -> bytes:
    buffer = BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()
