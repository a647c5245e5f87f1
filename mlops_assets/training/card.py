"""The model card: what a model is, what it was measured at, and where not to trust it, as Markdown."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mlops_assets.artifact import Manifest
from mlops_assets.document import Block, Bullets, Heading, Paragraph, Table, markdown
from mlops_assets.params.models import COMPACT
from mlops_assets.training.champion import Decision
from mlops_assets.training.kinds import TITLES
from mlops_assets.training.metrics import MEMBERS

_SIDES = (
    ("validation", "chose hyper-parameters, epoch and calibration"),
    ("gate", "decides between models"),
    ("test", "only reports"),
    ("newest", "the part of gate and test from the latest months"),
    ("people", "held-out texts by the labels that people gave them"),
)
_FEWEST_SHOWN = 10
"""Slices with fewer reviews are counted, not listed."""


def model_card(
    manifest: Manifest,
    model_version: str,
    *,
    decision: Decision | None = None,
    forward: Mapping[str, Any] | None = None,
) -> str:
    """The card of a sealed model.

    `forward` holds the figures on reviews that arrived after the model's data.
    """
    metrics = manifest.metrics
    blocks = [
        Heading(f"{_title(manifest)}, {model_version}", level=1),
        *_data(manifest, metrics.get("data", {})),
        *_use(manifest),
        *_figures(metrics, forward),
        *_labels(metrics.get("test", {})),
        *_members(metrics.get("members", {})),
        *_references(metrics.get("references", {})),
        *_teacher(metrics.get("teacher", {})),
        *_slices(metrics.get("slices", [])),
        *_limits(metrics),
        *_licence(metrics),
        *(_decision(decision) if decision else ()),
    ]
    return markdown(*blocks) + "\n"


def _title(manifest: Manifest) -> str:
    return f"Sentiment of app reviews: {TITLES[manifest.kind]}"


def _data(manifest: Manifest, data: Mapping[str, Any]) -> Iterator[Block]:
    source = manifest.trained_with
    lines = [
        f"Data version {source.dataset_version}, label rule {source.label_rule}, recipe {source.recipe}, "
        f"code {source.code}",
    ]
    if data:
        texts = data.get("texts", {})
        shares = {side: f" ({100 * count / sum(texts.values()):.0f} % of the texts)" for side, count in texts.items()}
        sides = ", ".join(f"{side} {rows}{shares.get(side, '')}" for side, rows in data["sides"].items())
        labels = ", ".join(f"{label} {rows}" for label, rows in data["labels"].items())
        lines += [
            f"{data['rows']} labelled reviews of {', '.join(data['apps'])}, "
            f"{_day(data['oldest_review'])} to {_day(data['newest_review'])}",
            f"By side: {sides}. By label: {labels}. A text is on one side only, by its hash",
            "Labels are the reviewers' stars, but where people labelled the text",
        ]
    if budget := manifest.metrics.get("budget"):
        lines.append(budget["said"].removesuffix("."))
    if warning := manifest.trained_on.warning:
        lines.append(warning)
    yield Heading("Data")
    yield Bullets(lines)


def _use(manifest: Manifest) -> Iterator[Block]:
    yield Heading("Intended use")
    yield Paragraph(
        f"Tells whether an Indonesian app review is {' or '.join(manifest.labels)}, to follow many reviews over time. "
        "Not for decisions about the person who wrote one, and not for other languages or kinds of text."
    )


def _figures(metrics: Mapping[str, Any], forward: Mapping[str, Any] | None) -> Iterator[Block]:
    rows = [[name, meaning, *_scores(metrics[name])] for name, meaning in _SIDES if metrics.get(name, {}).get("n")]
    if forward and forward.get("n"):
        rows.append(["forward", "reviews that arrived after this model's data", *_scores(forward)])
    yield Heading("Figures")
    if rows:
        yield Table(
            ["side", "what it is for", "n", "accuracy", "macro-F1", "calibration error", "accuracy by frequency"], rows
        )
        yield Paragraph(
            "Each distinct text of a side counts once; by frequency, each review counts, as in the forward score. In "
            "brackets: 95 % bootstrap intervals over distinct texts."
        )
    else:
        yield Paragraph("No review was held out: nothing is known about this model's quality.")


def _scores(figures: Mapping[str, Any]) -> list[str]:
    error, frequent = figures.get("calibration_error"), figures.get("accuracy_by_frequency")
    return [
        str(figures["n"]),
        _with_interval(figures, "accuracy"),
        _with_interval(figures, "macro_f1"),
        "" if error is None else f"{error:.3f}",
        "" if frequent is None else f"{frequent:.3f} (n={figures['reviews']})",
    ]


def _labels(test: Mapping[str, Any]) -> Iterator[Block]:
    rows = [
        [name, str(own["n"]), *(_with_interval(own, score) for score in ("precision", "recall", "f1"))]
        for name, own in test.get("per_class", {}).items()
    ]
    if rows:
        yield Heading("By label, on test")
        yield Table(["label", "n", "precision", "recall", "F1"], rows)


def _members(members: Mapping[str, Any]) -> Iterator[Block]:
    rows = [
        [name, str(own["n"]), _with_interval(own, "accuracy"), _with_interval(own, "macro_f1")]
        for name in MEMBERS
        if (own := members.get("test", {}).get(name, {})).get("n")
    ]
    if rows:
        yield Heading("Members, on test")
        yield Table(["member", "n", "accuracy", "macro-F1"], rows)
        yield Paragraph(members.get("said", ""))


def _references(references: Mapping[str, Any]) -> Iterator[Block]:
    if not references:
        return
    apps = ", ".join(f"{app} {reviews}" for app, reviews in references["apps"].items())
    yield Heading("Reference apps")
    yield Bullets(
        [
            f"Learned from beside the apps' own reviews: {apps or 'none'}. They are in none of the other figures",
            references["said"].removesuffix("."),
        ]
    )


def _teacher(teacher: Mapping[str, Any]) -> Iterator[Block]:
    if not teacher:
        return
    models = ("teacher", "student", "without_teacher")
    yield Heading("Teacher")
    yield Table(
        ["side", "n", *(f"accuracy, {model.replace('_', ' ')}" for model in models), "the teacher brings, points"],
        [
            [
                side,
                str(own["student"]["n"]),
                *(_with_interval(own[model], "accuracy") for model in models),
                _brings(own),
            ]
            for side, own in teacher["sides"].items()
        ],
    )
    yield Paragraph(
        f"{teacher['base_model']} was fine-tuned and taught this model on {teacher['labelled_texts']} labelled texts "
        f"and {teacher['unlabelled_texts']} without a label. The same model without a teacher was trained to compare."
    )


def _brings(side: Mapping[str, Any]) -> str:
    change = side["teacher_brings"]
    return f"{change['points']:+.1f} ({change['low']:+.1f} to {change['high']:+.1f})"


def _slices(slices: Sequence[Mapping[str, Any]]) -> Iterator[Block]:
    shown = [row for row in slices if row["n"] >= _FEWEST_SHOWN]
    if not shown:
        return
    yield Heading("Slices of test")
    rows = [[row["slice"], str(row["n"]), _with_interval(row, "accuracy")] for row in shown]
    yield Table(["slice", "n", "accuracy"], rows)
    if hidden := len(slices) - len(shown):
        yield Paragraph(f"{hidden} slices with fewer than {_FEWEST_SHOWN} reviews are not shown.")


def _limits(metrics: Mapping[str, Any]) -> Iterator[Block]:
    lines = [
        "About a fifth of store reviews have stars that contradict their text: a perfect reader of texts would not "
        "score 1.0 here, and the surest mistakes are mostly wrong stars",
        "Irony, mixed praise and complaint, and words that became common after the newest review are read badly",
    ]
    worst = min(
        (row for row in metrics.get("slices", []) if row["n"] >= 30 and not row["slice"].startswith("month")),
        key=lambda row: row["accuracy"],
        default=None,
    )
    if worst:
        lines.append(
            f"Weakest slice with at least 30 reviews: {worst['slice']}, accuracy {_with_interval(worst, 'accuracy')}"
        )
    yield Heading("Limits")
    yield Bullets(lines)


def _licence(metrics: Mapping[str, Any]) -> Iterator[Block]:
    of = metrics.get("teacher") or metrics
    base_model = of.get("base_model")
    yield Heading("Licence of the base model")
    if base_model in (None, COMPACT):
        yield Paragraph("None: trained from the reviews alone.")
    else:
        unknown = "not stated by its folder; ask its makers before you pass this model on"
        yield Paragraph(f"{base_model}{', the teacher' * (of is not metrics)}: {of.get('base_licence') or unknown}.")


def _decision(decision: Decision) -> Iterator[Block]:
    yield Heading("Decision")
    yield Paragraph(f"{'Promoted' if decision.promoted else 'Not promoted'}: {decision.reason}")
    if decision.comparison:
        yield Paragraph(f"Before the switch: {decision.comparison['said']}")


def _with_interval(figures: Mapping[str, Any], name: str) -> str:
    value, interval = figures.get(name), figures.get(f"{name}_interval")
    if value is None:
        return ""
    return f"{value:.3f}" + (f" ({interval[0]:.3f} to {interval[1]:.3f})" if interval and None not in interval else "")


def _day(instant: str | None) -> str:
    return (instant or "unknown")[:10]
