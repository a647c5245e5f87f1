"""One fake per resource: same class, memory instead of the world."""
