"""Another host for tests: an sshd on loopback in front of this machine's engine, with keys of its own."""

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from tests.user_clone import free_port

SSHD = shutil.which("sshd", path="/usr/sbin:/usr/bin:/usr/local/sbin")


@dataclass(frozen=True)
class SshHost:
    """`address` is that of DEPLOY_HOST; `bin` holds an `ssh` that knows the host's keys instead of the user's."""

    address: str
    bin: Path
    known_hosts: Path
    user_key: Path
    sshd: subprocess.Popen[bytes]

    def break_connections(self) -> int:
        """End every connection at once, as a reset does; how many there were."""
        sessions = psutil.Process(self.sshd.pid).children(recursive=False)
        for session in sessions:
            with contextlib.suppress(psutil.NoSuchProcess):
                session.send_signal(signal.SIGKILL)
        return len(sessions)


@contextlib.contextmanager
def running_host(folder: Path, *, home: str = "") -> Iterator[SshHost]:
    """A host whose logins have the home `home`, if that is given; skips where there is no sshd."""
    if SSHD is None:
        if os.environ.get("REQUIRE_DOCKER") == "1":  # noqa: TID251  a promise about the tests, no setting
            pytest.fail("REQUIRE_DOCKER=1, but there is no sshd: apt-get install openssh-server")
        pytest.skip("no sshd: apt-get install openssh-server")
    folder.mkdir(parents=True, exist_ok=True)
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    for name in ("host_key", "user_key"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name], check=True)
    port = free_port()
    kept = f'SetEnv "HOME={home}"\n' if home else ""
    (folder / "sshd_config").write_text(
        f"ListenAddress 127.0.0.1:{port}\nHostKey {folder}/host_key\nAuthorizedKeysFile {folder}/user_key.pub\n"
        f"StrictModes no\nUsePAM no\nPasswordAuthentication no\nPidFile none\nSubsystem sftp internal-sftp\n{kept}"
    )
    host_key = (folder / "host_key.pub").read_text().rsplit(" ", 1)[0]
    (folder / "known_hosts").write_text(f"[127.0.0.1]:{port} {host_key}\n")
    (folder / "ssh_config").write_text(
        f"IdentityFile {folder}/user_key\nIdentitiesOnly yes\nUserKnownHostsFile {folder}/known_hosts\n"
    )
    programs = folder / "bin"
    programs.mkdir()
    ssh = programs / "ssh"
    ssh.write_text(f'#!/bin/sh\nexec {shutil.which("ssh")} -F {folder}/ssh_config "$@"\n')
    ssh.chmod(0o755)
    with (folder / "log").open("wb") as log:
        sshd = subprocess.Popen([SSHD, "-D", "-e", "-f", folder / "sshd_config"], stderr=log)
    try:
        user = Path(f"/proc/{os.getpid()}").owner()
        host = SshHost(f"ssh://{user}@127.0.0.1:{port}", programs, folder / "known_hosts", folder / "user_key", sshd)
        until = time.monotonic() + 120
        while b"Server listening" not in (folder / "log").read_bytes():
            assert sshd.poll() is None, (folder / "log").read_text()
            assert time.monotonic() < until
            time.sleep(0.05)
        yield host
    finally:
        host_sessions = psutil.Process(sshd.pid).children(recursive=True) if sshd.poll() is None else []
        sshd.kill()
        sshd.wait()
        for session in host_sessions:
            with contextlib.suppress(psutil.NoSuchProcess):
                session.kill()
