"""The bill of materials of a release, as CycloneDX: the model, Python packages and, of an image, Debian's packages."""

# A decorator hides the parameters of cyclonedx's classes:
# pyright: reportCallIssue=false

import json
import re
import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from email.message import Message
from email.parser import HeaderParser
from importlib.metadata import distributions
from platform import python_version
from typing import TYPE_CHECKING, Any

from mlops_assets.deploy.docker.engine import DockerEngine
from mlops_assets.deploy.release import RECORD, REQUIREMENTS, Release
from mlops_assets.failures import PermanentFailure

if TYPE_CHECKING:
    from cyclonedx.model import HashType
    from cyclonedx.model.component import Component, ComponentType
    from cyclonedx.model.license import License
    from packageurl import PackageURL

BASE_IMAGE = "python:3.11-slim-bookworm"
_LOCKED = re.compile(r"(?P<name>[A-Za-z0-9._-]+)(\[[^\]]*\])?==(?P<version>[^\s;\\]+)")
_SHA256 = re.compile(r"--hash=sha256:([0-9a-f]{64})")
_LONGEST_LICENCE_NAME = 100
"""Longer ones are the licence's whole text."""


class UnlockedPackage(PermanentFailure):
    """A requirement names no exact version."""


@dataclass(frozen=True)
class LockedPackage:
    """An exact version, and the SHA-256 of every file that pip may install it from."""

    version: str
    sha256: tuple[str, ...] = ()


@dataclass(frozen=True)
class Installed:
    """What the server runs with: metadata of Python packages; of an image also Debian's packages.

    python: the version of the interpreter; empty if that is one of Debian's packages
    copyrights: the copyright file of each Debian package, by its name
    """

    python: str
    packages: tuple[Message, ...]
    debian: tuple[Message, ...] = ()
    copyrights: Mapping[str, str] = field(default_factory=dict)


def locked_packages(requirements: str) -> dict[str, LockedPackage]:
    """Each package by its normalised name, without comments and options; raises `UnlockedPackage`."""
    packages: dict[str, LockedPackage] = {}
    for line in re.sub(r"\\\n", " ", requirements).splitlines():
        text = re.split(r"(^|\s)#", line)[0].strip()
        if not text or text.startswith("-"):
            continue
        match = _LOCKED.match(text)
        if match is None:
            raise UnlockedPackage(f"{text!r} names no exact version: write the lock anew with make lock")
        packages[normalised(match["name"])] = LockedPackage(match["version"], tuple(_SHA256.findall(text)))
    return packages


