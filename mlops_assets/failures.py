"""The two kinds of failure: one that a rerun may heal, one that it cannot."""


class Failure(Exception):
    """What went wrong, as one line that names the value, the rule and the next step."""


class TransientFailure(Failure):
    """A rerun may help: the network, a lock, a service that is down."""


class PermanentFailure(Failure):
    """A rerun cannot help: bad input, a wrong parameter, a missing file."""
