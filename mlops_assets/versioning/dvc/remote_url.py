"""Where the data goes: the DVC remote's URL and the `.dvc/config` that carries it; no credentials in either."""

import configparser
import io
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

from mlops_assets.failures import PermanentFailure

REMOTE = "storage"
DEFAULT_FOLDER = ".dvc-remote"

_SECRET = re.compile(
    r"secret|token|passw|pwd|credential|signature|^sig$|access_?key|account_?key|api_?key|keyfile", re.I
)
_USER_IS_NO_SECRET = {"ssh", "sftp", "hdfs", "webhdfs", "scp"}


class CredentialsInUrl(PermanentFailure):
    """The URL is committed for everybody to read, so a secret must not be in it."""


@dataclass(frozen=True)
class Remote:
    """A DVC remote: its URL (an absolute path for a folder) and what DVC calls its options."""

    url: str
    options: Mapping[str, str] = field(default_factory=dict)

    @property
    def folder(self) -> Path | None:
        """The folder of a directory remote, else None."""
        return folder_of(self.url)


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


def folder_of(url: str) -> Path | None:
    """The folder of a directory remote, else None."""
    return None if "://" in url else Path(url)


def named_remote(config: str | None, root: Path) -> Remote | None:
    """The default remote that a committed `.dvc/config` names; None where it names none or cannot be read."""
    parser = _parser()
    try:
        parser.read_string(config or "")
    except configparser.Error:
        return None
    name = _unquoted(parser.get("core", "remote", fallback=""))
    section = f"'remote \"{name}\"'"
    if not name or not parser.has_option(section, "url"):
        return None
    values = {key: _unquoted(value) for key, value in parser.items(section)}
    url = values.pop("url").removeprefix("file://")
    return Remote(url if "://" in url else str((root / ".dvc" / url).resolve()), values)


def committed_config(base: str, url: str, options: Mapping[str, str]) -> str:
    """`.dvc/config` of the branch: the user's own (`base`), with the pipeline's remote as the default one."""
    for name in options:
        if _SECRET.search(name):
            raise CredentialsInUrl(
                f"remote option {name} is a credential and .dvc/config is committed: give it to the environment"
            )
    config = _parser()
    try:
        config.read_string(base)
    except configparser.Error as error:
        raise PermanentFailure(f".dvc/config of HEAD cannot be read, repair it: {error}".replace("\n", " ")) from error
    return _rendered(
        config,
        {"core": {"remote": REMOTE}, f"'remote \"{REMOTE}\"'": {"url": url, **dict(sorted(options.items()))}},
    )


def local_config(url: str, options: Mapping[str, str], site_cache: Path) -> str:
    """`.dvc/config.local` of the private clone: right for every commit checked out there, wherever the clone lies."""
    return _rendered(
        _parser(),
        {
            "core": {
                "remote": REMOTE,
                "analytics": "false",
                "check_update": "false",
                "autostage": "false",
                "site_cache_dir": str(site_cache),
            },
            "cache": {"type": "reflink,copy", "dir": "cache"},  # relative to .dvc/
            f"'remote \"{REMOTE}\"'": {"url": url, **dict(sorted(options.items()))},
        },
    )


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
