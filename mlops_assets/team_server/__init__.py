"""The team server: what its containers do before they become what they are."""
