"""Labels that people gave: the table, what they agree on, files of labels, and which texts to label next."""
