"""What a run needs is away: it says so, the old model serves, nothing good is lost, and a rerun heals."""

import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from mlops_assets.deploy.process.backend import ProcessBackend
from mlops_assets.deploy.service import Service
from tests.fakes.play_store import FakePlayStore, reviews
from tests.fakes.play_wire import PlayWire, serve
from tests.make_run import MakeRun
from tests.user_clone import free_port, make_clone

pytestmark = pytest.mark.long
APP = "com.valar.pintu"
START = datetime(2026, 3, 20, 12, tzinfo=UTC)
APART = timedelta(minutes=5)
PARAMS = {
    "play_store": {"requests_per_second": 1000, "retries": 1, "backoff_s": 0, "backoff_most_s": 0},
    "evaluate": {"rounds": 200, "worse_points": 100, "anchor_points": 100, "slice_reviews": 100_000},
}
"""Quick, and each new month of reviews ends in a deployment."""


@dataclass
class Place:
    """A clone on a small file system of its own, its store, and the clock."""

    root: Path
    port: int
    store: FakePlayStore
    wire: PlayWire
    now: datetime = START
    clock_is_ahead: timedelta = timedelta()
    batch: int = 0

    def run(self, **environ: str) -> tuple[int, str]:
        """`make run` as a user starts it; exit code and what it printed."""
        return self.start(**environ).finish()

    def start(self, **environ: str) -> MakeRun:
        given = {"SOURCE": "play_store", "PLAY_STORE_URL": self.wire.url, **environ}
        return MakeRun(self.root, self.port, (self.now + self.clock_is_ahead).isoformat(), **given)

    def new_reviews(self) -> None:
        """Six hours later there are sixty more."""
        self.now += timedelta(hours=6)
        self.batch += 1
        self.store.add(APP, reviews(60, self.now, f"batch{self.batch}-", APART))

    def serving(self) -> dict[str, str]:
        """The versions of what answers, by its own word."""
        reply = httpx.get(f"http://127.0.0.1:{self.port}/health", timeout=30).json()
        return {name: reply[name] for name in ("model_version", "dataset_version")}

    def stored(self) -> set[str]:
        """Every review that lies in the files."""
        import pandas as pd

        files = (self.root / "data" / "raw" / APP).glob("*.parquet")
        return {one for path in files for one in pd.read_parquet(path)["review_id"]}


def mount(*arguments: str) -> None:
    done = subprocess.run(["mount", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"mounting needs root: {done.stderr.strip()}")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """A clone whose model serves; the tests below go on from each other."""
    disk = tmp_path_factory.mktemp("disk")
    mount("-t", "tmpfs", "-o", "size=200m", "tmpfs", str(disk))
    store = FakePlayStore(page_size=100)
    store.add(APP, reviews(300, START, "first", APART))
    try:
        with serve(store) as wire:
            place = Place(make_clone(disk / "clone", **PARAMS), free_port(), store, wire)
            code, output = place.run()
            assert code == 0, output
            yield place
            Service(ProcessBackend(place.root / ".serving", place.port)).stop()
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


@contextmanager
def full(place: Place) -> Iterator[None]:
    """Not a byte left on the clone's file system."""
    filler = place.root.parent / "filler"
    done = subprocess.run(["dd", "if=/dev/zero", f"of={filler}", "bs=4k"], capture_output=True, check=False)
    assert b"No space left" in done.stderr
    try:
        yield
    finally:
        filler.unlink()


def read_only(name: str) -> Callable[[Place], AbstractContextManager[None]]:
    @contextmanager
    def away(place: Place) -> Iterator[None]:
        folder = str(place.root / name)
        mount("--bind", folder, folder)
        mount("-o", "remount,bind,ro", folder)
        try:
            yield
        finally:
            subprocess.run(["umount", "-l", folder], check=True)

    return away


@pytest.mark.parametrize(
    "outages",
    [
        [(full, {}, ("error: 0 MB are free on the file system",))],
        [
            (read_only("data"), {}, ("Read-only file system",)),
            (read_only("models"), {}, ("Read-only file system",)),
            (read_only(".pipeline"), {}, ("Read-only file system", "read-only")),
            (read_only(".dagster"), {}, ("Read-only file system", "readonly database")),
        ],
        [
            (nullcontext, {"PLAY_STORE_URL": "http://127.0.0.1:1"}, ("127.0.0.1:1", "refused")),
            (
                nullcontext,
                {
                    "DVC_REMOTE_URL": "s3://reviews/dvc", "AWS_ENDPOINT_URL": "http://127.0.0.1:1",
                    "AWS_MAX_ATTEMPTS": "1", "AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing",
                    "AWS_DEFAULT_REGION": "us-east-1",
                },
                ("the DVC remote did not answer", "Could not connect"),
            ),
        ],
    ],
    ids=["no room", "one folder after the other", "store, then DVC on S3"],
)  # fmt: skip
def test_it_says_what_is_away_the_old_model_serves_and_a_rerun_heals(place: Place, outages) -> None:
    before, stored, batches = place.serving(), place.stored(), place.batch
    for away, environ, said in outages:
        place.new_reviews()
        with away(place):
            code, output = place.run(**environ)
            assert code != 0, output
            assert any(one in output for one in said), output
            assert "Traceback" not in output.split("\nRun ")[-1], output
            assert place.serving() == before
        assert place.stored() >= stored
    code, output = place.run()
    assert code == 0, output
    new = range(batches + 1, place.batch + 1)
    assert place.stored() == stored | {f"batch{batch}-{n}" for batch in new for n in range(60)}
    assert place.serving()["dataset_version"] != before["dataset_version"]


def test_a_disk_that_fills_up_while_models_are_trained_is_named_and_a_rerun_heals(place: Place) -> None:
    before, stored = place.serving(), place.stored()
    place.new_reviews()
    run = place.start()
    said = ""
    while not said.endswith("bert_model\n"):
        line = run.output.readline()
        assert line, said
        said += line
    with full(place):
        code, rest = run.finish()
        said += rest
        assert code > 0, (code, said)
        assert "error: the run history in .dagster cannot be used" in said or "No space left" in said, said
        assert place.serving() == before
    code, output = place.run()
    assert code == 0, output
    assert len(place.stored()) == len(stored) + 60
    assert place.serving()["dataset_version"] != before["dataset_version"]


def test_a_clock_that_jumps_back_a_day_and_forward_forty_loses_nothing(place: Place) -> None:
    """The machine's clock: the store's reviews bear the right time all along."""
    stored, served = place.stored(), [place.serving()["dataset_version"]]
    for ahead in (timedelta(days=-1), timedelta(days=40), timedelta()):
        place.clock_is_ahead = ahead
        place.new_reviews()
        code, output = place.run()
        assert code == 0, output
        served.append(place.serving()["dataset_version"])
    batches = range(place.batch - 2, place.batch + 1)
    assert place.stored() == stored | {f"batch{batch}-{n}" for batch in batches for n in range(60)}
    assert len(set(served)) == 4
