"""The classic model: TF-IDF, logistic regression, bounded forest."""
