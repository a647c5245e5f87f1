"""What a version will name, added to DVC and proven to be in the remote before a commit names it."""

from collections.abc import Callable, Mapping
from pathlib import Path

from mlops_assets.failures import PermanentFailure
from mlops_assets.versioning.dvc.commands import Dvc
from mlops_assets.versioning.dvc.data_remote import DamagedCache
from mlops_assets.versioning.dvc.objects import pointed_object
from mlops_assets.versioning.git.pipeline_branch import PipelineBranch
from mlops_assets.versioning.git.pipeline_commit import CARD, DECISION, POINTERS
from mlops_assets.versioning.staging import Staging
from mlops_assets.versioning.version_data import VersionData

SCORES = {"models/bert.dvc": "models/bert_metrics.json", "models/classic.dvc": "models/metrics.json"}
_RULE = ".gitignore and .dvcignore must name the outputs exactly (/data/raw), never /data/*: correct them and commit"


class VersionProof:
    """Pointers of the folders that are staged in the private clone `folder`, and the proof of their data."""

    def __init__(
        self, folder: Path, dvc: Dvc, data: VersionData, branch: PipelineBranch, at_phase: Callable[[str], None]
    ) -> None:
        self._folder, self._dvc, self._data, self._branch, self._at_phase = folder, dvc, data, branch, at_phase
        self._remote = data.remote

    def pointers(self, outputs: list[str]) -> dict[str, str]:
        """The `.dvc` files of staged folders, from the branch where the content is the same, else from `dvc add`."""
        tip, staging = self._branch.tip(), Staging(self._folder)
        found: dict[str, str] = {}
        changed = []
        for output in outputs:
            path = f"{output}.dvc"
            known = self._branch.file(tip, path)
            if known is not None and pointed_object(known) == staging.object_of(output):
                found[path] = known
            else:
                changed.append(output)
        if changed:
            self._add(changed)
            found |= {
                f"{output}.dvc": (self._folder / f"{output}.dvc").read_text(encoding="utf-8") for output in changed
            }
        return found

    def _add(self, outputs: list[str]) -> None:
        ignored = self._branch.head_file(".gitignore")
        write_if_new(self._folder / ".gitignore", ignored)
        self._dvc.add(outputs)
        staging = Staging(self._folder)
        for output in outputs:
            pointer = self._folder / f"{output}.dvc"
            wanted = staging.object_of(output)
            got = pointed_object(pointer.read_text(encoding="utf-8")) if pointer.is_file() else "no pointer"
            if got != wanted:
                raise PermanentFailure(f"dvc add {output} gave {got} instead of {wanted}: {_RULE}")
        if ignored != (self._branch.file(self._branch.tip(), ".gitignore") or ""):
            found = self._dvc.stages()
            for output in outputs:
                if f"{output}.dvc" not in found:
                    raise PermanentFailure(f"DVC finds no {output}.dvc, so dvc pull would bring nothing: {_RULE}")
        self._at_phase("added")

    def out_of_reach(self, files: Mapping[str, str], tip: str | None) -> frozenset[str]:
        """Pointers of the tip, and the scores beside them, whose data neither cache nor remote has.

        So it is in a new clone with a remote of its own: a version there must not name what nobody can pull from it.
        """
        lost = set[str]()
        for path in POINTERS:
            text = None if path in files else self._branch.file(tip, path)
            if text is None or self._data.cached(pointed_object(text)):
                continue
            if self._remote.missing(self._remote.objects_of([pointed_object(text)])):
                lost |= {path, SCORES.get(path, path)}
        if any(path in SCORES for path in lost):
            lost |= {DECISION, CARD} - files.keys()
        return frozenset(lost)

    def push(self, files: Mapping[str, str], tip: str | None, dropped: frozenset[str]) -> int:
        """Prove that the remote holds every pointer of the version; add and push what it lacks."""
        texts = {path: files.get(path) or self._branch.file(tip, path) for path in POINTERS if path not in dropped}
        pointers = {path: pointed_object(text) for path, text in texts.items() if text is not None}
        absent = self._remote.missing(self._remote.objects_of(pointers.values()))
        if not absent:
            return 0
        staged = [path.removesuffix(".dvc") for path in pointers if path in files]
        try:
            return self._push_again(pointers, staged)
        except DamagedCache:
            return self._push_again(pointers, staged)

    def _push_again(self, pointers: Mapping[str, str], staged: list[str]) -> int:
        lost = [output for output in staged if not self._data.cached(pointers[f"{output}.dvc"])]
        if lost:
            self._add(lost)
        pushed = self._remote.push(pointers)
        self._at_phase("pushed")
        return pushed


def write_if_new(path: Path, text: str) -> None:
    """Write the file unless it holds this text already."""
    if not path.is_file() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")
