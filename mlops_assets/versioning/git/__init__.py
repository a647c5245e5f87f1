"""Git: the user's repository, the private clone, the branch `pipeline`."""
