"""The production stack: what its containers do before they become what they are."""
