"""What people are told about runs: summaries, messages, dashboards."""
