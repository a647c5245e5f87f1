"""The image itself, with the real engine: its size, its layers, its files, and registries that want a login."""

import hashlib
import json
import re
import shutil
import subprocess
import tarfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from mlops_assets.deploy.backend import Packaged
from mlops_assets.deploy.docker.backend import DockerBackend
from mlops_assets.deploy.docker.engine import BuildFailed, Login, PushFailed
from mlops_assets.deploy.release import build_release
from mlops_assets.deploy.sbom import bill_of_materials, installed_in, locked_packages
from mlops_assets.deploy.service import Service
from tests.docker_engine import REPOSITORY, servers
from tests.fakes.service import UNWATCHED, silent
from tests.integration.clients import wait_until
from tests.repository import ROOT
from tests.user_clone import free_port

pytestmark = [pytest.mark.docker, pytest.mark.long]

MB = 1_000_000
USER, PASSWORD = "robot", "right"
HTPASSWD = "robot:$2b$05$abcdefghijklmnopqrstuu8xaCxxL82bnl.UY74PMksDxIJShppPC"
PACKED = "application/vnd.docker.distribution.manifest.v2+json"


def layers_of(image: Packaged) -> list[dict[str, Any]]:
    """What the registry stores of it: digest and compressed size of each layer, the lowest first."""
    digest = image.reference.partition("@")[2]
    registry, _, name = REPOSITORY.partition("/")
    request = urllib.request.Request(f"http://{registry}/v2/{name}/manifests/{digest}", headers={"Accept": PACKED})
    with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310  # this machine's registry
        return json.load(answer)["layers"]


def files_of(engine: Any, image: str, folder: Path) -> dict[str, tuple[int, str]]:
    """Mode and SHA-256 of every file that the image adds to its base."""
    saved = folder / "files.tar"
    container = engine.client.containers.create(image)
    try:
        with saved.open("wb") as file:
            for chunk in container.export():
                file.write(chunk)
    finally:
        container.remove()
    found = {}
    with tarfile.open(saved) as tar:
        for member in tar:
            if member.isfile() and member.name.startswith(("app/", "packages/", "model/")):
                content = tar.extractfile(member)
                assert content is not None
                found[member.name] = (member.mode, hashlib.file_digest(content, "sha256").hexdigest())
    return found


def test_it_keeps_its_size_and_a_new_model_pushes_one_layer(images):
    first, second = layers_of(images["a"]), layers_of(images["b"])
    assert [layer["digest"] for layer in first[:-1]] == [layer["digest"] for layer in second[:-1]]
    assert first[-1]["digest"] != second[-1]["digest"]
    without_model = sum(layer["size"] for layer in first[:-1])
    assert without_model <= 350 * MB, f"{without_model / MB:.0f} MB compressed"


def test_the_same_release_gives_the_same_files_in_a_second_build_from_nothing(engine, releases, images, tmp_path):
    release, image = releases["a"], images["a"]
    dockerfile = tmp_path / "Dockerfile"
    stage = "FROM python:3.11-slim-bookworm"
    # Another first step in each stage: nothing of the first build's cache fits.
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    text = text.replace(f"{stage} AS packages\n", f"{stage} AS packages\nRUN true\n").replace(
        f"{stage}\n", f"{stage}\nRUN true && true\n"
    )
    dockerfile.write_text(text, encoding="utf-8")
    again = engine.build(release, f"{REPOSITORY}-again", silent, dockerfile=dockerfile)
    try:
        first, second = files_of(engine, image.reference, tmp_path), files_of(engine, again, tmp_path)
    finally:
        engine.client.images.remove(again, force=True)
    assert first == second
    packages = [name for name in first if name.startswith("packages/")]
    assert not [name for name in packages if name.split("/")[1] in {"pip", "setuptools"}]
    assert any(name.endswith(".pyc") for name in packages)


def test_its_packages_keep_their_size(engine, images):
    count = (
        "import os; print(sum(os.lstat(os.path.join(f, n)).st_size for f, _, ns in os.walk('/packages') for n in ns))"
    )
    size = int(engine.client.containers.run(images["a"].reference, ["-c", count], entrypoint="python", remove=True))
    assert 50 * MB < size <= 250 * MB, f"{size / MB:.0f} MB"


def test_it_says_what_it_holds(engine, releases, images):
    labels = engine.client.images.get(images["a"].reference).labels
    wanted = {"release": "version", "model": "model_version", "dataset": "dataset_version", "server": "server_version"}
    assert {name: labels[f"mlops.{name}"] for name in wanted} == {
        name: getattr(releases["a"], of) for name, of in wanted.items()
    }


