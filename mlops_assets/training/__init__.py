"""Training, evaluating, judging and exporting models. Knows no Dagster."""
