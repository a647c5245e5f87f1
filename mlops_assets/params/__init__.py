"""The parameters of params.yaml: a model for each section, with its keys, their meaning and their rules."""
