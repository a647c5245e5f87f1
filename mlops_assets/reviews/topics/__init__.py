"""Topics of negative and of positive reviews: found, kept under stable ids, counted by month and app version."""
