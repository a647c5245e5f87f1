"""A DVC remote: its URL, the `.dvc/config` that names it, and the choice of a clone's remote; no credentials."""

import configparser
import io
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

from mlops_assets.failures import PermanentFailure

REMOTE = "storage"
DEFAULT_FOLDER = ".dvc-remote"
PRIVATE_CLONE = ".pipeline"

_SECRET = re.compile(
    r"secret|token|passw|pwd|credential|signature|^sig$|access_?key|account_?key|api_?key|keyfile", re.I
)
_USER_IS_NO_SECRET = {"ssh", "sftp", "hdfs", "webhdfs", "scp"}


class CredentialsInUrl(PermanentFailure):
    """The URL is committed for everybody to read, so a secret must not be in it."""


class RemoteGone(PermanentFailure):
    """The shared folder that this clone used is not there."""


@dataclass(frozen=True)
class Remote:
    """A DVC remote: its URL (an absolute path for a folder) and what DVC calls its options."""

    url: str
    options: Mapping[str, str] = field(default_factory=dict)

    @property
    def folder(self) -> Path | None:
        """The folder of a directory remote, else None."""
        return None if "://" in self.url else Path(self.url)

    @property
    def readable_folder(self) -> Path | None:
        """The folder of a directory remote that can be read from here, else None."""
        return self.folder if self.folder is not None and _may(self.folder, os.R_OK | os.X_OK) else None

    def lies_outside(self, user_root: Path) -> bool:
        """Whether it lies outside the clone's folder, links resolved: only then other clones can count on it."""
        return self.folder is None or not self.folder.resolve().is_relative_to(user_root.resolve())

    def committed_config(self, base: str) -> str:
        """`.dvc/config` of the branch: the user's own (`base`), with this remote as the default one."""
        for name in self.options:
            if _SECRET.search(name):
                raise CredentialsInUrl(
                    f"remote option {name} is a credential and .dvc/config is committed: give it to the environment"
                )
        config = _parser()
        try:
            config.read_string(base)
        except configparser.Error as error:
            problem = f".dvc/config of HEAD cannot be read, repair it: {error}".replace("\n", " ")
            raise PermanentFailure(problem) from error
        return _rendered(config, {"core": {"remote": REMOTE}, **self._section()})

    def local_config(self, site_cache: Path) -> str:
        """`.dvc/config.local` of the private clone: right for every commit checked out there, wherever it lies."""
        core = {
            "remote": REMOTE,
            "analytics": "false",
            "check_update": "false",
            "autostage": "false",
            "site_cache_dir": str(site_cache),
        }
        # Links: a staged file and its object are one file on the disk. The folder is relative to .dvc/.
        cache = {"type": "hardlink,copy", "dir": "cache"}
        return _rendered(_parser(), {"core": core, "cache": cache, **self._section()})

    def _section(self) -> dict[str, dict[str, str]]:
        return {_section_of(REMOTE): {"url": self.url, **dict(sorted(self.options.items()))}}


def committed_url(url: str | None, user_root: Path) -> str:
    """The URL as it is committed: an absolute path for a folder (relative ones are relative to the clone).

    Absolute, because one committed value must serve the private clone, the user's clone and a colleague's.
    """
    if not url:
        return str((user_root / DEFAULT_FOLDER).resolve())
    url = url.removeprefix("file://")
    if "://" not in url:
        return str((user_root / Path(url).expanduser()).resolve())
    parts = urlsplit(url)
    _refuse_credentials(parts.netloc, parts.scheme.lower(), parts.query)
    return url


def named_remote(config: str | None, root: Path) -> Remote | None:
    """The default remote that a committed `.dvc/config` names; None if it names none or cannot be read."""
    parser = _parser()
    try:
        parser.read_string(config or "")
    except configparser.Error:
        return None
    name = _unquoted(parser.get("core", "remote", fallback=""))
    section = _section_of(name)
    if not name or not parser.has_option(section, "url"):
        return None
    values = {key: _unquoted(value) for key, value in parser.items(section)}
    url = values.pop("url").removeprefix("file://")
    return Remote(url if "://" in url else str((root / ".dvc" / url).resolve()), values)


