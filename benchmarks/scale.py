"""What each stage costs from 10,000 to 10,000,000 reviews, and a run with nothing new or a little new.

python -m benchmarks.scale SIZE [--folder DIR] [--only STAGE …]

Made-up reviews of up to 50 apps over 24 months, in a clone of its own, with the training budgets of params.yaml and a
BERT of one layer × 16. Each stage is a process of its own; its CPU time, peak memory and bytes count all its children.
What is measured is kept in the folder: a killed measurement goes on with the stage that it was at.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from mlops_assets.assets.partitions import range_tags
from mlops_assets.automation.jobs import PIPELINE
from mlops_assets.cli.instance import open_instance
from mlops_assets.cli.run import run_pipeline
from mlops_assets.definitions import build_definitions
from mlops_assets.settings import Settings

CLOCK = "2026-04-15T00:00:00Z"
ASSETS = (
    "raw_reviews", "validated_reviews", "versioned_dataset", "classic_model", "bert_model", "champion_model",
    "serving_image", "predictions", "topics",
)  # fmt: skip
STAGES = ("reviews", *ASSETS, "the first run after", "nothing new", "a little new")
FEW = 500
"""New reviews of one month of one app."""
_CHUNK = 500_000
_OF_A_FILE = 1_000_000
"""Reviews in one file; a file of more than five million is refused."""
_MONTHS, _FIRST_DAY = 24, np.datetime64("2024-04-01")
_GOOD = ["bagus", "mantap", "mudah", "cepat", "suka", "membantu", "keren", "lancar", "puas", "terbaik"]
_BAD = ["jelek", "lambat", "error", "gagal", "kecewa", "rusak", "susah", "parah", "lemot", "penipu"]
_OTHER = ["aplikasi", "ini", "saya", "yang", "untuk", "transaksi", "login", "akun", "update", "sekali", "dan", "di"]


def apps_of(size: int) -> list[str]:
    """50 apps, of few reviews fewer: at least 1,000 each."""
    return [f"com.example.app{number:02d}" for number in range(min(50, max(1, size // 1000)))]


def made_up(size: int, apps: list[str], seed: int = 0) -> Iterator[pd.DataFrame]:
    """Reviews in pieces, each with an id of its own."""
    words = np.array([*_GOOD, *_BAD, *_OTHER])
    for start in range(0, size, _CHUNK):
        count = min(_CHUNK, size - start)
        random = np.random.default_rng([seed, start])
        rating = random.choice([1, 2, 3, 4, 5], count, p=[0.25, 0.07, 0.08, 0.1, 0.5])
        said = random.integers(len(_GOOD) + len(_BAD), len(words), (count, 8))
        said[:, 2:4] = np.where(rating >= 3, 0, len(_GOOD))[:, None] + random.integers(0, len(_GOOD), (count, 2))
        numbers = random.integers(0, 10_000_000, count)
        texts = [f"{' '.join(row)} {number}" for row, number in zip(words[said], numbers, strict=True)]
        seconds = random.integers(0, (np.datetime64("2026-04-01") - _FIRST_DAY) // np.timedelta64(1, "s"), count)
        yield pd.DataFrame(
            {
                "review_id": [f"{seed}-{start + number}" for number in range(count)],
                "app_id": np.array(apps)[random.integers(0, len(apps), count)],
                "review_text": texts,
                "rating": rating,
                "review_date": _FIRST_DAY + seconds.astype("timedelta64[s]"),
            }
        )


def write_reviews(folder: Path, size: int, apps: list[str]) -> None:
    """`reviews-<number>.parquet`, as many as it takes."""
    writer: pq.ParquetWriter | None = None
    for number, frame in enumerate(made_up(size, apps)):
        table = pa.Table.from_pandas(frame, preserve_index=False)
        if number % (_OF_A_FILE // _CHUNK) == 0:
            if writer is not None:
                writer.close()
            writer = pq.ParquetWriter(folder / f"reviews-{number:03}.parquet", table.schema)
        assert writer is not None
        writer.write_table(table)
    if writer is not None:
        writer.close()


def add_few(path: Path, app: str) -> None:
    """Reviews of the last month of one app into a file of their own, beside the large ones."""
    frame = next(made_up(FEW, [app], seed=1))
    frame["review_date"] = pd.Timestamp("2026-03-10") + pd.to_timedelta(np.arange(FEW), unit="s")
    frame.to_parquet(path)


def stage(name: str, folder: Path, size: int) -> int:
    """One stage in this process; its exit code."""
    root, apps = folder / "clone", apps_of(size)
    few = folder / "few.parquet"
    if name == "reviews":
        from tests.user_clone import make_clone

        write_reviews(folder, size, apps)
        bert = {"base_model": "compact", "layers": 1, "hidden": 16, "heads": 2, "epochs": 1}
        # So that a little new trains no model.
        retrain = {"new_reviews": max(1, size // 2)}
        make_clone(root, apps=apps, source="file", bert=bert, classic={}, evaluate={}, retrain=retrain)
        return 0
    if name == "a little new" and not few.exists():
        add_few(few, apps[-1])
    files = [*sorted(folder.glob("reviews*.parquet")), *folder.glob(few.name)]
    environ = {"NOW": CLOCK, "DEPLOY_TARGET": "process", "SKIP_DEPLOY": "1", "REVIEWS": ",".join(map(str, files))}
    settings = Settings.load(environ, root)
    if name not in ASSETS:
        return run_pipeline(settings)
    with open_instance(settings) as instance:
        done = (
            build_definitions(settings)
            .resolve_job_def(PIPELINE)
            .execute_in_process(
                instance=instance,
                asset_selection=[dg.AssetKey(name)],
                tags=range_tags(settings, apps, "2024-04", "2026-03"),
                raise_on_error=False,
            )
        )
        return 0 if done.success else 1


def measured(name: str, folder: Path, size: int) -> dict[str, Any]:
    """The stage's seconds, CPU seconds, peak memory and bytes, children counted, and what lies on the disk after it."""
    started = time.perf_counter()
    code = (
        "import resource, subprocess, sys, json; from pathlib import Path\n"
        "done = subprocess.run(sys.argv[1:], stdout=sys.stderr)\n"
        "used = resource.getrusage(resource.RUSAGE_CHILDREN)\n"
        "io = dict(line.split(': ') for line in Path('/proc/self/io').read_text().splitlines())\n"
        "print(json.dumps({'rc': done.returncode, 'cpu_s': used.ru_utime + used.ru_stime,"
        " 'peak_mb': used.ru_maxrss * 1024 / 1e6,"
        " 'read_mb': int(io['rchar']) / 1e6, 'written_mb': int(io['wchar']) / 1e6}))"
    )
    command = [sys.executable, "-m", "benchmarks.scale", str(size), "--folder", str(folder), "--stage", name]
    with (folder / f"{name.replace(' ', '-')}.log").open("w") as log:
        done = subprocess.run([sys.executable, "-c", code, *command], stdout=subprocess.PIPE, stderr=log, check=True)
    figures = json.loads(done.stdout)
    if figures.pop("rc"):
        raise SystemExit(f"stage {name!r} failed: see {log.name}")
    return {**figures, "seconds": time.perf_counter() - started, "disk_mb": bytes_below(folder / "clone") / 1e6}


def bytes_below(folder: Path) -> int:
    """Bytes of the files below the folder; what has several names counts once."""
    found = (path.stat() for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    return sum({(file.st_dev, file.st_ino): file.st_size for file in found}.values())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("size", type=int)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--only", nargs="*", choices=STAGES)
    parser.add_argument("--stage", choices=STAGES, help=argparse.SUPPRESS)
    given = parser.parse_args()
    folder = (given.folder or Path(".bench-scale") / str(given.size)).absolute()
    if given.stage:
        raise SystemExit(stage(given.stage, folder, given.size))
    folder.mkdir(parents=True, exist_ok=True)
    record = folder / "figures.json"
    figures: dict[str, Any] = json.loads(record.read_text()) if record.is_file() else {}
    for name in given.only or STAGES:
        if name not in figures or given.only:
            figures[name] = measured(name, folder, given.size)
            record.write_text(json.dumps(figures, indent=1))
        print(f"{name:20}", "  ".join(f"{key} {value:,.1f}" for key, value in figures[name].items()), flush=True)
    print(json.dumps({"reviews": given.size, "stages": figures}))


if __name__ == "__main__":
    main()
