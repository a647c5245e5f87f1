"""Jobs, schedules, sensors and the summary of each run."""
