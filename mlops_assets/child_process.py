"""Programs that are started and waited for: a time-out or an interrupt ends them and what they started."""

import contextlib
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

_GRACE_S = 2.0
"""After SIGTERM, in which git removes its lock files and half-written packs."""


def run_child(
    command: Sequence[str],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    stdin: bytes = b"",
    timeout_s: float | None = None,
) -> subprocess.CompletedProcess[bytes]:
    """Run a program to its end, without a terminal, so that nothing below it can ask for a password.

    It leads a process group of its own: git's and DVC's helpers (ssh, git-remote-https) outlive their parent otherwise.
    Raises `subprocess.TimeoutExpired`, and `OSError` where the program cannot be started.
    """
    with subprocess.Popen(
        command,
        cwd=cwd,
        env=env,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    ) as process:
        try:
            output, errors = process.communicate(stdin, timeout_s)
        except BaseException:  # a time-out, and Ctrl-C too: nothing below may outlive us
            _end_group(process)
            raise
    return subprocess.CompletedProcess(command, process.returncode, output, errors)


def _end_group(leader: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):  # gone, or on macOS a zombie
        os.killpg(leader.pid, signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):  # it is killed next
        leader.wait(_GRACE_S)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(leader.pid, signal.SIGKILL)
    leader.wait()
    # Its end of the output closes when the last of the group has ended. A daemon that left the group may hold it open.
    with contextlib.suppress(subprocess.TimeoutExpired):
        leader.communicate(timeout=_GRACE_S)
