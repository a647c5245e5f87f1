"""Train, evaluate and export a model from the shell, without Dagster.

python -m mlops_assets.cli.train classic|bert --out FOLDER [--reviews FILE] [--labels binary|ternary]

Recipe, sides and evaluation come from params.yaml. `FOLDER/model` is the sealed model, as the pipeline makes it and
`python -m mlops_assets.serving --model FOLDER/model` serves it; beside it stand metrics.json, card.md, the surest
mistakes and pictures.
"""

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from mlops_assets import artifact
from mlops_assets.document import for_spreadsheet
from mlops_assets.failures import Failure, PermanentFailure
from mlops_assets.params.models import Evaluation
from mlops_assets.params.reviews import Sides, ValidationOptions
from mlops_assets.reviews.files.files import read_reviews
from mlops_assets.reviews.files.rules import FileHints
from mlops_assets.reviews.labels.agreed import agreed
from mlops_assets.reviews.labels.table import FOLDER, LabelTable
from mlops_assets.reviews.quality.language import with_languages
from mlops_assets.reviews.stored.counts import digest_of_frame
from mlops_assets.reviews.stored.label import labels_of
from mlops_assets.reviews.stored.split import Split, add_sides, places_of
from mlops_assets.reviews.stored.usable import labelled, training_frame, unlabelled_texts
from mlops_assets.serving.models.model import load
from mlops_assets.settings import Settings, wait_passively
from mlops_assets.training import card
from mlops_assets.training.judging import evaluate, plots
from mlops_assets.training.kinds import KINDS, Training
from mlops_assets.training.metrics import Metrics
from mlops_assets.training.trained import Trained

UNVERSIONED = "unversioned"
"""The data version of a model that was not trained on a committed one."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Train; 0 when the model is sealed, 1 with one line on stderr when it is not."""
    parser = argparse.ArgumentParser(
        prog="python -m mlops_assets.cli.train",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("kind", choices=sorted(KINDS))
    parser.add_argument("--out", type=Path, required=True, help="a folder that does not exist yet, or is empty")
    parser.add_argument("--reviews", type=Path, help="a file of reviews (default: data/validated of the clone)")
    parser.add_argument("--labels", choices=["binary", "ternary"], help="default: labels in params.yaml")
    parser.add_argument("--dataset-version", default=UNVERSIONED, help="the name that the model keeps of its data")
    parsed = parser.parse_args(arguments)
    wait_passively()
    try:
        _run(parsed)
    except Failure as failure:
        print(f"training failed: {failure}", file=sys.stderr)
        return 1
    return 0


def _run(arguments: argparse.Namespace) -> None:
    settings = Settings.load()
    out: Path = arguments.out
    if out.exists() and any(path.name != "checkpoints" for path in out.iterdir()):
        raise PermanentFailure(f"{out} is not empty: name another folder")
    label_rule = arguments.labels or settings.label_rule
    reviews, split = _reviews(arguments.reviews, settings, label_rule)
    began = time.monotonic()

    def report(line: str) -> None:
        print(f"{time.monotonic() - began:7.1f} s  {line}", file=sys.stderr, flush=True)

    trained = _train(arguments, settings, reviews, split, label_rule, report)
    _write_report(out, labelled(reviews), trained)
    print(f"{arguments.kind} {trained.model_version} in {out / 'model'}")
    for side in (*evaluate.HELD_OUT, "newest", "people"):
        print(f"{side:>10}  {_line(trained.metrics[side])}")


def _reviews(reviews: Path | None, settings: Settings, label_rule: Any) -> tuple[pd.DataFrame, Split]:
    """Reviews with sides and labels (null without one), of a file or of the clone's validated data, and how they were
    dealt to the sides.
    """
    if reviews is None:
        folder = settings.data / "validated"
        if not any(folder.glob("*/*.parquet")):
            raise PermanentFailure(f"{folder} holds no reviews: name a file with --reviews, or collect with make run")
        people = agreed(LabelTable(settings.data / FOLDER).given())
        rows = training_frame(folder, label_rule, people)
    else:
        rows = read_reviews(
            reviews, app_id=settings.only_app, naive_zone=settings.time_zone, hints=FileHints.of(settings)
        ).frame
        rows = rows[rows["review_text"].notna() & rows["rating"].between(1, 5)]
        rows = rows.assign(label=labels_of(rows["rating"], label_rule))
    split = Split.of(settings.section(Sides), places_of(labelled(rows)["review_text"]).nunique())
    return add_sides(rows, split).reset_index(drop=True), split


def _train(
    arguments: argparse.Namespace,
    settings: Settings,
    reviews: pd.DataFrame,
    split: Split,
    label_rule: str,
    report: Callable[[str], None],
) -> Trained:
    kind, folder = KINDS[arguments.kind], arguments.out / "model"
    frame = labelled(reviews)
    training = Training(
        frame=with_languages(frame, settings.section(ValidationOptions).language),
        folder=folder,
        trained_with=kind.trained_with(
            arguments.dataset_version,
            label_rule,
            settings.sections,
            training_data=digest_of_frame(frame),
            reviews=len(frame),
            split=str(split),
        ),
        run_id="shell",
        report=report,
        checkpoints=arguments.out / "checkpoints",
        rules=settings.section(Evaluation),
        unlabelled=unlabelled_texts(reviews),
    )
    return kind.train(training, kind.recipe(settings.sections))


def _write_report(out: Path, frame: pd.DataFrame, trained: Trained) -> None:
    """Metrics, card, pictures and the surest mistakes, beside the model."""
    metrics = trained.metrics
    manifest = artifact.read(out / "model")
    held_out = frame[frame["side"] != "train"].reset_index(drop=True)
    answers = load(out / "model").probabilities(held_out["review_text"].tolist())
    Metrics.of(metrics).write(out / "metrics.json")
    (out / "card.md").write_text(card.model_card(manifest, trained.model_version), encoding="utf-8")
    mistakes = evaluate.mistakes(held_out, answers, manifest.labels)
    mistakes.map(for_spreadsheet).to_csv(out / "mistakes.csv", index=False)
    (out / "confusion_matrix.png").write_bytes(plots.confusion_matrix(metrics["confusion_matrix"]))
    (out / "reliability.png").write_bytes(plots.reliability(metrics["reliability"]))
    if curve := metrics.get("learning_curve"):
        (out / "learning_curve.png").write_bytes(plots.learning_curve(curve))
    if losses := metrics.get("loss_curve"):
        (out / "training_curve.png").write_bytes(plots.training_curve(losses, metrics["epochs"]))


def _line(figures: dict[str, Any]) -> str:
    if not figures["n"]:
        return "no reviews"
    interval = figures["accuracy_interval"]
    reach = f" ({interval[0]:.3f} to {interval[1]:.3f})" if interval else ""
    mixed = f", macro-F1 {figures['macro_f1']:.3f}" if figures["macro_f1"] is not None else ", one label alone"
    return f"accuracy {figures['accuracy']:.3f}{reach}{mixed}, n={figures['n']}"


if __name__ == "__main__":
    sys.exit(main())
