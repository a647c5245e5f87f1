"""Measurements: each module's functions return figures, `python -m benchmarks.<module>` prints them."""
