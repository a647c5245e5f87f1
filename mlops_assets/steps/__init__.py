"""What the pipeline does, one file per stage. Knows no Dagster."""
