"""What the page of a model shows: scores with their sample sizes, pictures, slices, the decision, the card."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg

from mlops_assets.assets import metadata

if TYPE_CHECKING:
    import pandas as pd

SIDES = ("validation", "gate", "test", "newest")
MISTAKES_AMONG = 2000
"""Newest test reviews that are asked for mistakes: seconds, however many there are."""
LONGEST_SHOWN = 160


def about_model(metrics: Mapping[str, Any], folder: Path, frame: "pd.DataFrame") -> metadata.Metadata:
    """A trained model's figures, each with what it was measured on, and its surest mistakes among the reviews."""
    from mlops_assets.training import plots

    sides = [{**score_row(side, of), "calibration error": of["calibration_error"]} for side, of in _measured(metrics)]
    page: metadata.Metadata = {
        "model_version": metrics["model_version"],
        "dataset_version": metrics["dataset_version"],
        "trained_by_run": metrics["run_id"],
        "scores": metadata.table(sides),
        "confusion_matrix": metadata.picture(plots.confusion_matrix(metrics["confusion_matrix"]), "confusion matrix"),
        "slices": metadata.table([score_row(row["slice"], row) for row in metrics.get("slices", ()) if row["n"]]),
        "surest_mistakes": surest_mistakes(frame, folder),
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
    if metrics.get("export"):
        page["export"] = dg.MetadataValue.json(dict(metrics["export"]))
    if metrics.get("members"):
        page["members"] = dg.MetadataValue.json(dict(metrics["members"]))
    return page


def surest_mistakes(frame: "pd.DataFrame", folder: Path) -> dg.MetadataValue:
    """The wrong answers on test that the model was surest of, as plain cells: a review may hold any markup.

    They are looked up in the reviews that are there, not kept with the model, so that an erased review is in neither.
    """
    from mlops_assets.serving.model import load
    from mlops_assets.training.evaluate import mistakes

    test = frame[frame["side"] == "test"].tail(MISTAKES_AMONG)
    model = load(folder)
    table = mistakes(test, model.probabilities(test["review_text"].tolist()), model.labels)
    records = [
        dg.TableRecord(
            {
                "review": row["review_id"],
                "app": row["app_id"],
                "stars": int(row["rating"]),
                "answered": row["answered"],
                "confidence": round(float(row["confidence"]), 3),
                "text": row["review_text"][:LONGEST_SHOWN],
            }
        )
        for row in table.to_dict("records")
    ]
    columns = [dg.TableColumn(name, "string") for name in ("review", "app", "stars", "answered", "confidence", "text")]
    return dg.MetadataValue.table(records, schema=dg.TableSchema(columns))


def _measured(metrics: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    return [(side, metrics[side]) for side in SIDES if metrics.get(side, {}).get("n")]


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
