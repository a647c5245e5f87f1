"""A Dagster asset graph that keeps an app-review sentiment model fresh."""
