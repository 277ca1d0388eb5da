"""Package distributed."""
