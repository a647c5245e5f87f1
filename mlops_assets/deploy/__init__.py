"""Releases, command lines as data, and the rollout. Knows no Dagster."""
