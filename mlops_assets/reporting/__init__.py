"""What people see of runs: summaries, messages, dashboards."""
