"""Which reviews are usable, and what must be true of a version."""
