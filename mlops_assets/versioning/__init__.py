"""Versions of data and models: git, DVC, the private clone, remotes, retention."""
