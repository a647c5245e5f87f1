"""Versions of data and models: a private clone of the user's repository, DVC in it, and the branch `pipeline`.

Two phases: data is added, pushed and proven to be in the remote; only then a commit names it. Killed anywhere, the next
run starts from the branch's tip in the user's repository and does again what is missing.
"""

import contextlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from mlops_assets.artifact import model_version
from mlops_assets.failures import PermanentFailure
from mlops_assets.settings import child_environment
from mlops_assets.versioning.dvc.chosen_remote import choose_remote, lies_outside
from mlops_assets.versioning.dvc.commands import Dvc
from mlops_assets.versioning.dvc.data_remote import DataRemote
from mlops_assets.versioning.dvc.objects import ObjectFolder, pointed_object
from mlops_assets.versioning.dvc.remote_url import Remote, committed_config, committed_url, local_config, named_remote
from mlops_assets.versioning.git.commands import GitFailure, without_the_users_settings
from mlops_assets.versioning.git.pipeline_branch import PipelineBranch, Published
from mlops_assets.versioning.git.pipeline_commit import CARD, CONFIG, DECISION, DVC_IGNORE, METRICS, Change
from mlops_assets.versioning.git.private_clone import PrivateClone
from mlops_assets.versioning.git.user_repository import Code, UserRepository
from mlops_assets.versioning.staging import Staging
from mlops_assets.versioning.version_data import DATA, Base, VersionData
from mlops_assets.versioning.version_outcome import DataVersion, ModelsVersion
from mlops_assets.versioning.version_proof import SCORES, VersionProof, write_if_new
from mlops_assets.versioning.versions import ANEW, Version, is_generated, list_versions

_DVC_IGNORE = "/config.local\n/tmp\n/cache\n"


class VersionElsewhere(PermanentFailure):
    """The data of a version is not in reach of this clone."""


