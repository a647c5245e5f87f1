"""How git reaches the user's origin: with the user's credentials, proxies and ssh command, and without any prompt."""

import shlex
from collections.abc import Mapping, Sequence
from pathlib import PurePath

Settings = tuple[tuple[str, str], ...]
"""Git's settings in git's order: a name may occur several times."""

ACCESS = r"^((credential|http|https|protocol|ssh)\.|core\.(sshcommand|askpass|gitproxy)$|remote\.origin\.proxy$)"
"""Settings that git may need to reach an origin. Not `url.*`: `git remote get-url` has applied it already."""

_SILENCE_S = 60
_SSH_OPTIONS = "-o BatchMode=yes -o ConnectTimeout=20 -o ServerAliveInterval=15 -o ServerAliveCountMax=4"
_OTHER_SSH = {"plink", "putty", "tortoiseplink", "simple"}


def parse_settings(listed: str | None) -> Settings:
    """Parse the output of `git config --null --get-regexp`; a name without a value is a true boolean."""
    entries = (entry.partition("\n") for entry in (listed or "").split("\0") if entry)
    return tuple((name, value if given else "true") for name, given, value in entries)


def reaching(user: Settings) -> Settings:
    """The user's settings, and a limit for silent servers unless the user set their own."""
    proxy = [("http.proxy", value) for name, value in user if name == "remote.origin.proxy"]
    defaults = (("http.lowSpeedLimit", "1"), ("http.lowSpeedTime", str(_SILENCE_S)))
    return (*defaults, *user, *proxy)


def ssh_variables(environment: Mapping[str, str], user: Settings) -> dict[str, str]:
    """The variable that keeps ssh from prompting and from waiting for ever.

    The command is the first of those that git would use: GIT_SSH_COMMAND, core.sshCommand, GIT_SSH, `ssh`.
    """
    configured = {name.lower(): value for name, value in user}
    command = environment.get("GIT_SSH_COMMAND") or configured.get("core.sshcommand")
    if not command and environment.get("GIT_SSH"):
        return {}
    variant = (environment.get("GIT_SSH_VARIANT") or configured.get("ssh.variant") or "auto").lower()
    return {"GIT_SSH_COMMAND": _unattended(command or "ssh", variant)}


def _unattended(command: str, variant: str) -> str:
    """OpenSSH takes the first value of an option, so the user's own options come before the added ones."""
    if variant in _OTHER_SSH:
        return command
    words = _words(command)
    program = next((word for word in words if "=" not in word), "")
    if PurePath(program).name.lower() not in {"ssh", "ssh.exe"} and variant != "ssh":
        return command  # a wrapper, which may not know these options
    return f"{command} {_SSH_OPTIONS}"


def _words(command: str) -> Sequence[str]:
    """The words of a shell command; empty if it is more than a single command with arguments."""
    lexer = shlex.shlex(command, posix=True, punctuation_chars=True)
    lexer.commenters = ""
    lexer.whitespace_split = True
    try:
        words = list(lexer)
    except ValueError:  # an open quote: git will say so
        return ()
    return () if any(word[0] in "();<>|&#" for word in words if word) else words
