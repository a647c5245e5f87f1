"""The page on which people label reviews, and the files that labels come from and go to."""
