"""How git reaches the user's origin: with the user's own credentials, proxies and ssh command, and never asking."""

import shlex
from collections.abc import Mapping, Sequence
from pathlib import PurePath

Settings = tuple[tuple[str, str], ...]
"""Git's settings in git's order: a name may occur several times."""

ACCESS = r"^((credential|http|https|protocol|ssh)\.|core\.(sshcommand|askpass|gitproxy)$|remote\.origin\.proxy$)"
"""What reaching an origin may need. Not `url.*`: `git remote get-url` has applied it already."""

_SILENCE_S = 60
_SSH_OPTIONS = "-o BatchMode=yes -o ConnectTimeout=20 -o ServerAliveInterval=15 -o ServerAliveCountMax=4"
_OTHER_SSH = {"plink", "putty", "tortoiseplink", "simple"}


def parse_settings(listed: str | None) -> Settings:
    """The answer of `git config --null --get-regexp`; a name without a value is a true boolean."""
    entries = (entry.partition("\n") for entry in (listed or "").split("\0") if entry)
    return tuple((name, value if given else "true") for name, given, value in entries)


def reaching(user: Settings) -> Settings:
    """The user's settings, and that git gives up on a server that says nothing, unless the user set how long."""
    proxy = [("http.proxy", value) for name, value in user if name == "remote.origin.proxy"]
    defaults = (("http.lowSpeedLimit", "1"), ("http.lowSpeedTime", str(_SILENCE_S)))
    return (*defaults, *user, *proxy)


def ssh_variables(environment: Mapping[str, str], user: Settings) -> dict[str, str]:
    """The variable that has ssh ask nothing and give up; in git's order of who decides about the command.

    GIT_SSH_COMMAND of the user, core.sshCommand of the user's repository, GIT_SSH of the user, `ssh`.
    """
    configured = {name.lower(): value for name, value in user}
    command = environment.get("GIT_SSH_COMMAND") or configured.get("core.sshcommand")
    if not command and environment.get("GIT_SSH"):
        return {}
    variant = (environment.get("GIT_SSH_VARIANT") or configured.get("ssh.variant") or "auto").lower()
    return {"GIT_SSH_COMMAND": _unattended(command or "ssh", variant)}


def _unattended(command: str, variant: str) -> str:
    """OpenSSH takes the first value of an option, so what the user's command says goes before what is added."""
    if variant in _OTHER_SSH:
        return command
    words = _words(command)
    program = next((word for word in words if "=" not in word), "")
    if PurePath(program).name.lower() not in {"ssh", "ssh.exe"} and variant != "ssh":
        return command  # a wrapper, which may not know these options
    return f"{command} {_SSH_OPTIONS}"


def _words(command: str) -> Sequence[str]:
    """The words of a shell command; none where it is more than one command with arguments."""
    lexer = shlex.shlex(command, posix=True, punctuation_chars=True)
    lexer.commenters = ""
    lexer.whitespace_split = True
    try:
        words = list(lexer)
    except ValueError:  # an open quote: git will say so
        return ()
    return () if any(word[0] in "();<>|&#" for word in words if word) else words
