"""The pages on which people label reviews and decide about releases, and files of labels."""
