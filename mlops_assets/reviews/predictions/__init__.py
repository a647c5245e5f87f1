"""The serving model's answer to every stored review, in a file for each app and month."""
