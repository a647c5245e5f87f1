"""Every command of the README, in its order, in a clone of its own."""

import os
import re
import shlex
import signal
import subprocess
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pandas as pd
import pytest

from tests.fakes.play_store import FakePlayStore, FakeReview
from tests.fakes.play_wire import serve
from tests.user_clone import PROJECT, SMALL, free_port, git, write_params

pytestmark = pytest.mark.long
APP = "com.valar.pintu"
NOW = datetime(2026, 3, 20, 12, tzinfo=UTC)
ELSEWHERE = {
    "make test": "is what runs this",
    "make run DEPLOY_HOST=ssh://me@host": "needs an engine: test_docker_host.py",
    "make approve [COMMENT=]": "needs a release that waits: test_pipeline.py",
}
STAYS = re.compile(r"make (ui|label)$|\.venv/bin/python -m mlops_assets\.serving")
"""Commands that serve until they are stopped."""


def commands() -> list[str]:
    """The indented lines of the README, continuations joined, comments and repeats dropped."""
    text = (PROJECT / "README.md").read_text(encoding="utf-8").replace("\\\n", " ")
    lines = [line[4:].partition("  #")[0].strip() for line in text.splitlines() if line.startswith("    ")]
    return list(dict.fromkeys(line for line in lines if line and line not in ELSEWHERE))


def texts(count: int) -> list[tuple[str, str, int, datetime]]:
    return [
        (
            f"r{n}",
            f"{'bagus sekali, mudah' if n % 3 else 'lambat dan sering eror'} {n}",
            5 if n % 3 else 1,
            NOW - timedelta(hours=3 * n),
        )
        for n in range(count)
    ]


@pytest.fixture
def clone(tmp_path: Path) -> Iterator[Path]:
    """A fresh clone with the installed environments, small recipes and a file of reviews."""
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "-q", "--no-hardlinks", str(PROJECT), str(clone))
    git(clone, "remote", "remove", "origin")
    git(clone, "checkout", "-q", "-B", "main")
    for name in (".venv", ".venv-dvc"):
        (clone / name).symlink_to(PROJECT / name)
    write_params(clone, **SMALL, play_store={"requests_per_second": 1000})
    git(clone, "commit", "-qam", "small")
    frame = pd.DataFrame(texts(300), columns=["review_id", "review_text", "rating", "review_date"])
    frame.to_csv(clone / "reviews.csv", index=False)
    frame.to_csv(clone / "old.csv", index=False)
    (clone / "data" / "imports").mkdir(exist_ok=True)
    frame.to_csv(clone / "data" / "imports" / "mine.csv", index=False)  # as make import left it
    yield clone
    subprocess.run(["make", "stop"], cwd=clone, check=False, capture_output=True)


def test_every_command_of_the_readme_does_what_it_says(clone: Path) -> None:
    store, port = FakePlayStore(), free_port()
    store.add(
        APP, [FakeReview(one, f"Orang {one}", text, stars, int(at.timestamp())) for one, text, stars, at in texts(300)]
    )
    with serve(store) as wire:
        environment = {
            "PATH": os.environ["PATH"],  # noqa: TID251  make and git
            "HOME": str(clone.parent),
            "PYTHONPATH": str(clone),
            "PORT": str(port),
            "UI_PORT": str(free_port()),
            "LABEL_PORT": str(free_port()),
            "NOW": NOW.isoformat(),
            "DEPLOY_TARGET": "process",
            "AUTHOR_KEY": "a key of the test",
            "PLAY_STORE_URL": wire.url,
            "OMP_WAIT_POLICY": "PASSIVE",
            "OMP_NUM_THREADS": "1",
        }
        done = commands()
        assert len(done) > 15
        for command in done:
            line = _filled_in(command, clone, port)
            if STAYS.match(line):
                _serves(line, clone, environment)
                continue
            began = time.monotonic()
            ran = subprocess.run(
                ["bash", "-c", line], cwd=clone, env=environment, capture_output=True, text=True, check=False
            )
            assert ran.returncode == 0, f"{line}:\n{ran.stdout[-3000:]}\n{ran.stderr[-3000:]}"
            print(f"{time.monotonic() - began:4.0f} s  $ {line}")  # noqa: T201  which command it was, where one fails
    assert git(clone, "status", "--porcelain", "--untracked-files=no") == ""


def _filled_in(command: str, clone: Path, port: int) -> str:
    commit = git(clone, "log", "-1", "--format=%H", "pipeline") if "VERSION=" in command else ""
    line = re.sub(r"\[(TO=)<name>\]", "", command).replace("<name>", commit).replace("<id>", "r1")
    return line.replace(":8080", f":{port}").replace("/tmp/", f"{clone.parent}/")  # noqa: S108  not there


def _serves(line: str, clone: Path, environment: dict[str, str]) -> None:
    """Start it, have it answer once, and end it."""
    url = f"http://127.0.0.1:{environment['UI_PORT']}/server_info"
    if "mlops_assets.serving" in line:
        port = free_port()
        line, url = f"{line} --port {port}", f"http://127.0.0.1:{port}/ready"
    if line == "make label":
        url = f"http://127.0.0.1:{environment['LABEL_PORT']}/"
    process = subprocess.Popen(
        shlex.split(line), cwd=clone, env=environment, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    try:
        until = time.monotonic() + 600
        while time.monotonic() < until:
            assert process.poll() is None, f"{line} ended with {process.returncode}"
            try:
                if httpx.get(url, timeout=2).status_code == 200:
                    return
            except httpx.HTTPError:
                time.sleep(0.5)
        pytest.fail(f"{line} did not answer at {url}")
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(30)
