"""Figures of models, and the verdict on which one serves."""
