"""What the page of a model shows: scores with their sample sizes, pictures, slices, the decision, the card."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import dagster as dg

from mlops_assets.assets import metadata

SIDES = ("validation", "gate", "test", "newest")


def about_model(metrics: Mapping[str, Any], folder: Path) -> metadata.Metadata:
    """A trained model's figures, each with what it was measured on."""
    from mlops_assets.training import plots

    page: metadata.Metadata = {
        "model_version": metrics["model_version"],
        "dataset_version": metrics["dataset_version"],
        "trained_by_run": metrics["run_id"],
        "scores": metadata.table([score_row(side, metrics[side]) for side in SIDES if metrics.get(side, {}).get("n")]),
        "confusion_matrix": metadata.picture(plots.confusion_matrix(metrics["confusion_matrix"]), "confusion matrix"),
        "slices": metadata.table([score_row(row["slice"], row) for row in metrics.get("slices", ()) if row["n"]]),
        "folder": metadata.link(folder),
        "metrics": dg.MetadataValue.json(dict(metrics)),
    }
    if metrics.get("reliability"):
        page["reliability"] = metadata.picture(plots.reliability(metrics["reliability"]), "reliability")
    if metrics.get("learning_curve"):
        page["learning_curve"] = metadata.picture(plots.learning_curve(metrics["learning_curve"]), "learning curve")
    if metrics.get("loss_curve"):
        curve = plots.training_curve(metrics["loss_curve"], metrics["epochs"])
        page["training_curve"] = metadata.picture(curve, "loss and validation accuracy")
    if metrics.get("members"):
        page["members"] = dg.MetadataValue.json(dict(metrics["members"]))
    return page


def score_row(name: str, part: Mapping[str, Any]) -> dict[str, Any]:
    """One line of a table of scores: sample size, accuracy and macro-F1 with their intervals."""
    return {
        "measured on": name,
        "n": part["n"],
        "accuracy": _with_interval(part, "accuracy"),
        "macro-F1": _with_interval(part, "macro_f1"),
    }


def _with_interval(part: Mapping[str, Any], name: str) -> str:
    value, interval = part.get(name), part.get(f"{name}_interval")
    if value is None:
        return "-"
    known = interval and None not in interval
    return f"{value:.3f}" + (f" [{interval[0]:.3f}, {interval[1]:.3f}]" if known and interval else "")
