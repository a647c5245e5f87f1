"""A run that is killed, followed by `make run`, ends where an undisturbed one ends."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mlops_assets.resources.process_service import ProcessService
from tests.user_clone import free_port, git, make_clone

pytestmark = pytest.mark.long
CLOCK = "2026-03-15T00:00:00Z"


def command(root: Path, port: int) -> subprocess.Popen[str]:
    """`make run` in the clone, its output readable line by line."""
    return subprocess.Popen(
        [sys.executable, "-m", "mlops_assets.cli", "run"],
        env={
            "PATH": os.environ["PATH"],  # noqa: TID251  git and its programs
            "HOME": str(root.parent),
            "PIPELINE_ROOT": str(root),
            "NOW": CLOCK,
            "PORT": str(port),
            "DEPLOY_TARGET": "process",
        },
        cwd=root,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def finish(process: subprocess.Popen[str]) -> str:
    output, _ = process.communicate(timeout=280)
    assert process.returncode == 0, output
    return output


def kill_when(process: subprocess.Popen[str], due: Callable[[str], bool]) -> None:
    """Kill the whole group as soon as a line of its output is the one."""
    assert process.stdout is not None
    with process.stdout:
        reached = any(due(line) for line in process.stdout)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(timeout=30)
    assert reached, "the run ended before the line that was waited for"


def outcome(root: Path) -> dict[str, Any]:
    """What a run leaves, less the names of runs and commits."""
    latest = json.loads((root / ".dagster" / "summaries" / "latest.json").read_text(encoding="utf-8"))
    champion = json.loads((root / "models" / "champion.json").read_text(encoding="utf-8"))
    files = [path for path in (root / "data").rglob("*.parquet") if path.is_file()]
    return {
        "dataset_version": latest["dataset_version"],
        "models": {kind: figures["model_version"] for kind, figures in latest["models"].items()},
        "champion": champion["model_version"],
        "live": latest["live"]["model_version"],
        "files": {path.relative_to(root).as_posix(): path.read_bytes() for path in files},
        "tree": git(root, "ls-tree", "-r", "pipeline", "--", "data", "models/bert.dvc", "models/classic.dvc"),
        "commits": len(git(root, "log", "--first-parent", "--format=%H", "pipeline").splitlines()),
    }


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    root, port = make_clone(tmp_path_factory.mktemp("undisturbed") / "clone"), free_port()
    try:
        finish(command(root, port))
        return outcome(root)
    finally:
        ProcessService(root / ".serving", port).stop()


@pytest.mark.parametrize(
    "line",
    [
        "raw_reviews\n",
        "generated",
        "versioned_dataset\n",
        "bert_model\n",
        "epoch",
        "classic_model\n",
        "champion_model\n",
    ],
    ids=["start", "collecting", "committing data", "training", "mid-epoch", "between trainings", "committing models"],
)
@pytest.mark.timeout(600)
def test_a_killed_run_followed_by_another_ends_as_an_undisturbed_one(
    tmp_path: Path, undisturbed: dict[str, Any], line: str
) -> None:
    root, port = make_clone(tmp_path / "clone"), free_port()
    try:
        kill_when(command(root, port), lambda shown: line in shown)
        output = finish(command(root, port))
        assert "was killed; ended it" in output
        assert outcome(root) == undisturbed
    finally:
        ProcessService(root / ".serving", port).stop()
