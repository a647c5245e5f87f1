"""Versions of data and models: a private clone of the user's repository, DVC in it, and the branch `pipeline`.

Two phases: data is added, pushed and proven to be in the remote; only then a commit names it. Killed anywhere, the next
run starts from the branch's tip in the user's repository and does again what is missing.
"""

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from mlops_assets.artifact import model_version
from mlops_assets.failures import PermanentFailure
from mlops_assets.resources.data_remote import DamagedCache, DataRemote
from mlops_assets.resources.dvc_commands import Dvc
from mlops_assets.resources.dvc_objects import ObjectFolder, parse_listing, pointed_object
from mlops_assets.resources.git_commands import GitFailure, without_the_users_settings
from mlops_assets.resources.pipeline_branch import (
    CARD,
    CONFIG,
    DECISION,
    METRICS,
    POINTERS,
    Change,
    PipelineBranch,
    Published,
)
from mlops_assets.resources.private_clone import PrivateClone
from mlops_assets.resources.remote_url import committed_config, committed_url, local_config
from mlops_assets.resources.staging import Staging
from mlops_assets.resources.user_repository import BRANCH, Code, UserRepository
from mlops_assets.resources.version_outcome import DataVersion, ModelsVersion
from mlops_assets.resources.versions import Version, list_versions
from mlops_assets.settings import child_environment

_RULE = ".gitignore and .dvcignore must name the outputs exactly (/data/raw), never /data/*: correct them and commit"
_SCORES = {"models/bert.dvc": "models/bert_metrics.json", "models/classic.dvc": "models/metrics.json"}
_DVC_IGNORE = "/config.local\n/tmp\n/cache\n"


