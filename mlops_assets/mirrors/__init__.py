"""Copies in other people's tools, such as MongoDB, and how a copy catches up."""
