"""DVC: its program, its objects, its remotes."""
