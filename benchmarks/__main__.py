"""`make bench`: every measurement in turn, a table on the screen, and all figures in benchmarks/results.json.

`python -m benchmarks --only orchestration collection` measures some. Benchmarks that need real reviews take them from
the folder ../shared/data beside the clone, and are named as not measured where it is absent.
"""

import argparse
import json
import os
import platform
import re
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
RESULTS = FOLDER / "results.json"
REAL_REVIEWS = FOLDER.parents[1] / "shared" / "data" / "pintu_reviews.csv"
NEEDS_REVIEWS = {"classic", "bert_training", "distillation", "people", "serving", "topics"}
NAMES = (
    "orchestration",
    "ray_tasks",
    "collection",
    "validation",
    "drift",
    "spikes",
    "gate",
    "versioning",
    "classic",
    "bert_training",
    "minilm",
    "distillation",
    "people",
    "topics",
    "serving",
    "soak",
)


def measure(name: str) -> dict[str, Any]:
    """One module's figures, in a process of its own so that memory and threads start afresh."""
    if name in NEEDS_REVIEWS and not REAL_REVIEWS.is_file():
        return {"not measured": f"{REAL_REVIEWS.name} is not beside the clone"}
    started = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", f"benchmarks.{name}"], capture_output=True, text=True, check=False, cwd=FOLDER.parent
    )
    took = time.perf_counter() - started
    if done.returncode:
        return {"failed": done.stderr.strip().splitlines()[-1:], "seconds": took}
    return {"figures": _objects(done.stdout), "seconds": took}


def _processor() -> str:
    """Architecture and model, with the instructions that matrix products can use."""
    known = Path("/proc/cpuinfo")
    told = known.read_text(encoding="utf-8") if known.is_file() else ""
    model = re.search(r"^model name\s*: (.+)$", told, re.MULTILINE)
    units = sorted(set(re.findall(r"\b(?:amx_(?:int8|bf16)|avx512_(?:bf16|vnni)|avx2)\b", told)))
    return " ".join([platform.machine(), *([model[1]] if model else []), *units])


def _objects(text: str) -> dict[str, Any]:
    """The JSON objects that a benchmark printed, merged; other lines are progress."""
    found: dict[str, Any] = {}
    text = f"\n{text}"
    decoder, place = json.JSONDecoder(), text.find("\n{")
    while place >= 0:
        try:
            value, end = decoder.raw_decode(text, place + 1)
        except json.JSONDecodeError:
            end = place + 1
        else:
            if isinstance(value, dict):
                found |= value
        place = text.find("\n{", end)
    return found


def flat(figures: Any, prefix: str = "") -> list[tuple[str, Any]]:
    """Dotted name and value of every number and text in nested figures; longer lists stay in the JSON file."""
    if isinstance(figures, dict):
        return [row for name, value in figures.items() for row in flat(value, f"{prefix}.{name}" if prefix else name)]
    return [] if isinstance(figures, list) and len(figures) > 3 else [(prefix, figures)]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--only", nargs="+", choices=NAMES, default=list(NAMES))
    results = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.is_file() else {}
    failed = False
    for name in parser.parse_args().only:
        print(f"{name} …", flush=True)
        result = measure(name)
        failed |= "failed" in result
        results[name] = {
            "command": f"python -m benchmarks.{name}",
            "date": datetime.now(UTC).date().isoformat(),
            "machine": f"{_processor()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} at the end",
            **result,
        }
        RESULTS.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        for label, value in flat({key: value for key, value in result.items() if key != "seconds"}):
            shown = f"{value:.4g}" if isinstance(value, float) else value
            print(f"  {label.removeprefix('figures.'):<60} {shown}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
