"""The bill of materials names the model and every locked package, and is the same for the same release."""

import pytest

from mlops_assets.deploy.release import build_release
from mlops_assets.deploy.sbom import UnlockedPackage, bill_of_materials, locked_packages
from tests.fakes.tiny_model import seal_tiny_model
from tests.repository import ROOT


def test_the_bill_holds_the_model_and_every_locked_package(tmp_path):
    seal_tiny_model(tmp_path / "model")
    lock = ROOT / "locks" / "serving.txt"
    release = build_release(tmp_path / "model", tmp_path / "releases", lock=lock)
    bill = bill_of_materials(release)
    assert bill == bill_of_materials(release)
    assert bill["metadata"]["component"]["version"] == release.version
    by_type = {kind: [one for one in bill["components"] if one["type"] == kind] for kind in ("library", "container")}
    lines = [line for line in lock.read_text().splitlines() if line and not line.startswith("#")]
    assert len(by_type["library"]) == len(lines)
    assert all(one["purl"].startswith("pkg:pypi/") and "@" in one["purl"] for one in by_type["library"])
    assert {one["version"] for one in bill["components"] if one["type"] == "machine-learning-model"} == {
        release.model_version
    }
    references = [one["bom-ref"] for one in bill["components"]]
    assert len(set(references)) == len(references)


def test_a_package_without_an_exact_version_is_refused():
    with pytest.raises(UnlockedPackage, match="'numpy>=2' names no exact version"):
        locked_packages("numpy>=2\n")
