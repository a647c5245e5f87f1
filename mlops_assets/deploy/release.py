"""A release: an immutable folder with a model and the server that answers with it, named by its content.

release.json   versions and the SHA-256 of every file; written last
app/           the server's sources, the only code that the service imports from the project
model/         the sealed model folder, without what only training reads
requirements.txt   the server's locked dependencies, if there is a lock
"""

import hashlib
import json
import re
import shutil
import uuid
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from mlops_assets import artifact
from mlops_assets.artifact import Golden
from mlops_assets.failures import PermanentFailure
from mlops_assets.files import replace_file, sha256, sync

RECORD = "release.json"
REQUIREMENTS = "requirements.txt"
_PACKAGE = Path(__file__).parents[1]
SERVER_MODULES = ("__init__.py", "artifact.py", "failures.py", "files.py", "masking.py", "text.py", "trained_on.py")
"""What the server imports of the project, beside `serving/`."""
_BUILDING = ".building-"


class BrokenRelease(PermanentFailure):
    """The folder is no release, or its content is not what its name says."""


@dataclass(frozen=True)
class Release:
    """A built release; `version` is a hash of everything in it."""

    version: str
    folder: Path
    model_version: str
    dataset_version: str
    server_version: str

    @property
    def model(self) -> Path:
        return self.folder / "model"

    @property
    def app(self) -> Path:
        return self.folder / "app"

    @property
    def wants_gpu(self) -> bool:
        """Whether its server computes on a GPU: its lock then names the GPU build of the runtime."""
        lock = self.folder / REQUIREMENTS
        return lock.is_file() and "onnxruntime-gpu==" in lock.read_text(encoding="utf-8")

    def golden(self) -> tuple[Golden, ...]:
        """What the service must answer."""
        return artifact.read_golden(self.model)


def build_release(champion: Path, releases: Path, *, lock: Path | None = None, package: Path = _PACKAGE) -> Release:
    """Build the release of `champion` and the server under `releases`, or return the existing one if nothing differs.

    The folder appears under its name in one rename, so no half-built release is ever seen.
    """
    manifest = artifact.read(champion)
    releases.mkdir(parents=True, exist_ok=True)
    scratch = releases / f"{_BUILDING}{uuid.uuid4().hex}"
    try:
        _copy_server(package, scratch / "app" / "mlops_assets")
        shutil.copytree(
            champion,
            scratch / "model",
            copy_function=shutil.copyfile,
            ignore=shutil.ignore_patterns(*manifest.training_files),
        )
        if lock is not None:
            shutil.copyfile(lock, scratch / REQUIREMENTS)
        files = {path.relative_to(scratch).as_posix(): sha256(path) for path in _files(scratch)}
        server = {name: digest for name, digest in files.items() if not name.startswith("model/")}
        model_version = artifact.model_version(scratch / "model")
        server_version = _digest(server)
        version = _digest({"server": server_version, "model": model_version})
        finished = releases / version
        release = Release(version, finished, model_version, manifest.trained_with.dataset_version, server_version)
        if not finished.exists():
            record = {**asdict(release), "files": files}
            del record["folder"]
            replace_file(scratch / RECORD, json.dumps(record, indent=1, sort_keys=True))
            _publish(scratch, finished)
        read_release(finished)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return release


def release_version(champion: Path, *, lock: Path | None = None, package: Path = _PACKAGE) -> str:
    """The name that `build_release` would give, without building."""
    paths = {f"app/mlops_assets/{name}": package / name for name in SERVER_MODULES}
    for path in _files(package / "serving"):
        paths[f"app/mlops_assets/{path.relative_to(package).as_posix()}"] = path
    if lock is not None:
        paths[REQUIREMENTS] = lock
    server = _digest({name: sha256(path) for name, path in paths.items()})
    return _digest({"server": server, "model": artifact.model_version(champion)})


def image_tags(model_version: str, branch: str, commit: str) -> tuple[str, ...]:
    """`v<model version>`, `<branch>-<short commit>` if there is a commit, and `latest`, which moves last."""
    of_code = (f"{re.sub(r'[^A-Za-z0-9_.-]+', '-', branch)[:100].lstrip('.-')}-{commit[:12]}",) if commit else ()
    return (f"v{model_version}", *of_code, "latest")


def read_release(folder: Path) -> Release:
    """The release in `folder`, every file verified; raises `BrokenRelease`."""
    try:
        record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        files = record.pop("files")
        release = Release(folder=folder, **record)
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise BrokenRelease(f"{folder} is no release ({error}): delete the folder and run again") from error
    found = {path.relative_to(folder).as_posix(): sha256(path) for path in _files(folder) if path.name != RECORD}
    wrong = sorted(name for name in found.keys() | files.keys() if found.get(name) != files.get(name))
    if wrong:
        raise BrokenRelease(
            f"{folder}: {', '.join(wrong[:5])} changed since it was built: delete the folder, run again"
        )
    return release


def prune_releases(releases: Path, keep: frozenset[str]) -> list[str]:
    """Remove what a killed build left and the releases that are not in `keep`; returns the removed names."""
    removed = []
    for folder in sorted(releases.iterdir()) if releases.is_dir() else []:
        if folder.is_dir() and folder.name not in keep:
            shutil.rmtree(folder)
            removed.append(folder.name)
    return removed


def _copy_server(package: Path, target: Path) -> None:
    target.mkdir(parents=True)
    for name in SERVER_MODULES:
        shutil.copyfile(package / name, target / name)
    shutil.copytree(
        package / "serving",
        target / "serving",
        copy_function=shutil.copyfile,
        ignore=shutil.ignore_patterns("__pycache__"),
    )


def _publish(scratch: Path, finished: Path) -> None:
    for path in _files(scratch):
        path.chmod(0o444)
        sync(path)
    try:
        scratch.rename(finished)
    except OSError:
        if not finished.is_dir():  # Another process built the same content first: its folder is this one.
            raise
    sync(finished.parent)


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.rglob("*")) if path.is_file() and "__pycache__" not in path.parts)


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:12]
