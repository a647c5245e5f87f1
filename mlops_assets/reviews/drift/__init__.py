"""Whether new reviews, or the answers to them, differ from what the model learned from."""
