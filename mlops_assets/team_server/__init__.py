"""The team server: how its containers prepare before they start their program."""
