"""The files that the stack makes for itself change only with what they are made from."""

from pathlib import Path

import pytest

from mlops_assets.team_server.generated_files import LOGINS, passwords, write_certificate, write_logins
from mlops_assets.team_server.required_settings import Login

ANA, OKI = Login("ana", "3d7f0a92b1c8e465", "look"), Login("oki", "e80b5c12fd9736a4", "operate")


@pytest.fixture
def made(tmp_path: Path) -> Path:
    write_logins(tmp_path, [ANA, OKI])
    write_certificate(tmp_path, None)
    passwords(tmp_path)
    return tmp_path


def written(made: Path) -> dict[str, tuple[int, int]]:
    found = {path: path.stat() for path in made.rglob("*") if path.is_file()}
    return {str(path.relative_to(made)): (about.st_ino, about.st_mtime_ns) for path, about in found.items()}


def test_what_did_not_change_is_not_written_again(made: Path) -> None:
    before = written(made)
    write_logins(made, [ANA, OKI])
    write_certificate(made, None)
    passwords(made)
    assert written(made) == before


@pytest.mark.parametrize(
    "logins",
    [[OKI], [ANA, Login("oki", "another-9c1b7f30", "operate")], [Login("ana", ANA.password, "operate"), OKI]],
    ids=["one left", "another password", "another role"],
)
def test_a_login_that_changed_changes_the_file_and_no_other_hash(made: Path, logins: list[Login]) -> None:
    before = (made / LOGINS).read_text()
    write_logins(made, logins)
    after = (made / LOGINS).read_text()
    assert after != before
    kept = next(line for line in before.splitlines() if " user oki " in line)
    assert (kept in after) == (OKI in logins)
