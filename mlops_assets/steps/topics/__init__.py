"""Topics of reviews: brought up to date with the predictions, and told once a week. Knows no Dagster."""
