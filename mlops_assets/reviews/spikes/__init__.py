"""Whether an app, or a version of it, gets far more negative reviews than it usually does."""
