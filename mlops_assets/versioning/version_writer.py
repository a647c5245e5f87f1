"""Writing a version: folders are staged and added to DVC, pushed and proven to be in the remote, then committed.

A commit is made only when the remote holds everything that it names.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from mlops_assets.failures import PermanentFailure
from mlops_assets.versioning.dvc.data_remote import DamagedCache, DataRemote
from mlops_assets.versioning.dvc.objects import pointed_object
from mlops_assets.versioning.git.pipeline_branch import PipelineBranch
from mlops_assets.versioning.git.pipeline_commit import CARD, CONFIG, DECISION, DVC_IGNORE, MODELS, POINTERS, Change
from mlops_assets.versioning.git.user_repository import Code
from mlops_assets.versioning.pipeline_clone import DVC_IGNORE_TEXT, PipelineClone, write_if_new
from mlops_assets.versioning.staging import Staging
from mlops_assets.versioning.versions import is_generated

_RULE = ".gitignore and .dvcignore must name the outputs exactly (/data/raw), never /data/*: correct them and commit"


@dataclass(frozen=True)
class Committed:
    """The branch after a commit.

    origin: `pushed`, `none`, `kept here: …`, or why origin did not take it
    code: the user's code that the commit names
    """

    commit: str
    changed: bool
    pushed_objects: int
    origin: str
    code: Code


@dataclass(frozen=True)
class DataVersion(Committed):
    """The branch after a commit of data; `anew` says why the data does not go on from the version before."""

    dataset_version: str
    anew: str | None = None


class VersionWriter:
    """Writes what is staged in the private clone."""

    def __init__(self, clone: PipelineClone) -> None:
        self._clone = clone
        self._staged: Mapping[str, Mapping[str, Path]] = {}

    @property
    def _branch(self) -> PipelineBranch:
        return self._clone.branch

    @property
    def _remote(self) -> DataRemote:
        return self._clone.remote

    def stage(self, folders: Mapping[str, Mapping[str, Path]]) -> None:
        """Make folders of the clone hold exactly these files, by relative name."""
        self._staged = {**self._staged, **folders}
        staging = Staging(self._clone.folder)
        for folder, files in folders.items():
            staging.make(folder, files)
        self._clone.at_phase("staged")

    def pointers(self, outputs: Iterable[str]) -> dict[str, str]:
        """The `.dvc` files of staged folders: from the branch if the content is the same, else from `dvc add`."""
        tip, staging = self._branch.tip(), Staging(self._clone.folder)
        found: dict[str, str] = {}
        changed = []
        for output in outputs:
            known = self._branch.file(tip, f"{output}.dvc")
            if known is not None and pointed_object(known) == staging.object_of(output):
                found[f"{output}.dvc"] = known
            else:
                changed.append(output)
        if changed:
            self._add(changed)
            found |= {f"{output}.dvc": self._pointer(output).read_text(encoding="utf-8") for output in changed}
        return found

    def commit(self, change: Change) -> Committed:
        """Push what the change names, prove it, and put the commit on the branch."""
        pushed = 0

        def prove(tip: str | None) -> Change:
            nonlocal pushed
            files = {**change.files, CONFIG: self._clone.committed_config()}
            if self._branch.file(tip, DVC_IGNORE) is None:
                files[DVC_IGNORE] = DVC_IGNORE_TEXT
            same = all(self._branch.file(tip, path) == content for path, content in files.items())
            if same and self._remote.folder is None:  # nothing new: not worth asking a remote elsewhere
                return Change(change.subject, files, change.trailers, change.dropped)
            dropped = change.dropped | self._out_of_reach(files, tip)
            pushed += self._push(files, tip, dropped)
            return Change(change.subject, files, change.trailers, dropped)

        trailers = change.trailers if "Data-Summary" in change.trailers else self._branch.trailers(self._branch.tip())
        code, kept_here = self._clone.code, self.why_kept_here(generated=is_generated(trailers))
        published = self._branch.publish(prove, code, kept_here=kept_here)
        return Committed(published.commit, published.changed, pushed, published.origin, code)

    def why_kept_here(self, *, generated: bool = False) -> str:
        """Why the branch does not go to origin; empty if other clones can use what it names."""
        if generated:
            return "versions of generated reviews are not shared"
        if not self._remote.address.lies_outside(self._clone.user_root):
            return (
                f"the DVC remote {self._remote.address.url} lies in this clone, where others cannot get the data: to "
                "share versions, set DVC_REMOTE_URL to s3://… or to a folder outside that all clones reach"
            )
        return ""

    def _pointer(self, output: str) -> Path:
        return self._clone.folder / f"{output}.dvc"

    def _add(self, outputs: Iterable[str]) -> None:
        ignored = self._branch.head_file(".gitignore")
        write_if_new(self._clone.folder / ".gitignore", ignored)
        self._clone.dvc.add(list(outputs))
        staging = Staging(self._clone.folder)
        for output in outputs:
            pointer, wanted = self._pointer(output), staging.object_of(output)
            got = pointed_object(pointer.read_text(encoding="utf-8")) if pointer.is_file() else "no pointer"
            if got != wanted:
                raise PermanentFailure(f"dvc add {output} gave {got} instead of {wanted}: {_RULE}")
        if ignored != (self._branch.file(self._branch.tip(), ".gitignore") or ""):
            found = self._clone.dvc.stages()
            for output in outputs:
                if f"{output}.dvc" not in found:
                    raise PermanentFailure(f"DVC finds no {output}.dvc, so dvc pull would bring nothing: {_RULE}")
        self._clone.at_phase("added")

    def _out_of_reach(self, files: Mapping[str, str], tip: str | None) -> frozenset[str]:
        """Pointers of the tip whose data neither cache nor remote has, and the scores beside them.

        A new clone with a remote of its own has such pointers: its versions must not name what nobody can pull from it.
        """
        lost = set[str]()
        for path in POINTERS:
            text = None if path in files else self._branch.file(tip, path)
            if text is None or self._clone.cache.is_complete(pointed_object(text)):
                continue
            if self._remote.missing(self._remote.objects_of([pointed_object(text)])):
                lost |= {path, MODELS.get(path, path)}
        if any(path in MODELS for path in lost):
            lost |= {DECISION, CARD} - files.keys()
        return frozenset(lost)

    def _push(self, files: Mapping[str, str], tip: str | None, dropped: frozenset[str]) -> int:
        """Prove that the remote holds every pointer of the version; push what it lacks. The number of objects."""
        texts = {path: files.get(path) or self._branch.file(tip, path) for path in POINTERS if path not in dropped}
        pointers = {path: pointed_object(text) for path, text in texts.items() if text is not None}
        if not self._remote.missing(self._remote.objects_of(pointers.values())):
            return 0
        staged = [path.removesuffix(".dvc") for path in pointers if path in files]
        try:
            return self._add_and_push(pointers, staged)
        except DamagedCache:  # and so are their copies, which are the same files
            Staging(self._clone.folder).forget()
            self.stage(self._staged)
            return self._add_and_push(pointers, staged)

    def _add_and_push(self, pointers: Mapping[str, str], staged: Iterable[str]) -> int:
        lost = [output for output in staged if not self._clone.cache.is_complete(pointers[f"{output}.dvc"])]
        if lost:
            self._add(lost)
        pushed = self._remote.push(pointers)
        self._clone.at_phase("pushed")
        return pushed
