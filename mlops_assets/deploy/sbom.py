"""The bill of materials of a release, as CycloneDX: the model, the server and every locked package."""

import re
from collections.abc import Mapping
from typing import Any

from mlops_assets.deploy.release import REQUIREMENTS, Release
from mlops_assets.failures import PermanentFailure

BASE_IMAGE = "python:3.11-slim-bookworm"
_LOCKED = re.compile(r"(?P<name>[A-Za-z0-9._-]+)==(?P<version>[^\s;\\]+)")


class UnlockedPackage(PermanentFailure):
    """A requirement names no exact version."""


def locked_packages(requirements: str) -> dict[str, str]:
    """Name (normalised) and version of every line; raises `UnlockedPackage`. Comments, hashes and options aside."""
    packages: dict[str, str] = {}
    for line in requirements.splitlines():
        text = line.partition("#")[0].strip()
        if not text or text.startswith("-"):
            continue
        match = _LOCKED.match(text)
        if match is None:
            raise UnlockedPackage(f"{text!r} names no exact version: write the lock anew with make lock")
        packages[re.sub(r"[-_.]+", "-", match["name"]).lower()] = match["version"]
    return packages


def bill_of_materials(release: Release) -> Mapping[str, Any]:
    """CycloneDX 1.5 without time and serial number: the same release has the same bill."""
    packages = locked_packages((release.folder / REQUIREMENTS).read_text(encoding="utf-8"))
    name, _, tag = BASE_IMAGE.partition(":")
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {
            "component": {
                "type": "container",
                "bom-ref": f"release:{release.version}",
                "name": "app-review-sentiment",
                "version": release.version,
                "properties": [
                    {"name": "mlops:dataset_version", "value": release.dataset_version},
                    {"name": "mlops:server_version", "value": release.server_version},
                ],
            }
        },
        "components": [
            {
                "type": "container",
                "bom-ref": f"pkg:docker/{name}@{tag}",
                "name": name,
                "version": tag,
                "purl": f"pkg:docker/{name}@{tag}",
            },
            {
                "type": "machine-learning-model",
                "bom-ref": f"model:{release.model_version}",
                "name": "sentiment",
                "version": release.model_version,
            },
            *(
                {
                    "type": "library",
                    "bom-ref": f"pkg:pypi/{package}@{version}",
                    "name": package,
                    "version": version,
                    "purl": f"pkg:pypi/{package}@{version}",
                }
                for package, version in sorted(packages.items())
            ),
        ],
    }
