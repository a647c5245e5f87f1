"""DVC as a program in the private clone. It lives in a virtual environment of its own and is never imported here."""

import json
import re
import shutil
import subprocess
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mlops_assets.child_process import run_child
from mlops_assets.failures import OutsideFailure
from mlops_assets.proxies import through_proxy
from mlops_assets.versioning.git.commands import LockHeld, ProgramMissing

_ALWAYS = {"LC_ALL": "C.UTF-8", "DVC_NO_ANALYTICS": "true", "DVC_STUDIO_OFFLINE": "true", "GIT_TERMINAL_PROMPT": "0"}
_LOCKED = ("Unable to acquire lock", "Another DVC process", "is busy, it is being blocked")
_PROGRAM_THAT_ASKS_THE_REMOTE = Path(__file__).with_name("remote_objects.py")
_PAUSE_S = 0.2
_EXTRA = re.compile(r"requires 'dvc-(ssh|gs|azure)' to be installed")
_NETWORK = re.compile(r"connect|proxy|endpoint|time[d ]?out|resolve|unreachable", re.IGNORECASE)


class DvcFailure(OutsideFailure):
    """DVC failed; the message holds its error line."""


@dataclass(frozen=True)
class Dvc:
    """DVC in one clone."""

    clone: Path
    program: Path
    environment: Mapping[str, str]
    lock_wait_s: float = 60.0

    @property
    def command(self) -> list[str]:
        """The start of every DVC command. In a virtual environment a module: DVC's script names a fixed folder."""
        python = self._python
        return [str(python), "-m", "dvc"] if python else [str(self.program)]

    @property
    def _python(self) -> Path | None:
        """The Python of the virtual environment that the program belongs to, None for any other program."""
        folder = self.program.absolute().resolve().parent  # of what a link leads to
        in_environment = (folder.parent / "pyvenv.cfg").is_file() and self.program.name == "dvc"
        return folder / "python" if in_environment else None

    @property
    def scratch(self) -> Path:
        """Locks and indexes of DVC; safe to remove while no DVC runs here."""
        return self.clone / ".dvc" / "tmp"

    @property
    def site_cache(self) -> Path:
        """DVC's indexes of files and remotes; in the clone, so that two clones cannot mislead each other."""
        return self.scratch / "site"

    def add(self, outputs: Sequence[str]) -> None:
        """Hash folders into the cache and write their pointers."""
        self._run(["add", "--", *outputs])

    def push(self, pointers: Sequence[str]) -> None:
        """Upload what the pointers name and the remote lacks, as far as DVC knows."""
        self._run(["push", "--", *pointers])

    def pull(self, pointers: Sequence[str]) -> None:
        """Bring what the pointers name into the work tree."""
        self._run(["pull", "--quiet", "--", *pointers])

    def stages(self) -> str:
        """The stages that DVC finds by itself, as `dvc pull` does."""
        return self._run(["stage", "list", "--all"])

    def fetch(self, pointers: Sequence[str]) -> None:
        """Download what the pointers name into the cache."""
        self._run(["fetch", "--", *pointers])

    def forget_remote(self) -> None:
        """Drop DVC's index of the remote, so that the next push looks there."""
        for index in self.site_cache.glob("repo/*/index"):
            shutil.rmtree(index, ignore_errors=True)

    def forget_everything(self) -> None:
        """Drop all of DVC's indexes, the hashes of files included."""
        shutil.rmtree(self.site_cache, ignore_errors=True)

    def remote_holds(self, objects: Iterable[str]) -> set[str]:
        """Those of the objects that are in the remote, by asking the remote itself."""
        return set(self._ask_remote("holds", objects))

    def remote_delete(self, objects: Iterable[str]) -> None:
        """Remove objects from the remote, in this order."""
        self._ask_remote("delete", objects)

    def remote_list(self) -> dict[str, float | None]:
        """Every object of the remote with its age in seconds, None if the remote keeps no times."""
        return dict(self._ask_remote("list", ()))

    def remote_read(self, name: str) -> str:
        """The content of a folder's list."""
        return self._ask_remote("read", [name])[0]

    def _ask_remote(self, question: str, objects: Iterable[str]) -> list:
        python = self._python or self.program.with_name("python")
        done = self._once([str(python), "-I", str(_PROGRAM_THAT_ASKS_THE_REMOTE), question], json.dumps(list(objects)))
        if done.returncode:
            raise DvcFailure(f"the DVC remote did not answer: {_error(done.stderr)}{_through(done.stderr)}")
        return json.loads(done.stdout.splitlines()[-1])

    def _run(self, arguments: Sequence[str]) -> str:
        deadline = time.monotonic() + self.lock_wait_s
        while True:
            done = self._once([*self.command, *arguments], None)
            if not done.returncode:
                return done.stdout
            if "RWLock-file" in done.stderr and "corrupted" in done.stderr:
                (self.scratch / "rwlock").unlink(missing_ok=True)
            elif not any(sign in done.stderr for sign in _LOCKED):
                raise DvcFailure(f"dvc {arguments[0]} failed: {_error(done.stderr)}{_through(done.stderr)}")
            if time.monotonic() >= deadline:
                raise LockHeld(
                    f"another DVC process holds {self.scratch / 'lock'} for more than {self.lock_wait_s:g} s: "
                    "let it end, or end it, and run again"
                )
            time.sleep(_PAUSE_S)

    def _once(self, command: Sequence[str], stdin: str | None) -> subprocess.CompletedProcess[str]:
        environment = {**self.environment, **_ALWAYS}
        try:
            done = run_child(command, cwd=self.clone, env=environment, stdin=(stdin or "").encode())
        except FileNotFoundError as error:
            raise ProgramMissing(f"{command[0]} is missing: make install brings DVC") from error
        stdout, stderr = (output.decode(errors="replace") for output in (done.stdout, done.stderr))
        if "No module named dvc" in stderr:
            raise ProgramMissing(f"{command[0]} has no DVC: make install brings it")
        if done.returncode and (extra := _EXTRA.search(stderr)):
            raise ProgramMissing(
                f"this remote needs dvc[{extra[1]}], which make install leaves out: "
                f"{self._python or 'python'} -m pip install --require-hashes --no-deps -r locks/dvc-{extra[1]}.txt"
            )
        return subprocess.CompletedProcess(command, done.returncode, stdout, stderr)


def _through(stderr: str) -> str:
    """The proxy of the environment, if the error is of the network."""
    return through_proxy("https://") if _NETWORK.search(stderr) else ""


def _error(stderr: str) -> str:
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    errors = [line.removeprefix("ERROR:").strip() for line in lines if line.startswith("ERROR:")]
    return "; ".join(errors) or (lines[-1] if lines else "no reason given")
