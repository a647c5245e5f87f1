"""What the mirrors follow, such as the months of raw reviews."""
