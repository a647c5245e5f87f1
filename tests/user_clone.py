"""A user's clone in a temporary folder: its own git repository, small recipes, DVC from this checkout."""

import shutil
import socket
import subprocess
from pathlib import Path
from typing import Any

import yaml

from mlops_assets.settings import Settings

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


def free_port() -> int:
    """A port that nothing listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
