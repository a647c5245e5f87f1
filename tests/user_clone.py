"""A user's clone in a temporary folder: `make_clone` for runs of the pipeline, `UserClone` for versions alone."""

import contextlib
import hashlib
import itertools
import os
import shutil
import socket
import subprocess
from pathlib import Path
from typing import Any, Self

import yaml

from mlops_assets.artifact import Golden, TrainedWith, seal
from mlops_assets.settings import Settings, child_environment
from mlops_assets.versioning.dvc.objects import ObjectFolder, pointed_object
from mlops_assets.versioning.git.pipeline_commit import POINTERS
from mlops_assets.versioning.pipeline_clone import PipelineClone
from mlops_assets.versioning.repository import VersionRepository
from mlops_assets.versioning.version_writer import Committed, DataVersion

PROJECT = Path(__file__).parents[1]
DVC_ENVIRONMENT = PROJECT / ".venv-dvc"
SMALL = {
    "classic": {"trees": 10, "max_leaf_nodes": 30, "strengths": [1.0], "votes": [0.3]},
    "bert": {"base_model": "compact", "layers": 1, "hidden": 32, "heads": 2, "epochs": 1, "vocabulary_size": 800},
    "evaluate": {"rounds": 200},
}


def make_clone(folder: Path, **params: Any) -> Path:
    """A committed repository with what a run needs; `params` replace sections of params.yaml."""
    folder.mkdir(parents=True)
    for name in ("params.yaml", "dagster.yaml", "dvc.yaml", ".gitignore"):
        shutil.copyfile(PROJECT / name, folder / name)
    write_params(folder, **{**SMALL, **params})
    (folder / ".venv-dvc").symlink_to(DVC_ENVIRONMENT)
    git(folder, "init", "--quiet", "--initial-branch", "main")
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "start")
    return folder


def write_params(folder: Path, **params: Any) -> None:
    """Replace sections of the clone's params.yaml."""
    path = folder / "params.yaml"
    content = yaml.safe_load(path.read_text(encoding="utf-8")) | params
    path.write_text(yaml.safe_dump(content), encoding="utf-8")


def settings_of(clone: Path, **environ: str) -> Settings:
    """The clone's settings under just this environment; the service is a process unless it says otherwise."""
    return Settings.load({"DEPLOY_TARGET": "process", **environ}, clone)


def git(folder: Path, *arguments: str) -> str:
    """Git's answer in the folder, with an identity of its own."""
    identity = ["-c", "user.name=Test", "-c", "user.email=test@example.invalid"]
    done = subprocess.run(["git", "-C", str(folder), *identity, *arguments], check=True, capture_output=True, text=True)
    return done.stdout.strip()


_PORTS = range(10_000, 32_768)
"""Below those that the system gives to clients: none of their connections takes a port before its server does."""
_next_port = itertools.count(os.getpid() * 101)


def free_port() -> int:
    """A port that nothing listens on. Test processes that run beside each other count from different ports."""
    while True:
        port = _PORTS[next(_next_port) % len(_PORTS)]
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


REAL_DVC = DVC_ENVIRONMENT / "bin" / "dvc"
QUICK_DVC = PROJECT / "tests" / "fakes" / "dvc_program.py"
APP = "com.example.app"

GITIGNORE = """/data/raw
/data/validated
/models/bert
/models/classic
/models/bert_metrics.json
/models/metrics.json
/.pipeline/
/.dvc-remote/
"""
DVC_YAML = """metrics: [models/metrics.json, models/bert_metrics.json]
params: [params.yaml]
plots:
  - accuracy_by_slice:
      template: bar_horizontal
      x: {models/metrics.json: accuracy}
      y: {models/metrics.json: slice}
"""


def sh(folder: Path, *command: str, check: bool = True) -> str:
    """Run a program as a user would, with the user's identity for git."""
    inherited = child_environment()
    environment = {
        "PATH": inherited["PATH"],
        "HOME": inherited["HOME"],
        **{f"GIT_{role}_{name}": value for role in ("AUTHOR", "COMMITTER") for name, value in _USER},
        "GIT_EDITOR": "true",
        "DVC_NO_ANALYTICS": "true",
        "DVC_SITE_CACHE_DIR": inherited["HOME"] + "/dvc-site",
    }
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert not check or done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout


_USER = (("NAME", "User"), ("EMAIL", "user@example.com"))


