"""The two kinds of failure, those that a rerun may heal and the others; the message about a full disk."""

import errno
import re

_OF_THE_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM}
HEAL = "make room, or make it writable, and run again; what was there is whole, and the service goes on"


class Failure(Exception):
    """What went wrong, as one line that names the value, the rule and the next step."""


class TransientFailure(Failure):
    """A rerun may help: the network, a lock, a service that is down."""


class PermanentFailure(Failure):
    """A rerun cannot help: bad input, a wrong parameter, a missing file."""


class BadSetting(PermanentFailure):
    """A variable of the environment or a parameter of params.yaml breaks its rule."""


class OutsideFailure(TransientFailure):
    """Another program or service (git, DVC, the Docker engine, a registry, a hub) said no.

    Its own words decide whether a rerun may help: see `rerun_may_help`.
    """


_ASKS_TO_WAIT = re.compile(r"rate limit|too ?many ?requests|\b429\b|slow ?down|timed? ?out|temporar", re.IGNORECASE)
_NEEDS_A_PERSON = re.compile(
    # Not there, or another name
    r"no such file|not a git repository|does not appear to be a git repository|repository (\S+ )?not found|is no folder"
    r"|nosuchbucket|bucket (\S+ )?does not exist|manifest (\S+ )?(unknown|not found)|name unknown|pull access denied"
    r"|missing[- ]files|missing cache|is your cache up to date|checkout failed for following targets"
    r"|no remote (provided|specified)|no default remote|unknown revision|couldn't find remote ref|offline mode"
    # Not allowed
    r"|dubious ownership|permission ?denied|access ?denied|authentication (failed|required)|unauthori[sz]ed|forbidden"
    r"|could not read (username|password)|terminal prompts disabled|host key verification failed|no basic auth"
    r"|\b40[13]\b|denied: |invalidaccesskeyid|signaturedoesnotmatch|expired ?token|(locate|no) ?credentials"
    r"|credentials (were )?not found|certificate verify failed|certificate problem|hook declined|protected branch"
    # No space
    r"|no space left|quota exceeded|read-only file system|too large"
    # Not possible with this program or address
    r"|unable to find remote helper|unsupported (url|protocol)|is not supported|port is already allocated"
    r"|address already in use",
    re.IGNORECASE,
)


def rerun_may_help(failure: Failure) -> bool:
    """Whether waiting can heal it; what another program said is judged by its words."""
    if isinstance(failure, OutsideFailure):
        message = str(failure)
        return _ASKS_TO_WAIT.search(message) is not None or _NEEDS_A_PERSON.search(message) is None
    return isinstance(failure, TransientFailure)


def disk_trouble(error: OSError) -> str | None:
    """File, cause and next step, where the disk is full or may not be written; none for other errors."""
    if error.errno not in _OF_THE_DISK:
        return None
    return f"{error.filename or 'a file'}: {error.strerror}: {HEAL}"
