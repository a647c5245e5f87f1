"""The HTTP service and its model: neither Dagster nor torch nor scikit-learn nor pandas."""
