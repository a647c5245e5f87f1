"""Reviews from other people's files: what a cell means, and what becomes of each row."""
