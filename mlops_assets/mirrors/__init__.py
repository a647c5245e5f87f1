"""Copies of reviews and trainings in MongoDB and MLflow, and how a copy catches up."""
