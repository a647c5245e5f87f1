"""Which DVC remote a clone uses, and which of them other clones can reach."""

from pathlib import Path

import pytest

from mlops_assets.versioning.dvc.remote import Remote, RemoteGone, choose_remote, named_remote


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A clone, with another one and a shared folder beside it."""
    for folder in ("mine/.git", "mine/.pipeline", "other/.git", "other/.pipeline", "other/.dvc-remote", "store"):
        (tmp_path / folder).mkdir(parents=True)
    return tmp_path / "mine"


def chosen(named: str | None, root: Path, last_used: str | None = None) -> str:
    return choose_remote(Remote(named) if named else None, root, last_used).url


def test_the_remote_that_the_branch_names_is_used_where_this_clone_may_write_there(root: Path) -> None:
    shared, own = str(root.parent / "store"), str(root / ".dvc-remote")
    assert chosen("s3://bucket/path", root) == "s3://bucket/path"
    assert chosen(shared, root) == shared
    assert chosen(None, root) == own
    assert chosen(str(root.parent / "on-another-machine"), root) == own
    assert chosen("/old/place/of/this/clone/.dvc-remote", root, "/old/place/of/this/clone/.dvc-remote") == own
    (root / "data" / "store").mkdir(parents=True)
    assert chosen(str(root / "data" / "store"), root) == str(root / "data" / "store")


@pytest.mark.parametrize("place", [".dvc-remote", "data/store"])
def test_a_folder_inside_another_clone_is_never_written_to(place: str, root: Path) -> None:
    folder = root.parent / "other" / place
    folder.mkdir(parents=True, exist_ok=True)
    assert chosen(str(folder), root) == str(root / ".dvc-remote")
    link = root.parent / "link"
    link.symlink_to(folder)
    assert chosen(str(link), root) == str(root / ".dvc-remote")


def test_a_shared_folder_that_this_clone_used_and_that_is_gone_stops_the_run(root: Path) -> None:
    gone = str(root.parent / "mount")
    with pytest.raises(RemoteGone, match=f"the DVC remote {gone}, .* mount it, or name another one in DVC_REMOTE_URL"):
        chosen(gone, root, gone)


@pytest.mark.parametrize(
    ("url", "outside"),
    [
        (".dvc-remote", False),
        ("data/../store", False),
        ("../store", True),
        ("inward", False),
        ("outward", True),
        ("../mine-too", True),
        ("s3://bucket", True),
        ("ssh://host/path", True),
    ],
)
def test_outside_the_clone_is_where_the_folder_really_lies(url: str, outside: bool, root: Path) -> None:
    (root / "outward").symlink_to(root.parent / "store")
    (root.parent / "inward").symlink_to(root / "data")
    if "://" not in url:
        url = str((root.parent if url == "inward" else root) / url)
    assert Remote(url).lies_outside(root) is outside


def test_the_branch_names_its_remote_with_options_and_quotes() -> None:
    options = {"endpointurl": "http://host:9000", "region": "eu"}
    config = Remote("/a,b #c", options).committed_config("['remote \"mine\"']\n    url = /mine\n")
    assert named_remote(config, Path("/clone")) == Remote("/a,b #c", options)
    relative = "[core]\n    remote = r\n['remote \"r\"']\n    url = ../store\n"
    assert named_remote(relative, Path("/clone")) == Remote("/clone/store")
    assert named_remote(None, Path("/clone")) is None
    assert named_remote("no section = here", Path("/clone")) is None
    assert named_remote("[core]\n    remote = r\n", Path("/clone")) is None
