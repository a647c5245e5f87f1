"""A MongoDB for tests: the one at MONGO_TEST_URL, else mongoeco, which speaks MongoDB's protocol to real clients."""

import os
import shutil
import socket
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest

from tests.user_clone import free_port

ADDRESS = "MONGO_TEST_URL"
_MONGOECO = ("mongoeco==4.11.0", "pymongo>=4.13,<5")
_PROGRAM = """
import asyncio, sys
from mongoeco.engines.sqlite import SQLiteEngine
from mongoeco.wire import AsyncMongoEcoProxyServer

async def main():
    server = AsyncMongoEcoProxyServer(engine=SQLiteEngine(sys.argv[2]), port=int(sys.argv[1]))
    await server.start()
    print("serves", flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


@contextmanager
def mongo_server(folder: Path) -> Iterator[str]:
    """The URL of a server; skips where the machine has none."""
    if given := os.environ.get(ADDRESS):  # noqa: TID251  a test's own switch
        yield given
        return
    python = _python_313()
    if python is None:
        pytest.skip(f"no MongoDB: set {ADDRESS} to the address of one, or install Python 3.13 for mongoeco")
    own = own_environment(folder / "mongoeco", python, *_MONGOECO)
    port = free_port()
    process = subprocess.Popen(
        [own, "-c", _PROGRAM, str(port), str(folder / "mongo.sqlite")], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "serves\n"
        yield f"mongodb://127.0.0.1:{port}/?directConnection=true"
    finally:
        process.kill()
        process.communicate()


def own_environment(folder: Path, python: str, *requirements: str) -> str:
    """The Python of a new virtual environment with these packages, which do not go together with the project's."""
    uv = [sys.executable, "-m", "uv"]
    subprocess.run([*uv, "venv", "--quiet", "--python", python, str(folder)], check=True)
    interpreter = str(folder / "bin" / "python")
    done = subprocess.run(
        [*uv, "pip", "install", "--quiet", "--python", interpreter, *requirements],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        pytest.skip(f"{requirements[0]} cannot be installed here: {done.stderr.strip().splitlines()[-1]}")
    return interpreter


def _python_313() -> str | None:
    found = [shutil.which("python3.13"), *map(str, Path.home().glob(".pyenv/versions/3.13.*/bin/python3.13"))]
    for python in filter(None, found):
        # A shim of pyenv is there although its Python may not be chosen.
        if subprocess.run([python, "-c", ""], capture_output=True, check=False).returncode == 0:
            return python
    return None


class Line:
    """A TCP line to a server that can be cut and held up."""

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._flows = threading.Event()
        self._flows.set()
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = self._server.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def hold_up(self) -> None:
        self._flows.clear()

    def let_through(self) -> None:
        self._flows.set()

    def close(self) -> None:
        self._flows.set()
        self._server.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._server.accept()
                upstream = socket.create_connection(self._target)
                for source, target in ((client, upstream), (upstream, client)):
                    threading.Thread(target=self._pass_on, args=(source, target), daemon=True).start()

    def _pass_on(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError), closing(source), closing(target):
            while data := source.recv(65536):
                self._flows.wait()
                target.sendall(data)


def unique_name() -> str:
    """A database of this test's own."""
    return f"mirror_test_{uuid.uuid4().hex[:12]}"
