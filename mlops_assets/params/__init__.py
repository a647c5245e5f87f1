"""The parameters of params.yaml: one module for each section, which holds its keys, their meaning and their rules."""
