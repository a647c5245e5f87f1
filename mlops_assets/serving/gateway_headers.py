"""Headers between the gateway, a deployment and the server. The gateway takes them off what clients send; a server
without a gateway believes no `PROBE` on the port that clients use.
"""

PROBE = "X-Golden-Probe"
"""Marks a deployment's own questions: they are not in the prediction log."""
PRIVATE = "private"
"""Key in the state of a connection that came in on the port of a deployment alone."""
REQUEST_ID = "X-Gateway-Request-ID"
"""The id under which the gateway logs the request: 32 hex digits."""
