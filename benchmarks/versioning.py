"""What a version costs: of many months, of one changed among them, of nothing changed, of one month alone."""

import json
import os
import resource
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

from mlops_assets.settings import child_environment
from mlops_assets.versioning.pipeline_clone import PipelineClone
from mlops_assets.versioning.repository import VersionRepository

_APP = "com.example.app"

Cost = dict[str, float]


def cost_follows_the_change(dvc_program: Path, *, months: int = 500, month_bytes: int = 200_000) -> dict[str, Any]:
    """Wall and processor seconds of versions of `months` files (raw and validated), and what the remote grew by."""
    with tempfile.TemporaryDirectory() as scratch:
        every, one, nothing, grown = _of_many(Path(scratch) / "many", dvc_program, months, month_bytes)
        alone, *_ = _of_many(Path(scratch) / "alone", dvc_program, 1, month_bytes)
    return {
        "months": months,
        "month_bytes": month_bytes,
        "every_month": every,
        "one_changed_month": one,
        "nothing_changed": nothing,
        "that_month_alone": alone,
        "remote_grew_by_bytes": grown,
        "one_changed_month_against_that_month_alone_cpu": one["cpu_s"] / alone["cpu_s"],
        "one_changed_month_against_every_month_cpu": one["cpu_s"] / every["cpu_s"],
    }


def _of_many(root: Path, dvc_program: Path, months: int, month_bytes: int) -> tuple[Cost, Cost, Cost, int]:
    _repository_at(root)
    files = {f"{_APP}/{number:04d}.parquet": root / "data/raw" / f"{number:04d}" for number in range(months)}
    (root / "data" / "raw").mkdir(parents=True)
    for path in files.values():
        path.write_bytes(os.urandom(month_bytes))
    every = _timed_version(root, dvc_program, files)
    nothing = _timed_version(root, dvc_program, files)
    before = _size(root / ".dvc-remote")
    next(iter(files.values())).write_bytes(os.urandom(month_bytes))
    one = _timed_version(root, dvc_program, files)
    return every, one, nothing, _size(root / ".dvc-remote") - before


def _timed_version(root: Path, dvc_program: Path, files: dict[str, Path]) -> Cost:
    repository = VersionRepository(PipelineClone(root, dvc_program=dvc_program))
    started, cpu = time.perf_counter(), _cpu_s()
    repository.prepare()
    repository.stage_data(files, files)
    repository.commit_data("benchmark", "benchmark")
    return {"wall_s": round(time.perf_counter() - started, 3), "cpu_s": round(_cpu_s() - cpu, 3)}


def _cpu_s() -> float:
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in used)


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _repository_at(root: Path) -> None:
    root.mkdir()
    (root / ".gitignore").write_text("/data/raw\n/data/validated\n/.pipeline/\n/.dvc-remote/\n")
    identity = {
        f"GIT_{role}_{name}": "bench@localhost" for role in ("AUTHOR", "COMMITTER") for name in ("NAME", "EMAIL")
    }
    for command in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "code"]):
        subprocess.run(["git", *command], cwd=root, env={**child_environment(), **identity}, check=True)


def main() -> None:
    """Print the figures as JSON."""
    program = Path(__file__).parents[1] / ".venv-dvc" / "bin" / "dvc"
    print(json.dumps(cost_follows_the_change(program), indent=1))


if __name__ == "__main__":
    main()
