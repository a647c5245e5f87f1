"""How a deployment's own questions are told from those of clients."""

PROBE = "X-Golden-Probe"
"""The header of questions that are not logged. The gateway takes it off what clients send."""