class DvcRepository:
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
        """`remote_url` is the DVC remote (default: the folder `.dvc-remote`), `remote_options` what DVC calls options.

        Raises `PermanentFailure` for a URL or an option (`endpointurl` …) that holds credentials.
        """
        self.user_root = user_root.resolve()
        self.folder = clone or self.user_root / ".pipeline"
        if self.folder.parent != self.user_root:
            raise PermanentFailure(f"{self.folder} must lie directly in {self.user_root}: its origin is the path ..")
        self.url = committed_url(remote_url, self.user_root)
        self._options = dict(remote_options or {})
        committed_config("", self.url, self._options)
        self._environment = child_environment()
        self._own_environment = without_the_users_settings(self._environment)
        self._lock_wait_s, self.now, self._at_phase = lock_wait_s, now, at_phase
        program = dvc_program or self.user_root / ".venv-dvc" / "bin" / "dvc"
        self._dvc = Dvc(self.folder, program, self._own_environment, lock_wait_s)
        self.cache = ObjectFolder(self.folder / ".dvc" / "cache")
        self.remote = DataRemote(self._dvc, self.cache, self.url)
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
        return PipelineBranch(self._clone.git, self.user, self.now, self._at_phase)

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
        """The data version at the branch's tip, as of the last `prepare`; None before the first."""
        pointer = self.branch.file(self.branch.tip(), "data/validated.dvc")
        return None if pointer is None else pointed_object(pointer)[:12]

    def stored_files(self, output: str, commit: str | None = None) -> dict[str, Path]:
        """The files of `data/raw` or `data/validated` in a version, by relative name; default: the tip's, as of the
        last `prepare`.

        They lie in the cache, under names of their own. Raises `PermanentFailure` where neither cache nor remote has
        them.
        """
        with self.locked():
            tip = self.prepare() if self._code is None else self.branch.tip()
            commit = commit or tip
            pointer = self.branch.file(commit, f"{output}.dvc")
            if commit is None or pointer is None:
                return {}
            name = pointed_object(pointer)
            if not self.cached(name):
                self.branch.look_at(commit)
                try:
                    self.fetch([f"{output}.dvc"])
                finally:
                    self.branch.check_out(tip)
            if not self.cached(name):  # DVC takes an object that the remote lacks for a warning.
                raise PermanentFailure(
                    f"neither cache nor remote holds {output} of version {commit[:12]} on branch {BRANCH}: set "
                    "DVC_REMOTE_URL to the remote that has it, or remove the branch here and at origin to start anew"
                )
            return {path: self.cache.path(md5) for path, md5 in self.cache.listing(name).items()}

    def versions(self, live_model: str | None = None, *, newest: int | None = None) -> list[Version]:
        """What `list_versions` says of the user's repository."""
        return list_versions(self.user.git, live_model, newest=newest)

    def stage_data(self, raw: Mapping[str, Path], validated: Mapping[str, Path]) -> None:
        """Make `.pipeline/data/raw` and `…/validated` hold exactly these files, by relative name."""
        with self.locked():
            staging = Staging(self.folder)
            staging.make("data/raw", raw)
            staging.make("data/validated", validated)
            self._at_phase("staged")

    def commit_data(self, run_id: str, message: str, summary: Mapping[str, Any] | None = None) -> DataVersion:
        """Version what `stage_data` staged. `summary` (rows by app, months, label mix) is kept as a JSON trailer.

        Where nothing changed there is no commit, and a remote folder that lost objects gets them again.
        """
        with self.locked():
            if self._code is None:
                self.prepare()
            pointers = self._pointers(["data/raw", "data/validated"])
            version = pointed_object(pointers["data/validated.dvc"])[:12]
            trailers = {"Pipeline-Run": run_id, "Data-Version": version}
            if summary is not None:
                trailers["Data-Summary"] = json.dumps(summary, ensure_ascii=False, sort_keys=True)
            published, pushed = self._commit(Change(message, pointers, trailers))
            return DataVersion(
                version, published.commit, published.changed, pushed, published.origin, self._known_code()
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
            pointers = self._pointers([f"models/{name}" for name in self._staged_models])
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
                path for pointer, path in _SCORES.items() if pointer not in pointers and path not in files
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
        branch.check_out(tip)
        self._code = self.user.code(self._clone.git.git_dir / "user-index")
        dvc_folder = self.folder / ".dvc"
        dvc_folder.mkdir(exist_ok=True)
        _write_if_new(dvc_folder / "config.local", local_config(self.url, self._options, self._dvc.site_cache))
        if tip is None:
            _write_if_new(self.folder / CONFIG, self._config())
            _write_if_new(dvc_folder / ".gitignore", _DVC_IGNORE)
        return tip

    def _pointers(self, outputs: list[str]) -> dict[str, str]:
        """The `.dvc` files of staged folders, from the branch where the content is the same, else from `dvc add`."""
        tip, staging = self.branch.tip(), Staging(self.folder)
        found: dict[str, str] = {}
        changed = []
        for output in outputs:
            path = f"{output}.dvc"
            known = self.branch.file(tip, path)
            if known is not None and pointed_object(known) == staging.object_of(output):
                found[path] = known
            else:
                changed.append(output)
        if changed:
            self._add(changed)
            found |= {
                f"{output}.dvc": (self.folder / f"{output}.dvc").read_text(encoding="utf-8") for output in changed
            }
        return found

    def _add(self, outputs: list[str]) -> None:
        ignored = self.branch.head_file(".gitignore")
        _write_if_new(self.folder / ".gitignore", ignored)
        self._dvc.add(outputs)
        staging = Staging(self.folder)
        for output in outputs:
            pointer = self.folder / f"{output}.dvc"
            wanted = staging.object_of(output)
            got = pointed_object(pointer.read_text(encoding="utf-8")) if pointer.is_file() else "no pointer"
            if got != wanted:
                raise PermanentFailure(f"dvc add {output} gave {got} instead of {wanted}: {_RULE}")
        if ignored != (self.branch.file(self.branch.tip(), ".gitignore") or ""):
            found = self._dvc.stages()
            for output in outputs:
                if f"{output}.dvc" not in found:
                    raise PermanentFailure(f"DVC finds no {output}.dvc, so dvc pull would bring nothing: {_RULE}")
        self._at_phase("added")

    def _commit(self, change: Change) -> tuple[Published, int]:
        tip = self.branch.tip()
        files = {**change.files, CONFIG: self._config()}
        if self.branch.file(tip, ".dvc/.gitignore") is None:
            files[".dvc/.gitignore"] = _DVC_IGNORE
        same = all(self.branch.file(tip, path) == content for path, content in files.items())
        unasked = same and self.remote.folder is None
        dropped = change.dropped | (frozenset[str]() if unasked else self._out_of_reach(files, tip))
        pushed = 0 if unasked else self._push(files, tip, dropped)
        self._at_phase("proven")
        change = Change(change.subject, files, change.trailers, dropped)
        return self.branch.publish(change, self._known_code()), pushed

    def _out_of_reach(self, files: Mapping[str, str], tip: str | None) -> frozenset[str]:
        """Pointers of the tip, and the scores beside them, whose data neither cache nor remote has.

        So it is in a new clone with a remote of its own: a version there must not name what nobody can pull from it.
        """
        lost = set[str]()
        for path in POINTERS:
            text = None if path in files else self.branch.file(tip, path)
            if text is None or self.cached(pointed_object(text)):
                continue
            if self.remote.missing(self.remote.objects_of([pointed_object(text)])):
                lost |= {path, _SCORES.get(path, path)}
        if any(path in _SCORES for path in lost):
            lost |= {DECISION, CARD} - files.keys()
        return frozenset(lost)

    def _push(self, files: Mapping[str, str], tip: str | None, dropped: frozenset[str]) -> int:
        """Prove that the remote holds every pointer of the version; add and push what it lacks."""
        texts = {path: files.get(path) or self.branch.file(tip, path) for path in POINTERS if path not in dropped}
        pointers = {path: pointed_object(text) for path, text in texts.items() if text is not None}
        absent = self.remote.missing(self.remote.objects_of(pointers.values()))
        if not absent:
            return 0
        staged = [path.removesuffix(".dvc") for path in pointers if path in files]
        try:
            return self._push_again(pointers, staged)
        except DamagedCache:
            return self._push_again(pointers, staged)

    def _push_again(self, pointers: Mapping[str, str], staged: list[str]) -> int:
        lost = [output for output in staged if not self.cached(pointers[f"{output}.dvc"])]
        if lost:
            self._add(lost)
        pushed = self.remote.push(pointers)
        self._at_phase("pushed")
        return pushed

    def cached(self, name: str) -> bool:
        """Whether the cache holds the folder version `<md5>.dir`, every file of it."""
        return self.cache.holds(name) and all(self.cache.holds(item) for item in self.cache.listing(name).values())

    def fetch(self, pointers: list[str]) -> None:
        """Download into the cache what the pointers in the clone's work tree name."""
        self._dvc.fetch(pointers)

    def listing(self, name: str) -> dict[str, str] | None:
        """The files of the folder version `<md5>.dir` as cache or remote have it, None where neither does."""
        for folder in (self.cache, self.remote.folder):
            if folder is not None and folder.holds(name):
                return folder.listing(name)
        if self.remote.folder is not None or name not in self._dvc.remote_holds([name]):
            return None
        return parse_listing(self._dvc.remote_read(name).encode())

    def remote_ages(self) -> dict[str, float | None]:
        """Every object of the remote with its age in seconds."""
        return self._dvc.remote_list()

    def _config(self) -> str:
        return committed_config(self.branch.head_file(CONFIG), self.url, self._options)

    def _known_code(self) -> Code:
        if self._code is None:
            raise PermanentFailure("prepare() comes before a commit")
        return self._code


def _write_if_new(path: Path, text: str) -> None:
    if not path.is_file() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")
