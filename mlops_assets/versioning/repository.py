"""Versions of data and models: read, staged and committed on the branch `pipeline`, without touching the user's files.

Two phases: data is added, pushed and proven to be in the remote; only then a commit names it. Killed anywhere, the next
run starts from the branch's tip in the user's repository and does again what is missing.
"""

import json
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any

from mlops_assets import artifact
from mlops_assets.artifact import Kind, model_version
from mlops_assets.failures import PermanentFailure
from mlops_assets.versioning.dvc.objects import pointed_object
from mlops_assets.versioning.git.pipeline_commit import (
    CARD,
    DECISION,
    GATE_PERCENTS,
    METRICS,
    MODELS,
    OPTIONAL,
    Change,
    gate_percents,
)
from mlops_assets.versioning.pipeline_clone import PipelineClone
from mlops_assets.versioning.staging import Staging
from mlops_assets.versioning.version_data import DATA, Base, VersionData, data_version
from mlops_assets.versioning.version_writer import Committed, DataVersion, VersionWriter
from mlops_assets.versioning.versions import ANEW, Version, is_generated, list_champions, list_versions

_GATE_OF_OLD_VERSIONS = 5
"""Versions that record no percent of the gate side had this one."""


class VersionElsewhere(PermanentFailure):
    """The data of a version is not in reach of this clone."""