def choose_remote(named: Remote | None, user_root: Path, last_used: str | None) -> Remote:
    """The remote that the branch names if this clone may write there, else the folder `.dvc-remote` in the clone.

    A folder inside another clone belongs to that clone. It is read (`readable_folder`) and never written to, because
    that clone's pruning would remove objects that it does not know. Raises `RemoteGone` if this clone used a shared
    folder that is gone: to go on silently with a folder of its own would end the sharing.
    """
    default = Remote(committed_url(None, user_root))
    if named is None or named.folder is None:
        return named or default
    if other_clone(named.folder, user_root) is not None:
        return default
    if _may(named.folder, os.R_OK | os.W_OK | os.X_OK):
        return named
    if named.url == last_used and named.lies_outside(user_root) and named.folder.name != DEFAULT_FOLDER:
        raise RemoteGone(
            f"the DVC remote {named.url}, which branch pipeline names and this clone used, is not there or cannot be "
            f"written: mount it, or name another one in DVC_REMOTE_URL (DVC_REMOTE_URL={DEFAULT_FOLDER} goes on in "
            "this clone alone)"
        )
    return default


def other_clone(folder: Path, user_root: Path) -> Path | None:
    """The clone of this project, other than `user_root`, in whose folder the remote lies."""
    for parent in folder.resolve().parents:
        if parent == user_root.resolve():
            return None
        if os.path.lexists(parent / ".git") and (
            os.path.lexists(parent / PRIVATE_CLONE)
            or (folder.name == DEFAULT_FOLDER and folder.resolve().parent == parent)
        ):
            return parent
    return None


def _may(folder: Path, access: int) -> bool:
    return os.path.isdir(folder) and os.access(folder, access)  # noqa: PTH112  Path.is_dir raises if access is denied


def _refuse_credentials(netloc: str, scheme: str, query: str) -> None:
    user_info, at, host = netloc.rpartition("@")
    if at and (":" in user_info or scheme not in _USER_IS_NO_SECRET):
        raise CredentialsInUrl(
            f"DVC_REMOTE_URL {scheme}://***@{host} holds credentials and is committed to the branch: "
            "leave them out of the URL and set them in the environment (AWS_ACCESS_KEY_ID …)"
        )
    for name, _ in parse_qsl(query, keep_blank_values=True):
        if _SECRET.search(name):
            raise CredentialsInUrl(
                f"DVC_REMOTE_URL holds the credential {name!r}, and the URL is committed: set it in the environment"
            )


def _section_of(remote: str) -> str:
    return f"'remote \"{remote}\"'"


def _parser() -> configparser.ConfigParser:
    parser = configparser.ConfigParser(interpolation=None, comment_prefixes=("#",), strict=False)
    parser.optionxform = str  # pyright: ignore[reportAttributeAccessIssue]  # typed as a method, documented as replaceable
    return parser


def _rendered(config: configparser.ConfigParser, sections: Mapping[str, Mapping[str, str]]) -> str:
    for section, values in sections.items():
        if not config.has_section(section):
            config.add_section(section)
        for name, value in values.items():
            config.set(section, name, _quoted(value))
    text = io.StringIO()
    config.write(text)
    return text.getvalue().rstrip("\n") + "\n"


def _unquoted(value: str) -> str:
    value = value.strip()
    return value[1:-1] if len(value) > 1 and value[0] == value[-1] and value[0] in "'\"" else value


def _quoted(value: str) -> str:
    if not re.search(r"[,#'\"]|^\s|\s$", value):
        return value
    return f"'{value}'" if '"' in value else f'"{value}"'
