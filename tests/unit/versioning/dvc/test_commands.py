"""How DVC is called, and what is said where it is missing."""

import sys
from pathlib import Path

import pytest

from mlops_assets.versioning.dvc.commands import Dvc
from mlops_assets.versioning.git.commands import ProgramMissing


def environment_with_dvc(folder: Path) -> Path:
    """A virtual environment that was moved: its script names a Python that is gone."""
    (folder / "bin").mkdir(parents=True)
    (folder / "pyvenv.cfg").touch()
    (folder / "bin" / "python").symlink_to(sys.executable)
    program = folder / "bin" / "dvc"
    program.write_text("#!/gone/bin/python\n")
    program.chmod(0o755)
    return program


def test_in_a_virtual_environment_dvc_is_called_as_a_module_wherever_the_script_or_a_link_to_it_lies(
    tmp_path: Path,
) -> None:
    program = environment_with_dvc(tmp_path / "moved")
    link = tmp_path / "dvc"
    link.symlink_to(program)
    for known_as in (program, link):
        assert Dvc(tmp_path, known_as, {}).command == [str(program.with_name("python")), "-m", "dvc"]
    program.unlink()
    assert Dvc(tmp_path, program, {}).command == [str(program.with_name("python")), "-m", "dvc"]


def test_any_other_program_is_called_as_it_is(tmp_path: Path) -> None:
    assert Dvc(tmp_path, Path("/usr/bin/dvc"), {}).command == ["/usr/bin/dvc"]
    assert Dvc(tmp_path, tmp_path / "fake.py", {}).command == [str(tmp_path / "fake.py")]


def test_a_missing_dvc_is_said_with_the_command_that_brings_it(tmp_path: Path) -> None:
    with pytest.raises(ProgramMissing, match="make install"):
        Dvc(tmp_path, tmp_path / ".venv-dvc" / "bin" / "dvc", {}).stages()
    program = environment_with_dvc(tmp_path / "without")
    with pytest.raises(ProgramMissing, match="make install"):
        Dvc(tmp_path, program, {"PYTHONPATH": ""}).stages()