class VersionRepository:
    """Versions in `<user_root>/.pipeline`; the user's branch, index, files, rebase and DVC cache are never touched."""

    def __init__(
        self,
        user_root: Path,
        clone: Path | None = None,
        *,
        dvc_program: Path | None = None,
        remote_url: str | None = None,
        remote_options: Mapping[str, str] | None = None,
        lock_wait_s: float = 60.0,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        at_phase: Callable[[str], None] = lambda _: None,
    ) -> None:
        """`remote_url` is the DVC remote, `remote_options` what DVC calls options.

        Without them it is the remote that the branch names, else the folder `.dvc-remote`.

        Raises `PermanentFailure` for a URL or an option (`endpointurl` …) that holds credentials.
        """
        self.user_root = user_root.resolve()
        self.folder = clone or self.user_root / ".pipeline"
        if self.folder.parent != self.user_root:
            raise PermanentFailure(f"{self.folder} must lie directly in {self.user_root}: its origin is the path ..")
        self._is_given = bool(remote_url)
        self._used = Remote(committed_url(remote_url, self.user_root), dict(remote_options or {}))
        committed_config("", self._used.url, self._used.options)
        self._environment = child_environment()
        self._own_environment = without_the_users_settings(self._environment)
        self._lock_wait_s, self.now, self._at_phase = lock_wait_s, now, at_phase
        program = dvc_program or self.user_root / ".venv-dvc" / "bin" / "dvc"
        self._dvc = Dvc(self.folder, program, self._own_environment, lock_wait_s)
        self.cache = ObjectFolder(self.folder / ".dvc" / "cache")
        self.remote = DataRemote(self._dvc, self.cache, self._used.url)
        self._code: Code | None = None
        self._staged_models: list[str] = []
        self._metrics: dict[str, str] = {}
        self._depth = 0

    @property
    def data_folder(self) -> Path:
        """`.pipeline/data`: after `stage_data`, exactly what is versioned."""
        return self.folder / "data"

    @cached_property
    def user(self) -> UserRepository:
        return UserRepository.at(self.user_root, self._environment, self._lock_wait_s)

    @property
    def branch(self) -> PipelineBranch:
        return PipelineBranch(self._clone, self.now, self._at_phase)

    @property
    def _data(self) -> VersionData:
        return VersionData(self._dvc, self.cache, self.remote, self._used, self.user_root, self.branch)

    @property
    def _proof(self) -> VersionProof:
        return VersionProof(self.folder, self._dvc, self._data, self.branch, self._at_phase)

    @property
    def url(self) -> str:
        """The DVC remote, as of the last `prepare`."""
        return self._used.url

    @property
    def _clone(self) -> PrivateClone:
        return PrivateClone(self.folder, self.user, self._own_environment, self._lock_wait_s)

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other pipeline processes out of the clone, over several calls where that is needed."""
        if self._depth:
            yield
            return
        with self._clone.locked():
            self._depth += 1
            try:
                yield
            finally:
                self._depth -= 1

    def prepare(self) -> str | None:
        """Make `.pipeline/`, or return it to the tip of branch `pipeline`; the tip's commit, None before the first.

        The code that commits of this run name is the user's as it is at this moment.
        """
        self.user.refuse_checked_out_branch()
        with self.locked():
            if not self._clone.exists():
                self._clone.make()
            try:
                return self._return_to_tip()
            except GitFailure:
                self._clone.make()
                return self._return_to_tip()

    def dataset_version(self) -> str | None:
        """The data version at the branch's tip, as of the last `prepare`; None before the first of either."""
        if not self._clone.exists():
            return None
        pointer = self.branch.file(self.branch.tip(), "data/validated.dvc")
        return None if pointer is None else pointed_object(pointer)[:12]

    def look_at_origin(self, *, share: bool = True) -> str | None:
        """Take notice of versions that other clones brought to origin; why that was not possible, else None.

        Where nothing is shared, by this run or by this clone, origin is not asked.
        """
        with self.locked():
            self.prepare()
            if not share or self._why_kept_here():
                self.branch.forget_origin()
                return None
            problem = self.branch.look_at_origin()
            self._return_to_tip()
            return problem

    def base(self) -> Base:
        """What the next version goes on from; where the newest one's data is out of reach, it starts anew."""
        with self.locked():
            if self._code is None:
                self.prepare()
            return self._data.base()

    def taken_over(self) -> None:
        """The reviews of `Base.foreign` are in the user's folder `data/`."""
        with self.locked():
            self.branch.taken_over()

    def stored_files(self, output: str, commit: str | None = None) -> dict[str, Path]:
        """The files of `data/raw` or `data/validated` in a version, by relative name; default: the tip's, as of the
        last `prepare`.

        They lie in the cache, under names of their own. Raises `VersionElsewhere` where they are out of reach.
        """
        with self.locked():
            tip = self.prepare() if self._code is None else self.branch.tip()
            commit = commit or tip
            pointer = self.branch.file(commit, f"{output}.dvc")
            if commit is None or pointer is None:
                return {}
            if not self.bring(commit, [output]):
                raise VersionElsewhere(
                    f"{self._data.said_of(commit, [output])}: set DVC_REMOTE_URL to the remote that has it, "
                    "or choose another version"
                )
            return {path: self.cache.path(md5) for path, md5 in self.cache.listing(pointed_object(pointer)).items()}

    def bring(self, commit: str, outputs: Iterable[str]) -> bool:
        """Download what a version's outputs consist of into the cache; whether all of it is there."""
        return self._data.bring(commit, outputs)

    def versions(self, live_model: str | None = None, *, newest: int | None = None) -> list[Version]:
        """What `list_versions` says of the user's repository, each with where its data lies if not here."""
        found = list_versions(self.user.git, live_model, newest=newest)
        if found and not self._is_given and self._code is None:
            self._use(choose_remote(named_remote(found[0].config, self.user_root), self.user_root, None))
        return [replace(version, elsewhere=self.elsewhere(version)) for version in found]

    def newest_versions(self) -> list[Version]:
        """The versions as of the last `prepare`, those that origin alone or this clone alone has included."""
        tip = self.branch.tip()
        found = list_versions(self._clone.git, ref=tip, also=self.branch.own()) if tip else []
        return [replace(version, elsewhere=self.elsewhere(version)) for version in found]

    def elsewhere(self, version: Version) -> str:
        """Where a version's data and models lie that are not in reach, in a few words; empty where all are."""
        return self._data.elsewhere(version.objects.values(), named_remote(version.config, self.user_root))

    def stage_data(self, raw: Mapping[str, Path], validated: Mapping[str, Path]) -> None:
        """Make `.pipeline/data/raw` and `…/validated` hold exactly these files, by relative name."""
        with self.locked():
            staging = Staging(self.folder)
            staging.make("data/raw", raw)
            staging.make("data/validated", validated)
            self._at_phase("staged")

    def commit_data(self, run_id: str, message: str, summary: Mapping[str, Any] | None = None) -> DataVersion:
        """Version what `stage_data` staged.

        `summary` (source, rows by app, months, label mix) is kept as a JSON trailer; a version of generated reviews is
        not for origin. Where nothing changed there is no commit, and a remote folder that lost objects gets them again.
        """
        with self.locked():
            if self._code is None:
                self.prepare()
            anew, tip = self.base().anew, self.branch.tip()
            pointers = self._proof.pointers(list(DATA))
            if anew and all(self.branch.file(tip, path) == text for path, text in pointers.items()):
                anew = None
            version = pointed_object(pointers["data/validated.dvc"])[:12]
            trailers = {"Pipeline-Run": run_id, "Data-Version": version}
            if summary is not None:
                trailers["Data-Summary"] = json.dumps(summary, ensure_ascii=False, sort_keys=True)
            if anew:
                trailers[ANEW] = " ".join(anew.split())
            published, pushed = self._commit(Change(message, pointers, trailers))
            return DataVersion(
                version, published.commit, published.changed, pushed, published.origin, self._known_code(), anew
            )

    def stage_models(self, bert: Path | None, classic: Path | None, metrics: Mapping[str, Path]) -> None:
        """Stage model folders and metrics files, by name (`metrics.json`).

        A model without a folder stays as it is on the branch, without its scores: they are of another version.
        """
        with self.locked():
            staging = Staging(self.folder)
            for name, folder in (("bert", bert), ("classic", classic)):
                if folder is not None:
                    files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
                    staging.make(f"models/{name}", files)
            self._staged_models = [
                name for name, folder in (("bert", bert), ("classic", classic)) if folder is not None
            ]
            for name in metrics:
                if f"models/{name}" not in METRICS:
                    raise PermanentFailure(f"{name!r} is no metrics file of the pipeline: {', '.join(METRICS)}")
            self._metrics = {f"models/{name}": path.read_text(encoding="utf-8") for name, path in metrics.items()}
            self._at_phase("staged")

    def commit_models(
        self,
        run_id: str,
        message: str,
        dataset_version: str,
        *,
        champion: str | None = None,
        decision: Mapping[str, Any] | None = None,
        card: str | None = None,
    ) -> ModelsVersion:
        """Version what `stage_models` staged, trained on `dataset_version`.

        `champion` is the model that serves, `decision` why, `card` its model card; both are stored with the version.
        """
        with self.locked():
            if self._code is None:
                self.prepare()
            pointers = self._proof.pointers([f"models/{name}" for name in self._staged_models])
            trailers = {"Pipeline-Run": run_id, "Models-Data-Version": dataset_version}
            if champion is not None:
                trailers["Champion"] = champion
            versions = dict(
                part.split("=", 1) for part in self.branch.trailers(self.branch.tip()).get("Model-Versions", "").split()
            )
            versions |= {name: model_version(self.folder / "models" / name) for name in self._staged_models}
            trailers["Model-Versions"] = " ".join(f"{name}={version}" for name, version in sorted(versions.items()))
            told = json.dumps(decision, indent=1, ensure_ascii=False, sort_keys=True) + "\n" if decision else None
            about = {DECISION: told, CARD: card}
            files = {**pointers, **self._metrics, **{path: text for path, text in about.items() if text}}
            absent = frozenset(
                path for pointer, path in SCORES.items() if pointer not in pointers and path not in files
            )
            published, pushed = self._commit(Change(message, files, trailers, absent))
            return ModelsVersion(published.commit, published.changed, pushed, published.origin, self._known_code())

    def decision(self, commit: str | None = None) -> dict[str, Any] | None:
        """Which model a version (the newest, if none is named) chose to serve, and why; None where it does not say."""
        with self.locked():
            text = self.branch.file(commit or self.branch.tip(), DECISION)
            return None if text is None else json.loads(text)

    def _return_to_tip(self) -> str | None:
        self._clone.clear_stale_locks()
        self._clone.configure()
        branch = self.branch
        branch.fetch()
        branch.refuse_tracked_outputs()
        tip = branch.tip()
        self._clone.check_out(tip)
        self._code = self.user.code(self._clone.git.git_dir / "user-index")
        dvc_folder = self.folder / ".dvc"
        dvc_folder.mkdir(exist_ok=True)
        if not self._is_given:
            self._choose(branch.file(tip, CONFIG))
        used = self._used
        write_if_new(dvc_folder / "config.local", local_config(used.url, used.options, self._dvc.site_cache))
        if tip is None:
            write_if_new(self.folder / CONFIG, self._config())
            write_if_new(dvc_folder / ".gitignore", _DVC_IGNORE)
        return tip

    def _commit(self, change: Change) -> tuple[Published, int]:
        pushed = 0

        def prove(tip: str | None) -> Change:
            nonlocal pushed
            files = {**change.files, CONFIG: self._config()}
            if self.branch.file(tip, DVC_IGNORE) is None:
                files[DVC_IGNORE] = _DVC_IGNORE
            same = all(self.branch.file(tip, path) == content for path, content in files.items())
            unasked = same and self.remote.folder is None
            dropped = change.dropped | (frozenset[str]() if unasked else self._proof.out_of_reach(files, tip))
            pushed += 0 if unasked else self._proof.push(files, tip, dropped)
            return Change(change.subject, files, change.trailers, dropped)

        trailers = change.trailers if "Data-Summary" in change.trailers else self.branch.trailers(self.branch.tip())
        kept_here = self._why_kept_here(generated=is_generated(trailers))
        return self.branch.publish(prove, self._known_code(), kept_here=kept_here), pushed

    def _why_kept_here(self, *, generated: bool = False) -> str:
        """Why the branch is not for origin; empty where other clones can use what it names."""
        if generated:
            return "versions of generated reviews are not shared"
        if not lies_outside(self._used.url, self.user_root):
            return (
                f"the DVC remote {self._used.url} lies in this clone, where others cannot get the data: to share "
                "versions, set DVC_REMOTE_URL to s3://… or to a folder outside that all clones reach"
            )
        return ""

    def _choose(self, config: str | None) -> None:
        """Use the remote that the branch names, where nobody named another and this clone reaches it."""
        local = self.folder / ".dvc" / "config.local"
        before = named_remote(local.read_text(encoding="utf-8"), self.folder) if local.is_file() else None
        self._use(choose_remote(named_remote(config, self.user_root), self.user_root, before and before.url))

    def _use(self, remote: Remote) -> None:
        self._used = remote
        self.remote = DataRemote(self._dvc, self.cache, self._used.url)

    def cached(self, name: str) -> bool:
        """Whether the cache holds the folder version `<md5>.dir`, every file of it."""
        return self._data.cached(name)

    def listing(self, name: str) -> dict[str, str] | None:
        """The files of the folder version `<md5>.dir` as cache or remote have it, None where neither does."""
        return self._data.listing(name)

    def remote_ages(self) -> dict[str, float | None]:
        """Every object of the remote with its age in seconds."""
        return self._dvc.remote_list()

    def _config(self) -> str:
        return committed_config(self.branch.head_file(CONFIG), self._used.url, self._used.options)

    def _known_code(self) -> Code:
        if self._code is None:
            raise PermanentFailure("prepare() comes before a commit")
        return self._code
