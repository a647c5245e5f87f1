"""The folder `.pipeline/`: a private clone of the user's repository with DVC in it, its lock and its remote."""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path

from mlops_assets.failures import PermanentFailure
from mlops_assets.settings import child_environment
from mlops_assets.versioning.dvc.commands import Dvc
from mlops_assets.versioning.dvc.data_remote import DataRemote
from mlops_assets.versioning.dvc.objects import ObjectFolder
from mlops_assets.versioning.dvc.remote import PRIVATE_CLONE, Remote, choose_remote, committed_url, named_remote
from mlops_assets.versioning.git.commands import GitFailure, without_the_users_settings
from mlops_assets.versioning.git.pipeline_branch import PipelineBranch
from mlops_assets.versioning.git.pipeline_commit import CONFIG
from mlops_assets.versioning.git.private_clone import PrivateClone
from mlops_assets.versioning.git.user_repository import Code, UserRepository

DVC_IGNORE_TEXT = "/config.local\n/tmp\n/cache\n"


class PipelineClone:
    """Git and DVC in `<user_root>/.pipeline`.

    The user's branch, index, files, rebase and DVC cache are never touched.
    """

    def __init__(
        self,
        user_root: Path,
        *,
        dvc_program: Path | None = None,
        remote_url: str | None = None,
        remote_options: Mapping[str, str] | None = None,
        lock_wait_s: float = 60.0,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        at_phase: Callable[[str], None] = lambda _: None,
    ) -> None:
        """`remote_url` is the DVC remote, `remote_options` what DVC calls options.

        Without a URL it is the remote that the branch names, else the folder `.dvc-remote`.

        Raises `PermanentFailure` for a URL or an option (`endpointurl` …) that holds credentials.
        """
        self.user_root = user_root.resolve()
        self.folder = self.user_root / PRIVATE_CLONE
        self.now, self.at_phase = now, at_phase
        self._environment = child_environment()
        self._own_environment = without_the_users_settings(self._environment)
        self._lock_wait_s = lock_wait_s
        program = dvc_program or self.user_root / ".venv-dvc" / "bin" / "dvc"
        self.dvc = Dvc(self.folder, program, self._own_environment, lock_wait_s)
        self.cache = ObjectFolder(self.folder / ".dvc" / "cache")
        self._remote_is_set = bool(remote_url)
        self.use(Remote(committed_url(remote_url, self.user_root), dict(remote_options or {})))
        self.remote.address.committed_config("")
        self._code: Code | None = None
        self._depth = 0

    @cached_property
    def user(self) -> UserRepository:
        return UserRepository.at(self.user_root, self._environment, self._lock_wait_s)

    @property
    def branch(self) -> PipelineBranch:
        return PipelineBranch(self._private_clone, self.now, self.at_phase)

    @property
    def _private_clone(self) -> PrivateClone:
        return PrivateClone(self.folder, self.user, self._own_environment, self._lock_wait_s)

    def exists(self) -> bool:
        """Whether there is an undamaged clone."""
        return self._private_clone.exists()

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other pipeline processes out of the clone; may be nested."""
        if self._depth:
            yield
            return
        with self._private_clone.locked():
            self._depth += 1
            try:
                yield
            finally:
                self._depth -= 1

    def prepare(self) -> str | None:
        """Make `.pipeline/`, or return it to the tip of branch `pipeline`; the tip's commit, None before the first.

        Later commits of this process name the user's code as it is at this moment.
        """
        self.user.refuse_checked_out_branch()
        with self.locked():
            clone = self._private_clone
            if not clone.exists():
                clone.make()
            try:
                return self._return_to_tip(clone)
            except GitFailure:
                clone.make()
                return self._return_to_tip(clone)

    def tip(self) -> str | None:
        """The branch's tip as of the last `prepare`, which comes first if nobody called it; None before the first."""
        return self.prepare() if self._code is None else self.branch.tip()

    @property
    def code(self) -> Code:
        """The user's code as of the last `prepare`."""
        if self._code is None:
            raise PermanentFailure("prepare() comes before a commit")
        return self._code

    def _return_to_tip(self, clone: PrivateClone) -> str | None:
        clone.clear_stale_locks()
        clone.configure()
        branch = self.branch
        branch.fetch()
        branch.refuse_tracked_outputs()
        tip = branch.tip()
        clone.check_out(tip)
        self._code = self.user.code(clone.git.git_dir / "user-index")
        dvc_folder = self.folder / ".dvc"
        dvc_folder.mkdir(exist_ok=True)
        local = dvc_folder / "config.local"
        if not self._remote_is_set:
            before = named_remote(local.read_text(encoding="utf-8"), self.folder) if local.is_file() else None
            self._choose_remote(branch.file(tip, CONFIG), before)
        write_if_new(local, self.remote.address.local_config(self.dvc.site_cache))
        if tip is None:
            write_if_new(self.folder / CONFIG, self.committed_config())
            write_if_new(dvc_folder / ".gitignore", DVC_IGNORE_TEXT)
        return tip

    def choose_remote_of(self, config: str | None) -> None:
        """Before the first `prepare`: use the remote that a version's `.dvc/config` names, unless a URL is set."""
        if not self._remote_is_set and self._code is None:
            self._choose_remote(config, None)

    def _choose_remote(self, config: str | None, before: Remote | None) -> None:
        named = self.remote_named_in(config)
        self.use(choose_remote(named, self.user_root, before.url if before else None))

    def use(self, remote: Remote) -> None:
        """Make it the DVC remote of this clone."""
        self.remote = DataRemote(self.dvc, self.cache, remote)

    def remote_named_in(self, config: str | None) -> Remote | None:
        """The remote that a version's `.dvc/config` names, if it names any."""
        return named_remote(config, self.user_root)

    def committed_config(self) -> str:
        """`.dvc/config` for the next commit: the user's own with the remote in use."""
        return self.remote.address.committed_config(self.branch.head_file(CONFIG))


def write_if_new(path: Path, text: str) -> None:
    """Write the file unless it holds this text already."""
    if not path.is_file() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")
