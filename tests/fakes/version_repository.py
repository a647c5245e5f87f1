# ruff: noqa: ARG002 - a stand-in takes what the real one takes
"""VersionRepository in memory: the same versions for the same files, without git, DVC and a remote."""

import hashlib
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from mlops_assets.artifact import Kind, model_version
from mlops_assets.versioning.git.pipeline_commit import OPTIONAL
from mlops_assets.versioning.git.user_repository import Code
from mlops_assets.versioning.staging import Staging
from mlops_assets.versioning.version_data import Base, data_version
from mlops_assets.versioning.version_writer import Committed, DataVersion


@dataclass
class FakeVersionRepository:
    """Records every commit in `commits`; `failure`, where set, is raised by the next commit."""

    folder: Path = field(default_factory=lambda: Path(tempfile.mkdtemp(prefix="pipeline-")))
    commits: list[dict[str, Any]] = field(default_factory=list)
    failure: Exception | None = None
    code: Code = field(default_factory=lambda: Code("0" * 40, None))
    _staged: dict[str, str] = field(default_factory=dict)
    _metrics: dict[str, str] = field(default_factory=dict)
    gates: dict[bool, int] = field(default_factory=dict)
    _generated: bool = False

    @property
    def data_folder(self) -> Path:
        return self.folder / "data"

    @contextmanager
    def locked(self) -> Iterator[None]:
        yield

    def prepare(self) -> str | None:
        return self.commits[-1]["commit"] if self.commits else None

    def dataset_version(self) -> str | None:
        return self._version(self.commits[-1]["files"]) if self.commits else None

    @staticmethod
    def _version(files: Mapping[str, str]) -> str | None:
        pointers = {f"{name}.dvc": f"outs:\n- md5: {value}\n" for name, value in files.items()}
        return data_version(pointers)

    @property
    def user_root(self) -> Path:
        return self.folder

    def look_at_origin(self, *, share: bool = True) -> str | None:
        return None

    def base(self) -> Base:
        return Base(self.prepare())

    def taken_over(self) -> None:
        pass

    def stored_files(self, output: str, commit: str | None = None) -> dict[str, Path]:
        folder = self.folder / output
        return {path.relative_to(folder).as_posix(): path for path in folder.rglob("*.parquet")} if self.commits else {}

    def versions(self, live_model: str | None = None, *, newest: int | None = None) -> list[Any]:
        return []

    def champions(self) -> list[Any]:
        return []

    def stage_data(
        self,
        raw: Mapping[str, Path],
        validated: Mapping[str, Path],
        optional: Mapping[str, Mapping[str, Path]] = MappingProxyType({}),
    ) -> None:
        staging = Staging(self.folder)
        more = {name: optional.get(name, {}) for name in OPTIONAL}
        for name, files in {"data/raw": raw, "data/validated": validated, **more}.items():
            staging.make(name, files)
            self._staged.pop(name, None)
            if more.get(name, True):
                self._staged[name] = staging.object_of(name)

    def staged(self, output: str, files: Mapping[str, Path]) -> dict[str, str]:
        return Staging(self.folder).objects(output, files)

    def smallest_gate(self, *, generated: bool | None = None) -> int | None:
        return self.gates.get(self._generated if generated is None else generated)

    def commit_data(
        self,
        run_id: str,
        message: str,
        summary: Mapping[str, Any] | None = None,
        *,
        gate_percent: int | None = None,
    ) -> DataVersion:
        self._generated = (summary or {}).get("source") == "sample"
        if gate_percent is not None:
            self.gates[self._generated] = min(self.gates.get(self._generated, gate_percent), gate_percent)
        files = {name: value for name, value in self._staged.items() if name.startswith("data/")}
        version = self._version(files)
        assert version is not None, "stage_data comes before commit_data"
        commit, changed = self._commit(run_id, message, files, {"Data-Version": version, "Data-Summary": summary})
        return DataVersion(commit, changed, len(files) if changed else 0, "none", self.code, version)

    def stage_models(self, folders: Mapping[Kind, Path], metrics: Mapping[str, Path]) -> None:
        for kind, folder in folders.items():
            self._staged[f"models/{kind}"] = model_version(folder)
        self._metrics = {f"models/{name}": path.read_text(encoding="utf-8") for name, path in metrics.items()}

    def decision(self, commit: str | None = None) -> dict[str, Any] | None:
        return self.commits[-1]["trailers"].get("decision") if self.commits else None

    def commit_models(
        self,
        run_id: str,
        message: str,
        dataset_version: str,
        *,
        champion: str | None = None,
        decision: Mapping[str, Any] | None = None,
        card: str | None = None,
    ) -> Committed:
        files = {name: value for name, value in self._staged.items() if name.startswith("models/")} | self._metrics
        commit, changed = self._commit(
            run_id, message, files, {"Models-Data-Version": dataset_version, "Champion": champion, "decision": decision}
        )
        return Committed(commit, changed, len(files) if changed else 0, "none", self.code)

    def _commit(
        self, run_id: str, message: str, files: Mapping[str, str], trailers: Mapping[str, Any]
    ) -> tuple[str, bool]:
        if self.failure is not None:
            failure, self.failure = self.failure, None
            raise failure
        before = self.commits[-1]["files"] if self.commits else {}
        gone = {name for name in OPTIONAL if name not in self._staged}
        after = {name: value for name, value in {**before, **files}.items() if name not in gone}
        if after == before:
            return self.commits[-1]["commit"], False
        commit = hashlib.sha1(repr((len(self.commits), sorted(after.items()))).encode()).hexdigest()  # noqa: S324  a name as git's
        self.commits.append(
            {"commit": commit, "run_id": run_id, "message": message, "files": after, "trailers": dict(trailers)}
        )
        return commit, True
