"""Collecting from Google Play: requests, pages, crawls, deletions."""
