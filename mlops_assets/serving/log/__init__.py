"""Predictions on record."""
