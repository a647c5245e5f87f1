"""What starts a run besides the clock, and what happens when a run has ended."""
