"""`make ui`: Dagster's webserver and daemon, on a port that is free."""

import errno
import os
import socket
import sys
from typing import NoReturn

import psutil

from mlops_assets import outside
from mlops_assets.cli.instance import end_killed_runs, open_instance
from mlops_assets.failures import PermanentFailure, TransientFailure
from mlops_assets.settings import Settings, whole_environment

_ADDRESS = "127.0.0.1"


class PortTaken(PermanentFailure):
    """Another program listens on the port of the UI."""


def prepare(settings: Settings) -> None:
    """Create the Dagster instance and the tables of the dashboards; end runs whose process is gone."""
    things = outside.build(settings)
    try:
        things["dashboards"].prepare()
    except TransientFailure as failure:
        print(f"Warning: {failure}", file=sys.stderr)  # record_facts creates them when the database is back
    with open_instance(settings) as instance:
        end_killed_runs(instance, settings, things["service"])


def open_ui(settings: Settings) -> NoReturn:
    """Become `dagster dev` for this clone; raises `PortTaken`."""
    refuse_taken_port(settings)
    prepare(settings)
    print(f"The UI: http://{_ADDRESS}:{settings.ui_port}   Ctrl-C ends it, the schedule and the sensors", flush=True)
    environment = {
        "DAGSTER_DISABLE_TELEMETRY": "1",
        **whole_environment(),
        "DAGSTER_HOME": str(settings.instance_folder),
        "UI_PORT": str(settings.ui_port),
    }
    # Dagster recommends another of its programs here, which does not concern a user of `make ui`.
    command = [
        "-W",
        "ignore:Function `dev_command` is superseded",
        "-m",
        "mlops_assets.cli.webserver",
        "dev",
        "--workspace",
        str(settings.root / "workspace.yaml"),
    ]
    command += ["--host", _ADDRESS, "--port", str(settings.ui_port)]
    os.execve(sys.executable, [sys.executable, *command], environment)  # noqa: S606  it replaces this process


def refuse_taken_port(settings: Settings) -> None:
    """Raise `PortTaken`, naming the program on the port if it can be seen."""
    port = settings.ui_port
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((_ADDRESS, port))
        except OSError as error:
            if error.errno not in (errno.EADDRINUSE, errno.EACCES):
                raise
            why = "may not be taken by you" if error.errno == errno.EACCES else _held_by(settings, port)
        else:
            return
    other = port + 1 if 1024 <= port < 65535 else 3001
    raise PortTaken(f"port {port} for the UI {why}: make ui UI_PORT={other}, or UI_PORT={other} in .env")


def _held_by(settings: Settings, port: int) -> str:
    try:
        listening = [
            connection for connection in psutil.net_connections("tcp") if connection.status == psutil.CONN_LISTEN
        ]
    except (psutil.AccessDenied, OSError):
        listening = []
    for connection in listening:
        if connection.laddr and connection.laddr.port == port and connection.pid:
            try:
                process = psutil.Process(connection.pid)
                name = f"{process.name()}, process {connection.pid}"
                if process.environ().get("DAGSTER_HOME") == str(settings.instance_folder):
                    return f"is held by the UI of this clone, which works already ({name})"
            except (psutil.Error, OSError):
                return f"is held by process {connection.pid}"
            return f"is held by another program ({name})"
    return "is held by another program"
