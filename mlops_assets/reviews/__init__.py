"""Collecting, cleaning, labelling and splitting reviews. Knows no Dagster."""
