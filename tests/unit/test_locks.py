"""The locks agree with one another, with pyproject.toml, and with what is installed. No network is asked."""

import importlib.metadata
import re
import tomllib

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.repository import ROOT

RUNTIME = "onnxruntime"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
LOCKS = sorted(path.stem for path in (ROOT / "locks").glob("*.txt"))
BUILT_ON = {
    "dev": ("pipeline",),
    "kubernetes": ("pipeline",),
    "ray": ("pipeline",),
    "mlflow": ("pipeline",),
    "cuda": ("pipeline",),
} | dict.fromkeys(("dvc-ssh", "dvc-gs", "dvc-azure"), ("dvc",))
GROUPS = {"pipeline": ["serving"], "dev": ["dev", "kubernetes", "ray", "mlflow"], "cuda": []}
_LINE = re.compile(r"(?P<requirement>[^-\s#][^\s]*==\S+)(?P<hashes>( \\\n    --hash=sha256:[0-9a-f]{64})*)\n")


def entries(lock: str) -> dict[str, tuple[str, int]]:
    """Version and number of hashes of each package."""
    text = (ROOT / "locks" / f"{lock}.txt").read_text(encoding="utf-8")
    lines = [re.fullmatch(_LINE, line + "\n") for line in re.split(r"\n(?!    )", text) if line[:1].isalnum()]
    assert all(lines), f"locks/{lock}.txt has a line of another form"
    found = [(Requirement(line["requirement"]), line["hashes"].count("sha256:")) for line in lines if line]
    return {canonicalize_name(it.name): (str(it.specifier).removeprefix("=="), hashes) for it, hashes in found}


def locked(lock: str) -> dict[str, str]:
    return {name: version for name, (version, _) in entries(lock).items()}


def wanted(group: str) -> list[Requirement]:
    """What a dependency group names, with the groups that it includes."""
    found = []
    for item in PROJECT["dependency-groups"][group]:
        found += [Requirement(item)] if isinstance(item, str) else wanted(item["include-group"])
    return found


@pytest.mark.parametrize("lock", LOCKS)
def test_every_package_is_locked_with_the_hashes_of_its_files(lock: str) -> None:
    packages = entries(lock)
    assert packages
    assert not [name for name, (_, hashes) in packages.items() if not hashes]
    head = (ROOT / "locks" / f"{lock}.txt").read_text(encoding="utf-8").partition("==")[0]
    assert "--only-binary :all:" in head  # wheels run no code of theirs when they are installed


@pytest.mark.parametrize("lock", LOCKS)
def test_every_range_of_pyproject_is_locked_within_it(lock: str) -> None:
    requirements = [it for group in GROUPS.get(lock, [lock]) for it in wanted(group)]
    if lock == "pipeline":
        requirements += [Requirement(line) for line in PROJECT["project"]["dependencies"]]
    packages = {**{name: v for other in BUILT_ON.get(lock, ()) for name, v in locked(other).items()}, **locked(lock)}
    wrong = {
        str(it): packages.get(canonicalize_name(it.name))
        for it in requirements
        if not it.specifier.contains(packages.get(canonicalize_name(it.name), "0"))
    }
    assert not wrong, f"run make lock: {wrong}"


@pytest.mark.parametrize("lock", ["dvc-ssh", "dvc-gs", "dvc-azure"])
def test_what_goes_beside_dvc_changes_nothing_of_it(lock: str) -> None:
    assert not locked(lock).keys() & locked("dvc").keys()


@pytest.mark.parametrize("lock", ["dev", "kubernetes", "ray", "cuda"])
def test_what_goes_beside_the_pipeline_changes_nothing_of_it(lock: str) -> None:
    assert not locked(lock).keys() & locked("pipeline").keys()


def test_environments_that_share_packages_have_the_same_versions() -> None:
    pipeline, dev = locked("pipeline"), locked("dev")
    assert locked("serving").items() <= pipeline.items()
    assert locked("kubernetes").items() <= dev.items()
    assert locked("ray").items() <= dev.items()
    assert locked("mlflow").items() <= dev.items()
    assert {name: locked("dvc")[name] for name in ("setuptools",)}.items() <= locked("installers").items()
    assert {name: pipeline[name] for name in ("pip", "setuptools")}.items() <= locked("installers").items()


def test_the_gpu_server_has_the_servers_packages_but_for_the_runtime_and_its_cuda() -> None:
    cpu, gpu = locked("serving"), locked("serving-gpu")
    added = gpu.keys() - cpu.keys()
    assert cpu.keys() - gpu.keys() == {RUNTIME}
    assert {name for name in added if not name.startswith("nvidia-")} == {f"{RUNTIME}-gpu"}
    assert any(name.startswith("nvidia-cudnn-") for name in added)
    assert {name: gpu[name] for name in cpu if name != RUNTIME} == {n: v for n, v in cpu.items() if n != RUNTIME}


def test_the_lock_allows_the_build_of_torch_that_the_constraint_names() -> None:
    constraint = re.search(r"(?m)^torch==(\S+)\+cpu --hash=(\S+)$", (ROOT / "locks" / "cpu.constraint").read_text())
    assert constraint
    assert locked("pipeline")["torch"] == constraint[1]
    assert constraint[2] in (ROOT / "locks" / "pipeline.txt").read_text()


def test_actions_of_ci_are_pinned_by_commit() -> None:
    workflows = [path.read_text(encoding="utf-8") for path in (ROOT / ".github" / "workflows").iterdir()]
    actions = re.findall(r"uses:\s*(\S+)", "\n".join(workflows))
    assert actions
    assert not [action for action in actions if not re.fullmatch(r"[\w/-]+@[0-9a-f]{40}", action)]


def test_what_is_installed_is_what_the_locks_name_and_it_needs_nothing_else() -> None:
    """The locks are installed without resolving anything, so nobody else would notice a package that they lack."""
    locks = {**locked("cuda"), **locked("pipeline"), **locked("dev"), **locked("installers")}
    installed = {canonicalize_name(it.metadata["Name"]): it for it in importlib.metadata.distributions()}
    versions = {name: installed[name].version.partition("+")[0] for name in installed.keys() & locks.keys()}
    assert versions == {name: locks[name] for name in versions}
    assert locks.keys() - locked("cuda").keys() <= installed.keys()
    missing = []
    for name in installed.keys() & locks.keys():
        needs = [Requirement(line) for line in installed[name].requires or []]
        needs = [it for it in needs if it.marker is None or it.marker.evaluate({"extra": ""})]
        missing += [f"{name} needs {it}" for it in needs if canonicalize_name(it.name) not in locks]
    assert not missing
