"""Headers between the gateway, a deployment and the server. The gateway takes them off what clients send."""

PROBE = "X-Golden-Probe"
"""Marks a deployment's own questions: they are not in the prediction log."""
REQUEST_ID = "X-Gateway-Request-ID"
"""The id under which the gateway logs the request: 32 hex digits."""
