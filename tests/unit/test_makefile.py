"""What is given to make reaches the program as it was typed, and no shell."""

import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

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
     ("approve", "COMMENT"), ("reject", "BY"), ("backup", "TO"), ("restore-backup", "FILE")],
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


DOCKER = """#!{python}
import json, os, sys
arguments = sys.argv[1:]
if arguments[0] == "ps":
    sys.exit("no engine") if {folder!r} == "" else print("c0de")
elif arguments[0] == "inspect":
    print({folder!r})
else:
    json.dump({{"arguments": arguments, "environment": dict(os.environ)}}, open({told!r}, "w"))
"""


def stack_in(folder: Path, of: str) -> dict[str, str]:
    """A stack of the clone `of` runs, as `docker` tells it; of no clone, no engine answers."""
    (folder / "stack").mkdir()
    shutil.copy(ROOT / "stack" / "stack.sh", folder / "stack" / "stack.sh")
    docker = folder / "bin" / "docker"
    docker.parent.mkdir()
    told = str(folder / "told.json")
    docker.write_text(DOCKER.format(python=sys.executable, folder=of, told=told), encoding="utf-8")
    docker.chmod(0o755)
    return {"PATH": f"{docker.parent}:{os.environ['PATH']}"}  # noqa: TID251  what make needs


INSIDE = ["exec", "--interactive", "c0de", "orchestrator", "python", "-m", "mlops_assets.cli"]


@pytest.mark.parametrize(
    ("target", "given", "arguments"),
    [
        ("status", (), ["status"]),
        ("why", (), ["why"]),
        ("versions", (), ["versions"]),
        ("deployments", (), ["deployments"]),
        ("stop", (), ["stop"]),
        ("restore", (f"VERSION={HOSTILE}",), ["restore", f"--version={HOSTILE}"]),
        ("rollback", (f"TO={HOSTILE}",), ["rollback", f"--to={HOSTILE}"]),
        ("erase", (f"AUTHOR={HOSTILE}",), ["erase", f"--author={HOSTILE}", "--review="]),
        ("approve", (f"BY={HOSTILE}",), ["approve", "--release=", f"--by={HOSTILE}", "--comment="]),
        ("reject", ("RELEASE=r2",), ["reject", "--release=r2", "--by=", "--comment="]),
        ("prune", ("DRY_RUN=1",), ["prune", "--dry-run=1"]),
        ("logs", (), ["logs", "--what=", "--follow="]),
        ("import", (f"FILE={HOSTILE}",), ["import", f"--file={HOSTILE}"]),
        ("labels", ("TO=data/x.csv",), ["labels", "--file=", "--to=data/x.csv", "--by="]),
        ("logs", ("WHAT=previous", "FOLLOW=1"), ["logs", "--what=previous", "--follow=1"]),
    ],
)
def test_a_command_acts_inside_the_stack_of_its_clone(
    folder: Path, target: str, given: tuple[str, ...], arguments: list[str]
) -> None:
    environ = stack_in(folder, str(folder))
    assert make(folder, target, *given, **environ)["arguments"] == [*INSIDE, *arguments]


def test_the_log_of_a_part_of_the_stack_is_composes(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    environ = {**stack_in(folder, str(folder)), "DOCKER_SOCKET": "engine.sock"}
    monkeypatch.chdir(folder)
    with socket.socket(socket.AF_UNIX) as engine:
        engine.bind("engine.sock")
        told = make(folder, "logs", "WHAT=door", "FOLLOW=1", **environ)["arguments"]
    assert told == ["compose", "logs", "--tail", "200", "--follow", "door"]


def test_the_stack_of_another_clone_is_nobodys_here(folder: Path) -> None:
    environ = stack_in(folder, str(folder.parent))
    assert make(folder, "status", **environ)["arguments"][-1] == "status"
    assert make(folder, "run", **environ)["arguments"][-2:] == ["mlops_assets.cli", "run"]


@pytest.mark.parametrize(
    "given", [["import", "FILE=../old.csv"], ["labels", "TO=/tmp/labels.csv"], ["import", "FILE=~/old.csv"]]
)
def test_a_file_that_the_stack_does_not_see_is_refused_with_the_next_step(folder: Path, given: list[str]) -> None:
    environ = {**stack_in(folder, str(folder)), "HOME": str(folder.parent)}
    done = subprocess.run(["make", *given], cwd=folder, env=environ, check=False, capture_output=True, text=True)
    assert done.returncode != 0
    assert f"is outside of the clone, and the stack sees no other folder: name a path in {folder}" in done.stderr
    assert not (folder / "told.json").exists()


@pytest.mark.parametrize("target", ["run", "ui", "label"])
def test_no_second_pipeline_starts_beside_the_stack(folder: Path, target: str) -> None:
    environ = {**stack_in(folder, str(folder)), "HOME": str(folder)}
    done = subprocess.run(["make", target], cwd=folder, env=environ, check=False, capture_output=True, text=True)
    assert done.returncode != 0
    assert "the stack of this clone is up: start the job pipeline" in done.stderr
    assert not (folder / "told.json").exists()


@pytest.mark.parametrize(
    ("written", "door"),
    [
        ("", "https://localhost:8443"),
        ("DOOR_PORT=9443\n", "https://localhost:9443"),
        ("export DOOR_PORT='9443' # ours\n", "https://localhost:9443"),
        ("DOOR_PORT=9443\nDAGSTER_URL=https://team.example:444/dagster/\n", "https://team.example:444"),
    ],
)
def test_links_of_the_stack_begin_with_the_address_that_people_open(
    folder: Path, monkeypatch: pytest.MonkeyPatch, written: str, door: str
) -> None:
    environ = {**stack_in(folder, str(folder)), "DOCKER_SOCKET": "engine.sock"}
    (folder / ".env").write_text(written, encoding="utf-8")
    monkeypatch.chdir(folder)  # a socket's path has at most 108 characters
    with socket.socket(socket.AF_UNIX) as engine:
        engine.bind("engine.sock")
        subprocess.run(["stack/stack.sh", "config"], env=environ, check=True)
    told = json.loads((folder / "told.json").read_text(encoding="utf-8"))["environment"]
    assert told["DOOR_URL"] == door
    assert told.get("DAGSTER_URL", f"{door}/dagster") == f"{door}/dagster"
    services = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))["services"]
    assert services["grafana"]["environment"]["GF_SERVER_ROOT_URL"] == "${DOOR_URL:-https://localhost:8443}/grafana/"
    assert "--web.external-url=${DOOR_URL:-https://localhost:8443}/prometheus" in services["prometheus"]["command"]


def test_on_a_teams_server_without_an_answer_of_the_engine_a_command_does_not_guess(folder: Path) -> None:
    environ = {**stack_in(folder, ""), "HOME": str(folder)}
    assert make(folder, "status", **environ)["arguments"][-1] == "status"
    (folder / "told.json").unlink()
    logins = folder / "stack" / "made" / "door" / "logins.cfg"
    logins.parent.mkdir(parents=True)
    logins.touch()
    done = subprocess.run(["make", "why"], cwd=folder, env=environ, check=False, capture_output=True, text=True)
    assert done.returncode != 0
    assert "no Docker engine answers you" in done.stderr
    assert not (folder / "told.json").exists()
