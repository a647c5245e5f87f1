"""The bill of materials names what serves, with licences and hashes, is valid, and is the same for the same release."""

import json
import shutil
from email.message import Message
from pathlib import Path
from platform import python_version
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from mlops_assets.cli.data import write_sbom
from mlops_assets.deploy.release import Release, build_release
from mlops_assets.deploy.sbom import (
    Installed,
    LockedPackage,
    UnlockedPackage,
    bill_of_materials,
    installed_here,
    locked_packages,
)
from mlops_assets.failures import PermanentFailure
from mlops_assets.files import sha256
from mlops_assets.training.champion import Decision, write_decision
from tests.fakes.tiny_model import seal_tiny_model
from tests.repository import ROOT
from tests.user_clone import free_port, make_clone, settings_of

LOCK = ROOT / "locks" / "serving.txt"


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Release:
    folder = tmp_path_factory.mktemp("release")
    seal_tiny_model(folder / "model")
    return build_release(folder / "model", folder / "releases", lock=LOCK)


def about(**headers: str | list[str]) -> Message:
    message = Message()
    for name, values in headers.items():
        for value in [values] if isinstance(values, str) else values:
            message[name.replace("_", "-")] = value
    return message


def components(bill: str) -> dict[str, dict[str, Any]]:
    """By their package URL, or reference if they have none. The bill must be valid."""
    problems = JsonStrictValidator(SchemaVersion.V1_6).validate_str(bill)
    assert problems is None
    found = json.loads(bill)["components"]
    return {component.get("purl") or component["bom-ref"]: component for component in found}


def test_the_bill_of_a_process_holds_the_model_and_every_locked_package(release: Release) -> None:
    bill = bill_of_materials(release, installed_here())
    assert bill == bill_of_materials(release, installed_here())
    assert json.loads(bill)["metadata"]["component"]["version"] == release.version
    found = components(bill)
    locked = locked_packages(LOCK.read_text(encoding="utf-8"))
    packages = {f"pkg:pypi/{name}@{package.version}": package for name, package in locked.items()}
    assert {purl for purl in found if purl.startswith("pkg:pypi/")} == packages.keys()
    for purl, package in packages.items():
        assert {file["content"] for file in found[purl]["hashes"]} == set(package.sha256)
    assert not [purl for purl in packages if not found[purl].get("licenses")]
    model = found[f"model:{release.model_version}"]
    files = {file["name"]: file["hashes"][0]["content"] for file in model["components"]}
    assert files == {f"model/{path.name}": sha256(path) for path in release.model.iterdir()}


def test_make_sbom_writes_the_bill_of_the_champion_if_nothing_serves(tmp_path: Path, capsys) -> None:
    clone = make_clone(tmp_path / "clone")
    (clone / "locks").mkdir()
    shutil.copyfile(LOCK, clone / "locks" / LOCK.name)
    settings = settings_of(clone, PORT=str(free_port()))
    with pytest.raises(PermanentFailure, match="nothing serves and there is no champion"):
        write_sbom(settings)
    write_decision(settings.models, Decision(seal_tiny_model(settings.models / "champion")))
    assert write_sbom(settings) == 0
    (file,) = settings.releases.glob("*.cdx.json")
    assert str(file) in capsys.readouterr().out
    assert f"pkg:generic/python@{python_version()}" in components(file.read_text(encoding="utf-8"))


def test_the_bill_of_an_image_holds_what_lies_in_it(release: Release) -> None:
    installed = Installed(
        "3.11.9",
        (
            about(Name="Extra_Package", Version="1.0", License_Expression="MIT OR Apache-2.0"),
            about(Name="numpy", Version="0.1", License="GPL"),
        ),
        (
            about(Package="libc6", Status="install ok installed", Version="2.36-9+deb12u1", Architecture="amd64"),
            about(Package="removed", Status="deinstall ok config-files", Version="1", Architecture="all"),
            about(Package="plain", Status="install ok installed", Version="1:2~3", Architecture="all"),
        ),
        {"libc6": "Format: https://…\n\nLicense: LGPL-2.1+\n text\n\nLicense: GPL-2+\n", "plain": "License: prose"},
    )
    found = components(bill_of_materials(release, installed))
    assert found["pkg:pypi/extra-package@1.0"]["licenses"] == [{"expression": "MIT OR Apache-2.0"}]
    assert "licenses" not in next(part for purl, part in found.items() if purl.startswith("pkg:pypi/numpy@"))
    debian = {
        purl: [licence["license"]["name"] for licence in part.get("licenses", [])]
        for purl, part in found.items()
        if purl.startswith("pkg:deb/")
    }
    assert debian == {
        "pkg:deb/debian/libc6@2.36-9%2Bdeb12u1?arch=amd64": ["GPL-2+", "LGPL-2.1+"],
        "pkg:deb/debian/plain@1:2~3?arch=all": [],
    }
    assert {"pkg:generic/python@3.11.9", "pkg:docker/python@3.11-slim-bookworm"} <= found.keys()


@pytest.mark.parametrize(
    ("declared", "shown"),
    [
        ({"License_Expression": "BSD-3-Clause", "License": "other"}, [{"license": {"id": "BSD-3-Clause"}}]),
        ({"License": "Apache 2.0"}, [{"license": {"name": "Apache 2.0"}}]),
        (
            {"License": "Redistribution and use\nin source", "Classifier": "License :: OSI Approved :: BSD License"},
            [{"license": {"name": "BSD License"}}],
        ),
        ({"License": "x" * 101, "Classifier": ["Topic :: Text"]}, None),
        (
            {"License": "UNKNOWN", "Classifier": ["License :: B", "License :: A"]},
            [{"license": {"name": "A"}}, {"license": {"name": "B"}}],
        ),
        ({}, None),
    ],
)
def test_a_licence_is_what_the_makers_declare(release: Release, declared: dict[str, Any], shown: Any) -> None:
    installed = Installed("3.11.9", (about(Name="odd", Version="1", **declared),), (about(Package="x", Status="half"),))
    assert components(bill_of_materials(release, installed))["pkg:pypi/odd@1"].get("licenses") == shown


def test_a_package_without_an_exact_version_is_refused() -> None:
    with pytest.raises(UnlockedPackage, match="'numpy>=2' names no exact version"):
        locked_packages("numpy>=2\n")


def test_a_lock_is_read_with_its_hashes_and_without_options_and_comments() -> None:
    first, second = "a" * 64, "b" * 64
    text = (
        f"--only-binary :all:\n# remark\nPy_YAML[x]==6.0 \\\n    --hash=sha256:{first} \\\n    --hash=sha256:{second}\n"
        "plain==1  # why\n"
    )
    assert locked_packages(text) == {
        "py-yaml": LockedPackage("6.0", (first, second)),
        "plain": LockedPackage("1", ()),
    }