class UserClone:
    """A repository at `root` with two months of reviews lying in it, and an origin where one is asked for.

    With an origin the DVC remote is the folder `store` beside the clone, as it must be for the branch to be pushed.
    """

    remote_url: str | None = None

    def __init__(self, root: Path, *, commits: int = 2, origin: bool = False, dvc: Path = REAL_DVC) -> None:
        self.root, self.dvc = root, dvc
        sh(root.parent, "git", "init", "-q", "-b", "main", str(root))
        for number in range(commits):
            self.write("params.yaml", f"learning_rate: 0.{number + 1}\n")
            self.write(".gitignore", GITIGNORE)
            self.write("dvc.yaml", DVC_YAML)
            self.write("code.py", f"print({number})\n")
            self.git("add", "-A")
            self.git("commit", "-q", "-m", f"code {number}")
        if origin:
            sh(root.parent, "git", "init", "-q", "--bare", "-b", "main", "origin.git")
            self.git("remote", "add", "origin", "../origin.git")
            self.git("push", "-q", "origin", "main")
            self.remote_url = str(root.parent / "store")
        self.months: dict[str, Path] = {}
        self.month("2026-01", b"january")
        self.month("2026-02", b"february")

    @classmethod
    def of_origin(cls, root: Path, *, dvc: Path = QUICK_DVC, remote_url: str | None = None) -> Self:
        """`git clone` of `origin.git` beside `root`, with two months of reviews of its own."""
        sh(root.parent, "git", "clone", "-q", "origin.git", root.name)
        clone = cls.__new__(cls)
        clone.root, clone.dvc, clone.remote_url, clone.months = root, dvc, remote_url, {}
        clone.month("2026-01", b"january")
        clone.month("2026-02", b"february")
        return clone

    @property
    def remote_folder(self) -> Path:
        """The folder of the DVC remote."""
        return Path(self.remote_url) if self.remote_url else self.root / ".dvc-remote"

    @property
    def clone(self) -> Path:
        return self.root / ".pipeline"

    def git(self, *arguments: str, check: bool = True) -> str:
        return sh(self.root, "git", *arguments, check=check).strip()

    def write(self, name: str, text: str) -> Path:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    def month(self, month: str, content: bytes) -> None:
        path = self.root / "data" / "raw" / APP / f"{month}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        scratch = path.with_suffix(".partial")
        scratch.write_bytes(content)
        scratch.replace(path)
        self.months[f"{APP}/{month}.parquet"] = path

    def repository(self, **options: Any) -> VersionRepository:
        defaults = {"dvc_program": self.dvc, "lock_wait_s": 20.0, "remote_url": self.remote_url}
        return VersionRepository(PipelineClone(self.root, **{**defaults, **options}))

    def version_data(self, repository: VersionRepository | None = None, run_id: str = "run-1") -> DataVersion:
        repository = repository or self.repository()
        repository.prepare()
        repository.stage_data(self.months, self.months)
        summary = {"rows": {APP: len(self.months)}, "labels": {"negative": 1, "positive": 1}}
        return repository.commit_data(run_id, f"Data of {run_id}", summary)

    def train(self, weights: str, accuracy: float = 0.8, dataset_version: str = "0" * 12) -> dict[str, Any]:
        """Two model folders and their metrics below `models/`, as training leaves them: arguments of `stage_models`."""
        for kind in ("bert", "classic"):
            folder = self.root / "models" / kind
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "weights.bin").write_text(f"{kind} {weights}")
            seal(
                folder,
                kind=kind,
                labels=["negative", "positive"],
                text_version=1,
                trained_with=TrainedWith(dataset_version, "binary", "r", "c"),
                metrics={},
                golden=[Golden("bagus", (0.1, 0.9))],
            )
        rows = '[{"slice": "short", "accuracy": 0.7}, {"slice": "long", "accuracy": 0.9}]'
        test = f'{{"n": 10, "accuracy": {accuracy}, "macro_f1": {accuracy}}}'
        metrics = f'{{"model": "classic", "test": {test}, "slices": {rows}}}\n'
        return {
            "folders": {kind: self.root / "models" / kind for kind in ("bert", "classic")},
            "metrics": {name: self.write(f"models/{name}", metrics) for name in ("metrics.json", "bert_metrics.json")},
        }

    def version_models(
        self, weights: str, accuracy: float = 0.8, repository: VersionRepository | None = None, run_id: str = "run-1"
    ) -> Committed:
        repository = repository or self.repository()
        repository.prepare()
        repository.stage_models(**self.train(weights, accuracy))
        return repository.commit_models(run_id, f"Models of {run_id}", "0" * 12)

    def remote_holds_the_tip(self, ref: str = "pipeline") -> bool:
        """Whether a fresh clone gets everything the branch names."""
        target = self.root.parent / f"fresh-{hashlib.sha256(os.urandom(8)).hexdigest()[:8]}"
        sh(self.root.parent, "git", "clone", "-q", "-b", ref, str(self.root), str(target))
        sh(target, str(REAL_DVC), "pull", "-q")
        return {path.name: path.read_bytes() for path in (target / "data" / "raw").rglob("*.parquet")} == {
            path.name: path.read_bytes() for path in self.months.values()
        }

    def remote_holds_what_the_tip_names(self) -> bool:
        """Whether every object behind the pointers of the branch's tip lies in the remote."""
        remote = ObjectFolder(self.remote_folder)
        for path in POINTERS:
            pointer = self.git("show", f"pipeline:{path}", check=False)
            if pointer:
                name = pointed_object(pointer)
                if not remote.holds(name) or not all(map(remote.holds, remote.listing(name).values())):
                    return False
        return True

    def all_but_the_branch(self) -> dict[str, tuple[int, str]]:
        """Mode and content of everything of the user, the index and reflogs included, but for branch `pipeline`."""
        skipped = (self.clone, self.root / ".dvc-remote", self.root / ".git" / "objects")
        branch = {self.root / ".git" / part / "refs" / "heads" / "pipeline" for part in ("", "logs")}
        found = {}
        for path in sorted(self.root.rglob("*")):
            if path in branch or any(path.is_relative_to(folder) for folder in skipped) or not path.is_file():
                continue
            found[path.relative_to(self.root).as_posix()] = (
                path.stat().st_mode,
                hashlib.sha256(path.read_bytes()).hexdigest(),
            )
        return found
