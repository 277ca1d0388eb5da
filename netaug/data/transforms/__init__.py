"""Package transforms."""
