"""Package decode."""
