"""The blend of the two trained models: a weight between them."""
