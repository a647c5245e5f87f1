"""The assets: thin, one file per group. The work itself is in reviews, training, deploy and serving."""