class VersionRepository:
    """The versions of the user's repository that `clone` belongs to."""

    def __init__(self, clone: PipelineClone) -> None:
        self.clone = clone
        self._writer = VersionWriter(clone)
        self._staged_data: list[str] = []
        self._staged_models: list[str] = []
        self._metrics: dict[str, str] = {}

    @property
    def user_root(self) -> Path:
        return self.clone.user_root

    @property
    def data_folder(self) -> Path:
        """`.pipeline/data`: after `stage_data`, exactly what is versioned."""
        return self.clone.folder / "data"

    @property
    def now(self) -> Callable[[], datetime]:
        return self.clone.now

    @property
    def data(self) -> VersionData:
        """The data of versions in cache and remotes."""
        return VersionData(self.clone)

    def locked(self) -> AbstractContextManager[None]:
        """Keep other pipeline processes out of the clone; may be nested."""
        return self.clone.locked()

    def prepare(self) -> str | None:
        """Return `.pipeline/` to the branch's tip; see `PipelineClone.prepare`."""
        return self.clone.prepare()

    def dataset_version(self) -> str | None:
        """The data version at the branch's tip, as of the last `prepare`; None before the first of either."""
        if not self.clone.exists():
            return None
        tip = self.clone.branch.tip()
        return data_version({f"{output}.dvc": self.clone.branch.file(tip, f"{output}.dvc") for output in DATA})

    def look_at_origin(self, *, share: bool = True) -> str | None:
        """Learn which versions other clones pushed to origin; the reason if that is not possible, else None.

        If this run or this clone shares nothing, origin is not asked.
        """
        with self.locked():
            self.prepare()
            if not share or self._writer.why_kept_here():
                self.clone.branch.forget_origin()
                return None
            problem = self.clone.branch.look_at_origin()
            self.prepare()
            return problem

    def base(self) -> Base:
        """What the next version goes on from; if the newest version's data is out of reach, it starts anew."""
        with self.locked():
            self.clone.tip()
            return self.data.base()

    def taken_over(self) -> None:
        """Note that the user's folder `data/` holds the reviews of `Base.foreign`."""
        with self.locked():
            self.clone.branch.taken_over()

    def stored_files(self, output: str, commit: str | None = None) -> dict[str, Path]:
        """The files of `data/raw` or `data/validated` in a version, by relative name; without a commit, in the tip.

        They lie in the cache, under names of their own. Raises `VersionElsewhere` if they are out of reach.
        """
        with self.locked():
            commit = commit or self.clone.tip()
            pointer = self.clone.branch.file(commit, f"{output}.dvc")
            if commit is None or pointer is None:
                return {}
            if not self.bring(commit, [output]):
                raise VersionElsewhere(
                    f"{self.data.why_out_of_reach(commit, [output])}: set DVC_REMOTE_URL to the remote that has it, "
                    "or choose another version"
                )
            cache = self.clone.cache
            return {path: cache.path(md5) for path, md5 in cache.listing(pointed_object(pointer)).items()}

    def bring(self, commit: str, outputs: Iterable[str]) -> bool:
        """Download a version's outputs into the cache; whether all of it is there."""
        return self.data.bring(commit, outputs)

    def versions(self, live_model: str | None = None, *, newest: int | None = None) -> list[Version]:
        """The versions of the user's repository (see `list_versions`), each with where its data is if not here."""
        found = list_versions(self.clone.user.git, live_model, newest=newest)
        if found:
            self.clone.choose_remote_of(found[0].config)
        return [replace(version, elsewhere=self.elsewhere(version)) for version in found]

    def newest_versions(self) -> list[Version]:
        """The versions as of the last `prepare`, those that only origin or only this clone has included."""
        branch = self.clone.branch
        tip = branch.tip()
        found = list_versions(branch.git, ref=tip, also=branch.own()) if tip else []
        return [replace(version, elsewhere=self.elsewhere(version)) for version in found]

    def elsewhere(self, version: Version) -> str:
        """Where a version's data and models are that are not in reach, in a few words; empty if all are."""
        return self.data.elsewhere(version.objects.values(), self.clone.remote_named_in(version.config))

    def decision(self, commit: str | None = None) -> dict[str, Any] | None:
        """Which model a version (by default the newest) chose to serve, and why; None if it does not say."""
        with self.locked():
            branch = self.clone.branch
            text = branch.file(commit or branch.tip(), DECISION)
            return None if text is None else json.loads(text)

    def champions(self) -> list[tuple[str, datetime, dict[str, Any]]]:
        """The models that became champion, newest first; see `list_champions`."""
        with self.locked():
            branch = self.clone.branch
            return list_champions(branch.git, branch.tip())

    def fetch_model(self, model: str, target: Path, known: Sequence[Version] | None = None) -> None:
        """Replace the folder `target` by a model, from the newest version that holds it (of `known`, newest first).

        Raises `PermanentFailure` if no version does, or if its files are out of reach or damaged.
        """
        known = self.versions() if known is None else known
        holders = ((version, kind) for version in known for kind, own in version.models.items() if own == model)
        holder, kind = next(holders, (None, ""))
        if holder is None:
            raise PermanentFailure(f"no version on the branch holds the model {model}: choose another version")
        scratch = target.with_name(f".{target.name}.fetched")
        shutil.rmtree(scratch, ignore_errors=True)
        for name, path in self.stored_files(f"models/{kind}", holder.commit).items():
            copy = scratch / name
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copy)
        artifact.read(scratch)
        shutil.rmtree(target, ignore_errors=True)
        scratch.replace(target)

    def stage_data(
        self,
        raw: Mapping[str, Path],
        validated: Mapping[str, Path],
        optional: Mapping[str, Mapping[str, Path]] = MappingProxyType({}),
    ) -> None:
        """Make `.pipeline/data/raw` and `…/validated` hold exactly these files, by relative name.

        `optional` is further data by output; without files the next version has no such output.
        """
        with self.locked():
            more = {output: optional.get(output, {}) for output in OPTIONAL}
            self._writer.stage({"data/raw": raw, "data/validated": validated, **more})
            self._staged_data = [output for output in DATA if more.get(output, True)]

    def staged(self, output: str, files: Mapping[str, Path]) -> dict[str, str]:
        """The MD5 of those of the files, by relative name, that were staged as they are now. No file is read."""
        return Staging(self.clone.folder).objects(output, files)

    def smallest_gate(self, *, generated: bool | None = None) -> int | None:
        """The smallest percent of the gate side that was ever used, for generated reviews or real ones (by default
        those of the tip); None before the first. As of the last `prepare`.
        """
        if not self.clone.exists() or (tip := self.clone.branch.tip()) is None:
            return None
        trailers = self.clone.branch.trailers(tip)
        known, of_tip = gate_percents(trailers), is_generated(trailers)
        generated = of_tip if generated is None else generated
        if not known and "Data-Version" in trailers and generated == of_tip:
            return _GATE_OF_OLD_VERSIONS
        return known.get(_kind(generated=generated))

    def commit_data(
        self,
        run_id: str,
        message: str,
        summary: Mapping[str, Any] | None = None,
        *,
        gate_percent: int | None = None,
    ) -> DataVersion:
        """Version what `stage_data` staged.

        `summary` (source, rows by app, months, label mix) is kept as a JSON trailer; a version of generated reviews
        does not go to origin. `gate_percent` is that of the gate side, where the pipeline chooses it. If nothing
        changed there is no commit, and a remote folder that lost objects gets them again.
        """
        with self.locked():
            tip, anew = self.clone.tip(), self.base().anew
            pointers = self._writer.pointers(self._staged_data)
            if anew and all(self.clone.branch.file(tip, path) == text for path, text in pointers.items()):
                anew = None
            version = data_version(pointers)
            if version is None:
                raise PermanentFailure("stage_data comes before commit_data")
            trailers = {"Pipeline-Run": run_id, "Data-Version": version}
            if summary is not None:
                trailers["Data-Summary"] = json.dumps(summary, ensure_ascii=False, sort_keys=True)
            if gate_percent is not None:
                trailers[GATE_PERCENTS] = f"{_kind(generated=is_generated(trailers))}={gate_percent}"
            if anew:
                trailers[ANEW] = " ".join(anew.split())
            gone = frozenset(f"{output}.dvc" for output in OPTIONAL) - pointers.keys()
            done = self._writer.commit(Change(message, pointers, trailers, gone))
            return DataVersion(**vars(done), dataset_version=version, anew=anew)

    def stage_models(self, folders: Mapping[Kind, Path], metrics: Mapping[str, Path]) -> None:
        """Stage model folders by kind, and metrics files by name (`metrics.json`).

        A model without a folder stays as it is on the branch, without its scores: they belong to another version.
        """
        for name in metrics:
            if f"models/{name}" not in METRICS:
                raise PermanentFailure(f"{name!r} is no metrics file of the pipeline: {', '.join(METRICS)}")
        with self.locked():
            self._writer.stage({f"models/{kind}": _files_in(folder) for kind, folder in folders.items()})
            self._staged_models = list(folders)
            self._metrics = {f"models/{name}": path.read_text(encoding="utf-8") for name, path in metrics.items()}

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
        """Version what `stage_models` staged, trained on `dataset_version`.

        `champion` is the model that serves, `decision` why, `card` its model card; all are stored with the version.
        """
        with self.locked():
            tip = self.clone.tip()
            pointers = self._writer.pointers(f"models/{name}" for name in self._staged_models)
            trailers = {"Pipeline-Run": run_id, "Models-Data-Version": dataset_version}
            if champion is not None:
                trailers["Champion"] = champion
            trailers["Model-Versions"] = self._model_versions(tip)
            files = {**pointers, **self._metrics}
            if decision:
                files[DECISION] = json.dumps(decision, indent=1, ensure_ascii=False, sort_keys=True) + "\n"
            if card:
                files[CARD] = card
            dropped = {path for pointer, path in MODELS.items() if pointer not in pointers and path not in files}
            return self._writer.commit(Change(message, files, trailers, frozenset(dropped)))

    def _model_versions(self, tip: str | None) -> str:
        """The trailer with the versions of the models: those of the tip, replaced by the staged ones."""
        before = self.clone.branch.trailers(tip).get("Model-Versions", "")
        versions = dict(entry.split("=", 1) for entry in before.split())
        versions |= {name: model_version(self.clone.folder / "models" / name) for name in self._staged_models}
        return " ".join(f"{name}={version}" for name, version in sorted(versions.items()))


def _kind(*, generated: bool) -> str:
    return "generated" if generated else "real"


def _files_in(folder: Path) -> dict[str, Path]:
    return {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
