"""Work in independent pieces: one after the other in this process, or as tasks of a Ray cluster."""
