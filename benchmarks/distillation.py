"""A teacher and its student at real size: the teacher, `compact` taught by it, and `compact` without a teacher.

python -m benchmarks.distillation [--teacher FOLDER] [--app pintu] [--reviews N]

The teacher is MiniLM-L6 from the package index unless a folder in the hub's format is named. It is fine-tuned on the
app's labelled reviews and teaches on its reviews without a label too. Each text of a side counts once.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.classic import PINTU
from benchmarks.minilm import fetch
from mlops_assets.artifact import TrainedWith
from mlops_assets.params.models import BertRecipe
from mlops_assets.reviews.files.files import read_reviews
from mlops_assets.reviews.stored.label import labels_of
from mlops_assets.reviews.stored.split import add_sides
from mlops_assets.reviews.stored.usable import labelled, unlabelled_texts
from mlops_assets.serving.models.model import load
from mlops_assets.settings import wait_passively
from mlops_assets.training.bert.train import train_bert


def measured(teacher: Path, reviews: Path, most: int | None) -> dict[str, Any]:
    """The entry `teacher` of a training's metrics, and how long all of its trainings took."""
    frame = read_reviews(reviews).frame
    frame = frame[frame["review_text"].notna()].tail(most or len(frame))
    frame = add_sides(frame.assign(label=labels_of(frame["rating"], "binary"))).sort_values("review_date")
    recipe = BertRecipe(teacher=str(teacher), most_minutes=600)
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as scratch:
        trained = train_bert(
            labelled(frame),
            recipe,
            Path(scratch, "model"),
            trained_with=TrainedWith("benchmark", "binary", recipe.digest(), "benchmark"),
            run_id="benchmark",
            report=lambda line: print(line, file=sys.stderr, flush=True),
            checkpoints=Path(scratch, "checkpoints"),
            load=load,
            unlabelled=unlabelled_texts(frame),
        )
    return {"seconds": round(time.perf_counter() - started), **trained.metrics["teacher"], "base_model": teacher.name}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.distillation", description=__doc__)
    parser.add_argument("--teacher", type=Path, help="a folder that has the weights, in the hub's format")
    parser.add_argument("--app", choices=("pintu", "gojek"), default="pintu")
    parser.add_argument("--reviews", type=int, help="only the newest so many")
    given = parser.parse_args(arguments)
    wait_passively()
    with tempfile.TemporaryDirectory() as scratch:
        teacher = given.teacher.resolve() if given.teacher else fetch(Path(scratch))
        figures = measured(teacher, PINTU.with_name(f"{given.app}_reviews.csv"), given.reviews)
    print(json.dumps({"distillation": {given.app: figures}}, indent=1))


if __name__ == "__main__":
    main()
