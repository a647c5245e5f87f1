"""What people are told about runs, and how it reaches them: messages, the outbox, when a run is overdue."""
