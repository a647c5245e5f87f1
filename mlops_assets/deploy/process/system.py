"""Processes and ports as the system sees them: which process runs, who listens, what a child would inherit."""

import contextlib
import errno
import os
import socket
import time
from pathlib import Path

import psutil

from mlops_assets.failures import PermanentFailure

_RELEASE_S = 3.0


class PortTaken(PermanentFailure):
    """A foreign process holds the public port."""


def control_argument(pid: int) -> Path | None:
    """The control socket that a server process was started with; None for any other process."""
    try:
        arguments = psutil.Process(pid).cmdline()
    except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
        return None
    if "mlops_assets.serving" not in arguments or "--control" not in arguments[:-1]:
        return None
    return Path(arguments[arguments.index("--control") + 1])


def alive(pid: int, created: float | None = None) -> bool:
    """Whether this very process runs; a number that another process got since does not count.

    A process is a zombie from the end of its first thread on, and holds its ports until the last one has ended.
    """
    try:
        process = psutil.Process(pid)
        if created is not None and abs(process.create_time() - created) > 1:
            return False
        if process.status() != psutil.STATUS_ZOMBIE:
            return True
        try:
            return os.waitpid(pid, os.WNOHANG) == (0, 0)
        except ChildProcessError:  # another process's child
            return process.num_threads() > 1
    except psutil.NoSuchProcess:
        return False


def ended(pid: int, created: float, timeout_s: float) -> bool:
    until = time.monotonic() + timeout_s
    while time.monotonic() < until:
        if not alive(pid, created):
            return True
        time.sleep(0.02)
    return not alive(pid, created)


def inherited() -> list[int]:
    """Descriptors beyond the standard three that a child would get from this process, such as the lock of a cron job
    that runs `flock`: a server that outlives the deployer must not hold it.
    """
    found = []
    for name in os.listdir("/dev/fd"):  # noqa: PTH208  # numbers, not files
        with contextlib.suppress(OSError):  # the listing's own descriptor is closed by now
            if int(name) > 2 and os.get_inheritable(int(name)):
                found.append(int(name))
    return found


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; raises `PortTaken` with the holder.

    A killed process is gone before the kernel has closed its sockets, so a port that nobody is seen to hold is tried
    for a while.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    until = time.monotonic() + _RELEASE_S
    while True:
        listening = socket.socket(family, socket.SOCK_STREAM)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((host, port))
            listening.listen(2048)
        except OSError as error:
            listening.close()
            holder = _holder(port) if error.errno == errno.EADDRINUSE else ""
            if error.errno != errno.EADDRINUSE or holder or time.monotonic() > until:
                raise PortTaken(
                    f"port {port} on {host} cannot be taken ({error.strerror}): "
                    f"{holder or 'no process of this user is seen to hold it'}; "
                    "end what holds it, or choose another port with PORT="
                ) from error
            time.sleep(0.05)
        else:
            return listening


def _holder(port: int) -> str:
    """The process that listens on the port; empty if the system names none."""
    try:
        connections = psutil.net_connections("tcp")
    except psutil.AccessDenied:
        return ""
    for connection in connections:
        if connection.status != psutil.CONN_LISTEN or not connection.laddr or connection.laddr.port != port:
            continue
        if connection.pid is not None and alive(connection.pid):
            with contextlib.suppress(psutil.Error):
                name = " ".join(psutil.Process(connection.pid).cmdline())[:120]
                return f"process {connection.pid} holds it: {name}"
    return ""
