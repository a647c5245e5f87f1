"""How one server process takes the public port from another: the listening socket itself is handed over.

A control socket in the file system takes one JSON line per connection, with a file descriptor beside it where
the command needs one:

    hello            -> {"pid", "port", "release_version"}: who answers, and its private port
    socket           -> its public listening socket, which it goes on serving
    listen + socket  -> serve this public listening socket
    pause            -> stop accepting on it, let every kept-alive connection close with its next answer
    stop             -> pause, wait for the connections to end, exit

Both processes may accept from the same socket for a moment, and the kernel's queue of waiting connections belongs
to the socket, so none is lost or reset.
"""

import asyncio
import json
import logging
import os
import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import uvicorn

from mlops_assets.serving.edge import Draining
from mlops_assets.serving.gateway_headers import PRIVATE
from mlops_assets.serving.options import BadOption, ServerOptions
from mlops_assets.serving.socket_file import unix_address

_logger = logging.getLogger(__name__)
_MOST_BYTES = 4096
_CALLERS = 4
"""Commands that are read or answered at once; a caller that sends nothing holds one of these threads for 5 s."""


class TakeoverServer(uvicorn.Server):
    """uvicorn with a control socket, and with a public listening socket that it takes and gives away."""

    def __init__(
        self,
        config: uvicorn.Config,
        *,
        options: ServerOptions,
        draining: Draining,
        control: Path | None = None,
        release_version: str = "",
        drain_s: float = 10.0,
    ) -> None:
        super().__init__(config)
        self._options, self._draining = options, draining
        self._control, self._release_version, self._drain_s = control, release_version, drain_s
        self._public: asyncio.Server | None = None
        self._public_socket: socket.socket | None = None
        self._control_socket: socket.socket | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        # Not asyncio's own threads: whatever fills those, a deployment must learn who serves the port.
        self._threads = ThreadPoolExecutor(_CALLERS, thread_name_prefix="control")

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen in private, then answer on the control socket."""
        await super().startup(sockets)
        if self._control is None or self.should_exit:
            return
        self.lifespan.state[PRIVATE] = True
        self._control.unlink(missing_ok=True)
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listening.setblocking(False)
        with unix_address(self._control) as address:
            listening.bind(address)
        self._control.chmod(0o600)
        listening.listen()
        self._control_socket = listening
        asyncio.get_running_loop().add_reader(listening, self._accept_command)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Drain, then end as uvicorn does."""
        await self._drain()
        if self._control_socket is not None and self._control is not None:
            asyncio.get_running_loop().remove_reader(self._control_socket)
            self._control_socket.close()
            self._control.unlink(missing_ok=True)
        self._threads.shutdown(wait=False)
        await super().shutdown(sockets)

    def _accept_command(self) -> None:
        if self._control_socket is None:
            return
        connection, _ = self._control_socket.accept()
        task = asyncio.get_running_loop().create_task(self._obey(connection))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _obey(self, connection: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        with connection:
            connection.settimeout(5)
            try:
                data, descriptors, _, _ = await loop.run_in_executor(
                    self._threads, socket.recv_fds, connection, _MOST_BYTES, 1
                )
                command = json.loads(data)["command"]
                answer = await self._command(command, descriptors)
            except (OSError, ValueError, KeyError, BadOption) as error:
                answer = {"error": str(error)}
            given = [self._public_socket.fileno()] if "socket" in answer and self._public_socket else []
            try:
                await loop.run_in_executor(
                    self._threads, socket.send_fds, connection, [json.dumps(answer).encode()], given
                )
            except OSError as error:
                _logger.warning("the caller of the control socket left: %s", error)

    async def _command(self, command: str, descriptors: list[int]) -> dict[str, Any]:
        if command == "hello":
            port = self.servers[0].sockets[0].getsockname()[1]
            return {"pid": os.getpid(), "port": port, "release_version": self._release_version}
        if command == "socket":
            if self._public_socket is None:
                raise BadOption("this process holds no public socket")
            return {"socket": self._public_socket.getsockname()[1]}
        if command == "listen":
            await self._listen(socket.socket(fileno=descriptors[0]))
        elif command == "pause":
            self._pause()
        elif command == "stop":
            self.should_exit = True
        else:
            raise BadOption(f"command {command!r} is unknown: send hello, socket, listen, pause or stop")
        return {"ok": command}

    async def _listen(self, public: socket.socket) -> None:
        try:
            self._options.refuse_open_host(public.getsockname()[0])
        except BadOption:
            public.close()
            raise
        self._pause()
        self._draining.active = False
        config = self.config
        protocol_class: Any = config.http_protocol_class  # uvicorn declares it as any asyncio protocol

        def protocol() -> asyncio.Protocol:
            return protocol_class(
                config=config, server_state=self.server_state, app_state={**self.lifespan.state, PRIVATE: False}
            )

        public.setblocking(False)
        self._public_socket = public.dup()
        self._public = await asyncio.get_running_loop().create_server(protocol, sock=public, backlog=config.backlog)

    def _pause(self) -> None:
        if self._public is not None:
            self._public.close()
            self._public = None
        if self._public_socket is not None:
            self._public_socket.close()
            self._public_socket = None
        self._draining.active = True

    async def _drain(self) -> None:
        """Wait until the clients have closed: closing an idle connection here could meet a client's next request."""
        self._pause()
        for server in self.servers:
            server.close()
        until = asyncio.get_running_loop().time() + self._drain_s
        while self.server_state.connections and asyncio.get_running_loop().time() < until and not self.force_exit:
            await asyncio.sleep(0.02)
