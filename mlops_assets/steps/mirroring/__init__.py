"""What the mirrors follow: months of raw reviews, trainings and the live model."""
