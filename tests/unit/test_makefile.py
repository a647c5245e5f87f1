"""What is given to make reaches the program as it was typed, and no shell."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.repository import ROOT

PROGRAM = """#!{python}
import json, os, sys
json.dump({{"arguments": sys.argv[1:], "environment": dict(os.environ)}}, open({told!r}, "w"))
"""
HOSTILE = "\n".join([
    "Pay$Me Now",
    "`touch ran` $(touch ran) ; touch ran #",
    "$(shell touch ran) ${HOME} $$ $@",
    "\"touch ran\" 'q' \\",
    "\ttouch ran",
])  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A clone whose Python writes down what it was called with."""
    shutil.copyfile(ROOT / "Makefile", tmp_path / "Makefile")
    program = tmp_path / ".venv" / "bin" / "python"
    program.parent.mkdir(parents=True)
    program.write_text(PROGRAM.format(python=sys.executable, told=str(tmp_path / "told.json")), encoding="utf-8")
    program.chmod(0o755)
    return tmp_path


def make(folder: Path, target: str, *given: str, **environ: str) -> dict:
    known = {"PATH": os.environ["PATH"], "HOME": str(folder)}  # noqa: TID251  what make needs
    subprocess.run(["make", "-s", target, "PYTHON=true", *given], cwd=folder, env={**known, **environ}, check=True)
    assert not (folder / "ran").exists()
    return json.loads((folder / "told.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("target", "name"),
    [("erase", "AUTHOR"), ("erase", "REVIEW"), ("import", "FILE"), ("restore", "VERSION"), ("rollback", "TO"),
     ("backup", "TO"), ("restore-backup", "FILE")],
)  # fmt: skip
def test_an_argument_arrives_as_it_was_typed(folder: Path, target: str, name: str) -> None:
    assert f"--{name.lower()}={HOSTILE}" in make(folder, target, f"{name}={HOSTILE}")["arguments"]


def test_an_argument_may_look_like_an_option_and_come_from_the_environment(folder: Path) -> None:
    told = make(folder, "erase", "REVIEW=--review", AUTHOR=HOSTILE)["arguments"]
    assert told[-2:] == [f"--author={HOSTILE}", "--review=--review"]


def test_settings_arrive_as_they_were_typed(folder: Path) -> None:
    names = ["SOURCE", "REVIEWS", "FROM", "APP", "NOW", "PORT", "UI_PORT", "DATES", "TIME_ZONE", "NOTIFY_URLS"]
    environment = make(folder, "run", *(f"{name}={HOSTILE}" for name in names))["environment"]
    assert {name: environment[name] for name in names} == dict.fromkeys(names, HOSTILE)
