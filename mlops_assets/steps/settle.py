"""Make the checkout ready for a run: end a killed restore, bring back absent apps, take over other clones' reviews."""

import shutil
from collections.abc import Callable, Collection, Mapping
from pathlib import Path

from mlops_assets.versioning.checkout import KEPT, Exchange, app_of, finish_exchanges
from mlops_assets.versioning.dvc.objects import file_md5
from mlops_assets.versioning.repository import VersionRepository


def settle(
    repository: VersionRepository,
    data: Path,
    report: Callable[[str], None] = lambda _: None,
    *,
    shares: bool = True,
) -> list[str]:
    """End what a killed restore began, and bring back apps that the checkout lacks; the paths that came back.

    An app that the newest version holds and that has no folder here, as in a fresh clone, comes back with its raw and
    validated reviews: without them the next version would hold less. Reviews of versions that other clones made are
    taken over. If the newest version's data is out of reach, that is reported.

    A run that shares nothing does not ask origin.
    """
    from mlops_assets.reviews.stored.erase import drop_erased
    from mlops_assets.reviews.stored.privacy import ERASED, Erased

    with repository.locked():
        finished = finish_exchanges(repository.user_root)
        if problem := repository.look_at_origin(share=shares):
            report(problem)
        base = repository.base()
        if base.anew:
            report(base.anew)
        back: list[str] = []
        own = [base.commit] if base.commit and base.commit not in base.foreign else []
        for commit in [*base.foreign, *own]:
            raw = repository.stored_files("data/raw", commit)
            absent = {app for app in map(app_of, raw) if app and not (data / "raw" / app).is_dir()}
            back += _bring_back(repository, commit, absent) if absent else []
            known = Erased.load(data / "raw")
            if ERASED in raw and not (listed := Erased.read(raw[ERASED])) <= known:
                (known | listed).save(data / "raw")
                drop_erased(data)
            elif back or finished:
                drop_erased(data)
            if commit in base.foreign:
                take_over(raw, data / "raw", report)
        repository.taken_over()
    for path in back:
        report(f"{path} was absent here and came back from the newest version")
    return back


def take_over(files: Mapping[str, Path], raw: Path, report: Callable[[str], None]) -> None:
    """Store the reviews of another clone's `data/raw` (relative name to file) that differ from those stored here.

    Nothing that is stored here is lost: of two states of a review the later one is current, the other is its history.
    """
    from mlops_assets.reviews.stored import columns
    from mlops_assets.reviews.stored.store import ReviewStore

    store = ReviewStore(raw)
    parquet = [name for name in files if name.endswith(".parquet")]
    # A review's history after its newest state: an older state that comes first would count as the newest.
    for name in sorted(parquet, key=lambda name: ("/history/" in name, name)):
        mine = raw / name
        if mine.is_file() and file_md5(mine) == file_md5(files[name]):
            continue
        done = store.upsert(app_of(name), columns.read_frame(files[name]))
        if done.new + done.edited + done.updated:
            report(f"{name}: {done.new} new, {done.edited + done.updated} changed reviews of another clone's version")


def _bring_back(repository: VersionRepository, commit: str, apps: Collection[str]) -> list[str]:
    exchange = Exchange(repository.user_root, repository.user_root / KEPT / "absent")
    shutil.rmtree(exchange.folder, ignore_errors=True)
    back = set[str]()
    for output in ("data/raw", "data/validated"):
        for name, path in repository.stored_files(output, commit).items():
            if app_of(name) in apps:
                copy = exchange.new / output / name
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, copy)
                back.add(f"{output}/{app_of(name)}")
    exchange.run(sorted(back))
    # The former content had no raw reviews of the app: leftovers of its validation.
    shutil.rmtree(exchange.folder)
    return sorted(back)
