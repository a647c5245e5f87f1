"""What the page of a model shows: scores with their sample sizes, pictures, slices, the decision, the card."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg

from mlops_assets.assets import metadata
from mlops_assets.document import Paragraph, Table

if TYPE_CHECKING:
    import pandas as pd

SIDES = ("validation", "gate", "test", "newest")
MISTAKES_AMONG = 2000
"""Newest test reviews that are asked for mistakes: seconds, however many there are."""
LONGEST_SHOWN = 160


def about_model(metrics: Mapping[str, Any], folder: Path, frame: "pd.DataFrame") -> metadata.Metadata:
    """A trained model's figures, each with what it was measured on, and its surest mistakes among the reviews."""
    from mlops_assets.training.judging import plots

    def shown(picture: Callable[..., bytes], alt: str, *given: Any) -> dg.MetadataValue:
        return metadata.picture(picture(*given), alt)

    sides = [
        {**score_row(side, of), "calibration error": f"{of['calibration_error']:.3f}"}
        for side, of in _measured(metrics)
    ]
    page: metadata.Metadata = {
        "model_version": metrics["model_version"],
        "dataset_version": metrics["dataset_version"],
        "trained_by_run": metrics["run_id"],
        "scores": metadata.table(sides),
    }
    if metrics.get("members"):
        page["members"] = _members(metrics["members"])
    if metrics.get("export"):
        page["export"] = metadata.table(list(_variants(metrics)))
    page["by_label"] = metadata.table(list(_by_label(metrics)))
    page["slices"] = metadata.table([score_row(row["slice"], row) for row in _slices(metrics, by_month=False)])
    page["slices_by_month"] = metadata.table([score_row(row["slice"], row) for row in _slices(metrics, by_month=True)])
    page["confusion_matrix"] = shown(plots.confusion_matrix, "confusion matrix", metrics["confusion_matrix"])
    if metrics.get("reliability"):
        page["reliability"] = shown(plots.reliability, "reliability", metrics["reliability"])
    if metrics.get("learning_curve"):
        page["learning_curve"] = shown(plots.learning_curve, "learning curve", metrics["learning_curve"])
    if metrics.get("loss_curve"):
        page["training_curve"] = shown(
            plots.training_curve, "loss and validation accuracy", metrics["loss_curve"], metrics["epochs"]
        )
    # The long ones last: whatever stands below them is not seen.
    return {
        **page,
        "folder": metadata.link(folder),
        "metrics": dg.MetadataValue.json(dict(metrics)),
        "surest_mistakes": surest_mistakes(frame, folder),
    }


def about_decision(decision: Mapping[str, Any], champion: Mapping[str, Any]) -> metadata.Metadata:
    """The figures of the model that serves (`champion`: its metrics) and those that the decision was taken on.

    The forward score is of the model that served until then: what deployment really met.
    """
    rows = [score_row(side, of) for side, of in _measured(champion)]
    forward = decision.get("forward") or {"n": 0}
    if forward["n"]:
        rows.append(score_row(f"forward, of {forward['model_version']}", forward))
    figures = decision["figures"]
    return {
        "scores": metadata.table(rows),
        "comparison": metadata.table(list(_compared(decision))),
        "slice_changes": metadata.table(
            [
                {"measured on": name, "n": change["n"], "accuracy, points": _points(change)}
                for name, change in figures.get("slices", {}).items()
            ]
        ),
        "decision": dg.MetadataValue.json(dict(figures)),
    }


_ON_GATE = {"gate": "gate", "newest": "newest window of gate"}


def _compared(decision: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    figures = decision["figures"]
    if "difference" not in figures:
        return
    for side, change in (("gate", figures["difference"]), ("newest", figures["newest_difference"])):
        own, other = figures["candidate"][side], figures["champion"][side]
        if own["n"]:
            yield {
                "macro-F1 on": f"{_ON_GATE[side]}, n = {own['n']}",
                f"{decision['candidate']} {decision['candidate_version']}": _with_interval(own, "macro_f1"),
                f"serving {decision['against']}": _with_interval(other, "macro_f1"),
                "difference, points": _points(change),
            }


def _points(change: Mapping[str, Any]) -> str:
    return f"{change['points']:+.1f} [{change['low']:+.1f}, {change['high']:+.1f}]"


def _by_label(metrics: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for side, figures in _measured(metrics):
        for name, own in figures["per_class"].items():
            scores = {score: _with_interval(own, score) for score in ("precision", "recall", "f1")}
            yield {"measured on": side, "label": name, "n": own["n"], **scores}


def _slices(metrics: Mapping[str, Any], *, by_month: bool) -> list[Mapping[str, Any]]:
    rows = [row for row in metrics.get("slices", ()) if row["n"]]
    months = [row for row in rows if row["slice"].startswith("month ")]
    return (
        sorted(months, key=lambda row: row["slice"], reverse=True) if by_month else [r for r in rows if r not in months]
    )


def _variants(metrics: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    fp32, int8 = metrics["export"]["fp32"], metrics["export"]["int8"]
    serves = metrics["variant"]
    yield {
        "variant": "fp32, against torch",
        "n": fp32["n"],
        "largest difference in probability": f"{fp32['largest_difference_from_torch']:.1e}",
        "mean difference": "-",
        "same label": "-",
        "serves": "yes" if serves == "fp32" else "no",
    }
    yield {
        "variant": "int8, against fp32, on validation",
        "n": int8["n"],
        "largest difference in probability": f"{int8['largest_difference']:.4f}" if int8["n"] else "-",
        "mean difference": f"{int8['mean_difference']:.4f}" if int8["n"] else "-",
        "same label": f"{int8['label_agreement']:.2%}" if int8["n"] else "-",
        "serves": "yes" if serves == "int8" else "no",
    }


def _members(members: Mapping[str, Any]) -> dg.MetadataValue:
    """What each member reaches on test, and in words whether the forest earns its place."""
    test = members.get("test", {})
    rows = [
        score_row(f"{name}, test", test[name]) for name in ("logistic", "forest", "vote") if test.get(name, {}).get("n")
    ]
    return metadata.shown(Table.of(rows), Paragraph(members.get("said", "")))


def surest_mistakes(frame: "pd.DataFrame", folder: Path) -> dg.MetadataValue:
    """The wrong answers on test that the model was surest of, as plain cells: a review may hold any markup.

    They are looked up in the reviews that are there, not kept with the model, so that an erased review is in neither.
    """
    from mlops_assets.serving.models.model import load
    from mlops_assets.training.judging.evaluate import mistakes

    test = frame[frame["side"] == "test"].tail(MISTAKES_AMONG)
    model = load(folder)
    table = mistakes(test, model.probabilities(test["review_text"].tolist()), model.labels)
    records = [
        dg.TableRecord(
            {
                "text": row["review_text"][:LONGEST_SHOWN],
                "stars": int(row["rating"]),
                "answered": row["answered"],
                "confidence": round(float(row["confidence"]), 3),
                "app": row["app_id"],
                "review": row["review_id"],
            }
        )
        for row in table.to_dict("records")
    ]
    columns = [dg.TableColumn(name, "string") for name in ("text", "stars", "answered", "confidence", "app", "review")]
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
