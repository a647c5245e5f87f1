"""`make install`: what is installed is known by content, and what a move or a kill broke is mended."""

import base64
import hashlib
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from locks.install import ROLES, CannotInstall, Environment
from tests.repository import ROOT

pytestmark = pytest.mark.slow

FINDER = "__editable___mlops_assets_0_1_0_finder.py"
CODE = "MAPPING = {'mlops_assets': '%s/mlops_assets'}\nNAMESPACES = {'mlops_assets.x': ['%s/mlops_assets/x']}\n"


def wheel(folder: Path, version: str, name: str = "tiny", extra: str = "") -> None:
    """A package with a command of its name, as a registry would give it; `extra` names a file that it has besides."""
    about = f"{name}-{version}.dist-info"
    files = {
        f"{name}.py": f"def main():\n    print('{name} {version}')\n",
        f"{about}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{about}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{about}/entry_points.txt": f"[console_scripts]\n{name} = {name}:main\n",
        **({extra: "# CUDA\n"} if extra else {}),
    }
    rows = [
        f"{file},sha256={base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b'=').decode()},{len(text)}"
        for file, text in files.items()
    ]
    folder.mkdir(exist_ok=True)
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as archive:
        for file, text in {**files, f"{about}/RECORD": "\n".join([*rows, f"{about}/RECORD,,", ""])}.items():
            archive.writestr(file, text)


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone with one small package, installed for the first time."""
    root = tmp_path_factory.mktemp("first") / "clone"
    (root / "locks").mkdir(parents=True)
    for version in ("1.0", "2.0"):
        wheel(root / "wheels", version)
    for name in ("installers", "pipeline", "dev", "dvc"):
        write_lock(root, name, "1.0")
    finder = root / ".venv" / "lib" / "python3.11" / "site-packages" / FINDER
    finder.parent.mkdir(parents=True)
    finder.write_text(CODE % (root, root))
    Environment(root, "dev").bring_up_to_date()
    return root


@pytest.fixture
def clone(installed: Path, tmp_path: Path) -> Path:
    """That clone in another folder, as `cp -r` or a move leave it."""
    return shutil.copytree(installed, tmp_path / "moved clone", symlinks=True)


def write_lock(root: Path, lock: str, version: str, *others: str) -> None:
    """A lock of `tiny` and of other wheels, with the hashes of the files that are there."""
    wheels = root / "wheels"
    lines = ["# Do not edit.", "--no-index", f"--find-links {wheels.as_uri()}"]
    for file in (f"tiny-{version}", *others):
        sha256 = hashlib.sha256((wheels / f"{file}-py3-none-any.whl").read_bytes()).hexdigest()
        lines.append(f"{file.replace('-', '==')} --hash=sha256:{sha256}")
    (root / "locks" / f"{lock}.txt").write_text("\n".join(lines) + "\n")


def says(clone: Path) -> str:
    return subprocess.run([clone / ".venv/bin/tiny"], check=True, capture_output=True, text=True).stdout.strip()


def packages(clone: Path) -> Path:
    return clone / ".venv" / "lib" / "python3.11" / "site-packages"


def test_a_lock_that_is_touched_installs_nothing_and_one_that_changed_does(
    clone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = Environment(clone, "pipeline")
    environment.bring_up_to_date()
    os.utime(clone / "locks" / "pipeline.txt")
    with (clone / "locks" / "pipeline.txt").open("a") as lock:
        lock.write("# a remark\n")
    with monkeypatch.context() as patched:
        patched.setattr(Environment, "_install", lambda _: pytest.fail("installed again"))
        environment.bring_up_to_date()
    for name in ("installers", "pipeline", "dev"):
        write_lock(clone, name, "2.0")
    environment.bring_up_to_date()
    assert says(clone) == "tiny 2.0"


def test_a_file_that_is_not_the_locked_one_is_refused(clone: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for name in ("installers", "pipeline", "dev"):
        write_lock(clone, name, "2.0")
    wheel(clone / "wheels", "2.0", extra="malware.py")
    with pytest.raises(CannotInstall, match="pip install failed"):
        Environment(clone, "pipeline").bring_up_to_date()
    assert "DO NOT MATCH THE HASHES" in capfd.readouterr().err
    assert says(clone) == "tiny 1.0"
    assert not (clone / ".venv" / ".installed").exists()


@pytest.mark.parametrize(
    ("cpu_build_is_offered", "chosen"), [(True, {"torch-3.0+cpu"}), (False, {"torch-3.0", "cudart-1.0"})]
)
def test_one_lock_installs_either_build_of_torch(
    clone: Path, monkeypatch: pytest.MonkeyPatch, cpu_build_is_offered: bool, chosen: set[str]
) -> None:
    """An index that tells hashes has the CUDA build. pip prefers that to a wheel in a folder, unless it is told."""
    wheels, index, locks = clone / "wheels", clone / "index", clone / "locks"
    wheel(wheels, "1.0", "cudart")
    wheel(wheels, "3.0", "torch", extra="torch/lib/libtorch_cuda.so")
    wheel(wheels, "3.0+cpu", "torch")
    write_lock(clone, "cuda", "1.0", "cudart-1.0")
    write_lock(clone, "pipeline", "1.0", "torch-3.0", "torch-3.0+cpu")
    *_, tiny, public, cpu = (locks / "pipeline.txt").read_text().splitlines()
    (locks / "pipeline.txt").write_text(f"{tiny}\n{public} {cpu.partition(' ')[2]}\n")
    (locks / "cpu.constraint").write_text("# The build without CUDA.\ntorch==3.0+cpu\n")
    (index / "torch").mkdir(parents=True)
    name, sha256 = "torch-3.0-py3-none-any.whl", public.rpartition(":")[2]
    (wheels / name).rename(index / name)
    (index / "torch" / "index.html").write_text(f'<a href="../{name}#sha256={sha256}">{name}</a>')
    if not cpu_build_is_offered:
        (wheels / "torch-3.0+cpu-py3-none-any.whl").unlink()
    for variable, value in (
        ("INDEX_URL", index.as_uri()),
        ("FIND_LINKS", wheels.as_uri()),
        ("CONFIG_FILE", os.devnull),
    ):
        monkeypatch.setenv(f"PIP_{variable}", value)

    Environment(clone, "pipeline").bring_up_to_date()

    found = {about.name.removesuffix(".dist-info") for about in packages(clone).glob("*.dist-info")}
    assert {name for name in found if name.startswith(("torch", "cudart"))} == chosen


def test_a_moved_clone_is_mended_without_installing_anything(
    clone: Path, installed: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Environment, "_install", lambda _: pytest.fail("installed again"))
    script = installed / ".venv/bin/tiny"
    (clone / ".venv/bin/tiny").unlink()
    os.link(script, clone / ".venv/bin/tiny")  # as `cp -l` leaves it: one file for both
    before = script.read_bytes()

    Environment(clone, "dev").bring_up_to_date()

    assert "was made in another folder: mended" in capsys.readouterr().out
    assert script.read_bytes() == before
    assert says(clone) == "tiny 1.0"
    assert str(clone) in (clone / ".venv/bin/tiny").read_text()
    assert (packages(clone) / FINDER).read_text() == CODE % (clone, clone)
    for name in ("activate", "activate.csh", "activate.fish"):
        text = (clone / ".venv/bin" / name).read_text()
        assert str(clone / ".venv") in text
        assert str(installed) not in text
    where = subprocess.run(
        ["bash", "-c", 'source "$1/.venv/bin/activate" && command -v tiny', "-", clone], check=True, capture_output=True
    )
    assert where.stdout.decode().strip() == str(clone / ".venv/bin/tiny")
    Environment(clone, "pipeline").bring_up_to_date()
    assert capsys.readouterr().out == ""


def test_a_script_that_names_python_without_its_version_is_no_sign_of_a_move(
    clone: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Environment(clone, "dev").bring_up_to_date()
    script, python = clone / ".venv" / "bin" / "tiny", str(clone / ".venv" / "bin" / "python")
    script.write_text(script.read_text().replace(f"{python}3.11", python))
    (clone / ".venv" / ".location").unlink()
    capsys.readouterr()
    Environment(clone, "dev").bring_up_to_date()
    assert "another folder" not in "".join(capsys.readouterr())
    assert says(clone) == "tiny 1.0"


def test_an_installation_of_an_earlier_version_is_taken_over(clone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Environment, "_install", lambda _: pytest.fail("installed again"))
    (clone / ".venv" / ".location").unlink()
    (clone / ".venv" / ".installed").write_text("")
    Environment(clone, "pipeline").bring_up_to_date()
    assert says(clone) == "tiny 1.0"


def _killed_before_the_record(clone: Path) -> None:
    (packages(clone) / "tiny-1.0.dist-info" / "RECORD").unlink()


def _killed_between_files(clone: Path) -> None:
    (packages(clone) / "tiny.py").unlink()


def _killed_in_a_file(clone: Path) -> None:
    (packages(clone) / "tiny.py").write_text("def ")


def _killed_in_an_upgrade(clone: Path) -> None:
    (packages(clone) / "tiny-1.0.dist-info").rename(packages(clone) / "~iny-1.0.dist-info")


def _killed_before_pip(clone: Path) -> None:
    for path in packages(clone).glob("pip*"):
        shutil.rmtree(path)


def _python_removed(clone: Path) -> None:
    for path in (clone / ".venv/bin").glob("python*"):
        path.unlink()
        path.symlink_to("/gone/bin/python3.11")


BROKEN = [
    _killed_before_the_record,
    _killed_between_files,
    _killed_in_a_file,
    _killed_in_an_upgrade,
    pytest.param(_killed_before_pip, marks=pytest.mark.long),
    _python_removed,
]


@pytest.mark.parametrize("kill", BROKEN, ids=lambda kill: kill.__name__.strip("_"))
def test_an_installation_that_was_killed_or_lost_its_python_heals(kill, clone: Path) -> None:
    (clone / ".venv" / ".installed").unlink()
    kill(clone)
    Environment(clone, "pipeline").bring_up_to_date()
    assert says(clone) == "tiny 1.0"
    assert (clone / ".venv" / ".installed").read_text()
    assert not list(packages(clone).glob("~*"))


def test_make_install_heals_an_environment_that_was_half_deleted(clone: Path) -> None:
    Environment(clone, "pipeline").bring_up_to_date()
    (packages(clone) / "tiny.py").unlink()
    Environment(clone, "pipeline").bring_up_to_date(look_inside=True)
    assert says(clone) == "tiny 1.0"
    told = subprocess.run(["make", "-n", "install"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    assert told.count("--look-inside") == 2


def test_an_environment_that_is_a_link_is_left_to_its_owner(clone: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(ROOT / "locks", other / "locks")
    (other / ".venv").symlink_to(clone / ".venv")
    before = (packages(clone) / FINDER).read_text()
    Environment(other, "pipeline").bring_up_to_date()
    assert (packages(clone) / FINDER).read_text() == before
    (other / ".venv-dvc").symlink_to(tmp_path / "nowhere")
    with pytest.raises(CannotInstall, match="leads to no environment"):
        Environment(other, "dvc").bring_up_to_date()


def test_another_python_is_refused_by_its_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(ROOT / "locks", tmp_path / "locks")
    monkeypatch.setattr(sys, "version_info", (3, 13, 1))
    with pytest.raises(CannotInstall, match=r"python3\.11 is needed, got Python .*make PYTHON="):
        Environment(tmp_path, "pipeline").bring_up_to_date()
    assert not (tmp_path / ".venv" / ".installed").exists()


def test_every_lock_of_an_environment_is_there() -> None:
    assert all((ROOT / "locks" / f"{name}.txt").is_file() for _, locks in ROLES.values() for name in locks)
