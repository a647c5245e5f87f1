"""A command whose output nobody reads to its end, and output that holds control characters."""

import signal
import subprocess
import sys

import pytest

from mlops_assets.cli.output import quiet_when_unread
from tests.user_clone import make_clone

PRINTS = """
import time
from mlops_assets.cli.output import quiet_when_unread
with quiet_when_unread():
    for number in range(20000):
        print("line", number, flush={flush})
    open({done!r}, "w").close()
"""


@pytest.mark.parametrize("flush", [True, False])
def test_it_ends_as_other_programs_do_and_says_nothing(tmp_path, flush) -> None:
    done = tmp_path / "done"
    with subprocess.Popen(
        [sys.executable, "-c", PRINTS.format(flush=flush, done=str(done))],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == "line 0\n"
        process.stdout.close()
        assert process.stderr.read() == ""
        assert process.wait() == -signal.SIGPIPE
    assert done.exists()  # the work was done all the same


def test_a_list_that_nobody_reads_leaves_no_traceback(tmp_path) -> None:
    root = make_clone(tmp_path / "clone")
    with subprocess.Popen(
        [sys.executable, "-m", "mlops_assets.cli", "deployments"],
        env={"PIPELINE_ROOT": str(root), "DEPLOY_TARGET": "process"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == ""
        assert process.wait() == -signal.SIGPIPE


def test_control_characters_do_not_reach_the_terminal(capsys) -> None:
    with quiet_when_unread():
        sys.stdout.write("app \x1b[2J\x07 \udcff\n\tnext\n")
    assert capsys.readouterr().out == "app \\x1b[2J\\x07 \\udcff\n\tnext\n"
