import json
import subprocess
import sys

import pytest

from mlops_assets import artifact
from mlops_assets.artifact import BrokenArtifact
from mlops_assets.deploy.release import BrokenRelease, build_release, prune_releases, read_release
from tests.fakes.tiny_model import seal, seal_tiny_model


@pytest.fixture
def champion(tmp_path):
    seal_tiny_model(tmp_path / "champion")
    return tmp_path / "champion"


def test_the_same_content_gives_the_same_release_and_writes_nothing_again(champion, tmp_path):
    first = build_release(champion, tmp_path / "releases")
    before = (first.folder / "release.json").stat().st_mtime_ns
    second = build_release(champion, tmp_path / "releases")
    assert second == first
    assert (first.folder / "release.json").stat().st_mtime_ns == before
    assert [path.name for path in (tmp_path / "releases").iterdir()] == [first.version]


def test_another_model_gives_another_release_with_the_same_server(champion, tmp_path):
    seal_tiny_model(tmp_path / "other", intercept=1.0)
    first = build_release(champion, tmp_path / "releases")
    second = build_release(tmp_path / "other", tmp_path / "releases")
    assert second.version != first.version
    assert second.server_version == first.server_version


def test_the_release_holds_the_server_without_the_rest_of_the_project(champion, tmp_path):
    release = build_release(champion, tmp_path / "releases")
    names = {path.name for path in (release.app / "mlops_assets").iterdir()}
    modules = {"__init__.py", "artifact.py", "failures.py", "files.py", "masking.py", "text.py", "trained_on.py"}
    assert names == {*modules, "serving"}


IMPORTS = """
import importlib, sys
sys.meta_path = [finder for finder in sys.meta_path if "editable" not in repr(finder)]  # it would lead to the project
sys.path.insert(0, sys.argv[1])
for name in sys.argv[2:]:
    importlib.import_module(name)
"""


def test_every_module_of_the_release_is_imported_from_the_release_alone(champion, tmp_path):
    release = build_release(champion, tmp_path / "releases")
    package = release.app / "mlops_assets"
    modules = [
        ".".join(path.relative_to(release.app).with_suffix("").parts).removesuffix(".__init__")
        for path in package.rglob("*.py")
    ]
    command = [sys.executable, "-P", "-c", IMPORTS, str(release.app), *modules]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr


def test_the_release_leaves_out_what_only_training_reads(champion, tmp_path):
    (champion / "checkpoint.bin").write_bytes(b"as large as the model")
    seal(champion, artifact.read_golden(champion), training_files=["checkpoint.bin"])
    release = build_release(champion, tmp_path / "releases")
    assert not (release.model / "checkpoint.bin").exists()
    assert artifact.read(release.model).training_files == ("checkpoint.bin",)
    assert release.model_version == artifact.model_version(champion)
    (release.model / "checkpoint.bin").write_bytes(b"another one")
    with pytest.raises(BrokenArtifact, match=r"checkpoint\.bin not as sealed"):
        artifact.read(release.model)


def test_a_file_changed_after_the_build_is_named(champion, tmp_path):
    release = build_release(champion, tmp_path / "releases")
    victim = release.model / "vocabulary.json"
    victim.chmod(0o644)
    victim.write_text("{}")
    with pytest.raises(BrokenRelease, match=r"model/vocabulary\.json changed"):
        read_release(release.folder)


def test_a_model_that_is_not_as_sealed_becomes_no_release(champion, tmp_path):
    (champion / "vocabulary.json").write_text("{}")
    with pytest.raises(BrokenArtifact, match=r"vocabulary\.json"):
        build_release(champion, tmp_path / "releases")
    assert list((tmp_path / "releases").glob("*")) == []


def test_pruning_keeps_what_is_named_and_removes_what_a_killed_build_left(champion, tmp_path):
    release = build_release(champion, tmp_path / "releases")
    (tmp_path / "releases" / ".building-0").mkdir()
    (tmp_path / "releases" / "0123456789ab").mkdir()
    assert prune_releases(tmp_path / "releases", frozenset({release.version})) == [".building-0", "0123456789ab"]
    assert read_release(release.folder) == release


def test_the_record_names_every_file(champion, tmp_path):
    release = build_release(champion, tmp_path / "releases")
    record = json.loads((release.folder / "release.json").read_text())
    assert record["files"].keys() >= {"model/manifest.json", "app/mlops_assets/serving/app.py"}
