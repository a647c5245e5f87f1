"""Everything is killed at ten points of a run, five in a row; then a run ends where an undisturbed clone stands."""

import json
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dagster as dg
import httpx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mlops_assets.cli.instance import open_instance
from mlops_assets.deploy.process.backend import ProcessBackend
from mlops_assets.deploy.service import Service
from tests.integration.receivers import Hooks
from tests.make_run import MakeRun
from tests.user_clone import free_port, git, make_clone, settings_of

pytestmark = pytest.mark.long
POINTS = {
    "start": "raw_reviews\n",
    "collecting": "generated",
    "validating": "validated_reviews\n",
    "committing data": "versioned_dataset\n",
    "mid-training": "epoch",
    "between trainings": "classic_model\n",
    "committing models": "champion_model\n",
    "predicting": "predictions\n",
    "the new server starts": "is starting beside",
    "the new server has the port": "is live; it is watched",
}
"""The line of a run's output at which it is killed, each in the rerun of the one before; a month has five."""
MONTHS = ("2026-04", "2026-05")
ENDED = "was killed; ended it"
ALWAYS_PROMOTES = {"rounds": 200, "worse_points": 100, "anchor_points": 100, "slice_reviews": 100_000}
"""So that each new month ends in a deployment."""


def finish(run: MakeRun) -> str:
    code, output = run.finish()
    assert code == 0, output
    return output


def kill_when(run: MakeRun, due: str) -> str:
    """Kill the run and all that it started as soon as its output has this line; the output until then."""
    said: list[str] = []
    with run.output:
        for line in run.output:
            said.append(line)
            if due in line:
                break
        run.kill()
    assert said, "the run ended before it said anything"
    assert due in said[-1], f"the run ended before it said {due!r}: {''.join(said)}"
    return "".join(said)


def outcome(root: Path) -> dict[str, Any]:
    """What a run leaves, less the names of runs and commits."""
    latest = json.loads((root / ".dagster" / "summaries" / "latest.json").read_text(encoding="utf-8"))
    champion = json.loads((root / "models" / "champion.json").read_text(encoding="utf-8"))
    files = [path for path in (root / "data").rglob("*.parquet") if path.is_file()]
    log = git(
        root, "log", "--first-parent", "--format=%(trailers:key=Data-Version,valueonly,separator=%x2C)", "pipeline"
    )
    return {
        "dataset_version": latest["dataset_version"],
        "models": {kind: figures["model_version"] for kind, figures in latest["models"].items()},
        "champion": champion["model_version"],
        "live": latest["live"]["model_version"],
        "files": {path.relative_to(root).as_posix(): _content(path) for path in files},
        "tree": git(root, "ls-tree", "-r", "pipeline", "--", "data", "models/bert.dvc", "models/classic.dvc"),
        "commits": log.splitlines(),
    }


def _content(path: Path) -> "bytes | pa.Table":
    """The bytes of reviews. Of what is made of them the rows: its footer has the stamps of the clone's own files."""
    derived = {"predictions", "topics"} & set(path.parts)
    return pq.read_table(path).replace_schema_metadata(None) if derived else path.read_bytes()


@contextmanager
def answering_throughout(port: int) -> Iterator[None]:
    """Ask the service without a pause, each time by a new connection; any answer but 200 fails the test."""
    over, failures, asked = threading.Event(), [], 0

    def ask() -> None:
        nonlocal asked
        # Not httpx.post: it reads all certificates of the machine each time, which the runs beside it would feel.
        with httpx.Client(timeout=30, headers={"Connection": "close"}) as client:
            while not over.wait(0.02):
                asked += 1
                try:
                    reply = client.post(f"http://127.0.0.1:{port}/predict", json={"text": "bagus"})
                    if reply.status_code != 200:
                        failures.append(reply.text)
                except httpx.HTTPError as error:
                    failures.append(repr(error))

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        yield
    finally:
        over.set()
        asking.join()
    assert asked > 100
    assert failures == []


@pytest.fixture
def clones(tmp_path: Path) -> Iterator[list[tuple[Path, int]]]:
    """Two clones after the same first run: one to kill in, one that nobody disturbs."""
    both = [(make_clone(tmp_path / name, evaluate=ALWAYS_PROMOTES), free_port()) for name in ("killed", "undisturbed")]
    try:
        for first in [MakeRun(*clone, "2026-03-15T00:00:00Z") for clone in both]:
            finish(first)
        yield both
    finally:
        for root, port in both:
            Service(ProcessBackend(root / ".serving", port)).stop()


def test_everything_killed_at_ten_points_ends_as_if_nobody_had_and_the_service_answers_throughout(
    clones: list[tuple[Path, int]],
) -> None:
    killed, undisturbed = clones
    hooks = Hooks(free_port())
    told = {"NOTIFY_URLS": f"json://127.0.0.1:{hooks.port}/"}
    with hooks.up(), answering_throughout(killed[1]):
        points = list(POINTS.items())
        for month, at in zip(MONTHS, (points[:5], points[5:]), strict=True):
            now = f"{month}-15T00:00:00Z"
            beside = MakeRun(*undisturbed, now)
            for number, (point, due) in enumerate(at):
                said = kill_when(MakeRun(*killed, now, **told), due)
                assert (ENDED in said) == (number > 0), point
            assert ENDED in finish(MakeRun(*killed, now, **told)), month
            finish(beside)
            assert outcome(killed[0]) == outcome(undisturbed[0]), month
    _every_run_has_one_summary_and_is_told_once(killed[0], hooks)


def _every_run_has_one_summary_and_is_told_once(root: Path, hooks: Hooks) -> None:
    folder = root / ".dagster" / "summaries"
    summaries = [
        json.loads(path.read_text(encoding="utf-8")) for path in folder.glob("*.json") if path.stem != "latest"
    ]
    with open_instance(settings_of(root)) as instance:
        assert sorted(run.run_id for run in instance.get_runs()) == sorted(one["run_id"] for one in summaries)
        assert {run.status for run in instance.get_runs()} == {dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE}
    ended = Counter(one["status"] for one in summaries)
    assert ended == {"FAILURE": len(POINTS), "SUCCESS": len(MONTHS) + 1}
    ids = Counter(body["message"].rpartition("[")[2].rstrip("]") for body in hooks.bodies)
    assert set(ids.values()) == {1}
    assert Counter(name.rpartition(":")[2] for name in ids) == {"failure": len(POINTS), "recovery": len(MONTHS)}
