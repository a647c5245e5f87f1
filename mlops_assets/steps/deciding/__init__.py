"""What a decision between models needs to know: the anchor, and whether the live model has a say. Trials of recipes."""
