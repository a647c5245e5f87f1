"""A running `ssh` to another machine, and what it forwards to socket files here."""

import contextlib
import hashlib
import os
import select
import shlex
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from mlops_assets.child_process import run_child
from mlops_assets.deploy.docker.machine import EngineDown
from mlops_assets.settings import child_environment

_CONNECT_S = 15
_LOGIN_S = 60.0
_ANSWER_S = 60.0
_END_S = 5.0
_HELLO = "mlops-assets:"
_NEVER_ASK = ("-o", "BatchMode=yes", "-o", f"ConnectTimeout={_CONNECT_S}")
_NOTICE = ("-o", "ServerAliveInterval=5", "-o", "ServerAliveCountMax=3")  # a connection that hangs ends after 15 s
_NEXT_STEPS = {
    "host key verification failed": "log in once by hand ({ssh}), compare the key's fingerprint with the host's, then "
    "run again",
    "permission denied": "let this user log in with a key that asks no passphrase, or load it into ssh-agent; "
    "{ssh} must work without a question",
    "forwarding": "sshd there must allow AllowTcpForwarding and AllowStreamLocalForwarding",
}


class HostAway(EngineDown):
    """The other machine is not reached, or refuses the login."""


class SshConnection:
    """A running `ssh` and what it forwards. It ends by itself if this process is killed: its input closes."""

    def __init__(self, destination: str, folder: Path) -> None:
        self._destination, self._folder = destination, folder
        self._words = folder / "words"
        self._forwards: dict[str, Path] = {}
        for left in folder.iterdir():
            left.unlink()
        hello = f'echo "{_HELLO}$(id -u):$(id -g):$HOME"; exec cat'
        command = [
            "ssh", "-T", *_NEVER_ASK, *_NOTICE, "-o", "ControlMaster=yes", "-o", "ControlPersist=no",
            "-o", f"ControlPath={self._control}", destination, f"exec sh -c {shlex.quote(hello)}",
        ]  # fmt: skip
        try:
            with self._words.open("wb") as words:
                # A session of its own: Ctrl-C is for the deployer, who needs the connection to put things in order.
                self._ssh = subprocess.Popen(
                    command,
                    env=child_environment(),
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=words,
                    start_new_session=True,
                )
        except FileNotFoundError:
            raise HostAway(f"{destination} needs the program ssh: no such file; install openssh-client") from None
        try:
            self.owner, self.home = self._greeted()
        except BaseException:
            self.close()
            raise

    @property
    def _control(self) -> Path:
        return self._folder / "control"

    def ended(self, wait_s: float = 0.0) -> str:
        """Its last words; empty while it runs."""
        with contextlib.suppress(subprocess.TimeoutExpired):  # It runs.
            self._ssh.wait(wait_s)
            return self._last_words() or f"ssh ended with {self._ssh.returncode}"
        return ""

    def answers(self) -> bool:
        """Whether the other side still does: a broken connection may look whole for a moment."""
        try:
            return not self.run("exit 0", b"").returncode
        except HostAway:
            return False

    def forward(self, target: str) -> Path:
        """The socket file here that leads to `host:port` or a socket file there."""
        if target not in self._forwards:
            # The same name for the same target: the Docker SDK goes on with its address after a new connection.
            path = self._folder / hashlib.sha256(target.encode()).hexdigest()[:12]
            self._control_command("-O", "forward", "-L", f"{path}:{target}")
            self._forwards[target] = path
        return self._forwards[target]

    def start(self, script: str) -> subprocess.Popen[bytes]:
        """A script there, with its input and output open."""
        return subprocess.Popen(
            self._command(self._destination, f"exec sh -c {shlex.quote(script)}"),
            env=child_environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def run(self, script: str, stdin: bytes) -> subprocess.CompletedProcess[bytes]:
        """A script there, run to its end."""
        command = self._command(self._destination, f"exec sh -c {shlex.quote(script)}")
        return self._run(command, stdin)

    def close(self) -> None:
        """End it and all that it forwards."""
        end_process(self._ssh)

    def _command(self, *rest: str) -> list[str]:
        # Without its connection `ssh` would make one of its own; ProxyCommand keeps it from that.
        return ["ssh", "-T", *_NEVER_ASK, "-o", "ProxyCommand=false", "-o", f"ControlPath={self._control}", *rest]

    def _control_command(self, *rest: str) -> None:
        done = self._run(self._command(*rest, self._destination), b"")
        if done.returncode:
            raise self._away(f"a port is not forwarded: {one_line(done.stderr) or self._last_words()}")

    def _run(self, command: Sequence[str], stdin: bytes) -> subprocess.CompletedProcess[bytes]:
        try:
            return run_child(command, env=child_environment(), stdin=stdin, timeout_s=_ANSWER_S)
        except subprocess.TimeoutExpired:
            raise self._away(f"no answer within {_ANSWER_S:g} s") from None

    def _greeted(self) -> tuple[str, str]:
        """Owner and home, which the other side says first, after what its shell may print."""
        output = output_of(self._ssh)
        said, until = b"", time.monotonic() + _LOGIN_S
        while (line := _line_with(_HELLO.encode(), said)) is None:
            ready, _, _ = select.select([output], [], [], max(0.0, until - time.monotonic()))
            more = os.read(output.fileno(), 4096) if ready else b""
            if not more:
                raise self._away(self.ended(wait_s=_END_S if ready else 0) or f"no login within {_LOGIN_S:g} s")
            said += more
        uid, gid, home = line.removeprefix(_HELLO).split(":", 2)
        return f"{uid}:{gid}", home

    def _last_words(self) -> str:
        return one_line(self._words.read_bytes(), 1) if self._words.is_file() else ""

    def _away(self, why: str) -> HostAway:
        return HostAway(away(self._destination, why))


def away(destination: str, why: str) -> str:
    """What is wrong with the way to the host, and the next step."""
    steps = (step for words, step in _NEXT_STEPS.items() if words in why.lower())
    step = next(steps, "check DEPLOY_HOST, and that {ssh} works without a question")
    return f"{destination} (DEPLOY_HOST) is not reached: {why.rstrip('.')}: {step.format(ssh=f'ssh {destination}')}"


def output_of(process: subprocess.Popen[bytes]) -> IO[bytes]:
    """The pipe of its output."""
    if process.stdout is None:
        raise ValueError("the process was started without a pipe for its output")
    return process.stdout


def _line_with(start: bytes, output: bytes) -> str | None:
    lines = (line for line in output.split(b"\n")[:-1] if line.startswith(start))
    found = next(lines, None)
    return None if found is None else found.decode()


def one_line(output: bytes, lines: int = 5) -> str:
    """The last lines of a program's output, as one."""
    said = (line.strip() for line in output.decode(errors="replace").splitlines())
    return "; ".join([line for line in said if line][-lines:])


def end_process(process: subprocess.Popen[bytes]) -> None:
    """Close its input, at which it ends; else kill it."""
    if process.stdin is not None:
        with contextlib.suppress(OSError):  # It has ended, and what was still to be sent is lost with it.
            process.stdin.close()
    try:
        process.wait(_END_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdout is not None:
        process.stdout.close()
