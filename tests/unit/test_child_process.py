"""What is started is ended with all that it started: at a time-out, and when a run is interrupted."""

import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from types import FrameType

import psutil
import pytest

from mlops_assets.child_process import run_child


@pytest.fixture
def mark() -> Iterator[str]:
    """An argument by which this test's processes are known."""
    mark = uuid.uuid4().hex
    yield mark
    for process in _with(mark):
        process.kill()


def _with(mark: str) -> list[psutil.Process]:
    return [process for process in psutil.process_iter(["cmdline"]) if mark in (process.info["cmdline"] or [])]


def _parent_and_child(mark: str, ignoring: str = "", then: str = "") -> list[str]:
    child = f"import sys, time; {ignoring}print(1, flush=True); time.sleep(600)"
    program = (
        f"import subprocess, sys; {ignoring}"
        f"subprocess.Popen([sys.executable, '-c', {child!r}, '{mark}']); sys.stdin.read(); "
        f"import os, time; {then}time.sleep(600)"
    )
    return [sys.executable, "-c", program, mark]


IGNORING = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); "


@pytest.mark.parametrize("ignoring", ["", IGNORING], ids=["obedient", "deaf to SIGTERM"])
@pytest.mark.slow
def test_a_time_out_ends_the_program_and_what_it_started(mark: str, ignoring: str) -> None:
    for timeout_s in (1, 5, 25):  # until the child has started; a busy machine needs longer
        with pytest.raises(subprocess.TimeoutExpired) as expired:
            run_child(_parent_and_child(mark, ignoring), timeout_s=timeout_s)
        assert _with(mark) == []
        if expired.value.output == b"1\n":
            break
    assert expired.value.output == b"1\n", "the child never started"


def test_an_interrupt_ends_the_program_and_what_it_started(mark: str) -> None:
    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        with pytest.raises(KeyboardInterrupt):
            run_child(_parent_and_child(mark, then=f"os.kill({os.getpid()}, {int(signal.SIGALRM)}); "))
    finally:
        signal.signal(signal.SIGALRM, before)
    assert _with(mark) == []


def test_output_input_and_exit_code_are_those_of_the_program() -> None:
    program = "import sys; sys.stderr.write('why'); sys.stdout.write(sys.stdin.read()[::-1]); sys.exit(3)"
    done = run_child([sys.executable, "-c", program], stdin=b"abc")
    assert (done.returncode, done.stdout, done.stderr) == (3, b"cba", b"why")
