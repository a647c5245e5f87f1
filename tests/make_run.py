"""`make run` in a user's clone, as a process of its own that need not import everything first."""

import multiprocessing
import os
import signal
from multiprocessing.connection import Connection
from pathlib import Path

from mlops_assets.settings import wait_passively

wait_passively()
_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload([
    "tests.make_run", "mlops_assets.cli.__main__", "mlops_assets.cli.run", "mlops_assets.training.bert.train",
    "mlops_assets.training.classic.train", "torch", "transformers.models.bert", "sklearn.ensemble",
    "sklearn.linear_model", "onnxruntime", "onnx",
])  # fmt: skip
"""Imported once, by the process that all runs are forks of: half of a small run's CPU time."""


class MakeRun:
    """A run at work, with this environment and no other; what it prints is in `output`, line by line."""

    def __init__(self, root: Path, port: int, now: str, **environ: str) -> None:
        given = {
            "PATH": os.environ["PATH"],  # noqa: TID251  git and its programs
            "HOME": str(root.parent),
            "PIPELINE_ROOT": str(root),
            "NOW": now,
            "PORT": str(port),
            "DEPLOY_TARGET": "process",
            **environ,
        }
        reader, writer = _FORKS.Pipe(duplex=False)
        self._process = _FORKS.Process(target=_run, args=(root, given, writer))
        self._process.start()
        writer.close()
        with reader:
            self.output = os.fdopen(os.dup(reader.fileno()), encoding="utf-8")

    def kill(self) -> None:
        """The run and all that it started, at once."""
        assert self._process.pid is not None
        os.killpg(self._process.pid, signal.SIGKILL)
        self._ended()

    def finish(self) -> tuple[int, str]:
        """Exit code, and the output that was not read before."""
        with self.output:
            said = self.output.read()
        return self._ended(), said

    def _ended(self) -> int:
        self._process.join(900)
        assert self._process.exitcode is not None
        return self._process.exitcode


def _run(root: Path, environ: dict[str, str], output: Connection) -> None:
    """In the fork: what `python -m mlops_assets.cli run` does in the clone."""
    import sys

    from mlops_assets.cli.__main__ import main

    os.setsid()
    os.chdir(root)
    for number in (1, 2):
        os.dup2(output.fileno(), number)
    output.close()
    os.environ.clear()  # noqa: TID251  this process's own
    os.environ.update(environ)  # noqa: TID251
    sys.argv = ["mlops_assets.cli", "run"]
    sys.exit(main())
