"""Measuring models, and deciding which model serves."""
