"""Where reviews come from: the generated sample and Google Play."""
