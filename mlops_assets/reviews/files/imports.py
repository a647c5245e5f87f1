"""The folder data/imports: which files are reviews, which are refused, and which still hold names.

Not here: reading one file (files.py), pulling a file of which only the DVC pointer is here.
"""

import hashlib
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq

from mlops_assets.failures import PermanentFailure
from mlops_assets.files import stamp
from mlops_assets.reviews.files.balance import Balance, Balances, record_of
from mlops_assets.reviews.files.files import ReadFile, balances_of, read_reviews
from mlops_assets.reviews.files.rules import FileRules
from mlops_assets.reviews.files.taken import NOTHING_TAKEN, TakenFile, TakenFiles
from mlops_assets.reviews.quality.claims import Claim
from mlops_assets.reviews.stored import columns
from mlops_assets.reviews.stored.privacy import Erased, review_digest
from mlops_assets.reviews.stored.store import ReviewStore

SOURCE = "import"
NO_REVIEWS = re.compile(r"\..*|readme(\..*)?|.*\.dvc", re.IGNORECASE)
"""Names of what may lie in the folder beside reviews: hidden files, a README, DVC's pointers."""


@dataclass(frozen=True)
class Imports:
    """The folder's files: rows in the stored form by app of those that were read, the balances of all that were
    understood, what was refused and why, and what holds columns about people.
    """

    rows_by_app: dict[str, pd.DataFrame]
    balances: Balances
    refused: dict[str, str]
    with_names: dict[str, tuple[str, ...]]
    files: Mapping[Path, TakenFile] = field(default_factory=dict)
    outside: tuple[str, ...] = ()
    """A line for each stored month that no run covers."""


def files_in(folder: Path) -> list[Path]:
    """The files to read or to refuse, whatever their ending, by name."""
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if not NO_REVIEWS.fullmatch(path.name))


def unpulled(folder: Path) -> list[Path]:
    """DVC pointers in the folder without their file."""
    return [path for path in sorted(folder.glob("*.dvc")) if not path.with_suffix("").exists()]


def read_imports(folder: Path, rules: FileRules, taken: TakenFiles = NOTHING_TAKEN) -> Imports:
    """Every file of the folder but those that were `taken`. A file that cannot be understood is refused, and the others
    are still read.

    A review that several files hold comes with all of its rows: the store decides which version is the newest.
    """
    files, known = list[ReadFile](), dict[Path, TakenFile]()
    for path in files_in(folder):
        if path in taken.files:
            known[path] = taken.files[path]
            continue
        seen = stamp(path)
        try:
            file = read_reviews(path, rules)
        except PermanentFailure as failure:
            known[path] = TakenFile(seen, refused=str(failure))
            continue
        files.append(file)
        known[path] = TakenFile.of(seen, file.frame, file.balance)
    refused = {path.name: file.refused for path, file in known.items() if file.refused}
    rows = pd.concat([file.frame for file in files], ignore_index=True) if files else columns.empty()
    distinct = taken.distinct if not files else balances_of(files).distinct if not taken.files else None
    balances = Balances(tuple(file.balance for file in known.values() if file.balance), distinct)
    return Imports(
        rows_by_app={str(app): columns.conform(group) for app, group in rows.groupby("app_id")},
        balances=balances,
        refused=refused,
        with_names=with_names(balances),
        files=known,
    )


def with_names(balances: Balances) -> dict[str, tuple[str, ...]]:
    """The files that say who people are, with the columns that do."""
    return {balance.file: balance.left_behind for balance in balances.files if balance.left_behind}


def outside_of_runs(store: ReviewStore, apps: Collection[str], first_month: str, last_month: str) -> tuple[str, ...]:
    """A line for each stored month before the first or after the last month that a run can cover."""
    lines: list[str] = []
    for app_id in apps:
        for month in store.months(app_id):
            if first_month <= month <= last_month or not pq.read_metadata(store.path(app_id, month)).num_rows:
                continue
            held = f"data/raw/{app_id}/{month}.parquet: its reviews stay in use, but no run covers a month"
            if month < first_month:
                lines.append(f"{held} before first_month {first_month}: write first_month: {month} into params.yaml")
            else:
                lines.append(f"{held} in the future: correct the dates in their file and import it again")
    return tuple(lines)


def clean_file(path: Path, folder: Path, rules: FileRules) -> tuple[Path, Balance]:
    """Write the file's reviews into the folder without names and avatars. Returns the new file and the balance.

    The name of the new file comes from the name and content of the old, so the same file is the same import.
    """
    found = read_reviews(path, rules)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()[:8]
    target = folder / f"{path.stem}-{digest}.parquet"
    columns.write_frame(found.frame, target)
    return target, found.balance


def earlier_imports(target: Path) -> list[Path]:
    """What `clean_file` wrote for other contents of a file of that name."""
    name = target.stem.rpartition("-")[0]
    pattern = re.compile(rf"{re.escape(name)}-[0-9a-f]{{8}}\.parquet")
    return [path for path in files_in(target.parent) if pattern.fullmatch(path.name) and path != target]


def files_that_hold(paths: Iterable[Path], erased: Erased, rules: FileRules) -> dict[Path, int]:
    """Files with rows of reviews or authors that were erased, and how many; files that cannot be read are left out."""
    found = dict[Path, int]()
    for path in paths:
        try:
            frame = read_reviews(path, rules).frame
        except PermanentFailure:
            continue
        hits = sum(
            review_digest(review_id) in erased.reviews or author in erased.authors
            for review_id, author in zip(frame["review_id"], frame["author"], strict=True)
        )
        if hits:
            found[path] = hits
    return found


def imports_hold_no_names(imports: Imports) -> Claim:
    """A warning if a file that was put into the folder by hand says who people are. Its rows are read without that."""
    if not imports.with_names:
        return Claim(
            passed=True, reason=f"none of {len(imports.balances.files)} imported files has a name or avatar column"
        )
    lines = "; ".join(
        f"data/imports/{name} has {', '.join(found)}: make import FILE=data/imports/{name}, then delete it"
        for name, found in imports.with_names.items()
    )
    rows = [{"file": name, "columns": ", ".join(found)} for name, found in imports.with_names.items()]
    return Claim(passed=True, warning=True, reason=lines, numbers={"files": len(rows)}, rows=rows)


def imports_are_understood(imports: Imports) -> Claim:
    """A warning that names every refused file and why, every file with rows that were put aside, and what is stored of
    months that no run covers.
    """
    aside = [balance for balance in imports.balances.files if balance.quarantined]
    if not imports.refused and not aside and not imports.outside:
        return Claim(passed=True, reason=f"all of {len(imports.balances.files)} files in data/imports were read")
    rows = [{"file": name, "reason": reason} for name, reason in imports.refused.items()]
    rows += [{"file": b.file, "reason": f"{n} rows: {reason}"} for b in aside for reason, n, _ in b.reasons()]
    lines = [*imports.refused.values(), *(f"{balance.summary()} (data/{record_of(balance)})" for balance in aside)]
    lines += imports.outside
    return Claim(passed=True, warning=True, reason="; ".join(lines), rows=rows)