def normalised(name: str) -> str:
    """A package's name as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def installed_here() -> Installed:
    """The packages of our own environment, in which the server of the deploy target `process` runs too."""
    return Installed(python_version(), tuple(_headers(found.read_text("METADATA") or "") for found in distributions()))


def installed_in(engine: DockerEngine, image: str) -> Installed:
    """What an image holds, read from its files; nothing of it is started."""
    packages = engine.read_files(image, "/packages", r".*\.dist-info/METADATA")
    status = engine.read_files(image, "/var/lib/dpkg/status", "status")
    copyrights = engine.read_files(image, "/usr/share/doc", r"doc/[^/]+/copyright")
    return Installed(
        engine.environment(image).get("PYTHON_VERSION", ""),
        tuple(_headers(text) for text in packages.values()),
        tuple(map(_headers, "\n".join(status.values()).strip().split("\n\n"))),
        {name.split("/")[1]: text for name, text in copyrights.items()},
    )


def bill_of_materials(release: Release, installed: Installed) -> str:
    """CycloneDX 1.6 as JSON without the time, so that the same release has the same bill."""
    from cyclonedx.model import Property
    from cyclonedx.model.bom import Bom, BomMetaData
    from cyclonedx.model.component import Component, ComponentType
    from cyclonedx.output.json import JsonV1Dot6
    from packageurl import PackageURL

    service = Component(
        type=ComponentType.CONTAINER if installed.debian else ComponentType.APPLICATION,
        bom_ref=f"release:{release.version}",
        name="app-review-sentiment",
        version=release.version,
        properties=[
            Property(name="mlops:dataset_version", value=release.dataset_version),
            Property(name="mlops:server_version", value=release.server_version),
        ],
    )
    components: list[Any] = [
        _model(release),
        *_python_packages(release, installed),
        *_debian_packages(installed),
    ]
    if installed.python:
        components.append(
            _package(PackageURL("generic", name="python", version=installed.python), ComponentType.PLATFORM)
        )
    if installed.debian:
        image, _, tag = BASE_IMAGE.partition(":")
        components.append(_package(PackageURL("docker", name=image, version=tag), ComponentType.CONTAINER))
    bom: Any = Bom(
        serial_number=uuid.uuid5(uuid.NAMESPACE_URL, f"release:{release.version}"),
        metadata=BomMetaData(component=service),
        components=components,
    )
    bom.register_dependency(service, components)
    content = json.loads(JsonV1Dot6(bom).output_as_string())
    del content["metadata"]["timestamp"]
    return json.dumps(content, indent=1, sort_keys=True) + "\n"


def _python_packages(release: Release, installed: Installed) -> "Iterator[Component]":
    """The locked packages, and in an image whatever else lies beside them."""
    from packageurl import PackageURL

    locked = locked_packages((release.folder / REQUIREMENTS).read_text(encoding="utf-8"))
    found = {normalised(about["Name"]): about for about in installed.packages if about["Name"]}
    for name in sorted({*locked, *(found if installed.debian else ())}):
        about = found.get(name)
        lock = locked.get(name)
        version = lock.version if lock else str(about and about["Version"])
        same = about is not None and about["Version"] == version
        yield _package(
            PackageURL("pypi", name=name, version=version),
            licences=_licences(about) if about is not None and same else (),
            hashes=_hashes(*lock.sha256) if lock else (),
        )


def _debian_packages(installed: Installed) -> "Iterator[Component]":
    from packageurl import PackageURL

    for about in installed.debian:
        if about["Status"] != "install ok installed":
            continue
        text = installed.copyrights.get(about["Package"], "")
        names = re.findall(r"(?m)^License:[ \t]*(\S.*)$", text) if text.startswith("Format:") else []
        yield _package(
            PackageURL("deb", "debian", about["Package"], about["Version"], {"arch": about["Architecture"]}),
            licences=_named_licences(*names),
        )


def _package(
    purl: "PackageURL",
    kind: "ComponentType | None" = None,
    *,
    licences: "Iterable[License]" = (),
    hashes: "Iterable[HashType]" = (),
) -> "Component":
    from cyclonedx.model.component import Component, ComponentType

    return Component(
        type=kind or ComponentType.LIBRARY,
        bom_ref=purl.to_string(),
        name=purl.name,
        version=purl.version,
        purl=purl,
        licenses=licences,
        hashes=hashes,
    )


def _model(release: Release) -> "Component":
    """The model, with each of its files."""
    from cyclonedx.model.component import Component, ComponentType

    files = json.loads((release.folder / RECORD).read_text(encoding="utf-8"))["files"]
    return Component(
        type=ComponentType.MACHINE_LEARNING_MODEL,
        bom_ref=f"model:{release.model_version}",
        name="sentiment",
        version=release.model_version,
        components=[
            Component(type=ComponentType.FILE, bom_ref=f"file:{name}", name=name, hashes=_hashes(sha256))
            for name, sha256 in files.items()
            if name.startswith("model/")
        ],
    )


def _hashes(*sha256: str) -> "list[HashType]":
    from cyclonedx.model import HashAlgorithm, HashType

    return [HashType(alg=HashAlgorithm.SHA_256, content=text) for text in sha256]


def _licences(about: Message) -> "list[License]":
    """As the package's makers declare it: an SPDX expression, else a name, else the classifiers."""
    from cyclonedx.contrib.license.factories import LicenseFactory

    declared = str(about["License-Expression"] or about["License"] or "").strip()
    if declared and "\n" not in declared and len(declared) <= _LONGEST_LICENCE_NAME and declared != "UNKNOWN":
        return [LicenseFactory().make_from_string(declared)]
    classifiers = [str(text) for text in about.get_all("Classifier", []) if str(text).startswith("License ::")]
    return _named_licences(*(text.rpartition(" :: ")[2] for text in classifiers))


def _named_licences(*names: str) -> "list[License]":
    from cyclonedx.contrib.license.factories import LicenseFactory

    return [LicenseFactory().make_with_name(name) for name in sorted(set(names))]


def _headers(text: str) -> Message:
    return HeaderParser().parsestr(text.lstrip("\n"))
