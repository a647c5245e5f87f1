"""The caller's side of a server process's control socket; the commands are those of `serving.takeover`."""

import json
import socket
from pathlib import Path
from typing import Any

from mlops_assets.deploy.service_client import NoAnswer
from mlops_assets.serving.socket_file import unix_address


def command(control: Path, name: str, *, give: socket.socket | None = None, timeout_s: float = 10.0) -> dict[str, Any]:
    """Send one command, with a socket if it takes one; raises `NoAnswer` with the server's reason."""
    answer, received = _exchange(control, name, give, timeout_s)
    for descriptor in received:
        socket.close(descriptor)
    return answer


def public_socket(control: Path, *, timeout_s: float = 10.0) -> socket.socket:
    """A duplicate of the listening socket that the process serves; raises `NoAnswer`."""
    _, received = _exchange(control, "socket", None, timeout_s)
    if not received:
        raise NoAnswer(f"{control} gave no socket")
    return socket.socket(fileno=received[0])


def _exchange(
    control: Path, name: str, give: socket.socket | None, timeout_s: float
) -> tuple[dict[str, Any], list[int]]:
    message = [json.dumps({"command": name}).encode()]
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(timeout_s)
            with unix_address(control) as address:
                connection.connect(address)
            socket.send_fds(connection, message, [give.fileno()] if give is not None else [])
            data, received, _, _ = socket.recv_fds(connection, 4096, 1)
        answer = json.loads(data)
    except (OSError, ValueError) as error:
        raise NoAnswer(f"the process behind {control} does not obey {name}: {error}") from error
    if "error" in answer:
        raise NoAnswer(f"the process behind {control} refuses {name}: {answer['error']}")
    return answer, list(received)