@pytest.fixture
def locked_registry(tmp_path) -> Iterator[str]:
    """A registry on this machine that takes nothing without user and password."""
    program = shutil.which("docker-registry")
    if program is None:
        pytest.skip("no docker-registry program")
    port = free_port()
    (tmp_path / "htpasswd").write_text(HTPASSWD + "\n", encoding="ascii")
    (tmp_path / "registry.yml").write_text(
        f"version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {tmp_path}/store}}}}\n"
        f"http: {{addr: '127.0.0.1:{port}'}}\nauth: {{htpasswd: {{realm: test, path: {tmp_path}/htpasswd}}}}\n",
        encoding="utf-8",
    )
    with subprocess.Popen(
        [program, "serve", str(tmp_path / "registry.yml")], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        try:
            assert wait_until(lambda: _tags(port, "none") is not None)
            yield f"localhost:{port}"
        finally:
            process.terminate()


def _tags(port: int, name: str) -> list[str] | None:
    """The repository's tags; none known is an empty list, no registry is None."""
    manager = urllib.request.HTTPPasswordMgrWithDefaultRealm()
    manager.add_password(None, f"http://127.0.0.1:{port}", USER, PASSWORD)
    opener = urllib.request.build_opener(urllib.request.HTTPBasicAuthHandler(manager))
    try:
        with opener.open(f"http://127.0.0.1:{port}/v2/{name}/tags/list", timeout=5) as answer:
            return json.load(answer)["tags"] or []
    except urllib.error.HTTPError as error:
        with error:
            return [] if error.code == 404 else None
    except OSError:
        return None


def test_a_registry_with_a_login_takes_it_and_a_refused_push_leaves_nothing_behind(
    engine, releases, locked_registry, tmp_path
):
    release, port = releases["a"], int(locked_registry.rpartition(":")[2])
    repository, tags = f"{locked_registry}/app", (f"v{releases['a'].model_version}", "main-0123456789ab", "latest")

    def service(password: str) -> Service:
        login = Login(USER, password)
        return Service(DockerBackend(tmp_path / "state", free_port(), repository=repository, login=login))

    refused = service("wrong")
    with pytest.raises(PushFailed, match="was not pushed"):
        refused.package(release, tags, silent)
    assert refused.packaged(release.version) is None
    assert _tags(port, "app") == []
    taken = service(PASSWORD)
    said: list[str] = []
    image = taken.package(release, tags, said.append)
    assert set(_tags(port, "app") or ()) == {release.version, *tags}
    assert any(f"{image.reference} answers its 3 golden sentences" in line for line in said)
    assert [line for line in said if line.startswith("pushed")][-1].endswith(":latest")
    assert PASSWORD not in "".join(said)

    reference = image.reference
    taken.prune(frozenset({release.version}), silent)
    assert engine.has_image(reference)
    taken.prune(frozenset(), silent)
    assert not engine.has_image(reference)
    assert taken.packaged(release.version) is None


def test_the_bill_of_materials_lists_what_lies_in_the_image(engine, images, releases):
    bill = bill_of_materials(releases["a"], installed_in(engine, images["a"].reference))
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(bill) is None
    found = {part.get("purl", part["bom-ref"]): part for part in json.loads(bill)["components"]}
    locked = locked_packages((ROOT / "locks" / "serving.txt").read_text(encoding="utf-8"))
    python = {purl: part for purl, part in found.items() if purl.startswith("pkg:pypi/")}
    assert python.keys() == {f"pkg:pypi/{name}@{package.version}" for name, package in locked.items()}
    assert all(part["licenses"] and part["hashes"] for part in python.values())
    asked = ["dpkg-query", "--show", "--showformat", "${Package} ${Version}\n"]
    listed = engine.client.containers.run(images["a"].reference, entrypoint=asked, remove=True).decode().splitlines()
    debian = {purl: part for purl, part in found.items() if purl.startswith("pkg:deb/debian/")}
    assert sorted(f"{part['name']} {part['version']}" for part in debian.values()) == sorted(listed)
    assert any(part.get("licenses") for part in debian.values())


def test_a_package_that_is_not_the_locked_one_gives_no_image(engine, releases, tmp_path):
    lock = tmp_path / "serving.txt"
    lock.write_text(f"click==8.5.1 --hash=sha256:{'0' * 64}\n", encoding="utf-8")
    tampered = build_release(releases["a"].model, tmp_path / "built", lock=lock)
    with pytest.raises(BuildFailed, match="DO NOT MATCH THE HASHES"):
        engine.build(tampered, REPOSITORY, silent)


def test_the_image_is_locked_down_and_holds_only_the_release(engine, service, releases, images, tmp_path):
    service.deploy(releases["a"], silent, watching=UNWATCHED)
    (container,) = servers(engine, service)
    host = container.attrs["HostConfig"]
    assert host["ReadonlyRootfs"]
    assert host["CapDrop"] == ["ALL"]
    assert container.attrs["Config"]["User"] == "10001:10001"
    assert container.labels["mlops.model"] == releases["a"].model_version
    found = container.exec_run(["python", "-c", "import pip"])
    assert found.exit_code == 1
    with (tmp_path / "image.tar").open("wb") as file:
        for chunk in engine.client.images.get(images["a"].reference).save():
            file.write(chunk)
    names = set()
    with tarfile.open(tmp_path / "image.tar") as image:
        for layer in (member for member in image.getmembers() if member.name.endswith("layer.tar")):
            with tarfile.open(fileobj=image.extractfile(layer)) as files:
                names.update(files.getnames())
    assert "app/mlops_assets/serving/app.py" in names
    forbidden = re.compile(r"(^|/)(\.git|\.env|torch|sklearn|dagster|pandas|params\.yaml|.*\.csv)(/|$)")
    assert [name for name in names if forbidden.search(name)] == []


def test_a_build_that_fails_says_why_and_leaves_no_tag(engine, releases, tmp_path):
    dockerfile = tmp_path / "Dockerfile"
    dockerfile.write_text("FROM python:3.11-slim-bookworm\nRUN echo the reason && exit 3\n")
    with pytest.raises(BuildFailed, match=r"(?s)returned a non-zero code: 3.*the reason"):
        engine.build(releases["a"], "localhost:5000/mlops-test-failed", silent, dockerfile=dockerfile)
    assert not engine.has_image(f"localhost:5000/mlops-test-failed:{releases['a'].version}")
