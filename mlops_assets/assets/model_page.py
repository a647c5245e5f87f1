"""What the page of a model shows: scores with their sample sizes, pictures, slices, the decision, the card."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg

from mlops_assets.assets import metadata
from mlops_assets.document import Paragraph, Table
from mlops_assets.training.champion import Decision
from mlops_assets.training.metrics import MEMBERS, Interval, Metrics, Scores

if TYPE_CHECKING:
    import pandas as pd

LONGEST_SHOWN = 160


def about_model(metrics: Metrics, folder: Path, mistakes: "pd.DataFrame | None") -> metadata.Metadata:
    """A trained model's figures, each with what it was measured on, and its surest mistakes among the reviews if these
    were looked up.
    """
    from mlops_assets.training.judging import plots

    def shown(picture: Callable[..., bytes], alt: str, *data: Any) -> dg.MetadataValue:
        return metadata.picture(picture(*data), alt)

    page: metadata.Metadata = {
        "model_version": metrics.model_version,
        "dataset_version": metrics.dataset_version,
        "trained_by_run": metrics.run_id,
        "scores": metadata.table(
            [
                {
                    **score_row(side, scores),
                    "calibration error": f"{scores.calibration_error:.3f}",
                    "accuracy by frequency": _by_frequency(scores),
                }
                for side, scores in metrics.measured().items()
            ]
        ),
    }
    if metrics.members:
        page["members"] = about_members(metrics.members)
    if metrics.references:
        page["references"] = _references(metrics.references)
    if metrics.budget:
        page["budget"] = metadata.shown(Paragraph(metrics.budget["said"]))
    if metrics.teacher:
        page["teacher"] = metadata.table(list(_teacher(metrics.teacher)))
    if metrics.export:
        page["export"] = metadata.table(list(_variants(metrics)))
    page["by_label"] = metadata.table(list(_by_label(metrics)))
    page["slices"] = metadata.table([score_row(*row) for row in _slices(metrics, by_month=False)])
    page["slices_by_month"] = metadata.table([score_row(*row) for row in _slices(metrics, by_month=True)])
    page["confusion_matrix"] = shown(plots.confusion_matrix, "confusion matrix", metrics.confusion_matrix)
    if metrics.reliability:
        page["reliability"] = shown(plots.reliability, "reliability", metrics.reliability)
    if metrics.learning_curve:
        page["learning_curve"] = shown(plots.learning_curve, "learning curve", metrics.learning_curve)
    if metrics.loss_curve:
        page["training_curve"] = shown(
            plots.training_curve, "loss and validation accuracy", metrics.loss_curve, metrics.epochs
        )
    # The long entries come last: nobody scrolls past them.
    return {
        **page,
        "folder": metadata.link(folder),
        "metrics": dg.MetadataValue.json(dict(metrics.record)),
        **({} if mistakes is None else {"surest_mistakes": _mistakes(mistakes)}),
    }


def about_decision(decision: Decision, champion: Metrics) -> metadata.Metadata:
    """The figures of the model that serves (`champion`) and those that the decision was taken on.

    The forward score is of the model that served until then: what deployment really met.
    """
    rows = [score_row(side, scores) for side, scores in champion.measured().items()]
    if decision.forward and (forward := Scores.of(decision.forward)).n:
        rows.append(score_row(f"forward, of {decision.forward['model_version']}", forward))
    return {
        "scores": metadata.table(rows),
        "comparison": metadata.table(list(_compared(decision))),
        "before_the_switch": _before_the_switch(decision),
        "slice_changes": metadata.table(
            [
                {"measured on": name, "n": change["n"], "accuracy, points": _points(change)}
                for name, change in decision.figures.get("slices", {}).items()
            ]
        ),
        "against_anchor": metadata.table(list(_against_anchor(decision))),
        **({"by_people": metadata.table(list(_by_people(decision)))} if decision.figures.get("people") else {}),
        "decision": dg.MetadataValue.json(dict(decision.figures)),
    }


def _before_the_switch(decision: Decision) -> dg.MetadataValue:
    """How the promoted model's answers differ from those before. Texts stay out of Dagster's history, which no erasure
    reaches: the overview and the page of the release show them.
    """
    if (found := decision.comparison) is None:
        first = decision.promoted and not decision.against
        return metadata.shown(Paragraph("no model served before" if first else "no other model takes over"))
    examples = [
        {"digest of the text": row["text"][:12], "from": row["from"], "to": row["to"]} for row in found["examples"]
    ]
    return metadata.shown(Paragraph(found["said"]), Table.of(found["changes"]), Table.of(examples))


def _by_people(decision: Decision) -> Iterator[dict[str, Any]]:
    """What the texts that people labelled say of each contender."""
    for kind, found in decision.figures["people"].items():
        change = found["difference"]
        yield {
            "model": kind,
            "n": found["n"],
            "accuracy by people": f"{found['accuracy']:.3f}",
            f"less serving {decision.against or 'none'}, points": _points(change) if change else "-",
        }


def _compared(decision: Decision) -> Iterator[dict[str, Any]]:
    figures = decision.figures
    if "difference" not in figures:
        return
    measure = figures.get("measure", "macro-F1")
    once = ", each text once" if "measure" in figures else ""
    sides = [
        (name, *(figures[model][side] for model in ("candidate", "champion")), figures[change])
        for name, side, change in (
            (f"gate{once}", "gate", "difference"),
            (f"newest window of gate{once}", "newest", "newest_difference"),
        )
    ]
    if often := figures.get("by_frequency"):
        sides.insert(1, ("gate, by frequency", often[decision.candidate], often["serving"], None))
    for name, *records, change in sides:
        candidate, champion = map(Scores.of, records)
        if candidate.n:
            yield {
                f"{measure} on": f"{name}, n = {candidate.n}",
                f"{decision.candidate} {decision.candidate_version}": _of(measure, candidate),
                f"serving {decision.against}": _of(measure, champion),
                "difference, points": _points(change) if change else "-",
            }


def _of(measure: str, scores: Scores) -> str:
    if measure == "accuracy":
        return _with_interval(scores.accuracy, scores.accuracy_interval)
    return _with_interval(scores.macro_f1, scores.macro_f1_interval)


def _against_anchor(decision: Decision) -> Iterator[dict[str, Any]]:
    anchor = decision.figures.get("anchor") or {}
    for kind, change in anchor.get("changes", {}).items():
        yield {
            "model": kind,
            f"accuracy against {anchor['model_version']} (live since {anchor['since']}), points": _points(change),
            "n": change["n"],
            "promotions since then that were only as good": anchor["as_good"],
        }


def _points(change: Mapping[str, Any]) -> str:
    return f"{change['points']:+.1f} [{change['low']:+.1f}, {change['high']:+.1f}]"


def _by_label(metrics: Metrics) -> Iterator[dict[str, Any]]:
    for side, scores in metrics.measured().items():
        for label, own in scores.per_class.items():
            yield {
                "measured on": side,
                "label": label,
                "n": own.n,
                "precision": _with_interval(own.precision, own.precision_interval),
                "recall": _with_interval(own.recall, own.recall_interval),
                "f1": _with_interval(own.f1, own.f1_interval),
            }


def _slices(metrics: Metrics, *, by_month: bool) -> list[tuple[str, Scores]]:
    """The slices that are months, newest first, or all others."""
    rows = [
        (name, scores) for name, scores in metrics.slices.items() if scores.n and name.startswith("month ") == by_month
    ]
    return sorted(rows, key=lambda row: row[0], reverse=True) if by_month else rows


def _variants(metrics: Metrics) -> Iterator[dict[str, Any]]:
    fp32, int8 = metrics.export["fp32"], metrics.export["int8"]
    serves = metrics.variant
    yield {
        "variant": "fp32, against torch",
        "n": fp32["n"],
        "largest difference in probability": f"{fp32['largest_difference_from_torch']:.1e}",
        "mean difference": "-",
        "same label": "-",
        "serves": "yes" if serves == "fp32" else "no",
    }
    yield {
        "variant": "int8, against fp32",
        "n": int8["n"],
        "largest difference in probability": f"{int8['largest_difference']:.4f}" if int8["n"] else "-",
        "mean difference": f"{int8['mean_difference']:.4f}" if int8["n"] else "-",
        "same label": f"{int8['label_agreement']:.2%}" if int8["n"] else "-",
        "serves": "yes" if serves == "int8" else "no",
    }


def about_members(members: Mapping[str, Any]) -> dg.MetadataValue:
    """What each member reaches on test, and in words what the others bring to the best."""
    test = {name: Scores.of(members.get("test", {}).get(name)) for name in MEMBERS}
    rows = [score_row(f"{name}, test", scores) for name, scores in test.items() if scores.n]
    return metadata.shown(Table.of(rows), Paragraph(members.get("said", "")))


def _teacher(teacher: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for side, own in teacher["sides"].items():
        models = {model: Scores.of(own[model]) for model in ("teacher", "student", "without_teacher")}
        yield {
            "measured on": side,
            "n": models["student"].n,
            **{
                f"accuracy, {model.replace('_', ' ')}": _with_interval(scores.accuracy, scores.accuracy_interval)
                for model, scores in models.items()
            },
            "the teacher brings, points": _points(own["teacher_brings"]),
        }


def _references(references: Mapping[str, Any]) -> dg.MetadataValue:
    """The reference apps that the model learned from, and in words what they bring."""
    rows = [{"reference app": app, "reviews": reviews} for app, reviews in references["apps"].items()]
    return metadata.shown(Table.of(rows), Paragraph(references["said"]))


def _mistakes(mistakes: "pd.DataFrame") -> dg.MetadataValue:
    """The wrong answers on test that the model was surest of, as plain cells: a review may hold any markup."""
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
        for row in mistakes.to_dict("records")
    ]
    columns = [dg.TableColumn(name, "string") for name in ("text", "stars", "answered", "confidence", "app", "review")]
    return dg.MetadataValue.table(records, schema=dg.TableSchema(columns))


def score_row(name: str, scores: Scores) -> dict[str, Any]:
    """One line of a table of scores: sample size, accuracy and macro-F1 with their intervals."""
    return {
        "measured on": name,
        "n": scores.n,
        "accuracy": _with_interval(scores.accuracy, scores.accuracy_interval),
        "macro-F1": _with_interval(scores.macro_f1, scores.macro_f1_interval),
    }


def _by_frequency(scores: Scores) -> str:
    if scores.accuracy_by_frequency is None:
        return "-"
    return f"{scores.accuracy_by_frequency:.3f}, n={scores.reviews}"


def _with_interval(value: float | None, interval: Interval | None) -> str:
    if value is None:
        return "-"
    known = interval and None not in interval
    return f"{value:.3f}" + (f" [{interval[0]:.3f}, {interval[1]:.3f}]" if known and interval else "")
