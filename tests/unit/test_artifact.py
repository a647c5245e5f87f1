import json
from pathlib import Path

import pytest

from mlops_assets import artifact
from mlops_assets.artifact import BrokenArtifact, Golden, TrainedWith, seal

WITH = TrainedWith("data", "binary", "recipe", "code")
GOLDEN = (Golden("bagus 👍", (0.1, 0.9)), Golden("", (0.5, 0.5)))


def sealed(folder: Path, **changes) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "weights.bin").write_bytes(b"123")
    (folder / "onnx").mkdir(exist_ok=True)
    (folder / "onnx" / "model.onnx").write_bytes(b"456")
    given = {
        "kind": "classic",
        "labels": ("negative", "positive"),
        "text_version": 1,
        "trained_with": WITH,
        "metrics": {"test": {"n": 3, "accuracy": 2 / 3}},
        "golden": GOLDEN,
        "runtime": {"temperature": 1.5},
    }
    return seal(folder, **{**given, **changes})


def test_what_was_sealed_is_read_back(tmp_path):
    version = sealed(tmp_path)
    manifest = artifact.read(tmp_path)
    assert manifest.labels == ("negative", "positive")
    assert manifest.trained_with == WITH
    assert manifest.metrics == {"test": {"n": 3, "accuracy": 2 / 3}}
    assert manifest.runtime == {"temperature": 1.5}
    assert manifest.files.keys() == {"golden.json", "weights.bin", "onnx/model.onnx"}
    assert artifact.read_golden(tmp_path) == GOLDEN
    assert artifact.model_version(tmp_path) == version
    assert len(version) == 12


def test_equal_content_has_one_version_wherever_it_lies(tmp_path):
    assert sealed(tmp_path / "a") == sealed(tmp_path / "b")


@pytest.mark.parametrize(
    "change",
    [
        {"labels": ("positive", "negative")},
        {"metrics": {}},
        {"runtime": {"temperature": 1.6}},
        {"golden": GOLDEN[:1]},
        {"trained_with": TrainedWith("other", "binary", "recipe", "code")},
    ],
)
def test_other_content_has_another_version(tmp_path, change):
    assert sealed(tmp_path / "a") != sealed(tmp_path / "b", **change)


def test_a_folder_without_a_manifest_is_no_model(tmp_path):
    (tmp_path / "weights.bin").write_bytes(b"123")
    for read in (artifact.read, artifact.model_version):
        with pytest.raises(BrokenArtifact, match=r"holds no manifest\.json"):
            read(tmp_path)


def grow(folder: Path) -> None:
    (folder / "more.txt").write_text("x")


@pytest.mark.parametrize(
    ("damage", "named"),
    [
        (lambda f: (f / "weights.bin").write_bytes(b"124"), "weights.bin"),
        (lambda f: (f / "onnx" / "model.onnx").unlink(), "onnx/model.onnx"),
        (grow, "more.txt"),
        (lambda f: (f / "golden.json").write_text("[]"), "golden.json"),
    ],
)
def test_a_file_changed_lost_or_added_is_named(tmp_path, damage, named):
    sealed(tmp_path)
    damage(tmp_path)
    with pytest.raises(BrokenArtifact, match=f"{named} not as sealed"):
        artifact.read(tmp_path)
    assert artifact.read(tmp_path, verify=False).kind == "classic"


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"kind": "classic"}'])
def test_a_manifest_that_cannot_be_read_is_refused_in_one_line(tmp_path, content):
    sealed(tmp_path)
    (tmp_path / "manifest.json").write_text(content)
    with pytest.raises(BrokenArtifact, match="cannot be read") as refused:
        artifact.read(tmp_path)
    assert "\n" not in str(refused.value)


def test_another_format_is_refused(tmp_path):
    sealed(tmp_path)
    path = tmp_path / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "format": 99}))
    with pytest.raises(BrokenArtifact, match="has format 99"):
        artifact.read(tmp_path)
