"""Reviews that another clone versioned, taken over into this clone's store: the union, the newest state of each."""

from collections.abc import Callable, Mapping
from pathlib import Path

from mlops_assets.versioning.dvc.objects import file_md5


def take_over(files: Mapping[str, Path], raw: Path, report: Callable[[str], None]) -> int:
    """Store the reviews of a version's `data/raw` (relative name to file) that differ from this clone's.

    Nothing that is stored here goes: of two states of one review the later one stays, the other in the history. How
    many reviews were new or changed.
    """
    from mlops_assets.reviews.stored import columns
    from mlops_assets.reviews.stored.store import ReviewStore

    store, changed = ReviewStore(raw), 0
    # A review's history after its newest state: an older state that comes first would count as the newest.
    for name in sorted(
        (name for name in files if name.endswith(".parquet")), key=lambda name: ("/history/" in name, name)
    ):
        app_id, mine = name.split("/")[0], raw / name
        if mine.is_file() and file_md5(mine) == file_md5(files[name]):
            continue
        done = store.upsert(app_id, columns.read_frame(files[name]))
        if done.new + done.edited + done.updated:
            report(f"{name}: {done.new} new, {done.edited + done.updated} changed reviews of another clone's version")
        changed += done.new + done.edited + done.updated
    return changed
