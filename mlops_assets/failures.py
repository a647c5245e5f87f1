"""The two kinds of failure: one that a rerun may heal, one that it cannot; and what is said of a full disk."""

import errno

_OF_THE_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM}
HEAL = "make room, or make it writable, and run again; what was there is whole, and the service goes on"


class Failure(Exception):
    """What went wrong, as one line that names the value, the rule and the next step."""


class TransientFailure(Failure):
    """A rerun may help: the network, a lock, a service that is down."""


class PermanentFailure(Failure):
    """A rerun cannot help: bad input, a wrong parameter, a missing file."""


def disk_trouble(error: OSError) -> str | None:
    """File, cause and next step, where the disk is full or may not be written; none for other errors."""
    if error.errno not in _OF_THE_DISK:
        return None
    return f"{error.filename or 'a file'}: {error.strerror}: {HEAL}"
