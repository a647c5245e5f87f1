"""What a commit of data or of models gave."""

from dataclasses import dataclass

from mlops_assets.versioning.git.user_repository import Code


@dataclass(frozen=True)
class DataVersion:
    """The data that the branch names after a data commit.

    origin: `pushed`, `none`, `kept here: …`, or why origin did not take it
    anew: why it does not go on from the version before, in one line
    """

    dataset_version: str
    commit: str
    changed: bool
    pushed_objects: int
    origin: str
    code: Code
    anew: str | None = None


@dataclass(frozen=True)
class ModelsVersion:
    """The branch after a models commit."""

    commit: str
    changed: bool
    pushed_objects: int
    origin: str
    code: Code
