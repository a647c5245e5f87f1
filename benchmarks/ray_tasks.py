"""How fast two Ray nodes of one core score reviews, against two processes that know nothing of each other.

python -m benchmarks.ray_tasks [--rows N]

Both score a tenth of the reviews and all of them: the difference is the throughput, the rest the time to start (a
Python and the model, and for Ray the connection and the workers). The nodes are up before. The model is a tiny classic
one, so that reading, writing and handing out months count for much.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.validation import reviews
from mlops_assets.reviews.predictions.answer import Answering
from mlops_assets.reviews.predictions.scoring import Budget, score_months
from mlops_assets.reviews.predictions.stored import Predictions, files_of
from mlops_assets.reviews.stored import columns
from mlops_assets.reviews.stored.split import Split
from mlops_assets.spread.ray_cluster import RayCluster
from mlops_assets.spread.spread import Spread, here
from mlops_assets.steps.score import ModelIn
from tests.fakes.tiny_model import seal_tiny_model
from tests.ray_nodes import two_nodes

APPS = ("com.example.one", "com.example.two")
NOW = datetime(2027, 1, 1, tzinfo=UTC)


def run(rows: int) -> dict[str, Any]:
    """Figures: reviews per second and seconds to start of both, and Ray's share of what the processes reach."""
    seconds: dict[str, list[float]] = {"processes": [], "ray": []}
    with tempfile.TemporaryDirectory() as folder, two_nodes() as nodes:
        version = seal_tiny_model(Path(folder) / "model")
        for part in (rows // 10, rows):
            data = Path(folder) / str(part)
            write_reviews(data / "reviews", part)
            started = time.perf_counter()
            command = (sys.executable, "-m", "benchmarks.ray_tasks", "--model", f"{folder}/model", version, "--score")
            processes = [subprocess.Popen([*command, str(data), app]) for app in APPS]
            assert not any(process.wait() for process in processes)
            seconds["processes"].append(time.perf_counter() - started)
            started = time.perf_counter()
            model = ModelIn(Path(folder) / "model", version)
            score(data, APPS, data / "ray", model, RayCluster(nodes.address, print))
            seconds["ray"].append(time.perf_counter() - started)
            alone = {name: path for app in APPS for name, path in files_of(data / app).items()}
            assert {name: path.read_bytes() for name, path in files_of(data / "ray").items()} == {
                name: path.read_bytes() for name, path in alone.items()
            }
    each_row = {name: (large - small) / (rows - rows // 10) for name, (small, large) in seconds.items()}
    return {
        "rows": rows,
        **{f"{name}_rows_per_s": round(1 / time_each) for name, time_each in each_row.items()},
        **{f"{name}_start_s": round(seconds[name][0] - rows // 10 * each_row[name], 1) for name in seconds},
        "ray_share": round(each_row["processes"] / each_row["ray"], 2),
    }


def write_reviews(folder: Path, rows: int) -> None:
    """Usable reviews of both apps, half of the rows each, in twelve months."""
    frame = reviews(rows // len(APPS))
    months = columns.month_of(frame["review_date"])
    for app in APPS:
        for month, part in frame.assign(app_id=app).groupby(months):
            columns.write_frame(columns.conform(part), folder / app / f"{month}.parquet")


def score(data: Path, apps: tuple[str, ...], to: Path, model: ModelIn, spread: Spread = here) -> None:
    """Score the reviews of the apps."""
    paths = [path for app in apps for path in sorted((data / "reviews" / app).glob("*.parquet"))]
    answering = Answering(model.model_version, ("negative", "positive"), model, Split.nested(5), NOW, NOW)
    files = {f"{path.parent.name}/{path.name}": path for path in paths}
    score_months(Predictions(to), files, answering, Budget(1e6, time.time).is_spent, spread)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--model", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--score", nargs=2, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.score:
        data, app = Path(asked.score[0]), asked.score[1]
        score(data, (app,), data / app, ModelIn(Path(asked.model[0]), asked.model[1]))
    else:
        print(json.dumps(run(asked.rows), indent=1))


if __name__ == "__main__":
    main()
