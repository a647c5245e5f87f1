"""Releases, and how they get live: the rollout, the service and its two backends, audit and bill of materials."""
